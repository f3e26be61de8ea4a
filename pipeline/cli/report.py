"""`graft report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from components.errors import InputError
from pipeline.cli.app import app


@app.command(epilog="Examples: graft report; graft report work/photos --open; graft report --run 20261128-194433-2d7f")
def report(
    workdir: Annotated[Path, typer.Argument(help="Working directory.")] = Path("work/sample"),
    run: Annotated[str, typer.Option(help="Id of a run below runs/, or latest.")] = "latest",
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Writes the page of a run again: one HTML file that tells whether to trust the model."""
    folder = workdir / "runs" / run
    if not folder.is_dir():
        raise InputError(f"{workdir}: expected a working directory with the run {run}, found no {folder}.")

    from pipeline.process.progress import quiet_tensorflow
    from pipeline.report.page import write_page

    quiet_tensorflow()
    page = write_page(folder.resolve(), workdir / "features")
    print(page)
    if show:
        typer.launch(str(page))
