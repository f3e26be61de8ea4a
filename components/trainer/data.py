"""The Trainer's input: who is in a split, and its pixels as the one transform graph makes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components import features
from components.errors import InputError


@dataclass(frozen=True)
class Split:
    """One split's records, in the order of the files.

    Attributes:
        files: TFRecord files, sorted.
        sha256: [n] hex digests of the images.
        labels: int64 [n], label indices.
        texts: [n] class names.
    """

    files: list[str]
    sha256: np.ndarray
    labels: np.ndarray
    texts: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def join_splits(first: Split, second: Split) -> Split:
    """Both splits as one, the first one's records first: one pass through the backbone serves both."""
    return Split(
        first.files + second.files,
        np.concatenate([first.sha256, second.sha256]),
        np.concatenate([first.labels, second.labels]),
        np.concatenate([first.texts, second.texts]),
    )


def in_content_order(split: Split, values: np.ndarray) -> tuple[Split, np.ndarray]:
    """A split and its features ordered by the images' digests: what is learned must not depend on shards or workers."""
    order = np.argsort(split.sha256, kind="stable")
    columns = (split.sha256[order], split.labels[order], split.texts[order])
    return Split(split.files, *columns), values[order]


def list_files(patterns: list[str]) -> list[str]:
    """The files behind the patterns that TFX gives a Trainer."""
    return sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))


def open_records(files: list[str]) -> tf.data.Dataset:
    """Serialized examples in a fixed order; gzip is told by the suffix."""
    compression = "GZIP" if files and files[0].endswith(".gz") else ""
    return tf.data.TFRecordDataset(files, compression_type=compression)


def read_split(patterns: list[str]) -> Split:
    """Reads who is in a split, without decoding an image."""
    wanted = {
        features.SHA256: tf.io.FixedLenFeature([], tf.string),
        features.LABEL: tf.io.FixedLenFeature([], tf.int64),
        features.LABEL_TEXT: tf.io.FixedLenFeature([], tf.string),
    }
    files = list_files(patterns)
    batches = list(open_records(files).batch(256).map(lambda x: tf.io.parse_example(x, wanted)).as_numpy_iterator())

    def column(name: str, kind: type) -> np.ndarray:
        return np.concatenate([batch[name] for batch in batches]) if batches else np.array([], kind)

    return Split(
        files, column(features.SHA256, object), column(features.LABEL, np.int64), column(features.LABEL_TEXT, object)
    )


def class_names(split: Split) -> list[str]:
    """The class names in the order of the label index.

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


def pixel_batches(split: Split, transform: tft.TFTransformOutput, batch_size: int) -> tf.data.Dataset:
    """A split's pixels through the transform graph, in batches of one size.

    The last batch is filled up with its last image under the index -1: no replica is ever left empty.

    Returns:
        (index int64 [batch], pixels float32 [batch, height, width, 3] in 0..255).
    """
    layer = transform.transform_features_layer()
    wanted = {features.IMAGE: tf.io.FixedLenFeature([1], tf.string)}

    def transform_batch(index: tf.Tensor, records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = layer(tf.io.parse_example(records, wanted))[features.PIXELS]
        missing = batch_size - tf.shape(index)[0]
        pixels = tf.concat([pixels, tf.repeat(pixels[-1:], missing, axis=0)], axis=0)
        index = tf.concat([index, tf.fill([missing], tf.constant(-1, tf.int64))], axis=0)
        return tf.ensure_shape(index, [batch_size]), tf.ensure_shape(pixels, [batch_size, *pixels.shape[1:]])

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    batches = open_records(split.files).enumerate().batch(batch_size)
    return batches.map(transform_batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2).with_options(options)


def image_size(transform: tft.TFTransformOutput) -> tuple[int, int]:
    """Height and width of the transformed images."""
    shape = transform.transformed_feature_spec()[features.PIXELS].shape
    return int(shape[0]), int(shape[1])
