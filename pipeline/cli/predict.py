"""`graft predict`, and the forms of its answers."""

from __future__ import annotations

import sys
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.common import counting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.predict import Prediction


class Format(str, Enum):
    """How predictions are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command(epilog="Example: graft predict work/sample/serving/1764000000 a.jpg folder/ --format csv")
def predict(
    model: Annotated[str, typer.Argument(help="serving/<version>, or a working directory: its served version.")],
    images: Annotated[list[str], typer.Argument(help="Image files and folders.", metavar="IMAGE...")],
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Answers with label and probabilities for image files and folders.

    A file that is no image gets an error line of its own; the others still get answers, and the exit code is 2.
    """
    from pipeline.predict import list_inputs, predict_files
    from pipeline.progress import quiet_tensorflow

    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names that are not UTF-8
    paths = list_inputs(images)
    quiet_tensorflow()
    failed = _PRINTERS[form](_with_progress(predict_files(model, paths), len(paths)))
    if failed:
        print(f"Error: {failed} of {len(paths)} files got no answer.", file=sys.stderr)
        raise typer.Exit(2)


def _with_progress(predictions: Iterable[Prediction], total: int) -> Iterable[Prediction]:
    with counting("Predicting") as report:
        for done, prediction in enumerate(predictions, start=1):
            yield prediction
            report(done, total)


def _print_table(predictions: Iterable[Prediction]) -> int:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("image", "label", "probability", "others"):
        table.add_column(name, justify="right" if name == "probability" else "left", overflow="fold")
    rows = list(predictions)
    for row in rows:
        if row.error:
            table.add_row(escape(row.path), "[red]error[/]", "", f"[red]{escape(row.error)}[/]")
            continue
        ranked = sorted(row.probabilities.items(), key=lambda pair: -pair[1])
        others = ", ".join(f"{name} {value:.4f}" for name, value in ranked[1:4])
        table.add_row(escape(row.path), escape(row.label), f"{row.probability:.4f}", escape(others))
    Console(highlight=False).print(table)
    return sum(bool(row.error) for row in rows)


def _print_json(predictions: Iterable[Prediction]) -> int:
    import json

    rows = list(predictions)
    answers = [
        {"path": row.path, "error": row.error}
        if row.error
        else {"path": row.path, "label": row.label, "probability": row.probability, "probabilities": row.probabilities}
        for row in rows
    ]
    print(json.dumps(answers, indent=2, ensure_ascii=False))
    return sum(bool(row.error) for row in rows)


def _print_csv(predictions: Iterable[Prediction]) -> int:
    import csv

    rows = list(predictions)
    names = sorted({name for row in rows for name in row.probabilities})
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "label", "probability", *names, "error"])
    for row in rows:
        values = [f"{row.probabilities[name]:.6f}" if row.probabilities else "" for name in names]
        writer.writerow([row.path, row.label, f"{row.probability:.6f}" if row.label else "", *values, row.error])
    return sum(bool(row.error) for row in rows)


_PRINTERS = {Format.TABLE: _print_table, Format.JSON: _print_json, Format.CSV: _print_csv}
