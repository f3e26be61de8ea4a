"""The client of Kubeflow Pipelines: runs, and schedules, one a name.

The API can create, enable, disable and delete a recurring run, but not change one. A change therefore is a swap, whose
order never lets two be active at once, and which is taken back where a step fails:

1. the new one is created, disabled;
2. the old one is disabled;
3. the new one is enabled;
4. the old one is deleted, unless a run of it is under way: Kubeflow would stop that run with it
   (kubeflow/pipelines#7421). Then it stays, disabled, and the next change deletes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from components.errors import InputError
from pipeline.kubeflow.kfp import recurring
from pipeline.kubeflow.kfp.connection import Server
from pipeline.kubeflow.kfp.runs import list_all, look_at_run, submit_run
from pipeline.kubeflow.service import (
    Change,
    RunRequest,
    RunState,
    Schedule,
    ServiceError,
    Submitted,
    no_such_schedule,
)


@dataclass(frozen=True)
class Kubeflow:
    """A `pipeline.kubeflow.service.Connection` to a server."""

    server: Server

    def submit(self, request: RunRequest) -> Submitted:
        """Sends a run, or takes the run that was sent under that name."""
        return submit_run(self.server, request)

    def look(self, identity: str, nodes: tuple[str, ...]) -> RunState:
        """Asks how far a run has come."""
        return look_at_run(self.server, identity, nodes)

    def schedule(self, request: RunRequest, cron: str) -> Change:
        """Makes the single schedule of a name start these runs at these times.

        Raises:
            InputError: the server refuses, or the name belongs to a schedule that Graft did not make.
            ServiceError: the server failed; the message says which schedule is active.
        """
        server, digest = self.server, recurring.digest_request(request, cron)
        olds = [one for one in _list_all_schedules(server) if one.name == request.name]
        _refuse_foreign(olds, request.name)
        current = next((one for one in olds if one.enabled), olds[0] if olds else None)
        if current is not None and current.digest == digest:
            return Change("unchanged", current, _sweep(server, [one for one in olds if one != current]))
        if current is None:  # one request, which takes effect or does not
            return Change("created", recurring.create(server, request, cron, enabled=True, known=set()))
        new = recurring.create(server, request, cron, enabled=False, known={one.identity for one in olds})
        if not current.enabled:  # paused it was, paused it stays
            return Change("updated", new, _sweep(server, olds))
        _swap(server, [one for one in olds if one.enabled], new)
        return Change("updated", replace(new, enabled=True), _sweep(server, olds))

    def list_schedules(self) -> list[Schedule]:
        """Lists the schedules of the namespace that Graft made, the newest first."""
        return [one for one in _list_all_schedules(self.server) if one.digest]

    def pause(self, name: str) -> None:
        """Stops a schedule from starting runs; a run under way goes on."""
        for one in self._find(name):
            if one.enabled:
                recurring.disable(self.server, one)

    def resume(self, name: str) -> None:
        """Lets a schedule start runs again; missed runs are not made up for."""
        current, *others = self._find(name)
        for one in others:
            if one.enabled:
                recurring.disable(self.server, one)
        if not current.enabled:
            recurring.enable(self.server, current)

    def delete(self, name: str, force: bool) -> None:
        """Deletes a schedule, and what earlier changes left of it.

        Raises:
            InputError: a run of it is under way, which would be stopped; `force` does it all the same.
        """
        found = self._find(name)
        running = [] if force else [run for one in found for run in recurring.runs_under_way(self.server, one)]
        if running:
            raise InputError(
                f"A run of the schedule '{name}' is under way, and Kubeflow stops it with its schedule: {running[0]}\n"
                f"graft schedule pause {name}, and delete it when the run has ended; --force stops the run now."
            )
        for one in found:
            recurring.delete(self.server, one)

    def describe(self, schedule: Schedule) -> str:
        """Gives the page of a schedule."""
        return self.server.link("recurringrun", schedule.identity)

    def _find(self, name: str) -> list[Schedule]:
        """Finds Graft's schedules of a name: the one that counts first, then what earlier changes left."""
        ours = self.list_schedules()
        found = [one for one in ours if one.name == name]
        if not found:
            raise no_such_schedule(name, {one.name for one in ours})
        return sorted(found, key=lambda one: not one.enabled)  # stable: the newest of the disabled ones stays first


def _list_all_schedules(server: Server) -> list[Schedule]:
    """Lists every schedule of the namespace, whoever made it, the newest first."""
    rows = list_all(
        server,
        "listing the schedules",
        server.client.list_recurring_runs,
        "recurring_runs",
        namespace=server.namespace,
    )
    return sorted(map(recurring.read_row, rows), key=lambda one: one.created, reverse=True)


def _refuse_foreign(olds: list[Schedule], name: str) -> None:
    foreign = [one for one in olds if not one.digest]
    if foreign:
        raise InputError(
            f"There is a recurring run '{name}' already that Graft did not make ({foreign[0].identity}).\n"
            "It is left alone: give another name with --name, or delete it in the web interface."
        )


def _swap(server: Server, olds: list[Schedule], new: Schedule) -> None:
    """Makes the new one active in place of the old ones, or takes it back."""
    try:
        for old in olds:
            recurring.disable(server, old)
        recurring.enable(server, new)
    except (InputError, ServiceError, KeyboardInterrupt) as error:
        state = _take_back(server, olds, new)
        if isinstance(error, KeyboardInterrupt):
            raise ServiceError(f"Interrupted.\n{state}") from error
        raise type(error)(f"{error}\n{state}") from error


def _take_back(server: Server, olds: list[Schedule], new: Schedule) -> str:
    """Undoes a swap; says which schedule is active now. The new one goes first: two must not be active."""
    try:
        recurring.delete(server, new)
    except (InputError, ServiceError):
        return (
            f"The change could not be taken back either: see graft schedule list; the same command again, or "
            f"graft schedule resume {new.name}, makes one active."
        )
    try:
        for old in olds[:1]:
            recurring.enable(server, old)
    except (InputError, ServiceError):
        return f"The schedule is as before, but paused: graft schedule resume {new.name} makes it active."
    return "The schedule is as it was before."


def _sweep(server: Server, olds: list[Schedule]) -> tuple[str, ...]:
    """Deletes what a change has left; notes what has to stay for now."""
    notes = []
    for old in olds:
        try:
            if old.enabled:
                recurring.disable(server, old)
            running = recurring.runs_under_way(server, old)
            if running:
                notes.append(
                    f"a run of the earlier schedule is under way and goes on ({running[0]}); that schedule is "
                    "paused, and the next graft schedule removes it"
                )
            else:
                recurring.delete(server, old)
        except (InputError, ServiceError) as error:
            notes.append(f"the earlier schedule, which is paused, is still there: {str(error).splitlines()[0]}")
    return tuple(notes)
