"""Runs on Vertex AI, through its official client, which is imported here and only when it is asked for.

Credentials are Google's application default credentials. A run is a job, which Vertex knows by its id.
"""

from __future__ import annotations

import itertools
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from google.protobuf import json_format

from components.errors import InputError, first_line
from pipeline.kubeflow.compiled import Sent, read_sent
from pipeline.kubeflow.service import (
    CRON_HINT,
    NotFound,
    RunRequest,
    RunState,
    ServiceError,
    Submitted,
    WatchedTask,
)

VertexAnswer = TypeVar("VertexAnswer")
FRUITLESS = tuple(f"PIPELINE_STATE_{state}" for state in ("FAILED", "CANCELLING", "CANCELLED"))  # they hold no name
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
class Location:
    """A project in a region, and the client."""

    project: str
    location: str
    client: Any


def locate(project: str | None, location: str | None) -> Location:
    """Makes the client for a project; nothing is asked of Vertex yet.

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
    return Location(found, location, aiplatform)


def submit_job(place: Location, request: RunRequest) -> Submitted:
    """Sends a job, or takes the one that was sent under that name and did not fail.

    Raises:
        InputError: Vertex refuses.
        ServiceError: Vertex failed, or gave no answer.
    """
    for attempt in itertools.count(1):
        job = make_job(place, request, {}, attempt)
        try:
            ask(
                place,
                "submitting the job",
                job.submit,
                service_account=request.service_account,
                create_request_timeout=60,
            )
        except _Exists:
            existing = ask(place, "looking for the job", place.client.PipelineJob.get, job.job_id)
            if existing.display_name != request.name or existing.state.name in FRUITLESS:
                continue  # an id is used up for good: the next attempt gets the next one
            return _submitted(existing, request, _read_sent(existing), existed=True)
        return _submitted(job, request, request.package.sent_with(request.parameters), existed=False)
    raise AssertionError("unreachable")


def _submitted(job: Any, request: RunRequest, sent: Sent, existed: bool) -> Submitted:
    return Submitted(job.resource_name, request.name, job._dashboard_uri(), existed, sent)


def _read_sent(job: Any) -> Sent:
    content = json_format.MessageToDict(type(job.gca_resource).pb(job.gca_resource))
    config = content.get("runtimeConfig", {})
    root = config.get("gcsOutputDirectory", "")
    return read_sent(content.get("pipelineSpec", {}), config.get("parameterValues", {}), root)


def look_at_job(place: Location, identity: str) -> RunState:
    """Asks how far a job has come."""
    return read_job(ask(place, "asking for the job's state", place.client.PipelineJob.get, identity).gca_resource)


def read_job(job: Any) -> RunState:
    """Reads a job of the client as a `RunState`."""
    tasks = tuple(
        WatchedTask(
            row.task_name, row.state.name, row.start_time or None, row.end_time or None, _line(row.error.message)
        )
        for row in job.job_detail.task_details
    )
    return RunState(job.state.name.removeprefix("PIPELINE_STATE_"), tasks, _line(job.error.message))


class _Exists(InputError):
    """The name is taken (409)."""


def make_job(place: Location, request: RunRequest, labels: dict[str, str], attempt: int = 1) -> Any:
    """Makes a job of the client, not sent yet.

    Args:
        place: where.
        request: what.
        labels: of the job.
        attempt: from the second on, it is part of the job's id.

    Raises:
        InputError: the name or the pipeline is not one that Vertex takes.
    """
    identity = re.sub(r"[^-0-9a-z]+", "-", request.name.lower()).strip("-")
    if not re.fullmatch(r"[a-z][-a-z0-9]{0,127}", identity):
        raise InputError(f"--name: Vertex wants a letter first and at most 128 characters, got '{request.name}'.")
    suffix = str(attempt)
    try:
        return place.client.PipelineJob(
            display_name=request.name,
            template_path=str(request.package.path),
            job_id=f"{identity[: 127 - len(suffix)]}-{suffix}" if attempt > 1 else identity,
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


def ask(place: Location, what: str, function: Callable[..., VertexAnswer], *args: Any, **kwargs: Any) -> VertexAnswer:
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
            fix = CRON_HINT if "cron" in text.lower() else FIXES.get(code, "")
            raise kind(f"{text}\n{fix}".rstrip()) from error
        raise ServiceError(text, retry=True) from error
    except RetryError as error:
        raise ServiceError(f"{where} gives no answer while {what}: {first_line(error)}", retry=True) from error


def _line(text: str) -> str:
    return " ".join(text.split())[:500]
