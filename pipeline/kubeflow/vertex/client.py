"""The client of Vertex AI: jobs, and schedules, one a name.

A mark in the job's labels tells what Graft made and whether anything would change. Vertex can change a schedule's times
but not its pipeline, so a change is a swap: the old one is paused, the new one created, the old one deleted; or it is
taken back. Runs under way are not touched by any of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from components.errors import InputError, first_line
from pipeline.kubeflow.service import (
    Change,
    RunRequest,
    RunState,
    Schedule,
    ServiceError,
    Submitted,
    no_such_schedule,
)
from pipeline.kubeflow.vertex.jobs import Location, ask, look_at_job, make_job, submit_job

LABEL = "graft-schedule"


@dataclass(frozen=True)
class Vertex:
    """A `pipeline.kubeflow.service.Connection` to a project in a region."""

    place: Location

    def submit(self, request: RunRequest) -> Submitted:
        """Sends a job, or takes the job that was sent under that name."""
        return submit_job(self.place, request)

    def look(self, identity: str, nodes: tuple[str, ...]) -> RunState:
        """Asks how far a job has come."""
        return look_at_job(self.place, identity)

    def schedule(self, request: RunRequest, cron: str) -> Change:
        """Makes the single schedule of a name start these runs at these times.

        Raises:
            InputError: Vertex refuses, or the name belongs to a schedule that Graft did not make.
            ServiceError: Vertex failed; the message says what is active.
        """
        place, times = self.place, to_five_fields(cron)
        digest = _digest(request, times)
        rows = [row for row in _rows(place) if row.display_name == request.name]
        olds = [_read(row) for row in rows]
        if any(not one.digest for one in olds):
            raise InputError(
                f"There is a schedule '{request.name}' already that Graft did not make.\nGive another name with --name."
            )
        current = next((one for one in olds if one.enabled), olds[0] if olds else None)
        if current is not None and current.digest == digest:
            return Change("unchanged", current, _sweep(place, [r for r in rows if r.resource_name != current.identity]))
        was_paused = current is not None and not current.enabled
        paused = [row for row, old in zip(rows, olds, strict=True) if old.enabled]
        try:
            for row in paused:
                ask(place, "pausing the schedule", row.pause)
            new = _create(place, request, times, digest)
            if was_paused:
                ask(place, "pausing the schedule", new.pause)
        except (InputError, ServiceError) as error:
            raise type(error)(f"{error}\n{_take_back(place, paused)}") from error
        now = replace(_read(new), enabled=not was_paused)
        return Change("updated" if olds else "created", now, _sweep(place, rows))

    def list_schedules(self) -> list[Schedule]:
        """Lists Graft's schedules of the project in the region, the newest first."""
        return [one for one in map(_read, _rows(self.place)) if one.digest]

    def pause(self, name: str) -> None:
        """Stops a schedule from starting runs."""
        self._each(name, "pausing the schedule", lambda row: row.pause(), enabled=True)

    def resume(self, name: str) -> None:
        """Lets a schedule start runs again; missed runs are not made up for."""
        self._each(name, "resuming the schedule", lambda row: row.resume(catch_up=False), enabled=False)

    def delete(self, name: str, force: bool) -> None:
        """Deletes a schedule; runs under way go on, so there is nothing to force."""
        self._each(name, "deleting the schedule", lambda row: row.delete(), enabled=None)

    def describe(self, schedule: Schedule) -> str:
        """Gives the full name of a schedule: its page has no address that the client tells."""
        return schedule.identity

    def _each(self, name: str, what: str, change: Callable[[Any], None], enabled: bool | None) -> None:
        """Changes the schedules of a name that are enabled, or not; None: all of them."""
        rows = [row for row in _rows(self.place) if _read(row).digest]
        found = [row for row in rows if row.display_name == name]
        if not found:
            raise no_such_schedule(name, {row.display_name for row in rows})
        for row in found if enabled is not False else found[:1]:  # of several, one is resumed
            if enabled is None or _read(row).enabled is enabled:
                ask(self.place, what, change, row)


def to_five_fields(cron: str) -> str:
    """Drops the seconds, which Vertex does not have.

    Raises:
        InputError: the seconds are not 0.
    """
    seconds, _, rest = cron.partition(" ")
    if seconds != "0":
        raise InputError(f"--cron: Vertex has no seconds; expected 0 as the first field, got '{seconds}'.")
    return rest.replace("?", "*")


def _create(place: Location, request: RunRequest, times: str, digest: str) -> Any:
    job = make_job(place, request, {LABEL: digest})
    return ask(
        place,
        "creating the schedule",
        job.create_schedule,
        cron=times,
        display_name=request.name,
        max_concurrent_run_count=1,
        service_account=request.service_account,
        create_request_timeout=60,
    )


def _digest(request: RunRequest, times: str) -> str:
    parts = [request.package.digest, times, request.parameters, request.service_account]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _rows(place: Location) -> list[Any]:
    rows = ask(place, "listing the schedules", place.client.PipelineJobSchedule.list, order_by="create_time desc")
    return list(rows)


def _read(row: Any) -> Schedule:
    resource = row.gca_resource
    return Schedule(
        identity=row.resource_name,
        name=row.display_name,
        cron=resource.cron,
        enabled=resource.state.name == "ACTIVE",
        digest=dict(resource.create_pipeline_job_request.pipeline_job.labels).get(LABEL, ""),
        created=resource.create_time.isoformat() if resource.create_time else "",
    )


def _take_back(place: Location, paused: list[Any]) -> str:
    try:
        for row in paused[:1]:
            ask(place, "resuming the schedule", row.resume, catch_up=False)
    except (InputError, ServiceError):
        return "The schedule is as before, but paused: graft schedule resume makes it active."
    return "The schedule is as it was before." if paused else "No schedule was made."


def _sweep(place: Location, rows: list[Any]) -> tuple[str, ...]:
    notes = []
    for row in rows:
        try:
            ask(place, "deleting the earlier schedule", row.delete)
        except (InputError, ServiceError) as error:
            notes.append(f"the earlier schedule, which is paused, is still there: {first_line(error)}")
    return tuple(notes)
