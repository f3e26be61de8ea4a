"""Metrics of TFMA that take a batch of images at once.

TFMA's own take one image at a time, and Keras' trace a graph for each model first: seconds for three sums. These are
metrics of TFMA like others: its evaluator merges them over bundles and workers, and its files hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma

RATED = "graft_rated"  # the key, among TFMA's extracts of a batch, of {model: columns of `outcomes.MODEL_COLUMNS`}
SMALLEST = 1e-7  # of a probability, as in Keras' losses

Columns = dict[str, np.ndarray]
Sums = tuple[float, int]  # of the values, and how many images


def count_images(columns: Columns) -> np.ndarray:
    """Gives one for each image."""
    return np.ones(len(columns["label"]))


def rate_right(columns: Columns) -> np.ndarray:
    """Gives one for each image whose most probable class is the label, else zero."""
    return np.asarray(columns["predicted"] == columns["label"], float)


def rate_losses(columns: Columns) -> np.ndarray:
    """Gives the negative logarithm of the label's probability for each image."""
    return -np.log(np.clip(np.asarray(columns["true_probability"], float), SMALLEST, 1.0))


# By the name that a row of `metrics.METRICS` gives in `tfma`: a number for each image of a batch.
RATES: dict[str, Callable[[Columns], np.ndarray]] = {
    "count": count_images,
    "right": rate_right,
    "loss": rate_losses,
}


class _Rated(tfma.metrics.Preprocessor):
    """Takes what a batch says of its images for each model out of TFMA's extracts."""

    def process(self, extracts: dict[str, Any]) -> Iterator[dict[str, Columns]]:
        yield extracts[RATED]


class _Total(beam.CombineFn):
    """Sums a rate of one model over batches; gives the sum of `count`, of others their mean over the images."""

    def __init__(self, key: tfma.metrics.MetricKey, rate: str) -> None:
        super().__init__()
        self.key, self.rate = key, rate

    def create_accumulator(self) -> Sums:
        return 0.0, 0

    def add_input(self, sums: Sums, batch: dict[str, Columns]) -> Sums:
        values = RATES[self.rate](batch[self.key.model_name])
        return sums[0] + float(values.sum()), sums[1] + len(values)

    def merge_accumulators(self, accumulators: Iterable[Sums]) -> Sums:
        found = list(accumulators)
        return sum(total for total, _ in found), sum(images for _, images in found)

    def extract_output(self, sums: Sums) -> dict[tfma.metrics.MetricKey, float]:
        total, images = sums
        return {self.key: total if self.rate == "count" or not images else total / images}


def make_computations(name: str, rate: str, model_names: list[str]) -> list[tfma.metrics.MetricComputation]:
    """Makes what TFMA runs for a metric: one sum a model."""
    keys = [tfma.metrics.MetricKey(name=name, model_name=model) for model in model_names]
    return [tfma.metrics.MetricComputation([key], [_Rated()], _Total(key, rate)) for key in keys]


class BatchMetric(tfma.metrics.Metric):
    """A metric of TFMA over batches.

    Args:
        name: in TFMA's results.
        rate: a name of `RATES`.
    """

    def __init__(self, name: str, rate: str) -> None:
        super().__init__(make_computations, name=name, rate=rate)
