"""`graft predict`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from components.errors import InputError
from pipeline.cli.app import app
from pipeline.cli.common import Candidate, CandidateRun, NoProgress, choose_model, counting, examples


class OutputFormat(str, Enum):
    """How predictions are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@app.command(
    epilog=examples(
        "graft predict work/photos a.jpg folder/ 'more/**/*.png'",
        "graft predict work/photos list.csv --output answers.parquet --top-k 3",
        "graft predict work/photos a.jpg --explain overlays",
        "graft predict work/photos a.jpg --candidate",
    )
)
def predict(
    model: Annotated[str, typer.Argument(help="serving/<version>, or a working directory: its served version.")],
    images: Annotated[
        list[str], typer.Argument(help="Files, folders, globs, manifests (.csv, .jsonl: a path).", metavar="IMAGE...")
    ],
    form: Annotated[
        OutputFormat | None, typer.Option("--format", help="Default: as --output says, or a table.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
    top_k: Annotated[int, typer.Option(min=0, help="Only the N most probable classes; 0: all.", metavar="N")] = 0,
    explain: Annotated[
        Path | None, typer.Option(help="Write activation overlays into this folder.", metavar="DIR")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images that the model sees at once.", metavar="N")] = 32,
    beam: Annotated[
        bool, typer.Option("--beam", help="On Beam: folders, archives and TFRecords into shards in --output DIR.")
    ] = False,
    beam_args: Annotated[
        list[str] | None, typer.Option("--beam-arg", help="An argument of Beam; may be repeated.", metavar="ARG")
    ] = None,
    shared_path: Annotated[
        str | None, typer.Option(help="A folder that Beam workers on other machines see.", metavar="DIR")
    ] = None,
    candidate: Candidate = False,
    run: CandidateRun = "",
    quiet: NoProgress = False,
) -> None:
    """Answers with label and probabilities for image files and folders.

    A file that is no image gets an error line of its own; the others still get answers, and the exit code is 2.
    """
    model = choose_model(model, candidate, run).path
    if beam or beam_args:
        _predict_on_beam(model, images, (form, output, top_k, explain, batch_size), beam_args or [], shared_path)
        return

    from pipeline.predict.inputs import count_inputs, find_inputs
    from pipeline.predict.writers import AnswerShape, form_of, open_writer

    chosen = form_of(form.value if form else None, output)
    total = count_inputs(images)

    from components.registry.find import class_names, find_model
    from pipeline.predict.answers import predict_files
    from pipeline.process.progress import quiet_tensorflow

    shape = AnswerShape(class_names(find_model(model)), top_k, overlays=explain is not None)
    quiet_tensorflow()
    failed = 0
    with counting("Predicting", quiet) as report, open_writer(chosen, output, shape) as writer:
        for done, row in enumerate(predict_files(model, find_inputs(images), batch_size, explain), start=1):
            writer.write(row)
            failed += bool(row.error)
            report(done, total)
    if failed:
        print(f"Error: {failed:,} of {total:,} files got no answer.", file=sys.stderr)
        raise typer.Exit(2)


def _predict_on_beam(
    model: str,
    paths: list[str],
    wishes: tuple[OutputFormat | None, Path | None, int, Path | None, int],
    beam_args: list[str],
    shared_path: str | None,
) -> None:
    """The same into shards; for data that outgrows the machine."""
    form, output, top_k, explain, batch_size = wishes
    chosen = form.value if form else "parquet"
    if chosen not in ("parquet", "jsonl"):
        raise InputError(f"--beam writes shards of parquet or jsonl, got --format {chosen}.")
    if output is None or explain is not None:
        raise InputError("--beam needs --output DIR for its shards, and writes no overlays: leave --explain out.")

    from components.registry.find import class_names, find_model
    from pipeline.process.progress import native_stderr_hidden, quiet_tensorflow

    folder = find_model(model).resolve()
    from pipeline.predict.writers import AnswerShape

    shape = AnswerShape(class_names(folder), top_k)
    quiet_tensorflow()

    from pipeline.predict.distributed import PredictionJob, predict_on_beam

    with native_stderr_hidden():
        job = PredictionJob(str(folder), str(output), chosen, shape, batch_size, beam_args, shared_path)
        done = predict_on_beam(job, paths)
    print(f"{done.images:,} images answered into {len(done.shards)} shards in {output}/")
    if done.failed:
        print(f"Error: {done.failed:,} of {done.images:,} images got no answer.", file=sys.stderr)
        raise typer.Exit(2)
