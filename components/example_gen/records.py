"""From rows to TFRecord shards: the Beam step of ImageExampleGen. Bytes are read late, and nothing is grouped.

Which image stands in which shard is settled before Beam begins, in a work list on disk. What Beam carries are places in
that list: a worker makes whole shards, and one that is tried again makes the same ones.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice, repeat
from typing import Any, NamedTuple

import apache_beam as beam
import tensorflow as tf

from components.contract import features
from components.errors import InputError
from components.example_gen.manifest import Row, parse_row
from components.example_gen.scan import REMOTE_READERS, Scan
from components.example_gen.shards import check_records, finish_splits, open_shards
from components.files.paths import is_remote
from components.images.convert import encode_for_tensorflow
from components.images.findings import CONVERTED, Inspection
from components.sources.content.streams import Unreadable
from components.sources.listing import Listing, Source
from components.sources.table import is_sequential, read_source

IMAGES_AT_ONCE = 64
RecordPair = tuple[Source, Row]
progress = logging.getLogger("graft.progress")


class Unit(NamedTuple):
    """The work of one worker at a time: lines of the work list, and the whole shards that they make.

    Attributes:
        offset: bytes from the start of the work list.
        lines: so many.
        shards: {split: name of the shard's file below the artifact}.
    """

    offset: int
    lines: int
    shards: dict[str, str]


def write_worklist(path: str, scan: Scan, shard_bytes: int) -> list[Unit]:
    """Writes a line an example, in the order in which they are to be read; gives the units of work.

    The order is that of the digests, a split after the other, so that classes and folders are mixed in every shard and
    the same data gives the same shards; in archives it is that of storage.

    Args:
        path: of the work list.
        scan: what was found.
        shard_bytes: a unit ends where one of its shards has so many.
    """
    labels = {label: index for index, label in enumerate(scan.class_map.classes)}
    pairs = [pair for pair in zip(scan.listing.sources, scan.rows, strict=False) if pair[1].is_example]
    pairs.sort(key=lambda pair: _reading_order(*pair))
    places = list[tuple[int, int, set[str]]]()
    with tf.io.gfile.GFile(path, "wb") as file:
        offset = 0
        for unit in _cut(pairs, shard_bytes):
            places.append((offset, len(unit), {row.split for _, row in unit}))
            for source, row in unit:
                line = _format_work(source, row, labels[row.label]).encode()
                file.write(line)
                offset += len(line)
    return _name_shards(places)


def _cut(pairs: list[RecordPair], shard_bytes: int) -> Iterator[list[RecordPair]]:
    """Cuts sorted pairs where a shard is full, and between splits where they are not read mixed."""
    for _, group in groupby(pairs, key=lambda pair: is_sequential(pair[0]) or pair[1].split):
        unit, sizes = list[RecordPair](), dict.fromkeys(features.SPLITS, 0)
        for source, row in group:
            unit.append((source, row))
            sizes[row.split] += _record_bytes(row)
            if sizes[row.split] >= shard_bytes:
                yield unit
                unit, sizes = [], dict.fromkeys(features.SPLITS, 0)
        if unit:
            yield unit


def _record_bytes(row: Row) -> int:
    """About so many bytes has a record; a PNG of photographs is not much smaller than its pixels."""
    return row.height * row.width * row.channels if CONVERTED in row.flags else row.bytes


def _name_shards(places: list[tuple[int, int, set[str]]]) -> list[Unit]:
    """Numbers each split's shards: `Split-train/data_tfrecord-00000-of-00002`."""
    totals = {split: sum(split in splits for _, _, splits in places) for split in features.SPLITS}
    done = dict.fromkeys(features.SPLITS, 0)
    units = []
    for offset, lines, splits in places:
        shards = {}
        for split in sorted(splits):
            shards[split] = f"Split-{split}/data_tfrecord-{done[split]:05d}-of-{totals[split]:05d}"
            done[split] += 1
        units.append(Unit(offset, lines, shards))
    return units


def reads_in_sequence(listing: Listing) -> bool:
    """Tells whether the work is to be done in its order, by one worker, rather than spread."""
    return any(is_sequential(source) for source in listing.sources)


def _reading_order(source: Source, row: Row) -> tuple[str, int, str, str]:
    return (source.path, source.position, "", "") if is_sequential(source) else ("", 0, row.split, row.sha256)


def _format_work(source: Source, row: Row, label: int) -> str:
    place = {"path": source.path, "kind": source.kind, "position": source.position, "size": source.size}
    return json.dumps([place, row.to_json(), label]) + "\n"


def read_worklist(path: str, unit: Unit) -> Iterator[tuple[Source, Row, int]]:
    """Yields the lines of a unit: the source to read, its row, and the index of its class."""
    with tf.io.gfile.GFile(path, "rb") as file:
        file.seek(unit.offset)
        yield from (_parse_work(file.readline()) for _ in range(unit.lines))


def _parse_work(line: bytes) -> tuple[Source, Row, int]:
    place, text, label = json.loads(line)
    row = parse_row(text)
    return Source(name=row.name, label=row.label, **place), row, label


class WriteShards(beam.DoFn):
    """Reads the images of a unit of work, and writes its shards: all of them whole, or none under its name."""

    def __init__(self, uri: str, worklist: str, max_bytes: int, total: int) -> None:
        super().__init__()
        self._uri = uri
        self._worklist = worklist
        self._max_bytes = max_bytes
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

    def process(self, unit: Unit) -> Iterator[Unit]:
        """Gives the unit when its shards are published.

        Raises:
            InputError: a file is no longer what it was when it was inspected.
        """
        with open_shards(self._uri, unit.shards) as writers:
            for row, record in self._read_records(unit):
                writers[row.split].write(record)
                self._written.inc()
                self._converted.inc(int(CONVERTED in row.flags))
        yield unit

    def _read_records(self, unit: Unit) -> Iterator[tuple[Row, bytes]]:
        lines = read_worklist(self._worklist, unit)
        while batch := list(islice(lines, IMAGES_AT_ONCE)):
            remote = is_remote(batch[0][0].path)  # mostly waited for; locally, threads would only fight for the lock
            yield from (self._pool.map if remote else map)(self._read, batch)
            self._done += len(batch)
            counts = self._done, self._total
            progress.info("%s of %s images written", *map("{:,}".format, counts), extra={"counts": counts})

    def _read(self, work: tuple[Source, Row, int]) -> tuple[Row, bytes]:
        source, row, label = work
        return row, make_example(row, read_again(source, row, self._max_bytes), label)


def check_shards(uri: str, worklist: str, units: list[Unit]) -> None:
    """Compares the published shards with the work list that was made of the manifest.

    Raises:
        DamagedShards: a shard is missing, foreign, cut or changed, or has other records.
    """
    finish_splits(uri, {name for unit in units for name in unit.shards.values()})
    expected = (((row, label) for _, row, label in read_worklist(worklist, unit)) for unit in units)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(check_records, repeat(uri), (unit.shards for unit in units), expected))


def read_again(source: Source, row: Row, max_bytes: int) -> bytes:
    """Reads the content of a source once more, and makes sure that it is the inspected one.

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
    """Makes a serialized tf.Example with the features of `features.py`.

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
