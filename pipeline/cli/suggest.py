"""`graft suggest`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.common import Candidate, counting


class SuggestionFormat(str, Enum):
    """How suggestions are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command(
    epilog="Examples: graft suggest work/pets unlabelled/; "
    "graft suggest work/pets unlabelled/ --top 200 --format csv --output next.csv"
)
def suggest(
    workdir: Annotated[str, typer.Argument(help="Working directory: its served version gives the features.")],
    images: Annotated[list[str], typer.Argument(help="Unlabelled images: folders, files, globs.", metavar="FOLDER...")],
    top: Annotated[int, typer.Option(min=1, help="How many images to suggest.", metavar="N")] = 50,
    form: Annotated[SuggestionFormat, typer.Option("--format", help="How they are written.")] = SuggestionFormat.TABLE,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
    candidate: Candidate = False,
) -> None:
    """Ranks unlabelled images by what they would teach, and says where that is no better than chance.

    Typical images come first while few are labelled, doubtful ones later; near copies of labelled ones are left out.
    """
    from pipeline.predict.inputs import count_inputs, find_inputs

    count_inputs(images)  # refuses what is no local image
    paths = list(find_inputs(images))

    from components.files.paths import write_atomically
    from pipeline.process.progress import quiet_tensorflow

    quiet_tensorflow()
    from pipeline.suggest import output as forms
    from pipeline.suggest.suggest import find_teacher
    from pipeline.suggest.suggest import suggest as find_suggestions

    folder, inputs = find_teacher(workdir, candidate)
    with counting("Looking") as report:
        found = find_suggestions(folder, inputs, paths, top, report)
    text = {"table": forms.as_table, "json": forms.as_json, "csv": forms.as_csv}[form.value](found)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(str(output), text.encode("utf-8", "surrogateescape"))
        typer.echo(f"{len(found.images):,} images in {output}; {found.test}.")
    if form is SuggestionFormat.CSV or output is not None:
        for path, error in found.unreadable:
            typer.echo(f"Not read: {path}: {error}", err=True)
