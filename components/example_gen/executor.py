"""The Beam side of ImageExampleGen: paths are shuffled, bytes are read late and written without a group-by."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components import features
from components.errors import InputError
from components.example_gen import images, split
from components.example_gen.manifest import Row, digest_sources, summarise_rows
from components.example_gen.sources import Listing, Source, list_images
from components.options import DataOptions

BATCH = 64
FILE_FORMAT = "tfrecords_gzip"  # the only name TFX has; the readers go by the suffix, and JPEG bytes gain nothing
progress = logging.getLogger("graft.progress")


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes the `examples` and `manifest` artifacts of a data folder."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads `data_path`, writes the splits `train` and `eval` and the manifest.

        Raises:
            InputError: the folder is unusable, or changed since its fingerprint was taken.
        """
        options = DataOptions.from_json(exec_properties["options"])
        listing = list_images(exec_properties["data_path"])
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        manifest = artifact_utils.get_single_instance(output_dict["manifest"])
        started = time.monotonic()
        with self._make_beam_pipeline() as pipeline:
            run_ingest(pipeline, listing, options, examples.uri, manifest.uri)
        finish_splits(examples.uri)
        rows = finish_manifest(manifest.uri, listing)
        dataset = summarise_rows(rows, listing.labels)
        refuse_unusable(dataset, rows)
        dataset["fingerprint"] = check_fingerprint(exec_properties.get("data_fingerprint"), listing, rows)
        dataset["layout"] = listing.layout
        with tf.io.gfile.GFile(os.path.join(manifest.uri, features.DATASET_FILE), "w") as file:
            file.write(json.dumps(dataset, indent=2))
        describe_artifact(examples, dataset)
        progress.info(describe_dataset(dataset, time.monotonic() - started), extra={"done": True})


def run_ingest(
    pipeline: beam.Pipeline, listing: Listing, options: DataOptions, examples_uri: str, manifest_uri: str
) -> None:
    """The Beam steps: from paths to TFRecord shards and manifest rows."""
    batches = [listing.sources[start : start + BATCH] for start in range(0, len(listing.sources), BATCH)]
    read = (
        pipeline
        | "Paths" >> beam.Create(batches, reshuffle=True)
        | "ReadAndInspect"
        >> beam.ParDo(ReadBatch(options, listing.labels, len(listing.sources))).with_outputs("rows", main="examples")
    )
    _ = read.examples | "WriteShards" >> beam.ParDo(WriteShards(examples_uri, options.shard_megabytes << 20))
    _ = (
        read.rows
        | "RowToJson" >> beam.Map(lambda row: row.to_json())
        | "WriteManifest" >> beam.io.WriteToText(os.path.join(manifest_uri, ".rows"), shard_name_template="-SS-of-NN")
    )


class ReadBatch(beam.DoFn):
    """Reads and inspects a batch of files on all processors; gives (split, record) and rows."""

    def __init__(self, options: DataOptions, labels: list[str], total: int) -> None:
        super().__init__()
        self._options = options
        self._label_index = {label: index for index, label in enumerate(labels)}
        self._total = total
        self._found = beam.metrics.Metrics.counter("ingest", "found")
        self._quarantined = beam.metrics.Metrics.counter("ingest", "quarantined")

    def setup(self) -> None:
        """Starts the readers."""
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self._done = 0

    def teardown(self) -> None:
        """Ends the readers."""
        self._pool.shutdown()

    def process(self, batch: list[Source]) -> Iterator[Any]:
        """Gives records on the main output, a `Row` for each file on `rows`."""
        for row, content in self._pool.map(self._read, batch):
            self._found.inc()
            yield beam.pvalue.TaggedOutput("rows", row)
            if row.reason:
                self._quarantined.inc()
            elif not row.ignored:
                yield row.split, make_example(row, content, self._label_index[row.label])
        self._done += len(batch)
        progress.info("%s of %s files", f"{self._done:,}", f"{self._total:,}")

    def _read(self, source: Source) -> tuple[Row, bytes]:
        return read_source(source, self._options)


def read_source(source: Source, options: DataOptions) -> tuple[Row, bytes]:
    """One file: its row of the manifest, and its bytes (empty unless it is an example)."""
    row = Row(source.name, source.label)
    content = images.read_file(source.path)
    if isinstance(content, images.Rejected):
        return replace(row, reason=content.reason, detail=content.detail), b""
    row = replace(row, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    if images.is_ignorable(source.name, content):
        return replace(row, ignored=True), b""
    found = images.inspect_image(content, options.max_pixels)
    if isinstance(found, images.Rejected):
        return replace(row, reason=found.reason, detail=found.detail), b""
    side = source.split or split.split_by_content(row.sha256, options.eval_fraction)
    return replace(row, split=side, **asdict(found)), content


def make_example(row: Row, content: bytes, label: int) -> bytes:
    """A serialized tf.Example with the features of `features.py`."""

    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def of_int(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    values = {
        features.IMAGE: of_bytes(content),
        features.LABEL_TEXT: of_bytes(row.label.encode()),
        features.LABEL: of_int(label),
        features.FILENAME: of_bytes(row.name.encode("utf-8", "surrogateescape")),
        features.SHA256: of_bytes(row.sha256.encode()),
        features.FORMAT: of_bytes(row.format.encode()),
        features.HEIGHT: of_int(row.height),
        features.WIDTH: of_int(row.width),
        features.CHANNELS: of_int(row.channels),
        features.BYTE_SIZE: of_int(row.bytes),
    }
    return tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString(deterministic=True)


class WriteShards(beam.DoFn):
    """Writes (split, record) into TFRecord files of about one size, under names that `finish_splits` makes final."""

    def __init__(self, uri: str, shard_bytes: int) -> None:
        super().__init__()
        self._uri = uri
        self._shard_bytes = shard_bytes

    def start_bundle(self) -> None:
        """No file is open."""
        self._open: dict[str, tuple[tf.io.TFRecordWriter, int]] = {}

    def process(self, element: tuple[str, bytes]) -> None:
        """Appends one record to its split."""
        side, record = element
        writer, size = self._open.pop(side) if side in self._open else (self._new_writer(side), 0)
        writer.write(record)
        if size + len(record) >= self._shard_bytes:
            writer.close()
        else:
            self._open[side] = (writer, size + len(record))

    def finish_bundle(self) -> None:
        """Closes what is open: only then is a shard whole."""
        for writer, _ in self._open.values():
            writer.close()

    def _new_writer(self, side: str) -> tf.io.TFRecordWriter:
        folder = os.path.join(self._uri, f"Split-{side}")
        tf.io.gfile.makedirs(folder)
        return tf.io.TFRecordWriter(os.path.join(folder, f"part-{time.time_ns():020d}-{uuid.uuid4().hex}"))


def finish_splits(uri: str) -> None:
    """Gives the shards their final names, `data_tfrecord-00000-of-00002`."""
    for side in features.SPLITS:
        folder = os.path.join(uri, f"Split-{side}")
        tf.io.gfile.makedirs(folder)
        parts = sorted(tf.io.gfile.glob(os.path.join(folder, "part-*")))
        for index, part in enumerate(parts):
            name = f"data_tfrecord-{index:05d}-of-{len(parts):05d}"
            tf.io.gfile.rename(part, os.path.join(folder, name))


def finish_manifest(uri: str, listing: Listing) -> list[Row]:
    """Merges the rows' shards into `manifest.jsonl` (sorted by name) and `quarantine.jsonl`."""
    rows = [Row(name, ignored=True) for name in listing.ignored]
    for shard in tf.io.gfile.glob(os.path.join(uri, ".rows*")):
        with tf.io.gfile.GFile(shard) as file:
            rows += [parse_row(line) for line in file]
        tf.io.gfile.remove(shard)
    rows.sort(key=lambda row: row.name)
    _write_rows(os.path.join(uri, features.MANIFEST_FILE), rows)
    _write_rows(os.path.join(uri, features.LEDGER_FILE), (row for row in rows if row.reason))
    return rows


def parse_row(line: str) -> Row:
    """The inverse of `Row.to_json`."""
    return Row(**json.loads(line))


def _write_rows(path: str, rows: Iterable[Row]) -> None:
    with tf.io.gfile.GFile(path, "w") as file:
        for row in rows:
            file.write(row.to_json() + "\n")


def refuse_unusable(dataset: dict[str, Any], rows: list[Row]) -> None:
    """Stops where a class has no usable image on one side of the split.

    Raises:
        InputError: names the class, the first rejected files with their reasons, and what to do.
    """
    train = dataset["per_class"][features.TRAIN_SPLIT]
    evaluation = dataset["per_class"][features.EVAL_SPLIT]
    for label in dataset["classes"]:
        if train[label] and evaluation[label]:
            continue
        bad = [row for row in rows if row.label == label and row.reason]
        if not train[label] and not evaluation[label]:
            examples = "".join(f"\n  {row.name}: {row.reason} ({row.detail})" for row in bad[:5])
            raise InputError(
                f"data.path: class '{label}' has no usable image ({len(bad)} were rejected).{examples}\n"
                "Replace the files, or remove the folder of that class."
            )
        empty, other = ("train", "eval") if evaluation[label] else ("eval", "train")
        raise InputError(
            f"data.path: class '{label}' has no image on the {empty} side ({train[label] + evaluation[label]} on the "
            f"{other} side).\nAdd images to that class, or change data.eval_fraction where the folder gives no split."
        )


def check_fingerprint(expected: str | None, listing: Listing, rows: list[Row]) -> str:
    """The fingerprint of what was read.

    Raises:
        InputError: it is not the expected one: the folder changed while the run was going on.
    """
    hashes = {row.name: row.sha256 for row in rows}
    actual = digest_sources(listing.sources, (hashes[source.name] for source in listing.sources))
    if expected and expected != actual:
        raise InputError(
            f"data.path: {listing.root} changed while it was being read (fingerprint {actual[:12]}, expected "
            f"{expected[:12]}).\nStart the run again when no one writes into the folder."
        )
    return actual


def describe_artifact(examples: types.Artifact, dataset: dict[str, Any]) -> None:
    """Sets what TFX's readers need to know of the Examples artifact."""
    examples.split_names = artifact_utils.encode_split_names(list(features.SPLITS))
    examples_utils.set_payload_format(examples, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, FILE_FORMAT)
    examples.set_string_custom_property("data_fingerprint", dataset["fingerprint"])


def describe_dataset(dataset: dict[str, Any], seconds: float) -> str:
    """One line for the terminal; the rejected files are counted by reason."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(dataset["reasons"].items()))
    bad = f"; {dataset['quarantined']:,} quarantined: {reasons}" if reasons else ""
    counts = f"{dataset['train']:,} train + {dataset['eval']:,} eval images"
    return f"{counts}, {dataset['found'] / max(seconds, 1e-3):,.0f} files/s{bad}"
