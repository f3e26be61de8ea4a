"""The table of metrics: to add one, add a row to `METRICS`.

Everything that shows or judges a model reads its metrics by this table: `metrics.json`, `summary.json`, passports, the
page of Kubeflow's UI, and the quality gate, which takes a floor for each row that says `gate=True`. All metrics are
those of the served signature on every eval image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from components.contract import statistics
from components.errors import InputError, did_you_mean
from components.evaluator.outcomes import Outcomes

BINS = 15  # of the calibration error, as in the paper
Interval = tuple[float, float]


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    TFMA takes a row in the pass over the records (`tfma` names what is summed up), or `of` computes it from the
    outcomes that this pass left of every image.

    Attributes:
        name: key in `metrics.json` and all that is made of it.
        over: `overall` is one value, `per_class` one for each class against the rest, `plot` a table.
        tfma: a name of `batch_metrics.RATES`, which TFMA sums up; empty: `of` computes the metric.
        of: from the outcomes, and k of top-k: a value, or for `per_class` a list in the order of the classes.
        interval_of: from the outcomes, k and the confidence: the two-sided interval of an overall value.
        gate: whether `gates.quality.min` takes a floor for it: an overall share, 0..1, the higher the better.
        mean: of a `per_class` row: whether the mean over the classes is an overall metric, too.
    """

    name: str
    over: Literal["overall", "per_class", "plot"]
    tfma: str = ""
    of: Callable[[Outcomes, int], Any] | None = None
    interval_of: Callable[[Outcomes, int, float], Interval | None] | None = None
    gate: bool = False
    mean: bool = False

    def measure(self, outcomes: Outcomes, k: int) -> Any:
        """Computes a row that is not TFMA's."""
        if self.of is None:
            raise TypeError(f"Expected a metric that is computed from outcomes, got {self.name}, which TFMA computes.")
        return self.of(outcomes, k)

    def interval(self, outcomes: Outcomes, k: int, confidence: float) -> Interval | None:
        """Gives the two-sided interval of the value; None for a metric without one.

        Unless it has its own, a gate metric is measured again on images drawn with replacement, 1,000 times.
        """
        if self.interval_of is not None:
            return self.interval_of(outcomes, k, confidence)
        if not self.gate:
            return None
        images = len(outcomes.labels)
        return statistics.bootstrap_images(
            images, lambda drawn: float(self.measure(outcomes.take(drawn), k)), confidence
        )


def accuracy_interval(outcomes: Outcomes, _k: int, confidence: float) -> Interval:
    """Wilson's interval of the accuracy."""
    return statistics.wilson_interval(int(outcomes.right.sum()), len(outcomes.labels), confidence)


def log_loss_interval(outcomes: Outcomes, _k: int, confidence: float) -> Interval:
    """Normal interval of the mean negative logarithm of the label's probability."""
    losses = -np.log(np.clip(outcomes.true_probability, 1e-7, 1.0))
    half = statistics.quantile(0.5 + confidence / 2) * float(losses.std()) / np.sqrt(max(len(losses), 1))
    return float(losses.mean() - half), float(losses.mean() + half)


def top_k(outcomes: Outcomes, k: int) -> float:
    """Share of images whose label is among the k most probable classes."""
    return float((outcomes.rank < k).mean())


def top_k_interval(outcomes: Outcomes, k: int, confidence: float) -> Interval:
    """Wilson's interval of that share."""
    return statistics.wilson_interval(int((outcomes.rank < k).sum()), len(outcomes.labels), confidence)


def refused(outcomes: Outcomes, _k: int = 0) -> float | None:
    """Share of the eval images, all of them good, that are called outliers; None: an older model does not say."""
    return None if outcomes.known is None else float((~outcomes.known).mean())


def refused_interval(outcomes: Outcomes, _k: int, confidence: float) -> Interval | None:
    """Wilson's interval of that share."""
    if outcomes.known is None:
        return None
    return statistics.wilson_interval(int((~outcomes.known).sum()), len(outcomes.known), confidence)


def macro_f1_interval(outcomes: Outcomes, _k: int, confidence: float) -> Interval:
    """Percentile bootstrap over the occupied cells of the confusion matrix: the same as over images, for less."""
    cells = np.flatnonzero(outcomes.matrix)
    actual, predicted = np.divmod(cells, outcomes.classes)
    hits = actual == predicted

    def measure(counts: np.ndarray) -> float:
        right = np.bincount(actual[hits], counts[hits], outcomes.classes)
        either = np.bincount(actual, counts, outcomes.classes) + np.bincount(predicted, counts, outcomes.classes)
        there = either > 0
        return float((2 * right[there] / either[there]).mean())

    return statistics.bootstrap_cells(outcomes.matrix.ravel()[cells], measure, confidence)


def ece(outcomes: Outcomes, _k: int = 0) -> float:
    """Expected calibration error: mean gap of confidence and accuracy over 15 bins (Guo et al. 2017, 1706.04599)."""
    rows = calibration(outcomes)
    return sum(row["examples"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / len(outcomes.labels)


def ece_uncalibrated(outcomes: Outcomes, _k: int = 0) -> float:
    """The same error of the probabilities before the temperature; without one, or where it is not kept, as served."""
    before = outcomes.probability if outcomes.uncalibrated is None else outcomes.uncalibrated
    return ece(replace(outcomes, probability=before))


def calibration(outcomes: Outcomes, _k: int = 0) -> list[dict[str, float]]:
    """The reliability curve: for each bin of confidence that has images, its images, mean confidence and accuracy."""
    bins = np.minimum((outcomes.probability * BINS).astype(int), BINS - 1)
    rows = []
    for number in np.unique(bins):
        inside = bins == number
        rows.append(
            {
                "low": number / BINS,
                "high": (number + 1) / BINS,
                "examples": int(inside.sum()),
                "confidence": float(outcomes.probability[inside].mean()),
                "accuracy": float(outcomes.right[inside].mean()),
            }
        )
    return rows


def precision(outcomes: Outcomes, _k: int = 0) -> list[float | None]:
    """Share of each class's predictions that are right; None where it is never predicted.

    TFMA's own `Precision(top_k=1)`, one class against the rest, counts such a class as always predicted.
    """
    return _ratios(np.diag(outcomes.matrix), outcomes.matrix.sum(axis=0))


def recall(outcomes: Outcomes, _k: int = 0) -> list[float | None]:
    """Share of each class's images that are found; None where it has none."""
    return _ratios(np.diag(outcomes.matrix), outcomes.matrix.sum(axis=1))


def class_examples(outcomes: Outcomes, _k: int = 0) -> list[int]:
    """Number of images of each class."""
    return [int(count) for count in outcomes.matrix.sum(axis=1)]


def f1_of(matrix: np.ndarray) -> list[float | None]:
    """F1 of each class of a confusion matrix, counts [actual][predicted]; None where the class is in neither."""
    return _ratios(2 * np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1))


def macro_f1_of(matrix: np.ndarray) -> float:
    """Mean F1 over the classes that have images or predictions; 0 where none has."""
    values = [value for value in f1_of(matrix) if value is not None]
    return sum(values) / len(values) if values else 0.0


def _ratios(right: np.ndarray, of: np.ndarray) -> list[float | None]:
    return [float(some / all_) if all_ else None for some, all_ in zip(right, of, strict=True)]


METRICS = (
    Metric("examples", "overall", "count"),
    Metric("accuracy", "overall", "right", interval_of=accuracy_interval),
    Metric("log_loss", "overall", "loss", interval_of=log_loss_interval),
    Metric("top_k", "overall", of=top_k, interval_of=top_k_interval, gate=True),
    Metric("macro_f1", "overall", of=lambda o, _k: macro_f1_of(o.matrix), interval_of=macro_f1_interval, gate=True),
    Metric("ece", "overall", of=ece),
    Metric("ece_uncalibrated", "overall", of=ece_uncalibrated),
    Metric("calibration", "overall", of=calibration),
    Metric("refused", "overall", of=refused, interval_of=refused_interval),
    Metric("examples", "per_class", of=class_examples),
    Metric("accuracy", "per_class", of=recall),
    Metric("precision", "per_class", of=precision),
    Metric("recall", "per_class", of=recall),
    Metric("f1", "per_class", of=lambda outcomes, _k: f1_of(outcomes.matrix)),
    Metric("auc", "per_class", of=lambda outcomes, _k: outcomes.areas, mean=True),
    Metric("confusion_matrix", "plot", of=lambda outcomes, _k: outcomes.matrix.tolist()),
)


def list_metrics(over: str = "") -> list[Metric]:
    """Lists the rows of the table, or those over `overall`, `per_class` or `plot`."""
    return [row for row in METRICS if over in ("", row.over)]


def gate_metrics() -> dict[str, Metric]:
    """Gives the rows that `gates.quality.min` takes a floor for, by name."""
    return {row.name: row for row in list_metrics("overall") if row.gate}


def check_floor_names(names: Iterable[str]) -> None:
    """Refuses names in `gates.quality.min` that are no gate metrics.

    Raises:
        InputError: names the metrics that there are, and the nearest.
    """
    there = list(gate_metrics())
    for name in names:
        if name not in there:
            hint = " Its floor is gates.quality.min_accuracy." if name == "accuracy" else did_you_mean(name, there)
            raise InputError(
                f"gates.quality.min: expected metrics that take a floor, got '{name}'.{hint}\n"
                f"There are {', '.join(there)}."
            )
