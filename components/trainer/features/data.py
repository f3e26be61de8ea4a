"""The Trainer's input: digests and labels of a split's records, and pixels as the one transform graph makes them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.contract import features
from components.errors import InputError
from components.files.records import open_records
from components.trainer.features.packs import DIGEST

READ_AT_ONCE = 256  # records


@dataclass(frozen=True)
class Split:
    """One split's records, in the order of the files.

    Attributes:
        files: TFRecord files, sorted.
        sha256: [n] hex digests of the images' source files.
        labels: int64 [n], label indices.
        texts: [n] class names.
        contents: S32 [n], raw sha256 of the encoded images as they stand in the records: ingest converts some source
            files, and its next version may convert them otherwise. None where the records were not read.
        counts: records in each of `files`; None where they were not counted, or the rows are in another order.
        row_of: int64 [records of the files], the row of each record, -1 for one that is not of the split. None: all
            records are, in their order.
    """

    files: list[str]
    sha256: np.ndarray
    labels: np.ndarray
    texts: np.ndarray
    contents: np.ndarray | None = None
    counts: list[int] | None = None
    row_of: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def digests(self) -> np.ndarray:
        """S32 [n]: what tells the images apart, `contents` or else the source files' digests."""
        if self.contents is not None:
            return self.contents
        return np.array([bytes.fromhex(text.decode()) for text in self.sha256], DIGEST)

    def rows_of_records(self) -> np.ndarray:
        """Gives `row_of` in full."""
        return np.arange(len(self)) if self.row_of is None else self.row_of

    def records_of(self, wanted: np.ndarray) -> np.ndarray:
        """Marks the records, bool [records of the files], of some rows, bool [n]."""
        rows = self.rows_of_records()
        return np.asarray((rows >= 0) & np.append(wanted, False)[rows])


def join_splits(first: Split, second: Split) -> Split:
    """Joins two splits, the first one's records first: one pass through the backbone serves both."""
    later = second.rows_of_records()
    return Split(
        first.files + second.files,
        np.concatenate([first.sha256, second.sha256]),
        np.concatenate([first.labels, second.labels]),
        np.concatenate([first.texts, second.texts]),
        np.concatenate([first.digests(), second.digests()]),
        None if first.counts is None or second.counts is None else first.counts + second.counts,
        np.concatenate([first.rows_of_records(), np.where(later < 0, -1, later + len(first))]),
    )


def content_order(split: Split) -> np.ndarray:
    """Orders the rows by the images' digests, int64 [n]: training must not depend on shards or workers."""
    return np.argsort(split.sha256, kind="stable")


def spread_rows(split: Split, count: int) -> np.ndarray:
    """Chooses rows that stand for a split, int64 [at most count]: of each class alike, in `content_order`."""
    order = content_order(split)
    labels = split.labels[order]
    by_class = np.argsort(labels, kind="stable")
    turns = np.zeros(len(labels), np.int64)  # how many of its class stand before it
    turns[by_class] = np.arange(len(labels)) - np.searchsorted(labels[by_class], labels[by_class])
    return order[np.argsort(turns, kind="stable")[:count]]


def take_rows(split: Split, rows: np.ndarray) -> Split:
    """Takes some rows of a split, in this order."""
    columns = (split.sha256[rows], split.labels[rows], split.texts[rows], split.digests()[rows])
    return Split(split.files, *columns)


def take_sample(split: Split, count: int | None) -> Split:
    """Takes the first so many images in `content_order`, which are any; in the order of their files. None: all."""
    if count is None or count >= len(split):
        return split
    rows, row_of = np.sort(content_order(split)[:count]), np.full(len(split), -1)
    row_of[rows] = np.arange(count)
    return replace(take_rows(split, rows), counts=split.counts, row_of=row_of)


def in_content_order(split: Split, values: np.ndarray) -> tuple[Split, np.ndarray]:
    """Puts a split and its features into `content_order`."""
    order = content_order(split)
    return take_rows(split, order), values[order]


def list_files(patterns: list[str]) -> list[str]:
    """Lists the files behind the patterns that TFX gives a Trainer."""
    return sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))


def records_by_file(files: list[str]) -> tf.data.Dataset:
    """Opens the same records in the same order: (place of the file in the list, batch of its records)."""

    def of_file(place: tf.Tensor, file: tf.Tensor) -> tf.data.Dataset:
        return open_records(files, file).batch(READ_AT_ONCE).map(lambda records: (place, records))

    return tf.data.Dataset.from_tensor_slices(tf.constant(files, tf.string)).enumerate().flat_map(of_file)


def read_split(patterns: list[str]) -> Split:
    """Reads digests and labels of a split's records, without decoding an image.

    Raises:
        InputError: a record is damaged.
    """
    wanted = {
        features.SHA256: tf.io.FixedLenFeature([], tf.string),
        features.LABEL: tf.io.FixedLenFeature([], tf.int64),
        features.LABEL_TEXT: tf.io.FixedLenFeature([], tf.string),
        features.IMAGE: tf.io.FixedLenFeature([], tf.string),
    }
    files = list_files(patterns)
    batches, contents, counts = [], list[bytes](), [0] * len(files)
    with readable_records():
        for place, records in records_by_file(files).map(lambda x, y: (x, tf.io.parse_example(y, wanted))).prefetch(1):
            batch = {name: column.numpy() for name, column in records.items()}
            images = batch.pop(features.IMAGE)
            contents += [hashlib.sha256(image).digest() for image in images]
            counts[int(place)] += len(images)
            batches.append(batch)

    def column(name: str, kind: type) -> np.ndarray:
        return np.concatenate([batch[name] for batch in batches]) if batches else np.array([], kind)

    names = column(features.SHA256, object), column(features.LABEL, np.int64), column(features.LABEL_TEXT, object)
    return Split(files, *names, np.array(contents, DIGEST), counts)


@contextmanager
def readable_records() -> Iterator[None]:
    """Says what to do where a TFRecord file is damaged.

    Raises:
        InputError: for TensorFlow's DataLossError.
    """
    try:
        yield
    except tf.errors.DataLossError as error:
        raise InputError(
            f"The examples cannot be read to their end: {error.message.splitlines()[0]}.\n"
            "Run the ingest again (--no-cache)."
        ) from error


def read_images(split: Split, rows: np.ndarray) -> list[bytes]:
    """Reads the encoded images of some rows, in their order.

    Args:
        split: in any order.
        rows: int [k], of the split.

    Raises:
        RuntimeError: one is not in the files any more.
        InputError: a record is damaged.
    """
    wanted = {name: tf.io.FixedLenFeature([], tf.string) for name in (features.SHA256, features.IMAGE)}
    names = [split.sha256[row] for row in rows]
    missing, found = tf.constant(sorted(set(names))), dict[bytes, bytes]()
    records = open_records(split.files).map(lambda record: tf.io.parse_single_example(record, wanted))
    few = records.filter(lambda record: tf.reduce_any(record[features.SHA256] == missing))
    with readable_records():
        for record in few.as_numpy_iterator():
            found[record[features.SHA256]] = record[features.IMAGE]
            if len(found) == len(missing):
                break
    if set(names) - set(found):
        raise RuntimeError(
            f"The examples changed while they were read: expected {len(missing)} images, got {len(found)} of them."
        )
    return [found[name] for name in names]


def names_by_index(split: Split) -> list[str]:
    """Gives the class names of a split in the order of the label index.

    Raises:
        InputError: fewer than two classes, a gap in the indices, or one index with two names.
    """
    pairs = {(int(label), text.decode()) for label, text in zip(split.labels, split.texts, strict=True)}
    names = [name for _, name in sorted(pairs)]
    if sorted(label for label, _ in pairs) != list(range(len(pairs))) or len(pairs) < 2:
        raise InputError(
            "The train split's labels are no class map: expected the indices 0, 1, ... with one name each and at "
            f"least two, got {sorted(pairs)[:10]}.\nRun the ingest again (--no-cache)."
        )
    return names


def pixel_batches(
    split: Split, transform: tft.TFTransformOutput, batch_size: int, wanted: np.ndarray | None = None
) -> tf.data.Dataset:
    """Reads a split's pixels through the transform graph, in batches of one size.

    The last batch is filled up with its last image under the index -1: no replica is ever left empty. A record that
    is not the one that the split names at its place, because the files changed, comes under the index -2.

    Args:
        split: in the order of its files.
        transform: the transform graph.
        batch_size: of all batches.
        wanted: bool [n]; the others are passed over before they are parsed or decoded. None: all.

    Returns:
        (index int64 [batch], pixels float32 [batch, height, width, 3] in 0..255).
    """
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # Autotuning looks for the fastest decoding as if it had the processors to itself, and so takes them from the
    # backbone on a CPU: 820 images/s with it, 1,000 without (two processors, MobileNetV2 0.35 at 160 x 160).
    options.autotune.enabled = False
    batches = wanted_records(split, np.ones(len(split), bool) if wanted is None else wanted).batch(batch_size)
    to_pixels = fill_with_pixels(split, transform, batch_size)
    return batches.map(to_pixels, num_parallel_calls=os.cpu_count()).prefetch(2).with_options(options)


def wanted_records(split: Split, wanted: np.ndarray) -> tf.data.Dataset:
    """Gives the wanted images, bool [n]; the others are neither parsed nor decoded.

    Records beyond the last one that the split knows come too, so that they are noticed.

    Returns:
        (place among the records int64, serialized record).
    """
    records = split.records_of(wanted)
    mask = tf.constant(np.append(records, True))
    return open_records(split.files).enumerate().filter(lambda index, _: mask[tf.minimum(index, len(records))])


def fill_with_pixels(
    split: Split, transform: tft.TFTransformOutput, places: int
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Gives a function from a batch of `wanted_records` to one of `pixel_batches`, filled up to so many places."""
    layer = transform.transform_features_layer()
    spec = {
        features.IMAGE: tf.io.FixedLenFeature([1], tf.string),
        features.SHA256: tf.io.FixedLenFeature([], tf.string),
    }
    names, records_known = tf.constant([*split.sha256, b""]), len(split.rows_of_records())
    rows = tf.constant(np.append(split.rows_of_records(), len(split)))

    @tf.autograph.experimental.do_not_convert  # rewriting the layer's code, which needs none of it, takes two seconds
    def transform_batch(index: tf.Tensor, records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(records, spec)
        index = tf.gather(rows, tf.minimum(index, records_known))
        expected = parsed.pop(features.SHA256) == tf.gather(names, index)
        index = tf.where(expected, index, tf.constant(-2, tf.int64))
        pixels = layer(parsed)[features.PIXELS]
        missing = places - tf.shape(index)[0]
        pixels = tf.concat([pixels, tf.repeat(pixels[-1:], missing, axis=0)], axis=0)
        index = tf.concat([index, tf.fill([missing], tf.constant(-1, tf.int64))], axis=0)
        return tf.ensure_shape(index, [places]), tf.ensure_shape(pixels, [places, *pixels.shape[1:]])

    return transform_batch


def image_size(transform: tft.TFTransformOutput) -> tuple[int, int]:
    """Gives height and width of the transformed images, pixels."""
    shape = transform.transformed_feature_spec()[features.PIXELS].shape
    return int(shape[0]), int(shape[1])
