"""`graft predict --beam`: the same answers for data that outgrows a machine, on any of Beam's runners.

What may be an image is listed as ingest does it, folders, archives, TFRecords and manifests, but needs no labels. Beam
carries byte ranges of a work list; images are read, checked and converted where they are answered.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow.parquet as pq
import tensorflow as tf
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from components.errors import InputError
from components.images import findings, formats
from components.options.data import DataOptions
from components.sources.find import list_images
from components.sources.listing import Source
from pipeline.beam import name_runner, refuse_unseen
from pipeline.predict.answers import Model, Prediction, answer_batch, load_model
from pipeline.predict.inputs import MANIFEST_SUFFIXES, find_inputs
from pipeline.predict.reading import DEFAULT_LIMITS, Image, check_source, limits_for
from pipeline.predict.refusals import Refusals
from pipeline.predict.writers import AnswerShape, parquet_schema, to_utf_8

LINES_AT_ONCE = 64  # images that a worker takes at once
SHARD_SUFFIXES = {"parquet": ".parquet", "jsonl": ".jsonl"}
Answered = tuple[str, str | None, str | None]  # of a row: path, error, why it is refused
Range = tuple[int, int]  # byte offset in the work list, and length


class Wanted(NamedTuple):
    """A source, and whether it was named by the user: then it gets a row whatever it is."""

    source: Source
    is_named: bool


@dataclass(frozen=True)
class PredictionJob:
    """A job of prediction on Beam.

    Attributes:
        model: a version's folder, readable by all workers.
        output: folder of the shards, writable by all workers.
        form: a key of `SHARD_SUFFIXES`.
        shape: of a row.
        batch_size: images that the model sees at once.
        beam_args: of Beam; empty: this machine.
        shared_path: a folder that workers on other machines see.
        refusals: what is not taken for an answer.
    """

    model: str
    output: str
    form: str
    shape: AnswerShape
    batch_size: int = 32
    beam_args: Sequence[str] = ()
    shared_path: str | None = None
    refusals: Refusals = field(default_factory=Refusals)


@dataclass(frozen=True)
class PredictionCounts:
    """The number of images, of those without an answer, the shards, and of refused answers by their reason."""

    images: int
    failed: int
    shards: list[str]
    refused: Counter[str] = field(default_factory=Counter)


def predict_on_beam(job: PredictionJob, paths: Iterable[str]) -> PredictionCounts:
    """Answers for all images below some paths, in shards `predictions-00000-of-00004.parquet`.

    Args:
        job: what is to be done.
        paths: folders, archives, TFRecords and manifests, as ingest takes them, and single image files.

    Raises:
        InputError: there is no image, the folder of the output has shards already, or workers cannot see a path.
        RuntimeError: the shards do not hold an answer an image.
    """
    paths = list(paths)
    seen = {"MODEL": job.model, "--output": job.output} | {f"IMAGE {path}": path for path in paths}
    refuse_unseen(list(job.beam_args), seen, job.shared_path, "--shared-path")
    if tf.io.gfile.glob(os.path.join(job.output, "predictions-*")):
        raise InputError(f"--output {job.output}: there are predictions in it already.\nGive another folder.")
    wanted = list_wanted(paths)
    tf.io.gfile.makedirs(job.output)
    worklist = os.path.join(job.output, f".worklist-{uuid.uuid4().hex}")
    try:
        ranges = write_wanted(worklist, wanted)
        with beam.Pipeline(options=PipelineOptions(name_runner(job.beam_args))) as pipeline:
            rows = (
                pipeline
                | "Ranges" >> beam.Create(ranges)
                | "ReadLate" >> beam.ParDo(ReadImages(worklist, limits_for(Path(job.model))))
                | "Answer" >> RunInference(SavedModelHandler(job.model, job.batch_size))
                | "Settle" >> beam.Map(settle, job.refusals)
            )
            write_rows(rows, job)
    finally:
        if tf.io.gfile.exists(worklist):
            tf.io.gfile.remove(worklist)
        for folder in tf.io.gfile.glob(os.path.join(job.output, "beam-temp-predictions-*")):
            tf.io.gfile.rmtree(folder)
    shards = sorted(tf.io.gfile.glob(os.path.join(job.output, "predictions-*")))
    return count_answers(shards, job, wanted)


def settle(row: Prediction, refusals: Refusals) -> Prediction:
    """Takes the label of a row away where it is refused."""
    return refusals.settle(row)


def list_wanted(paths: Iterable[str]) -> list[Wanted]:
    """Lists all that may be images, each named by its place.

    Raises:
        InputError: nothing is.
    """
    paths, options, found = list(paths), DataOptions(), list[Wanted]()
    for path in paths:
        is_single = os.path.isfile(path) and not _holds_images(path)
        if is_single or path.lower().endswith(MANIFEST_SUFFIXES):
            found += [Wanted(Source(file, "", file), True) for file in find_inputs([path])]
        else:
            found += [Wanted(_placed(path, source), source.declared) for source in list_images(path, options)]
    if not found:
        raise InputError(f"Expected folders, archives or TFRecords with images, found none in {', '.join(paths)}.")
    return found


def _holds_images(path: str) -> bool:
    """Whether a file is an archive or has records, and is not an image itself."""
    with open(path, "rb") as file:
        return formats.sniff_format(file.read(formats.HEAD)) is None


def _placed(root: str, source: Source) -> Source:
    if source.kind == "file":
        return replace(source, name=source.path)
    base = os.path.dirname(root) if source.name.startswith(f"{os.path.basename(root)}/") else root
    return replace(source, name=os.path.join(base, source.name))


def write_wanted(path: str, wanted: list[Wanted]) -> list[Range]:
    """Writes a line a source; gives the ranges of batches. The order is that of storage, which archives need."""
    ranges, offset = [], 0
    with tf.io.gfile.GFile(path, "wb") as file:
        for start in range(0, len(wanted), LINES_AT_ONCE):
            rows = ([asdict(source), is_named] for source, is_named in wanted[start : start + LINES_AT_ONCE])
            text = "".join(json.dumps(row) + "\n" for row in rows).encode()
            file.write(text)
            ranges.append((offset, len(text)))
            offset += len(text)
    return ranges


def _is_aside(name: str) -> bool:
    """Whether a file does not say that it is an image: then it need not be one."""
    return PurePath(name).suffix.lower() not in formats.SUFFIX_FORMATS


class ReadImages(beam.DoFn):
    """Reads, checks and converts the images of a range of the work list."""

    def __init__(self, worklist: str, limits: findings.ImageLimits = DEFAULT_LIMITS) -> None:
        super().__init__()
        self._worklist, self._limits = worklist, limits

    def process(self, place: Range) -> Iterator[Image]:
        """Yields an image, or its error, for each line; files that are no image by any account get no row."""
        offset, length = place
        with tf.io.gfile.GFile(self._worklist, "rb") as file:
            file.seek(offset)
            lines = file.read(length).splitlines()
        for line in lines:
            source, is_named = json.loads(line)
            image = check_source(Source(**source), self._limits)
            if is_named or not (_is_aside(image.name) and image.error.startswith(findings.NOT_AN_IMAGE)):
                yield image


class SavedModelHandler(ModelHandler[Image, Prediction, Model]):
    """Beam's way to share one loaded model among the threads of a worker, and to make batches for it."""

    def __init__(self, model: str, batch_size: int) -> None:
        super().__init__()
        self._model = model
        self._batch_size = batch_size

    def load_model(self) -> Model:
        """Loads the model, once a process."""
        return load_model(self._model)

    def run_inference(
        self, batch: Sequence[Image], model: Model, inference_args: dict[str, Any] | None = None
    ) -> Iterable[Prediction]:
        """Answers for a batch, errors in their places."""
        return answer_batch(model, list(batch))

    def batch_elements_kwargs(self) -> dict[str, int]:
        """Fixes the batch size: Beam's own choice goes by speed, and not by memory."""
        return {"min_batch_size": self._batch_size, "max_batch_size": self._batch_size}


def write_rows(rows: beam.PCollection, job: PredictionJob) -> None:
    """Writes answers as sharded files of one form."""
    prefix, shape = os.path.join(job.output, "predictions"), job.shape
    if job.form == "jsonl":
        lines = rows | "ToJson" >> beam.Map(to_json, shape)
        _ = lines | "Write" >> beam.io.WriteToText(prefix, file_name_suffix=SHARD_SUFFIXES["jsonl"])
        return
    cells = rows | "ToCells" >> beam.Map(to_columns, shape)
    _ = cells | "Write" >> beam.io.WriteToParquet(
        prefix, parquet_schema(shape), file_name_suffix=SHARD_SUFFIXES["parquet"]
    )


def to_json(row: Prediction, shape: AnswerShape) -> str:
    """Writes a row as a line of JSON."""
    return json.dumps(shape.to_object(row), ensure_ascii=True)


def to_columns(row: Prediction, shape: AnswerShape) -> dict[str, Any]:
    """Writes a row as columns of Parquet."""
    return dict(zip(shape.columns(), map(to_utf_8, shape.to_cells(row)), strict=True))


def count_answers(shards: list[str], job: PredictionJob, wanted: list[Wanted]) -> PredictionCounts:
    """Counts the answers in the shards, and compares them with the work list; counters count retries twice.

    Raises:
        RuntimeError: an image has no row, or one too many.
    """
    left = Counter(to_utf_8(item.source.name) for item in wanted)
    images, failed, refused = 0, 0, Counter[str]()
    for shard in shards:
        for path, error, reason in SHARD_READERS[job.form](shard):
            images, failed = images + 1, failed + bool(error)
            refused.update([reason] if reason else [])
            left[path] -= 1
    needed = {to_utf_8(item.source.name) for item in wanted if item.is_named or not _is_aside(item.source.name)}
    for path, number in left.items():
        if number < 0 or (number and path in needed):
            raise RuntimeError(
                f"{path}: expected one row an image in the shards in {job.output}/, got "
                f"{'more' if number < 0 else 'fewer'}.\nThe shards are not whole: remove the folder, and predict again."
            )
    return PredictionCounts(images, failed, shards, refused)


def _read_jsonl(shard: str) -> Iterator[Answered]:
    with FileSystems.open(shard, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        for row in map(json.loads, file):
            yield to_utf_8(row["path"]), row.get("error"), row.get("refused")


def _read_parquet(shard: str) -> Iterator[Answered]:
    with FileSystems.open(shard, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        opened = pq.ParquetFile(file)
        for batch in opened.iter_batches(columns=["path", "error", "refused"]):  # those that are there
            columns = batch.to_pydict()
            yield from zip(columns["path"], columns["error"], columns.get("refused", [None] * len(batch)), strict=True)


SHARD_READERS: dict[str, Callable[[str], Iterator[Answered]]] = {
    "parquet": _read_parquet,
    "jsonl": _read_jsonl,
}
