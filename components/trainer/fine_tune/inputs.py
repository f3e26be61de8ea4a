"""The second stage's input: the images themselves, in another order each epoch."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.trainer.features.data import Split, fill_with_pixels, wanted_records

SHUFFLED_AT_ONCE = 4096  # encoded images in memory, some 100 MB; ingest has mixed the files already


def shuffled_batches(
    split: Split, transform: tft.TFTransformOutput, rows: np.ndarray, shape: tuple[int, int], seed: int, first: int
) -> tf.data.Dataset:
    """Pixels of some rows in an order drawn from the seed, from any batch on.

    Args:
        split: in the order of its files.
        transform: the transform graph.
        rows: int [k], those that are wanted.
        shape: images a batch, and to how many places it is filled up: a multiple of the replicas.
        seed: another one gives another order.
        first: batches that are passed over, undecoded.

    Returns:
        (index int64 [places], pixels float32 [places, height, width, 3] in 0..255). The index is -1 where a place is
        filled up, and -2 where the record is not the one that the split names.
    """
    size, places = shape
    wanted = np.zeros(len(split), bool)
    wanted[rows] = True
    options = tf.data.Options()
    options.autotune.enabled = False  # it takes the processors from the training, see `pixel_batches`
    windows = wanted_records(split, wanted).batch(SHUFFLED_AT_ONCE).enumerate()
    records = windows.map(lambda number, window: _mix(number, window[0], window[1], seed)).unbatch()
    batches = records.skip(first * size).batch(size)
    return (
        batches.map(fill_with_pixels(split, transform, places), num_parallel_calls=os.cpu_count())
        .prefetch(2)
        .with_options(options)
    )


def _mix(number: tf.Tensor, index: tf.Tensor, records: tf.Tensor, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Another order of one window; `Dataset.shuffle` would make it depend on TensorFlow's global seed."""
    key = tf.stack([tf.constant(seed, tf.int64), number])
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(index)[0]), key)
    return tf.gather(index, order), tf.gather(records, order)
