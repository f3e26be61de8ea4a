"""Recurring runs of Kubeflow Pipelines, one a name.

The API can create, enable, disable and delete a recurring run, but not change one. A change therefore is a swap, whose
order never lets two be active at once, and which is taken back where a step fails:

1. the new one is created, disabled;
2. the old one is disabled;
3. the new one is enabled;
4. the old one is deleted, unless a run of it is under way: Kubeflow would stop that run with it
   (kubeflow/pipelines#7421). Then it stays, disabled, and the next change deletes it.

What Graft makes is known by a mark in its description, which also tells whether anything would change.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from components.errors import InputError, did_you_mean
from pipeline.kubeflow.answers import NotFound, ServiceError, check_answer
from pipeline.kubeflow.connection import PAGE, Server
from pipeline.kubeflow.submit import Request, ensure_experiment, list_all

MARK = re.compile(r"\[graft ([0-9a-f]{16})\]")
UNDER_WAY = ("PENDING", "RUNNING", "CANCELING", "PAUSED")


@dataclass(frozen=True)
class Schedule:
    """A recurring run on the server.

    Attributes:
        identity: of the recurring run.
        name: that it is known by.
        cron: six fields, seconds first; empty: it is no cron schedule.
        enabled: whether it starts runs.
        digest: of all that it was made from, 16 hex digits; empty: not made by Graft.
        created: when, ISO 8601; it also orders the ones of one name.
        experiment: id of the experiment.
    """

    identity: str
    name: str
    cron: str
    enabled: bool
    digest: str
    created: str
    experiment: str


@dataclass(frozen=True)
class Change:
    """What a call did: `created`, `updated` or `unchanged`, with the schedule as it is now and what is to be known."""

    what: str
    schedule: Schedule
    notes: tuple[str, ...] = ()


def schedule_run(server: Server, request: Request, cron: str) -> Change:
    """Makes the one schedule of a name start these runs at these times.

    Raises:
        InputError: the server refuses, or the name belongs to a schedule that Graft did not make.
        ServiceError: the server failed; the message says which schedule is active.
    """
    digest = _digest(request, cron)
    olds = [one for one in list_schedules(server, only_ours=False) if one.name == request.name]
    _refuse_foreign(olds, request.name)
    current = next((one for one in olds if one.enabled), olds[0] if olds else None)
    if current is not None and current.digest == digest:
        return Change("unchanged", current, _sweep(server, [one for one in olds if one != current]))
    new = _create(server, request, cron, digest)
    if current is None:
        _swap(server, [], new)
        return Change("created", replace(new, enabled=True))
    if not current.enabled:  # paused it was, paused it stays
        return Change("updated", new, _sweep(server, olds))
    _swap(server, [one for one in olds if one.enabled], new)
    return Change("updated", replace(new, enabled=True), _sweep(server, olds))


def list_schedules(server: Server, only_ours: bool = True) -> list[Schedule]:
    """Every schedule of the namespace, the newest first."""
    rows = list_all(
        server,
        "listing the schedules",
        server.client.list_recurring_runs,
        "recurring_runs",
        namespace=server.namespace,
    )
    schedules = [_read(row) for row in rows]
    ours = [one for one in schedules if one.digest or not only_ours]
    return sorted(ours, key=lambda one: one.created, reverse=True)


def find_schedule(server: Server, name: str) -> list[Schedule]:
    """Ours of a name: the one that counts first, then what earlier changes left.

    Raises:
        InputError: there is none.
    """
    ours = list_schedules(server)
    found = [one for one in ours if one.name == name]
    if not found:
        names = sorted({one.name for one in ours})
        raise NotFound(
            f"There is no schedule '{name}'.{did_you_mean(name, names)}\n"
            + (f"Schedules of Graft here: {', '.join(names)}." if names else "Graft has no schedule here.")
        )
    return sorted(found, key=lambda one: not one.enabled)  # stable: the newest of the disabled ones stays first


def pause(server: Server, name: str) -> Schedule:
    """Stops a schedule from starting runs; those under way go on."""
    current, *others = find_schedule(server, name)
    for one in (current, *others):
        if one.enabled:
            _disable(server, one)
    return replace(current, enabled=False)


def resume(server: Server, name: str) -> Schedule:
    """Lets a schedule start runs again; what was missed is not made up for."""
    current, *others = find_schedule(server, name)
    for one in others:
        if one.enabled:
            _disable(server, one)
    if not current.enabled:
        _enable(server, current)
    return replace(current, enabled=True)


def delete(server: Server, name: str, force: bool = False) -> Schedule:
    """Deletes a schedule, and what earlier changes left of it.

    Raises:
        InputError: a run of it is under way, which would be stopped; `force` does it all the same.
    """
    found = find_schedule(server, name)
    running = [] if force else [run for one in found for run in _under_way(server, one)]
    if running:
        raise InputError(
            f"A run of the schedule '{name}' is under way, and Kubeflow stops it with its schedule: {running[0]}\n"
            f"graft schedule pause {name}, and delete it when the run has ended; --force stops the run now."
        )
    for one in found:
        _delete(server, one)
    return found[0]


def _digest(request: Request, cron: str) -> str:
    parts = [request.package.digest, cron, request.parameters, request.service_account]
    text = json.dumps([*parts, request.experiment], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(row: Any) -> Schedule:
    mark = MARK.search(row.description or "")
    trigger = row.trigger.cron_schedule if row.trigger else None
    return Schedule(
        identity=row.recurring_run_id,
        name=row.display_name or "",
        cron=(trigger.cron if trigger else "") or "",
        enabled=(row.status or "") == "ENABLED" or (not row.status and row.mode == "ENABLE"),
        digest=mark.group(1) if mark else "",
        created=row.created_at.isoformat() if row.created_at else "",
        experiment=row.experiment_id or "",
    )


def _refuse_foreign(olds: list[Schedule], name: str) -> None:
    foreign = [one for one in olds if not one.digest]
    if foreign:
        raise InputError(
            f"There is a recurring run '{name}' already that Graft did not make ({foreign[0].identity}).\n"
            "It is left alone: give another name with --name, or delete it in the web interface."
        )


def _create(server: Server, request: Request, cron: str, digest: str) -> Schedule:
    experiment = ensure_experiment(server, request.experiment)

    def earlier() -> Any:
        """What an attempt without an answer has created after all; its digest tells."""
        rows = list_all(
            server,
            "looking for the schedule",
            server.client.list_recurring_runs,
            "recurring_runs",
            experiment_id=experiment,
        )
        return next((row for row in rows if row.display_name == request.name and _read(row).digest == digest), None)

    row = server.ask(
        "creating the schedule",
        server.client.create_recurring_run,
        experiment_id=experiment,
        description=f"{request.package.name}, made by Graft [graft {digest}]",
        cron_expression=cron,
        max_concurrency=1,
        no_catchup=True,
        enabled=False,
        found=earlier,
        **request.arguments,
    )
    created = _read(check_answer(row, "recurring_run_id", server.host))
    return replace(created, name=request.name, cron=cron, digest=digest, enabled=False)


def _swap(server: Server, olds: list[Schedule], new: Schedule) -> None:
    """Makes the new one active in place of the old ones, or takes it back."""
    try:
        for old in olds:
            _disable(server, old)
        _enable(server, new)
    except (InputError, ServiceError, KeyboardInterrupt) as error:
        state = _take_back(server, olds, new)
        if isinstance(error, KeyboardInterrupt):
            raise ServiceError(f"Interrupted.\n{state}") from error
        raise type(error)(f"{error}\n{state}") from error


def _take_back(server: Server, olds: list[Schedule], new: Schedule) -> str:
    """Undoes a swap; says what is active now. The new one goes first: two must not be active."""
    try:
        _delete(server, new)
    except (InputError, ServiceError):
        return (
            f"The change could not be taken back either: see graft schedule list; the same command again, or "
            f"graft schedule resume {new.name}, makes one active."
        )
    try:
        for old in olds[:1]:
            _enable(server, old)
    except (InputError, ServiceError):
        return f"The schedule is as before, but paused: graft schedule resume {new.name} makes it active."
    return "The schedule is as it was before." if olds else "No schedule was made."


def _sweep(server: Server, olds: list[Schedule]) -> tuple[str, ...]:
    """Deletes what a change has left; notes what has to stay for now."""
    notes = []
    for old in olds:
        try:
            if old.enabled:
                _disable(server, old)
            running = _under_way(server, old)
            if running:
                notes.append(
                    f"a run of the earlier schedule is under way and goes on ({running[0]}); that schedule is "
                    "paused, and the next graft schedule removes it"
                )
            else:
                _delete(server, old)
        except (InputError, ServiceError) as error:
            notes.append(f"the earlier schedule, which is paused, is still there: {str(error).splitlines()[0]}")
    return tuple(notes)


def _under_way(server: Server, schedule: Schedule) -> list[str]:
    """Links of the runs that a schedule has started and that have not ended."""
    rows = list_all(
        server,
        "looking for its runs",
        server.client.list_runs,
        "runs",
        experiment_id=schedule.experiment,
        sort_by="created_at desc",
    )
    return [
        server.link("runs", row.run_id)
        for row in itertools.islice(rows, PAGE)  # the newest; what is older has ended
        if row.recurring_run_id == schedule.identity and (row.state or "PENDING") in UNDER_WAY
    ]


def _disable(server: Server, schedule: Schedule) -> None:
    server.ask("pausing the schedule", server.client.disable_recurring_run, schedule.identity)


def _enable(server: Server, schedule: Schedule) -> None:
    server.ask("resuming the schedule", server.client.enable_recurring_run, schedule.identity)


def _delete(server: Server, schedule: Schedule) -> None:
    try:
        server.ask("deleting the schedule", server.client.delete_recurring_run, schedule.identity)
    except NotFound:
        return  # by an attempt that got no answer
