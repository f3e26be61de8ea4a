"""Submitting one run to Kubeflow Pipelines, once: what was sent already is found again, not sent twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from components.errors import InputError
from pipeline.kubeflow.compiled import Sent, read_sent
from pipeline.kubeflow.kfp.answers import check_answer
from pipeline.kubeflow.kfp.connection import PAGE, Server
from pipeline.kubeflow.kfp.rows import read_state
from pipeline.kubeflow.service import RunRequest, RunState, Submitted

FRUITLESS = ("FAILED", "CANCELED", "CANCELING", "SKIPPED")  # a run that has come to nothing holds no name


def arguments_of(request: RunRequest) -> dict[str, Any]:
    """Gives what `run_pipeline` and `create_recurring_run` of the client have in common."""
    return {
        "job_name": request.name,
        "pipeline_package_path": str(request.package.path),
        "params": request.parameters,
        "pipeline_root": request.package.root or None,
        "service_account": request.service_account,
    }


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
            **arguments_of(request),
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


def look_at_run(server: Server, identity: str, nodes: tuple[str, ...]) -> RunState:
    """Asks how far a run has come."""
    return read_state(server.ask("asking for the run's state", server.client.get_run, identity), nodes)


def ensure_experiment(server: Server, name: str) -> str:
    """Gives the id of an experiment, which is made where there is none."""
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
    """Finds the newest run of that name in an experiment that did not fail; None: there is none."""
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
    """Yields every row of a list, page after page."""
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
