"""Computes the pooled features of a split: the frozen backbone sees each image once, then the store keeps them."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.trainer.devices.strategy import global_batch_size, same_everywhere
from components.trainer.features.augment import View, augment_pixels
from components.trainer.features.data import Split, pixel_batches, readable_records
from components.trainer.features.folding import Folded, LazyBackbone
from components.trainer.features.shared_arrays import aligned_zeros
from components.trainer.features.store import FeatureStore, PackWriter

progress = logging.getLogger("graft.progress")

Step = Callable[..., tuple[np.ndarray, np.ndarray]]  # of a batch

IN_FLIGHT = 2  # batches that the backbone works on at once: no layer waits for the last thread of the one before it


@dataclass(frozen=True)
class Features:
    """The features of a split, and where they came from.

    Attributes:
        values: float32 [n, d], in the order of the split.
        kept: bool [n], those that were read from the store.
        computed: images that the backbone saw; copies of one image count once.
        seconds: of the backbone pass, decoding included.
    """

    values: np.ndarray
    kept: np.ndarray
    computed: int
    seconds: float

    def without_values(self) -> Features:
        """Gives a copy without the values, which take the memory: enough for a report."""
        return replace(self, values=np.zeros([0, self.values.shape[1]], np.float32))

    def describe(self) -> str:
        """Describes how many features were computed and read, for the node's closing line."""
        rate = f" at {self.computed / max(self.seconds, 1e-9):,.0f} images/s" if self.computed else ""
        return f"{self.computed:,} features computed{rate}, {int(self.kept.sum()):,} from the store"


class Elsewhere(Protocol):
    """Computes features on other machines: those that are kept, since the store is where they are left."""

    def __call__(
        self, feature_pass: FeaturePass, split: Split, wanted: np.ndarray, view: View | None, store: FeatureStore
    ) -> None:
        """Computes the features of the wanted images, bool [n], with the bits of the pass itself, into the store."""


@dataclass(frozen=True)
class FeaturePass:
    """Runs images of a split through the backbone in batches.

    Attributes:
        strategy: replicas that share each batch.
        forward: of `fold_backbone`, now or later.
        transform: the transform graph that makes the pixels.
        batch_size: global, fixed; rounded up to a multiple of the replicas.
        elsewhere: computes what is kept; None: this process does, as it does what is not kept.
    """

    strategy: tf.distribute.Strategy
    forward: Folded | LazyBackbone
    transform: tft.TFTransformOutput
    batch_size: int
    elsewhere: Elsewhere | None = None

    def run(
        self, split: Split, wanted: np.ndarray, view: View | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Runs the backbone over some images of a split.

        Args:
            split: in the order of its files.
            wanted: bool [n].
            view: an augmented view; None for the plain image.

        Yields:
            Rows of the split int64 [k], and their features float32 [k, d], in no promised order.

        Raises:
            RuntimeError: the records are not those of the split any more.
        """
        expected, done = int(wanted.sum()), 0
        batches = pixel_batches(split, self.transform, global_batch_size(self.strategy, self.batch_size), wanted)
        with readable_records():
            for indices, values in in_flight(self._make_step(split, wanted, view), self._distribute(batches)):
                if (indices < -1).any():
                    raise RuntimeError("The examples changed while they were read: they stand in another order now.")
                real = indices >= 0
                done += int(real.sum())
                yield indices[real], values[real]
        if done != expected:
            raise RuntimeError(f"The examples changed while they were read: expected {expected} images, got {done}.")

    def _distribute(self, batches: tf.data.Dataset) -> Any:
        """Shares the batches among the replicas.

        One replica takes them as they are: a distributed iterator left one of two processors idle in every third pass.
        """
        alone = self.strategy.num_replicas_in_sync == 1
        return batches if alone else self.strategy.experimental_distribute_dataset(batches)

    def _make_step(self, split: Split, wanted: np.ndarray, view: View | None) -> Step:
        draws = tf.constant(_draws(split, wanted, view)) if view else None
        forward = self.forward.ready()

        def on_replica(index: tf.Tensor, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            if view:
                pixels = augment_pixels(pixels, tf.gather(draws, tf.maximum(index, 0)), view.augmentation)
            return index, forward(pixels)

        on_all = lambda index, pixels: self.strategy.run(on_replica, args=(index, pixels))  # noqa: E731
        graph = tf.function(on_all, autograph=False)

        def step(index: tf.Tensor, pixels: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
            index, values = graph(index, pixels)
            return self._local(index), self._local(values)

        return step

    def _local(self, output: tf.Tensor) -> np.ndarray:
        return np.concatenate([value.numpy() for value in self.strategy.experimental_local_results(output)])


def in_flight(step: Step, batches: Iterable[tuple[Any, ...]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields a step's output for each batch, in order, `IN_FLIGHT` of them at once; the first alone, as it traces."""
    pending: deque[Future[tuple[np.ndarray, np.ndarray]]] = deque()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        for number, batch in enumerate(batches):
            if not number:
                yield step(*batch)
                continue
            pending.append(pool.submit(step, *batch))
            if len(pending) == IN_FLIGHT:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _draws(split: Split, wanted: np.ndarray, view: View) -> np.ndarray:
    drawn = view.draws(split.digests()[wanted])
    draws = np.zeros([len(split), drawn.shape[1]], np.float32)
    draws[wanted] = drawn
    return draws


def gather_features(
    feature_pass: FeaturePass, split: Split, store: FeatureStore | None = None, view: View | None = None
) -> Features:
    """Gathers the features of a split: from the store those it has, from the backbone the others, which are then kept.

    Args:
        feature_pass: how features are computed.
        split: in the order of its files.
        store: of the key that belongs to the pass and the view; None: nothing is read or kept.
        view: an augmented view; None for the plain image.

    Raises:
        InputError: the store cannot be written, or the disk is full.
        RuntimeError: the records changed.
    """
    digests = split.digests()
    width = feature_pass.forward.width
    if store:
        values, kept = store.read(digests, width)
    else:
        values, kept = aligned_zeros(len(split), width), np.zeros(len(split), bool)
    same_everywhere(feature_pass.strategy, hashlib.sha256(kept.tobytes()).hexdigest())  # else some would wait for ever
    wanted = np.zeros(len(split), bool)
    lacking = np.flatnonzero(~kept)
    wanted[lacking[np.unique(digests[lacking], return_index=True)[1]]] = True
    start = time.monotonic()
    if wanted.any() and store and feature_pass.elsewhere:
        del values  # that of the store has the same size
        values = _compute_elsewhere(feature_pass, split, wanted, view, store)
    elif wanted.any():
        if store:
            with store.writing() as writer:
                _compute(feature_pass, split, wanted, view, values, writer)
        else:
            _compute(feature_pass, split, wanted, view, values, None)
        _copy_to_copies(values, digests, wanted, lacking)
    return Features(values, kept, int(wanted.sum()), time.monotonic() - start)


def gather_rows(feature_pass: FeaturePass, split: Split, rows: np.ndarray) -> np.ndarray:
    """Computes the features of a few rows of a split, float32 [k, d], in the order of the rows; nothing is kept.

    Args:
        feature_pass: how features are computed.
        split: in the order of its files.
        rows: int [k], each at most once.
    """
    values, places = np.zeros([len(rows), feature_pass.forward.width], np.float32), np.zeros(len(split), np.int64)
    places[rows] = np.arange(len(rows))
    for found, computed in feature_pass.run(split, np.isin(np.arange(len(split)), rows)):
        values[places[found]] = computed
    return values


def _compute_elsewhere(
    feature_pass: FeaturePass, split: Split, wanted: np.ndarray, view: View | None, store: FeatureStore
) -> np.ndarray:
    """Has the chief wait for features that are computed elsewhere; all workers then read them, float32 [n, d].

    Raises:
        RuntimeError: some are not in the store.
    """
    if feature_pass.elsewhere and store.writable:
        with store.writing():
            feature_pass.elsewhere(feature_pass, split, wanted, view, store)
    same_everywhere(feature_pass.strategy, store.key)  # the others wait here
    values, found = store.read(split.digests(), feature_pass.forward.width)
    if not found.all():
        raise RuntimeError(
            f"Expected the features of {len(split):,} images in {store.folder}, found {int(found.sum()):,}: the "
            "examples changed while they were read, or kept features were removed meanwhile.\nStart the run again."
        )
    return values


def _compute(
    feature_pass: FeaturePass,
    split: Split,
    wanted: np.ndarray,
    view: View | None,
    values: np.ndarray,
    writer: PackWriter | None,
) -> None:
    digests, total = split.digests(), int(wanted.sum())
    done, start = 0, time.monotonic()
    what = f"view {view.number} of " if view else ""
    before = f" ({len(split) - total:,} are kept)" if total < len(split) else ""
    for rows, found in feature_pass.run(split, wanted, view):
        values[rows] = found
        if writer:
            writer.add(digests[rows], found)
        done += len(rows)
        rate = done / (time.monotonic() - start)
        text = "features of %s%s of %s images%s, %s images/s"
        counted = what, f"{done:,}", f"{total:,}", before, f"{rate:,.0f}"
        progress.info(text, *counted, extra={"counts": (done, total)})


def _copy_to_copies(values: np.ndarray, digests: np.ndarray, wanted: np.ndarray, lacking: np.ndarray) -> None:
    """Copies features to the rows of images that are there twice: the backbone saw such an image once."""
    copies = lacking[~wanted[lacking]]
    if len(copies):
        rows = np.flatnonzero(wanted)
        order = np.argsort(digests[rows], kind="stable")
        values[copies] = values[rows[order[np.searchsorted(digests[rows], digests[copies], sorter=order)]]]


def augmented_features(feature_pass: FeaturePass, split: Split, view: View) -> np.ndarray:
    """Computes features of one fresh view of every image, float32 [n, d], in the order of the split; nothing is kept.

    For fresh views each epoch: the view's number is the epoch, counted from 1.
    """
    return gather_features(feature_pass, split, None, view).values
