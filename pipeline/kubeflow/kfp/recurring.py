"""Recurring runs of the API, one by one: read as a `Schedule`, created, enabled, disabled, deleted.

What Graft makes is known by a mark in its description, which also tells whether anything would change.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

from pipeline.kubeflow.kfp.answers import check_answer
from pipeline.kubeflow.kfp.connection import Server
from pipeline.kubeflow.kfp.runs import arguments_of, ensure_experiment, list_all
from pipeline.kubeflow.service import NotFound, RunRequest, Schedule

MARK = re.compile(r"\[graft ([0-9a-f]{16})\]")
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


def digest_request(request: RunRequest, cron: str) -> str:
    """Digests all that a schedule is made from, 16 hex digits."""
    parts = [request.package.digest, cron, request.parameters, request.service_account]
    text = json.dumps([*parts, request.experiment], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_row(row: Any) -> Schedule:
    """Reads a recurring run of the client as a `Schedule`."""
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


def create(server: Server, request: RunRequest, cron: str, enabled: bool, known: set[str]) -> Schedule:
    """Creates a recurring run; gives it back as a `Schedule`.

    Args:
        server: where.
        request: what to run.
        cron: when, six fields.
        enabled: whether it starts runs from now on.
        known: ids that were there before: none of them is this one.
    """
    digest = digest_request(request, cron)
    experiment = ensure_experiment(server, request.experiment)

    def earlier() -> Any:
        """Finds what an attempt without an answer has created after all, by its digest."""
        rows = list_all(
            server,
            "looking for the schedule",
            server.client.list_recurring_runs,
            "recurring_runs",
            experiment_id=experiment,
        )
        alike = (row for row in rows if row.display_name == request.name and read_row(row).digest == digest)
        return next((row for row in alike if row.recurring_run_id not in known), None)

    row = server.ask(
        "creating the schedule",
        server.client.create_recurring_run,
        experiment_id=experiment,
        description=f"{request.package.name}, made by Graft [graft {digest}]",
        cron_expression=cron,
        max_concurrency=1,
        no_catchup=True,
        enabled=enabled,
        found=earlier,
        **arguments_of(request),
    )
    created = read_row(check_answer(row, "recurring_run_id", server.host))
    return replace(created, name=request.name, cron=cron, digest=digest, enabled=enabled)


def runs_under_way(server: Server, schedule: Schedule) -> list[str]:
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
        for row in rows  # every page: a run that takes weeks is older than many a shorter one
        if row.recurring_run_id == schedule.identity and row.state not in ENDED
    ]


def disable(server: Server, schedule: Schedule) -> None:
    """Stops it from starting runs."""
    server.ask("pausing the schedule", server.client.disable_recurring_run, schedule.identity)


def enable(server: Server, schedule: Schedule) -> None:
    """Lets it start runs."""
    server.ask("resuming the schedule", server.client.enable_recurring_run, schedule.identity)


def delete(server: Server, schedule: Schedule) -> None:
    """Deletes it, or finds it deleted; Kubeflow stops a run of it that is under way."""
    try:
        server.ask("deleting the schedule", server.client.delete_recurring_run, schedule.identity)
    except NotFound:
        return  # by an attempt that got no answer
