"""`graft predict`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.common import counting


class Format(str, Enum):
    """How predictions are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@app.command(
    epilog="Examples: graft predict work/sample a.jpg folder/ 'more/**/*.png'; "
    "graft predict work/sample list.csv --output answers.parquet --top-k 3 --explain overlays"
)
def predict(
    model: Annotated[str, typer.Argument(help="serving/<version>, or a working directory: its served version.")],
    images: Annotated[
        list[str], typer.Argument(help="Files, folders, globs, manifests (.csv, .jsonl: a path).", metavar="IMAGE...")
    ],
    form: Annotated[Format | None, typer.Option("--format", help="Default: as --output says, or a table.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
    top_k: Annotated[int, typer.Option(min=0, help="Only the N most probable classes; 0: all.", metavar="N")] = 0,
    explain: Annotated[
        Path | None, typer.Option(help="Write activation overlays into this folder.", metavar="DIR")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images that the model sees at once.", metavar="N")] = 32,
) -> None:
    """Answers with label and probabilities for image files and folders.

    A file that is no image gets an error line of its own; the others still get answers, and the exit code is 2.
    """
    from pipeline.predict.inputs import count_inputs, find_inputs
    from pipeline.predict.writers import Shape, form_of, open_writer

    chosen = form_of(form.value if form else None, output)
    total = count_inputs(images)

    from pipeline.models import class_names, find_model
    from pipeline.predict.answers import predict_files
    from pipeline.progress import quiet_tensorflow

    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names that are not UTF-8
    shape = Shape(class_names(find_model(model)), top_k, overlays=explain is not None)
    quiet_tensorflow()
    failed = 0
    with counting("Predicting") as report, open_writer(chosen, output, shape) as writer:
        for done, row in enumerate(predict_files(model, find_inputs(images), batch_size, explain), start=1):
            writer.write(row)
            failed += bool(row.error)
            report(done, total)
    if failed:
        print(f"Error: {failed:,} of {total:,} files got no answer.", file=sys.stderr)
        raise typer.Exit(2)
