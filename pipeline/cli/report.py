"""`graft report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from components.errors import InputError
from pipeline.cli.app import app


@app.command(epilog="Examples: graft report; graft report work/photos --open; graft report --compare 20261127 latest")
def report(
    workdir: Annotated[Path, typer.Argument(help="Working directory.")] = Path("work/sample"),
    run: Annotated[str, typer.Option(help="Id of a run below runs/, its unique beginning, or latest.")] = "latest",
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Set two runs side by side instead; the page lies beside that of B."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Writes the page of a run again: one HTML file that tells whether to trust the model."""
    first, last = (_find_run(workdir, name) for name in (compare or (run, run)))

    from pipeline.process.progress import quiet_tensorflow
    from pipeline.report.compare import write_comparison
    from pipeline.report.page import write_page

    quiet_tensorflow()
    kept = workdir / "features"
    page = write_comparison(first, last, kept) if compare else write_page(last, kept)
    print(page)
    if show:
        typer.launch(str(page))


def _find_run(workdir: Path, name: str) -> Path:
    """Finds the folder of a run by its id, the unique beginning of one, or `latest`.

    Raises:
        InputError: there is no such run, or there are several.
    """
    runs = workdir / "runs"
    ids = (
        sorted(path.name for path in runs.iterdir() if path.is_dir() and not path.is_symlink()) if runs.is_dir() else []
    )
    if name == "latest" and (runs / name).is_dir():
        return (runs / name).resolve()
    found = [name] if name in ids else [run_id for run_id in ids if name and run_id.startswith(name)]
    if len(found) == 1:
        return (runs / found[0]).resolve()
    there = f"{', '.join(ids[-5:])}{' and older ones' if len(ids) > 5 else ''}" or "none"
    problem = f"'{name}' is the beginning of {len(found)} of them" if found else f"found no run '{name}'"
    raise InputError(f"{workdir}: expected a working directory with a run of this name, {problem}.\nIts runs: {there}.")
