"""A service that runs compiled pipelines: the uniform names of its kind, and the records that it takes and gives.

To add a service, write a module with the names of `Service` and add it to `services.py`. The command line, the checks
of `graft compile` and the compiled file follow the table. This module loads no TensorFlow, TFX or client.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from components.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from pipeline.config.configuration import Config
    from pipeline.config.kubeflow import KubeflowOptions, Resources
    from pipeline.kubeflow.compiled import Package, Sent


class Service(Protocol):
    """The names that the module of a service exposes."""

    @property
    def NAME(self) -> str:  # noqa: N802
        """Name for `--target`."""

    @property
    def TITLE(self) -> str:  # noqa: N802
        """Name for people, such as `Vertex AI`."""

    @property
    def Address(self) -> Any:  # noqa: N802
        """Frozen dataclass of the options of the command line that say where the service is; each has a default."""

    @property
    def ROOT_SCHEMES(self) -> tuple[str, ...]:  # noqa: N802
        """Schemes that a pipeline root may have, such as `gs`."""

    @property
    def POD_PATHS(self) -> str:  # noqa: N802
        """Paths that exist in a pod, in words for an error."""

    @property
    def RETRY_WINDOW(self) -> int:  # noqa: N802
        """Seconds for `backoff_max_duration` of a task that is retried."""

    @property
    def HOLDS_DATABASES(self) -> bool:  # noqa: N802
        """Whether a database file works in the working directory of a pod."""

    @property
    def DRIVER(self) -> str:  # noqa: N802
        """Row of `local.driver.DRIVERS`: the driver that `graft execute` imitates."""

    def has_path(self, config: Config, path: str) -> bool:
        """Tells whether a path of a configuration exists in every pod."""

    def check(self, config: Config) -> Iterator[str]:
        """Finds what only this service would refuse: a line each with what was expected, what was found, the fix."""

    def gpu_type(self, resources: Resources) -> str:
        """Gives the type of accelerator in the compiled file of a node that has one."""

    def platform(self, cluster: KubeflowOptions, nodes: list[str], labels: dict[str, str]) -> dict[str, Any]:
        """Makes the second document of the compiled file; empty where there is none."""

    def connect(self, address: Any) -> Connection:
        """Makes the client for an `Address`; nothing is asked of the service yet.

        Raises:
            InputError: the address or the credentials are not usable.
        """


class Connection(Protocol):
    """The client of a service. Every method raises InputError on a refusal and ServiceError without an answer."""

    def submit(self, request: RunRequest) -> Submitted:
        """Sends a run, or takes the run that was sent under that name and did not fail."""

    def look(self, identity: str, nodes: tuple[str, ...]) -> RunState:
        """Asks how far a submitted run has come."""

    def schedule(self, request: RunRequest, cron: str) -> Change:
        """Makes the single schedule of a name start these runs at these times: six fields, seconds first."""

    def list_schedules(self) -> list[Schedule]:
        """Lists the schedules that Graft made, the newest first."""

    def pause(self, name: str) -> None:
        """Stops a schedule from starting runs; a run under way goes on."""

    def resume(self, name: str) -> None:
        """Lets a paused schedule start runs again; missed runs are not made up for."""

    def delete(self, name: str, force: bool) -> None:
        """Deletes a schedule; `force`: also where that stops a run under way."""

    def describe(self, schedule: Schedule) -> str:
        """Gives the page or the full name under which people find a schedule."""


@dataclass(frozen=True)
class RunRequest:
    """What is to be run.

    Attributes:
        package: the compiled pipeline.
        name: of the run or the schedule: there is one of it, however often it is asked for.
        experiment: that groups runs, where the service has experiments.
        parameters: that differ from the pipeline's defaults.
        service_account: that the pods run as; None: the service's default.
    """

    package: Package
    name: str
    experiment: str
    parameters: dict[str, Any]
    service_account: str | None = None


@dataclass(frozen=True)
class Submitted:
    """A run on a service.

    Attributes:
        identity: of the run.
        name: of the run.
        link: its page.
        existed: whether a run of that name was there already, which was taken.
        sent: what it is made from.
    """

    identity: str
    name: str
    link: str
    existed: bool
    sent: Sent


@dataclass(frozen=True)
class WatchedTask:
    """A node of a run as a service tells of it: state SUCCEEDED, FAILED, RUNNING and the like; SKIPPED: cached."""

    name: str
    state: str
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""

    @property
    def seconds(self) -> float | None:
        """Gives the running time in seconds; None where the service does not say."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, (self.ended - self.started).total_seconds())


@dataclass(frozen=True)
class RunState:
    """A run as a service tells of it: SUCCEEDED, FAILED, CANCELED, RUNNING or PENDING, and its nodes."""

    state: str
    tasks: tuple[WatchedTask, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Schedule:
    """A schedule on a service.

    Attributes:
        identity: of the schedule.
        name: that people know it by.
        cron: as the service takes it; empty: it is no cron schedule.
        enabled: whether it starts runs.
        digest: of all that it was made from, 16 hex digits; empty: not made by Graft.
        created: when, ISO 8601; it also orders the schedules of one name.
        experiment: id of the experiment; empty where the service has none.
    """

    identity: str
    name: str
    cron: str
    enabled: bool
    digest: str
    created: str
    experiment: str = ""


@dataclass(frozen=True)
class Change:
    """What a call did: `created`, `updated` or `unchanged`, with the schedule as it is now and what is to be known."""

    what: str
    schedule: Schedule
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pace:
    """How often and how fast a request is tried again.

    Attributes:
        attempts: in all.
        pause: seconds before the second one; each further pause is twice as long.
        poll: seconds between two looks at a run.
        patience: seconds without an answer after which waiting for a run ends.
    """

    attempts: int = 5
    pause: float = 1.0
    poll: float = 10.0
    patience: float = 900.0


PACE = Pace()
CRON_HINT = (
    '--cron: expected second, minute, hour, day of the month, month, day of the week: "0 0 3 * * *" is every night at '
    "three, UTC unless the cluster says otherwise."
)


class ServiceError(RuntimeError):
    """A service failed or gave no answer (exit code 1); the message is written for the user.

    Attributes:
        retry: whether the same request may succeed later.
    """

    def __init__(self, message: str, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


class NotFound(InputError):
    """What was asked for is not there (exit code 2)."""


def no_such_schedule(name: str, names: set[str]) -> NotFound:
    """Makes the error for a name among the names of Graft's schedules."""
    here = f"Schedules of Graft here: {', '.join(sorted(names))}." if names else "Graft has no schedule here."
    return NotFound(f"There is no schedule '{name}'.{did_you_mean(name, sorted(names))}\n{here}")
