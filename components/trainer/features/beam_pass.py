"""The feature pass on Beam's workers: they fill the feature store, and the Trainer reads it (`trainer.feature_pass`).

A worker does with a batch what `FeaturePass` does: the same images stand at the same places of the same batches, and
the same graphs run, so the features have the same bits on the same processor. A unit of work is a few batches and
becomes one pack, named after its content: one that is done again, since its worker was lost, is the same file.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from components.contract import features
from components.files.paths import PARTIAL, list_names, read_bytes, remove, write_atomically
from components.files.records import open_records
from components.trainer.devices.strategy import global_batch_size, prepare_process
from components.trainer.features.augment import DRAWS, View, augment_pixels
from components.trainer.features.data import Split, readable_records
from components.trainer.features.feature_pass import FeaturePass, in_flight
from components.trainer.features.folding import FrozenGraph, load_folded
from components.trainer.features.packs import DIGEST
from components.trainer.features.store import PACK, PACK_BYTES, FeatureStore

progress = logging.getLogger("graft.progress")

UNITS = 64  # at least, where there is so much to do: a cluster has something for each worker
FEWEST_BATCHES = 8  # of a unit: less would be packs of no size
MOST_IMAGES = 2048  # of a unit: what is computed again where a worker is lost
SECONDS = 2.0  # between two looks at what is done


class Unit(NamedTuple):
    """The work of one worker at a time: some records that follow one another, in one file or in several.

    Attributes:
        file: place of the first record's file in `Job.files`.
        skip: records of that file before the first one.
        records: so many.
        wanted: a bit for each of them, whether its features are to be computed; packed.
    """

    file: int
    skip: int
    records: int
    wanted: bytes


@dataclass(frozen=True)
class Job:
    """All that a worker needs beside its unit.

    Attributes:
        store: where the features go; workers see it.
        files: TFRecord files, readable by all workers.
        transform: folder of the transform graph, readable by all workers.
        graph: file of the folded backbone, likewise; `ends` are the names of its tensors.
        ends: see `FrozenGraph`.
        width: values a feature.
        batch_size: images at once; smaller batches are filled up.
        view: an augmented view; None for the plain image.
        tensorflow: version that the key of the store names.
    """

    store: FeatureStore
    files: list[str]
    transform: str
    graph: str
    ends: tuple[str, str]
    width: int
    batch_size: int
    view: View | None
    tensorflow: str = tf.__version__


@dataclass(frozen=True)
class BeamPass:
    """Computes what is kept on the workers of a Beam runner.

    Attributes:
        args: of Beam.
    """

    args: Sequence[str]

    def __call__(
        self, feature_pass: FeaturePass, split: Split, wanted: np.ndarray, view: View | None, store: FeatureStore
    ) -> None:
        """Runs a pipeline that leaves the features of the wanted images, bool [n], in the store.

        Raises:
            RuntimeError: a worker failed for good.
        """
        if split.counts is None:
            raise ValueError("expected the records of a split in the order of its files, got some rows of it")
        batch_size = replica_batch_size(feature_pass)
        size = unit_size(int(wanted.sum()), batch_size, feature_pass.forward.width)
        units = cut_units(split.records_of(wanted), split.counts, size)
        with placed_graph(feature_pass, store) as (graph, ends), watched(store, int(wanted.sum()), size):
            folder = os.path.dirname(feature_pass.transform.transform_savedmodel_dir)
            job = Job(store, split.files, folder, graph, ends, feature_pass.forward.width, batch_size, view)
            with beam.Pipeline(options=PipelineOptions(list(self.args))) as pipeline:
                _ = (
                    pipeline
                    | "Units" >> beam.Create(units, reshuffle=True)
                    | "ComputeFeatures" >> beam.ParDo(ComputeFeatures(job))
                )


def replica_batch_size(feature_pass: FeaturePass) -> int:
    """Gives the images that one replica of the pass sees at once: a worker has one."""
    return global_batch_size(feature_pass.strategy, feature_pass.batch_size) // (
        feature_pass.strategy.num_replicas_in_sync
    )


def unit_size(images: int, batch_size: int, width: int) -> int:
    """Chooses the images of a unit: whole batches, as many as one pack holds at most.

    Args:
        images: in all.
        batch_size: of a replica.
        width: values a feature.
    """
    most = min(MOST_IMAGES, PACK_BYTES // (width * np.dtype(np.float32).itemsize))
    wished = min(max(images // UNITS, FEWEST_BATCHES * batch_size), most)
    return max(wished // batch_size, 1) * batch_size


def cut_units(wanted: np.ndarray, counts: list[int], size: int) -> list[Unit]:
    """Cuts the wanted records, bool [n], into units of so many images; `counts` are the records of each file."""
    rows, ends, units = np.flatnonzero(wanted), np.cumsum(counts), []
    for start in range(0, len(rows), size):
        mine = rows[start : start + size]
        first, end = int(mine[0]), int(mine[-1]) + 1
        file = int(np.searchsorted(ends, first, side="right"))
        skip = first - int(ends[file] - counts[file])
        units.append(Unit(file, skip, end - first, np.packbits(wanted[first:end]).tobytes()))
    return units


@contextmanager
def placed_graph(feature_pass: FeaturePass, store: FeatureStore) -> Iterator[tuple[str, tuple[str, str]]]:
    """Puts the folded backbone beside the packs for as long as the workers need it.

    Its name is that of a partial file: where this process is killed, the next run removes it.

    Yields:
        The path of the file, and the names of the tensors that go in and out.
    """
    frozen = feature_pass.forward.ready().frozen()
    path = os.path.join(store.folder, f"backbone-{uuid.uuid4().hex}{PARTIAL}")
    write_atomically(path, frozen.content)
    try:
        yield path, (frozen.pixels, frozen.features)
    finally:
        with suppress(OSError):
            remove(path)


@contextmanager
def watched(store: FeatureStore, total: int, size: int) -> Iterator[None]:
    """Tells how many of so many images are done, by the packs of `size` images that come into the store meanwhile."""
    before, started, over = len(list_names(store.folder, PACK)), time.monotonic(), threading.Event()

    def tell() -> None:
        done = min((len(list_names(store.folder, PACK)) - before) * size, total)
        rate = done / max(time.monotonic() - started, 1e-9)
        counted = f"{done:,}", f"{total:,}", f"{rate:,.0f}"
        progress.info("features of %s of %s images on Beam, %s images/s", *counted, extra={"counts": (done, total)})

    def watch() -> None:
        while not over.wait(SECONDS):
            with suppress(OSError):
                tell()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class ComputeFeatures(beam.DoFn):
    """Computes the features of a unit of work, and keeps them as one pack."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._shared = Shared()

    def setup(self) -> None:
        """Loads the graphs, once a process."""
        self._network = self._shared.acquire(lambda: Network(self._job), tag=self._job.graph)

    def process(self, unit: Unit) -> Iterator[int]:
        """Gives the number of images of a unit when its pack is in the store.

        Raises:
            RuntimeError: there are fewer records than when they were counted.
            InputError: a record is damaged, or the store cannot be written.
        """
        batches = batch_images(read_wanted(self._job.files, unit), self._job.batch_size)
        found = list(in_flight(self._network.compute, batches))
        digests, values = (np.concatenate(column) for column in zip(*found, strict=True))
        self._job.store.keep(digests, values, by_content=True)
        yield len(digests)


def read_wanted(files: list[str], unit: Unit) -> Iterator[bytes]:
    """Reads the encoded images of a unit that are to be computed, in their order.

    Raises:
        RuntimeError: there are fewer records than when they were counted.
        InputError: a record is damaged.
    """
    wanted = np.unpackbits(np.frombuffer(unit.wanted, np.uint8), count=unit.records).astype(bool)
    records, read = open_records(files[unit.file :]).skip(unit.skip).take(unit.records), 0
    with readable_records():
        for record, is_wanted in zip(records.as_numpy_iterator(), wanted, strict=False):
            read += 1
            if is_wanted:
                yield tf.train.Example.FromString(record).features.feature[features.IMAGE].bytes_list.value[0]
    if read != unit.records:
        raise RuntimeError(f"The examples changed while they were read: expected {unit.records} records, got {read}.")


def batch_images(images: Iterator[bytes], size: int) -> Iterator[tuple[list[bytes]]]:
    """Puts images into batches of one size, the last one maybe smaller; each as the arguments of a step."""
    batch = list[bytes]()
    for image in images:
        batch.append(image)
        if len(batch) == size:
            yield (batch,)
            batch = []
    if batch:
        yield (batch,)


class Network:
    """The graphs of a job, loaded in a worker: they are called by any thread."""

    def __init__(self, job: Job) -> None:
        """Loads them.

        Raises:
            RuntimeError: this worker has another TensorFlow than the Trainer.
        """
        if job.tensorflow != tf.__version__:
            raise RuntimeError(
                f"trainer.feature_pass: expected TensorFlow {job.tensorflow} on Beam's workers, as the Trainer has, "
                f"found {tf.__version__}.\nGive the workers the Trainer's image."
            )
        prepare_process("auto")
        self._view, self._batch_size = job.view, job.batch_size
        self._decode = _decoder(job.transform)
        folded = load_folded(FrozenGraph(read_bytes(job.graph), *job.ends), job.width)
        augmentation = job.view.augmentation if job.view else None

        def forward(pixels: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
            return folded(augment_pixels(pixels, draws, augmentation) if augmentation else pixels)

        self._forward = tf.function(forward, autograph=False)

    def compute(self, images: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Computes the features of a batch: digests S32 [k] of its images, and float32 [k, width]."""
        digests = np.array([hashlib.sha256(image).digest() for image in images], DIGEST)
        missing = self._batch_size - len(images)  # filled up with the last image, as `pixel_batches` does
        pixels = self._decode(tf.constant([*images, *images[-1:] * missing]))
        draws = np.zeros([self._batch_size, DRAWS], np.float32)
        if self._view:
            draws[: len(images)] = self._view.draws(digests)
        return digests, self._forward(pixels, tf.constant(draws)).numpy()[: len(images)]


def _decoder(folder: str) -> tf.types.experimental.GenericFunction:
    """Gives the transform graph as a function from encoded images, string [batch], to their pixels."""
    layer = tft.TFTransformOutput(folder).transform_features_layer()

    @tf.autograph.experimental.do_not_convert
    def decode(images: tf.Tensor) -> tf.Tensor:
        return layer({features.IMAGE: images[:, tf.newaxis]})[features.PIXELS]

    return tf.function(decode, autograph=False)
