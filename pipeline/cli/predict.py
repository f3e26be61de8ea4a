"""`graft predict`."""

from __future__ import annotations

import sys
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Annotated, NamedTuple

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


class Wishes(NamedTuple):
    """What answers are to look like, as it was asked for."""

    form: OutputFormat | None
    output: Path | None
    top_k: int
    explain: Path | None
    batch_size: int
    threshold: float
    refuse_unknown: bool


@app.command(
    epilog=examples(
        "graft predict work/photos a.jpg folder/ 'more/**/*.png'",
        "graft predict work/photos list.csv --output answers.parquet --top-k 3",
        "graft predict work/photos a.jpg --explain overlays",
        "graft predict work/photos a.jpg --refuse-unknown --threshold 0.8",
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
    threshold: Annotated[
        float,
        typer.Option(min=0, max=1, help="A probability below it is no answer: no label, exit code 3.", metavar="P"),
    ] = 0.0,
    refuse_unknown: Annotated[
        bool, typer.Option("--refuse-unknown", help="Nor is one for an image that looks like none of the classes.")
    ] = False,
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

    A file that is no image gets an error line of its own; the others still get answers, and the exit code is 2. Answers
    that --threshold or --refuse-unknown refuse have no label but their reason, and the exit code is 3.
    """
    wishes = Wishes(form, output, top_k, explain, batch_size, threshold, refuse_unknown)
    model = choose_model(model, candidate, run).path
    if beam or beam_args:
        _predict_on_beam(model, images, wishes, beam_args or [], shared_path)
        return

    from pipeline.predict.inputs import count_inputs, find_inputs
    from pipeline.predict.writers import AnswerShape, form_of, open_writer

    chosen = form_of(form.value if form else None, output)
    total = count_inputs(images)

    from components.registry.find import class_names, find_model
    from pipeline.predict.answers import predict_files
    from pipeline.predict.refusals import Refusals
    from pipeline.process.progress import quiet_tensorflow

    folder, refusals = find_model(model), Refusals(threshold, refuse_unknown)
    refusals.check(folder)
    shape = AnswerShape(class_names(folder), top_k, overlays=explain is not None, refusals=refusals.asked_for)
    quiet_tensorflow()
    failed, refused = 0, Counter[str]()
    with counting("Predicting", quiet) as report, open_writer(chosen, output, shape) as writer:
        for done, row in enumerate(predict_files(model, find_inputs(images), batch_size, explain), start=1):
            settled = refusals.settle(row)
            writer.write(settled)
            failed += bool(row.error)
            refused.update([settled.refused] if settled.refused else [])
            report(done, total)
    _end(total, failed, refusals.describe(refused, total))


def _end(images: int, failed: int, refused: str) -> None:
    """Says what got no answer, and ends with the exit code for it; answers that were asked to be refused come last."""
    if refused:
        print(refused, file=sys.stderr)
    if failed:
        print(f"Error: {failed:,} of {images:,} files got no answer.", file=sys.stderr)
    if failed or refused:
        raise typer.Exit(2 if failed else 3)


def _predict_on_beam(
    model: str, paths: list[str], wishes: Wishes, beam_args: list[str], shared_path: str | None
) -> None:
    """The same into shards; for data that outgrows the machine."""
    chosen, output = wishes.form.value if wishes.form else "parquet", wishes.output
    if chosen not in ("parquet", "jsonl"):
        raise InputError(f"--beam writes shards of parquet or jsonl, got --format {chosen}.")
    if output is None or wishes.explain is not None:
        raise InputError("--beam needs --output DIR for its shards, and writes no overlays: leave --explain out.")

    from components.registry.find import class_names, find_model
    from pipeline.predict.refusals import Refusals
    from pipeline.process.progress import native_stderr_hidden, quiet_tensorflow

    folder, refusals = find_model(model).resolve(), Refusals(wishes.threshold, wishes.refuse_unknown)
    refusals.check(folder)
    from pipeline.predict.writers import AnswerShape

    shape = AnswerShape(class_names(folder), wishes.top_k, refusals=refusals.asked_for)
    quiet_tensorflow()

    from pipeline.predict.distributed import PredictionJob, predict_on_beam

    with native_stderr_hidden():
        job = PredictionJob(
            str(folder), str(output), chosen, shape, wishes.batch_size, beam_args, shared_path, refusals
        )
        done = predict_on_beam(job, paths)
    print(f"{done.images:,} images answered into {len(done.shards)} shards in {output}/")
    _end(done.images, done.failed, refusals.describe(done.refused, done.images))
