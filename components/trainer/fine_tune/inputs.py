"""The second stage's input: the images themselves, in another order each epoch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.options.trainer import TrainerOptions
from components.trainer.features.augment import DRAWS, Augmentation, View
from components.trainer.features.data import Split, fill_with_pixels, pixel_batches, readable_records, wanted_records
from components.trainer.training.step import Batch

SHUFFLED_AT_ONCE = 4096  # encoded images in memory, some 100 MB; ingest has mixed the files already


def augmentation_of(options: TrainerOptions) -> Augmentation:
    """Reads how far a view may be from its image."""
    wish = options.augment
    return Augmentation(wish.flip, wish.rotation, wish.zoom, wish.brightness, wish.contrast)


@dataclass(frozen=True)
class Images:
    """The images of the second stage.

    Attributes:
        split: in the order of its files.
        held: bool [n], True for the images that are only watched.
        transform: the transform graph.
        augmentation: how far the views that are learned from may be from their images.
    """

    split: Split
    held: np.ndarray
    transform: tft.TFTransformOutput
    augmentation: Augmentation

    @property
    def learned(self) -> np.ndarray:
        """Rows that are learned from, int [k]."""
        return np.flatnonzero(~self.held)

    def learned_batches(self, shape: tuple[int, int], seed: int, epoch: int, first: int) -> Iterator[tuple[Batch, int]]:
        """Reads what the steps of an epoch see, in the order and the views of this epoch, and how many images it is.

        Args:
            shape: images a batch, and to how many places it is filled up.
            seed: of orders and views.
            epoch: counted from 0.
            first: the step that is the first to read.

        Raises:
            RuntimeError: the records are not those of the split any more.
        """
        draws = np.zeros([len(self.split), 0], np.float32)
        if self.augmentation.changes_anything:
            draws = np.zeros([len(self.split), DRAWS], np.float32)
            view = View(self.augmentation, seed, epoch + 1)
            draws[self.learned] = view.draws(self.split.digests()[self.learned])
        order = int(np.random.default_rng([seed, epoch]).integers(2**31))
        batches = shuffled_batches(self.split, self.transform, self.learned, shape, order, first)
        return self._checked(batches, draws, len(self.learned) - first * shape[0])

    def watched_batches(self, places: int) -> Iterator[tuple[Batch, int]]:
        """Reads the held-out images, so many a batch, and how many images each batch has.

        Raises:
            RuntimeError: the records are not those of the split any more.
        """
        batches = pixel_batches(self.split, self.transform, places, self.held)
        return self._checked(batches, np.zeros([len(self.split), 0], np.float32), int(self.held.sum()))

    def _checked(
        self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]], draws: np.ndarray, expected: int
    ) -> Iterator[tuple[Batch, int]]:
        found = 0
        with readable_records():
            for index, pixels in batches:
                rows = index.numpy()
                if (rows < -1).any():
                    raise RuntimeError("The examples changed while they were read: they stand in another order now.")
                real = int((rows >= 0).sum())
                found += real
                yield Batch(index, (pixels, tf.constant(draws[np.maximum(rows, 0)]))), real
        if found < expected:
            raise RuntimeError(f"The examples changed while they were read: expected {expected} images, got {found}.")


def shuffled_batches(
    split: Split, transform: tft.TFTransformOutput, rows: np.ndarray, shape: tuple[int, int], seed: int, first: int
) -> tf.data.Dataset:
    """Reads pixels of some rows in an order drawn from the seed, from any batch on.

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
    """Mixes one window; `Dataset.shuffle` would make it depend on TensorFlow's global seed."""
    key = tf.stack([tf.constant(seed, tf.int64), number])
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(index)[0]), key)
    return tf.gather(index, order), tf.gather(records, order)
