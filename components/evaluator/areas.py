"""The area under the ROC curve of each class against the rest, exactly, from every image's probabilities.

Those of all classes are in a file beside `images.parquet` while the Evaluator runs, which is read a batch at a time. So
memory holds a batch and one number an image. Where they are few, the candidate's stay (`kept_answers.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from tfx.dsl.io import fileio

from components.evaluator.outcomes import Outcomes

READ_AT_ONCE = 4096  # images, of which each has a probability for every class
PROBABILITIES = "probabilities"  # of the files' names, and of a model's column: float32 [classes], as bytes


def make_wide_schema(models: list[str], classes: int) -> pa.Schema:
    """Makes the schema of the files: a column a model."""
    width = classes * np.dtype(np.float32).itemsize
    return pa.schema([(f"{model}/{PROBABILITIES}", pa.binary(width)) for model in models])


def list_probabilities(probabilities: np.ndarray) -> dict[str, list[bytes]]:
    """Gives the column of one model for a batch, float [images, classes]."""
    return {PROBABILITIES: [row.tobytes() for row in np.asarray(probabilities, np.float32)]}


def read_probabilities(uri: str, model: str) -> Iterator[np.ndarray]:
    """Reads the files of an evaluation: float32 [images, classes] of one model, a batch at a time."""
    for batch in read_columns(uri, [f"{model}/{PROBABILITIES}"]):
        (column,) = batch.columns
        yield np.frombuffer(b"".join(column.to_pylist()), np.float32).reshape(len(column), -1)


def read_columns(uri: str, names: list[str]) -> Iterator[pa.RecordBatch]:
    """Reads some columns of the files, a batch at a time."""
    for path in _list_files(uri):
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            yield from pq.ParquetFile(file).iter_batches(READ_AT_ONCE, columns=names)


def remove_probabilities(uri: str) -> None:
    """Removes the files, which nothing reads after the Evaluator."""
    for path in _list_files(uri):
        fileio.remove(path)


def _list_files(uri: str) -> list[str]:
    return sorted(fileio.glob(os.path.join(uri, f"{PROBABILITIES}*")))


def measure_areas(outcomes: Outcomes, batches: Iterator[np.ndarray]) -> list[float | None]:
    """Computes the area of each class: how often an image of the class gets more than one of another; ties count half.

    The images of each class are known beforehand by their labels' probability, so each batch is only sorted into them.

    Args:
        outcomes: of every image.
        batches: float32 [some images, classes], each image once, in any order.

    Returns:
        An area a class, 0..1, as scikit-learn's `roc_auc_score`; None where all images or none are of the class, and
        where a probability is no number.

    Raises:
        RuntimeError: the batches hold another number of images.
    """
    order = np.lexsort((outcomes.true_probability, outcomes.labels))
    sizes = np.bincount(outcomes.labels, minlength=outcomes.classes)
    inside = np.split(np.asarray(outcomes.true_probability, np.float32)[order], np.cumsum(sizes)[:-1])
    below, seen = np.zeros(outcomes.classes), 0
    for batch in batches:
        seen += len(batch)
        for index in np.flatnonzero(sizes):
            found, column = inside[index], batch[:, index]
            smaller = np.searchsorted(found, column, "left"), np.searchsorted(found, column, "right")
            below[index] += len(found) * len(column) - (smaller[0].sum() + smaller[1].sum()) / 2
        below[~np.isfinite(batch).all(axis=0)] = np.nan
    if seen != len(outcomes.labels):
        raise RuntimeError(
            f"Expected the probabilities of each of {len(outcomes.labels):,} images once, found {seen:,}.\n"
            "Start the run again; if Beam runs elsewhere, its workers may not see the same files."
        )
    others = len(outcomes.labels) - sizes
    areas = [
        (total - size * size / 2) / (size * rest) if size and rest else np.nan
        for total, size, rest in zip(below, sizes.astype(float), others, strict=True)
    ]
    return [None if np.isnan(area) else float(area) for area in areas]
