"""Schedules on Vertex AI, one a name.

A mark in the job's labels tells what Graft made and whether anything would change. Vertex can change a schedule's times
but not its pipeline, so a change is a swap: the old one is paused, the new one created, the old one deleted; or it is
taken back. Runs under way are not touched by any of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from components.errors import InputError, did_you_mean, first_line
from pipeline.kubeflow.kfp.answers import NotFound, ServiceError
from pipeline.kubeflow.kfp.cron import to_five_fields
from pipeline.kubeflow.kfp.recurring import Schedule
from pipeline.kubeflow.kfp.schedules import Change
from pipeline.kubeflow.vertex.jobs import JobRequest, Location, ask, make_job

LABEL = "graft-schedule"


def schedule_run(place: Location, request: JobRequest, cron: str) -> Change:
    """Makes the one schedule of a name start these runs at these times.

    Raises:
        InputError: Vertex refuses, or the name belongs to a schedule that Graft did not make.
        ServiceError: Vertex failed; the message says what is active.
    """
    times = to_five_fields(cron)
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


def list_schedules(place: Location) -> list[Schedule]:
    """Graft's schedules of the project in the region, the newest first."""
    return [one for one in map(_read, _rows(place)) if one.digest]


def pause(place: Location, name: str) -> Schedule:
    """Stops a schedule from starting runs."""
    return _each(place, name, "pausing the schedule", lambda row: row.pause(), enabled=True)


def resume(place: Location, name: str) -> Schedule:
    """Lets a schedule start runs again; what was missed is not made up for."""
    return _each(place, name, "resuming the schedule", lambda row: row.resume(catch_up=False), enabled=False)


def delete(place: Location, name: str, force: bool = False) -> Schedule:
    """Deletes a schedule; runs under way go on, so there is nothing to force."""
    return _each(place, name, "deleting the schedule", lambda row: row.delete(), enabled=None)


def _each(place: Location, name: str, what: str, change: Callable[[Any], None], enabled: bool | None) -> Schedule:
    rows = [row for row in _rows(place) if _read(row).digest]
    found = [row for row in rows if row.display_name == name]
    if not found:
        names = sorted({row.display_name for row in rows})
        raise NotFound(
            f"There is no schedule '{name}'.{did_you_mean(name, names)}\n"
            f"Schedules of Graft here: {', '.join(names) or 'none'}."
        )
    wanted = found if enabled is not False else found[:1]  # of several, one is resumed
    for row in wanted:
        if enabled is None or _read(row).enabled is enabled:
            ask(place, what, change, row)
    return _read(found[0])


def _create(place: Location, request: JobRequest, times: str, digest: str) -> Any:
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


def _digest(request: JobRequest, times: str) -> str:
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
        experiment="",
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
