"""`graft submit`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipeline.cli.app import app
from pipeline.cli.cluster import ServiceOptions, SubmissionOptions, flattened, services_answer
from pipeline.kubeflow import service
from pipeline.kubeflow.service import Connection, RunRequest, Submitted
from pipeline.kubeflow.watch import Watch, describe_end, judge
from pipeline.process.signals import interruptible

if TYPE_CHECKING:
    from pipeline.kubeflow.compiled import Sent


@app.command(epilog="Example: graft submit configs/kubeflow.yaml --host https://kubeflow.example.org/pipeline --wait")
@flattened
def submit(
    what: SubmissionOptions,
    where: ServiceOptions,
    name: Annotated[
        str | None, typer.Option(help="Of the run; one that is there already is taken. Default: with the time.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show the nodes as they end; exit as the run does.")] = False,
) -> None:
    """Runs the pipeline on Kubeflow or Vertex, once.

    Exit code 0: submitted; with --wait, the run succeeded. 1: the run or the server failed. 2: bad usage, or the
    server refuses. 3: a gate said no.
    """
    with services_answer(), what.package(where.service) as package:
        values = package.check_parameters(what.parameters or [])
        run_name = name or f"{package.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
        connection = where.connect()
        request = RunRequest(package, run_name, what.experiment or package.name, values, what.account)
        submitted = connection.submit(request)
        _describe(submitted, package.sent_with(values), wait)
        if wait:
            raise typer.Exit(_wait(connection, submitted, package.nodes_of(submitted.sent)))


def _describe(submitted: Submitted, asked: Sent, wait: bool) -> None:
    """Says what runs: where a run was taken, that is what it was submitted with."""
    word = "Taken, it was submitted before" if submitted.existed else "Submitted"
    sent = submitted.sent
    print(f"{word}: {submitted.name}")
    pipeline = (
        f"{sent.name}, {len(sent.nodes)} tasks, digest {sent.digest}" if sent.digest else "the server does not say"
    )
    print(f"  pipeline    {pipeline}")
    if sent.root:
        print(f"  root        {sent.root}")
    for key, value in sent.parameters.items():
        print(f"  {key:<11} {value}")
    print(f"  run         {submitted.link}")
    if (sent.digest, sent.parameters) != (asked.digest, asked.parameters):
        print("  note        what is given now differs from that, and was not submitted; --name OTHER submits it")
    if not wait:
        print(f"  next        the same command with --name {submitted.name} --wait shows it until it ends")
    sys.stdout.flush()


def _wait(connection: Connection, submitted: Submitted, nodes: tuple[str, ...]) -> int:
    """Shows a run until it ends; gives its exit code."""
    console = Console(highlight=False)
    watch = Watch(lambda: connection.look(submitted.identity, nodes), nodes, console, service.PACE)
    with interruptible(f"Interrupted. The run goes on: {submitted.link}"):
        state = watch.until_over()
    code, reasons = judge(state)
    describe_end(console, state, code, reasons, submitted.link)
    return code
