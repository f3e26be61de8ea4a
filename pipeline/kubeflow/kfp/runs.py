"""Submitting one run to Kubeflow Pipelines, once: what was sent already is found again, not sent twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from components.errors import InputError
from pipeline.kubeflow.kfp.answers import check_answer
from pipeline.kubeflow.kfp.connection import PAGE, Server
from pipeline.kubeflow.kfp.package import Package, Sent, read_sent
from pipeline.kubeflow.watch import RunState, Watch, read_state

FRUITLESS = ("FAILED", "CANCELED", "CANCELING", "SKIPPED")  # a run that has come to nothing holds no name


@dataclass(frozen=True)
class RunRequest:
    """What is to be run.

    Attributes:
        package: the compiled pipeline.
        name: of the run or the schedule: there is one of it, however often it is asked for.
        experiment: that groups runs on the server.
        parameters: that differ from the pipeline's defaults.
        service_account: of Kubernetes that the pods run as; None: the server's default.
    """

    package: Package
    name: str
    experiment: str
    parameters: dict[str, Any]
    service_account: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What `run_pipeline` and `create_recurring_run` of the client have in common."""
        return {
            "job_name": self.name,
            "pipeline_package_path": str(self.package.path),
            "params": self.parameters,
            "pipeline_root": self.package.root or None,
            "service_account": self.service_account,
        }


@dataclass(frozen=True)
class Submitted:
    """A run on the server.

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


def submit_run(server: Server, request: RunRequest) -> Submitted:
    """Sends a run, or takes the one that was sent under that name.

    Raises:
        InputError: the server refuses.
        ServiceError: the server failed, or gave no answer.
    """
    experiment = ensure_experiment(server, request.experiment)
    existing = find_run(server, experiment, request.name)
    run = existing or check_answer(
        server.ask(
            "submitting the run",
            server.client.run_pipeline,
            experiment_id=experiment,
            found=lambda: find_run(server, experiment, request.name),
            **request.arguments,
        ),
        "run_id",
        server.host,
    )
    sent = request.package.sent_with(request.parameters) if existing is None else _read_sent(existing)
    return Submitted(run.run_id, run.display_name, server.link("runs", run.run_id), existing is not None, sent)


def _read_sent(run: Any) -> Sent:
    config = run.runtime_config
    parameters, root = (config.parameters or {}, config.pipeline_root or "") if config else ({}, "")
    return read_sent(run.pipeline_spec or {}, parameters, root)


def ensure_experiment(server: Server, name: str) -> str:
    """The id of an experiment, which is made where there is none."""
    found = _find_experiment(server, name)
    if found is not None:
        return found
    try:
        made = server.ask(
            f"creating the experiment {name}",
            server.client.create_experiment,
            name,
            description="Runs of Graft",
            namespace=server.namespace,
        )
    except InputError as error:  # two at once: the other one was first
        found = _find_experiment(server, name)
        if found is None:
            raise error from None
        return found
    return str(check_answer(made, "experiment_id", server.host).experiment_id)


def _find_experiment(server: Server, name: str) -> str | None:
    rows = list_all(
        server,
        "looking for the experiment",
        server.client.list_experiments,
        "experiments",
        namespace=server.namespace,
        filter=_named(name),
    )
    return next((row.experiment_id for row in rows if row.display_name == name), None)


def find_run(server: Server, experiment: str, name: str) -> Any | None:
    """The newest run of that name in an experiment that did not fail; None: there is none."""
    rows = list_all(
        server,
        "looking for the run",
        server.client.list_runs,
        "runs",
        experiment_id=experiment,
        sort_by="created_at desc",
        filter=_named(name),
    )
    return next((row for row in rows if row.display_name == name and row.state not in FRUITLESS), None)


def list_all(
    server: Server, what: str, function: Callable[..., Any], attribute: str, **arguments: Any
) -> Iterator[Any]:
    """Every row of a list, page after page."""
    token = ""
    while True:
        answer = server.ask(what, function, page_token=token, page_size=PAGE, **arguments)
        rows = getattr(answer, attribute, None) or []
        yield from rows
        token = answer.next_page_token or ""
        if not token:
            return


def _named(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def watcher(server: Server, submitted: Submitted, nodes: tuple[str, ...]) -> Watch:
    """What shows a submitted run until it ends."""

    def look() -> RunState:
        run = server.ask("asking for the run's state", server.client.get_run, submitted.identity)
        return read_state(run, nodes)

    return Watch(look, nodes, Console(highlight=False), server.pace)
