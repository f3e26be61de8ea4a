"""`graft report`."""

from __future__ import annotations

from typing import Annotated

import typer

from components.errors import InputError
from pipeline.cli.app import app
from pipeline.cli.common import WorkdirArgument, find_place


@app.command(epilog="Examples: graft report; graft report work/photos --open; graft report --compare 20261127 latest")
def report(
    workdir: WorkdirArgument = None,
    run: Annotated[
        str, typer.Option(help="Id of a run, its unique beginning, latest, or the number of a version.")
    ] = "latest",
    candidate: Annotated[
        bool, typer.Option("--candidate", help="Of the newest run that trained a model, pushed or not.")
    ] = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Set two runs side by side instead; the page lies beside that of B."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Writes the page of a run again: one HTML file that tells whether to trust the model."""
    if compare and (candidate or run != "latest"):
        raise InputError("--compare names both of its runs: leave --run and --candidate out.")

    from pipeline.process.progress import quiet_tensorflow
    from pipeline.runs.candidate import find_candidate
    from pipeline.runs.find import choose_run

    place = find_place(workdir)
    named = "" if run == "latest" else run
    newest = find_candidate(place, named).run if candidate else choose_run(place, run)
    first, last = (choose_run(place, name) for name in compare) if compare else (newest, newest)

    from pipeline.report.compare import write_comparison
    from pipeline.report.page import write_page

    quiet_tensorflow()
    before, run_folder, kept = first.folder.resolve(), last.folder.resolve(), place / "features"
    page = write_comparison(before, run_folder, kept) if compare else write_page(run_folder, kept)
    print(page)
    if show:
        typer.launch(str(page))
