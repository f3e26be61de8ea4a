"""`graft execute`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.cluster import DEFAULT, NAMES, check_name
from pipeline.cli.common import CONTINUES
from pipeline.kubeflow.services import SERVICES
from pipeline.process.progress import quiet_tensorflow
from pipeline.process.signals import interruptible


@app.command(epilog="Example: graft execute pipeline.yaml --root artifacts --param workdir=work/kfp")
def execute(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="What `graft compile` wrote.")],
    root: Annotated[str, typer.Option(help="Pipeline root: a folder, or s3://BUCKET/PREFIX (AWS_ENDPOINT_URL).")],
    target: Annotated[
        str, typer.Option("--as", metavar=NAMES, callback=check_name, help="Whose ways to imitate.")
    ] = DEFAULT,
    parameters: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A runtime parameter; may be repeated.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many tasks may run at once.")] = 1,
) -> None:
    """Runs a compiled pipeline on this machine, task by task, as a cluster would.

    Each task runs the command of the compiled file in this environment (its image is not pulled), on an empty disk of
    its own, with artifacts passed only through the pipeline root. A next call continues from what is complete.

    Exit code 0: pushed, or nothing to do. 2: bad input. 3: a gate said no. 1: a task failed.
    """
    from rich.console import Console

    from pipeline.kubeflow.local.record import execute_file, parse_parameters  # loads kfp: a second

    quiet_tensorflow()
    with interruptible(CONTINUES):
        given, console = parse_parameters(parameters or []), Console(highlight=False)
        outcome = execute_file(file, root, SERVICES[target], given, jobs, console)
    raise typer.Exit(outcome.code)
