"""From rows to TFRecord shards: the Beam steps of ImageExampleGen. Bytes are read late, and nothing is grouped.

What Beam carries are byte ranges of a work list on disk, so that its memory does not grow with the data.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import apache_beam as beam
import tensorflow as tf

from components import features
from components.errors import InputError
from components.example_gen.convert import encode_for_tensorflow
from components.example_gen.images import Inspection
from components.example_gen.manifest import Row, parse_row
from components.example_gen.readers import Unreadable, read_source
from components.example_gen.scan import REMOTE_READERS, Scan
from components.example_gen.sources import Listing, Source
from components.options import DataOptions

BATCH = 64
SEQUENTIAL = ("tar", "tfrecord")  # compressed, they are only fast in the order in which they are stored
Range = tuple[int, int, int]  # byte offset in the work list, length in bytes, count of lines
progress = logging.getLogger("graft.progress")


def write_worklist(path: str, scan: Scan) -> list[Range]:
    """Writes a line an example, in the order in which they are to be read; gives the ranges of batches.

    The order is that of the digests, so that classes and folders are mixed in every shard and the same data gives the
    same order; in archives it is that of storage.
    """
    labels = {label: index for index, label in enumerate(scan.class_map.classes)}
    pairs = [pair for pair in zip(scan.listing.sources, scan.rows, strict=False) if pair[1].is_example]
    pairs.sort(key=lambda pair: _reading_order(*pair))
    ranges, offset = [], 0
    with tf.io.gfile.GFile(path, "wb") as file:
        for start in range(0, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            text = "".join(_format_work(source, row, labels[row.label]) for source, row in batch).encode()
            file.write(text)
            ranges.append((offset, len(text), len(batch)))
            offset += len(text)
    return ranges


def reads_in_sequence(listing: Listing) -> bool:
    """Whether the work is to be done in its order, by one worker, rather than spread."""
    return any(source.kind in SEQUENTIAL for source in listing.sources)


def _reading_order(source: Source, row: Row) -> tuple[str, int, str]:
    return (source.path, source.position, "") if source.kind in SEQUENTIAL else ("", 0, row.sha256)


def _format_work(source: Source, row: Row, label: int) -> str:
    place = {"path": source.path, "kind": source.kind, "position": source.position, "size": source.size}
    return json.dumps([place, row.to_json(), label]) + "\n"


def _parse_work(line: bytes) -> tuple[Source, Row, int]:
    place, text, label = json.loads(line)
    row = parse_row(text)
    return Source(name=row.name, label=row.label, **place), row, label


class ReadBatch(beam.DoFn):
    """Reads a range of the work list and its images; gives (split, record)."""

    def __init__(self, worklist: str, options: DataOptions, total: int) -> None:
        super().__init__()
        self._worklist = worklist
        self._max_bytes = options.max_file_megabytes << 20
        self._total = total
        self._written = beam.metrics.Metrics.counter("ingest", "examples")
        self._converted = beam.metrics.Metrics.counter("ingest", "converted")

    def setup(self) -> None:
        """Starts the readers."""
        self._pool = ThreadPoolExecutor(REMOTE_READERS)
        self._done = 0

    def teardown(self) -> None:
        """Ends the readers."""
        self._pool.shutdown()

    def process(self, place: Range) -> Iterator[tuple[str, bytes]]:
        """Gives the records of one range.

        Raises:
            InputError: a file is no longer what it was when it was inspected.
        """
        offset, length, count = place
        with tf.io.gfile.GFile(self._worklist, "rb") as file:
            file.seek(offset)
            lines = file.read(length).splitlines()
        remote = b"://" in lines[0]  # then it is mostly waited for; locally, threads would only fight for the lock
        for row, record in (self._pool.map if remote else map)(self._read, lines):
            self._written.inc()
            self._converted.inc(int("converted" in row.flags))
            yield row.split, record
        self._done += count
        progress.info("%s of %s images written", f"{self._done:,}", f"{self._total:,}")

    def _read(self, line: bytes) -> tuple[Row, bytes]:
        source, row, label = _parse_work(line)
        return row, make_example(row, read_again(source, row, self._max_bytes), label)


def read_again(source: Source, row: Row, max_bytes: int) -> bytes:
    """The content that was inspected.

    Raises:
        InputError: it is not there any more, or another one.
    """
    try:
        content = read_source(source, max_bytes)
    except Unreadable as error:
        raise InputError(f"data.path: {row.name} cannot be read any more: {error}.\nStart the run again.") from error
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise InputError(
            f"data.path: {row.name} changed while the run was reading it.\n"
            "Start the run again when no one writes into the data; `--verify` reads every file anew."
        )
    return content


def make_example(row: Row, content: bytes, label: int) -> bytes:
    """A serialized tf.Example with the features of `features.py`.

    Args:
        row: of an example.
        content: the file's bytes; converted here where TensorFlow would not decode them to the right pixels.
        label: index of the class.
    """
    encoded, form = encode_for_tensorflow(content, _inspection(row))
    values = {
        features.IMAGE: _bytes(encoded),
        features.LABEL_TEXT: _bytes(row.label.encode()),
        features.LABEL: _int(label),
        features.FILENAME: _bytes(row.name.encode("utf-8", "surrogateescape")),
        features.SHA256: _bytes(row.sha256.encode()),
        features.FORMAT: _bytes(form.encode()),
        features.HEIGHT: _int(row.height),
        features.WIDTH: _int(row.width),
        features.CHANNELS: _int(row.channels),
        features.BYTE_SIZE: _int(row.bytes),
        features.BRIGHTNESS: _float(row.brightness),
        features.CONTRAST: _float(row.contrast),
        features.ASPECT_RATIO: _float(row.width / row.height),
    }
    return tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString(deterministic=True)


def _inspection(row: Row) -> Inspection:
    return Inspection(sha256=row.sha256, bytes=row.bytes, format=row.format, flags=row.flags)


def _bytes(value: bytes) -> Any:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _int(value: int) -> Any:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _float(value: float) -> Any:
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


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
