"""Runs and schedules on Vertex AI, through its official client, which is imported here and only when it is asked for.

Credentials are Google's application default credentials. A job is known by its id and a schedule by its display name;
a mark in the job's labels tells whether anything would change. Vertex can change a schedule's times but not its
pipeline, so a change is a swap: the old one is paused, the new one created, the old one deleted; or taken back.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import yaml
from rich.console import Console

from components.errors import InputError, did_you_mean, first_line
from pipeline.kubeflow import connection
from pipeline.kubeflow.answers import NotFound, ServiceError
from pipeline.kubeflow.connection import Pace
from pipeline.kubeflow.cron import to_five_fields
from pipeline.kubeflow.package import Package
from pipeline.kubeflow.schedules import Change, Schedule
from pipeline.kubeflow.submit import Submitted
from pipeline.kubeflow.watch import State, Task, Watch

Answer = TypeVar("Answer")
LABEL = "graft-schedule"
REFUSALS = {
    400: "refuses {what}",
    401: "does not accept the credentials",
    403: "forbids {what}",
    404: "has nothing there while {what}",
    409: "has one of that name already while {what}",
}
FIXES = {
    401: "Renew them: gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS=FILE.",
    403: "Expected the role roles/aiplatform.user in the project, and the right to act as the service account.",
    404: "Is --location the region, and is the Vertex AI API enabled in the project?",
}


@dataclass(frozen=True)
class Place:
    """A project in a region, and the client."""

    project: str
    location: str
    client: Any
    pace: Pace


@dataclass(frozen=True)
class Request:
    """What is to be run: see `pipeline.kubeflow.submit.Request`; Vertex has no experiments here."""

    package: Package
    name: str
    parameters: dict[str, Any]
    service_account: str | None = None


def connect(project: str | None, location: str | None) -> Place:
    """The client for a project; nothing is asked of Vertex yet.

    Raises:
        InputError: no region, or no credentials or project to be found.
    """
    if not location:
        raise InputError("No region is given.\nAdd --location, such as europe-west4, or set GOOGLE_CLOUD_REGION.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import aiplatform

    for name in ("pipeline_jobs", "pipeline_job_schedules", "schedules", "base"):  # they print code for a notebook
        logging.getLogger(f"google.cloud.aiplatform.{name}").addFilter(lambda record: record.levelno >= logging.ERROR)
    try:
        aiplatform.init(project=project, location=location)
        found = aiplatform.initializer.global_config.project
        aiplatform.initializer.global_config.credentials  # noqa: B018  # looks for them now, not at the first request
    except (GoogleAuthError, ValueError) as error:
        raise InputError(f"Vertex: {first_line(error)}\n{FIXES[401]} Or add --project.") from error
    return Place(found, location, aiplatform, connection.PACE)


def submit_run(place: Place, request: Request) -> Submitted:
    """Sends a job, or takes the one that was sent under that id.

    Raises:
        InputError: Vertex refuses.
        ServiceError: Vertex failed, or gave no answer.
    """
    job = _job(place, request, {})
    try:
        _ask(
            place, "submitting the job", job.submit, service_account=request.service_account, create_request_timeout=60
        )
    except _Exists:
        existing = _ask(place, "looking for the job", place.client.PipelineJob.get, job.job_id)
        return Submitted(existing.resource_name, request.name, existing._dashboard_uri(), existed=True)
    return Submitted(job.resource_name, request.name, job._dashboard_uri(), existed=False)


def watcher(place: Place, submitted: Submitted, nodes: tuple[str, ...]) -> Watch:
    """What shows a submitted job until it ends."""

    def look() -> State:
        job = _ask(place, "asking for the job's state", place.client.PipelineJob.get, submitted.identity)
        return read_state(job.gca_resource)

    return Watch(look, nodes, Console(highlight=False), place.pace)


def read_state(job: Any) -> State:
    """A job of the client as a `State`."""
    tasks = tuple(
        Task(row.task_name, row.state.name, row.start_time or None, row.end_time or None, _line(row.error.message))
        for row in job.job_detail.task_details
    )
    return State(job.state.name.removeprefix("PIPELINE_STATE_"), tasks, _line(job.error.message))


def schedule_run(place: Place, request: Request, cron: str) -> Change:
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
            _ask(place, "pausing the schedule", row.pause)
        new = _create(place, request, times, digest)
        if was_paused:
            _ask(place, "pausing the schedule", new.pause)
    except (InputError, ServiceError) as error:
        raise type(error)(f"{error}\n{_take_back(place, paused)}") from error
    now = replace(_read(new), enabled=not was_paused)
    return Change("updated" if olds else "created", now, _sweep(place, rows))


def list_schedules(place: Place) -> list[Schedule]:
    """Graft's schedules of the project in the region, the newest first."""
    return [one for one in map(_read, _rows(place)) if one.digest]


def pause(place: Place, name: str) -> Schedule:
    """Stops a schedule from starting runs."""
    return _each(place, name, "pausing the schedule", lambda row: row.pause(), enabled=True)


def resume(place: Place, name: str) -> Schedule:
    """Lets a schedule start runs again; what was missed is not made up for."""
    return _each(place, name, "resuming the schedule", lambda row: row.resume(catch_up=False), enabled=False)


def delete(place: Place, name: str, force: bool = False) -> Schedule:
    """Deletes a schedule; runs under way go on, so there is nothing to force."""
    return _each(place, name, "deleting the schedule", lambda row: row.delete(), enabled=None)


def _each(place: Place, name: str, what: str, change: Callable[[Any], None], enabled: bool | None) -> Schedule:
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
            _ask(place, what, change, row)
    return _read(found[0])


class _Exists(InputError):
    """The name is taken (409)."""


def _job(place: Place, request: Request, labels: dict[str, str]) -> Any:
    identity = re.sub(r"[^-0-9a-z]+", "-", request.name.lower()).strip("-")
    if not re.fullmatch(r"[a-z][-a-z0-9]{0,127}", identity):
        raise InputError(f"--name: Vertex wants a letter first and at most 128 characters, got '{request.name}'.")
    try:
        return place.client.PipelineJob(
            display_name=request.name,
            template_path=str(request.package.path),
            job_id=identity,
            pipeline_root=request.package.root or None,
            parameter_values=request.parameters or None,
            labels=labels or None,
        )
    except yaml.YAMLError as error:
        raise InputError(
            f"{request.package.path.name} has a second document, for Kubernetes, which Vertex does not take.\n"
            "Compile it with --target vertex, or give the configuration."
        ) from error
    except ValueError as error:
        raise InputError(f"Vertex's client refuses the pipeline: {first_line(error)}") from error


def _create(place: Place, request: Request, times: str, digest: str) -> Any:
    job = _job(place, request, {LABEL: digest})
    return _ask(
        place,
        "creating the schedule",
        job.create_schedule,
        cron=times,
        display_name=request.name,
        max_concurrent_run_count=1,
        service_account=request.service_account,
        create_request_timeout=60,
    )


def _digest(request: Request, times: str) -> str:
    parts = [request.package.digest, times, request.parameters, request.service_account]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _rows(place: Place) -> list[Any]:
    rows = _ask(place, "listing the schedules", place.client.PipelineJobSchedule.list, order_by="create_time desc")
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


def _take_back(place: Place, paused: list[Any]) -> str:
    try:
        for row in paused[:1]:
            _ask(place, "resuming the schedule", row.resume, catch_up=False)
    except (InputError, ServiceError):
        return "The schedule is as before, but paused: graft schedule resume makes it active."
    return "The schedule is as it was before." if paused else "No schedule was made."


def _sweep(place: Place, rows: list[Any]) -> tuple[str, ...]:
    notes = []
    for row in rows:
        try:
            _ask(place, "deleting the earlier schedule", row.delete)
        except (InputError, ServiceError) as error:
            notes.append(f"the earlier schedule, which is paused, is still there: {first_line(error)}")
    return tuple(notes)


def _ask(place: Place, what: str, function: Callable[..., Answer], *args: Any, **kwargs: Any) -> Answer:
    """Calls the client, which tries transient failures again by itself; errors in words."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError

    where = f"Vertex AI, project {place.project}, {place.location},"
    try:
        return function(*args, **kwargs)
    except GoogleAuthError as error:
        raise InputError(f"{where} needs credentials: {first_line(error)}\n{FIXES[401]}") from error
    except GoogleAPICallError as error:
        code = int(error.code or 0)
        text = f"{where} {REFUSALS.get(code, 'failed while {what}').format(what=what)} ({code}): {_line(error.message)}"
        if code == 409:
            raise _Exists(text) from error
        if 400 <= code < 500 and code not in (408, 429, 499):
            kind = NotFound if code == 404 else InputError
            raise kind(f"{text}\n{FIXES[code]}" if code in FIXES else text) from error
        raise ServiceError(text, retry=True) from error
    except RetryError as error:
        raise ServiceError(f"{where} gives no answer while {what}: {first_line(error)}", retry=True) from error


def _line(text: str) -> str:
    return " ".join(text.split())[:500]
