"""The table of metrics: to add one, add a row to `METRICS`.

A row is taken by TFMA in its pass over the records (`tfma` names its class, or Keras'), or computed from what that pass
left of every image (`of`). All of them are those of the served signature on every eval image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from components.evaluator import statistics
from components.evaluator.outcomes import Outcomes

BINS = 15  # of the calibration error, as in the paper


@dataclass(frozen=True)
class Metric:
    """One row.

    Attributes:
        name: in `metrics.json` and `summary.json`.
        over: `overall` is one value, `per_class` one for each class against the rest, `plot` a table of TFMA's.
        tfma: the class that TFMA computes it with; empty: `of` does.
        of: from the outcomes, and k of top-k: a value, or for `per_class` a list in the order of the classes.
        arguments: of the TFMA class.
    """

    name: str
    over: Literal["overall", "per_class", "plot"]
    tfma: str = ""
    of: Callable[[Outcomes, int], Any] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


def top_k(outcomes: Outcomes, k: int) -> float:
    """Share of images whose label is among the k most probable classes."""
    return float((outcomes.rank < k).mean())


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


def ece(outcomes: Outcomes, _k: int = 0) -> float:
    """Expected calibration error: mean gap of confidence and accuracy over 15 bins (Guo et al. 2017, 1706.04599)."""
    rows = calibration(outcomes)
    return sum(row["examples"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / len(outcomes.labels)


def precision(outcomes: Outcomes, _k: int = 0) -> list[float | None]:
    """Of each class: how many of its predictions are right; None where it is never predicted.

    TFMA's own `Precision(top_k=1)`, one class against the rest, counts such a class as always predicted.
    """
    return _ratios(np.diag(outcomes.matrix), outcomes.matrix.sum(axis=0))


def recall(outcomes: Outcomes, _k: int = 0) -> list[float | None]:
    """Of each class: how many of its images are found; None where it has none."""
    return _ratios(np.diag(outcomes.matrix), outcomes.matrix.sum(axis=1))


def f1(outcomes: Outcomes, _k: int = 0) -> list[float | None]:
    """Of each class: the harmonic mean of precision and recall; None where the class is in neither."""
    return f1_of(outcomes.matrix)


def class_examples(outcomes: Outcomes, _k: int = 0) -> list[int]:
    """Of each class: its images."""
    return [int(count) for count in outcomes.matrix.sum(axis=1)]


def f1_of(matrix: np.ndarray) -> list[float | None]:
    """F1 of each class of a confusion matrix, counts [actual][predicted]."""
    return _ratios(2 * np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1))


def macro_f1_of(matrix: np.ndarray) -> float:
    """The mean F1 over the classes that have images or predictions; 0 where none has."""
    values = [value for value in f1_of(matrix) if value is not None]
    return sum(values) / len(values) if values else 0.0


def _ratios(right: np.ndarray, of: np.ndarray) -> list[float | None]:
    return [float(some / all_) if all_ else None for some, all_ in zip(right, of, strict=True)]


METRICS = (
    Metric("examples", "overall", "ExampleCount"),
    Metric("accuracy", "overall", "SparseCategoricalAccuracy"),
    Metric("log_loss", "overall", "SparseCategoricalCrossentropy"),
    Metric("top_k", "overall", of=top_k),
    Metric("macro_f1", "overall", of=lambda outcomes, _k: macro_f1_of(outcomes.matrix)),
    Metric("ece", "overall", of=ece),
    Metric("calibration", "overall", of=calibration),
    Metric("examples", "per_class", of=class_examples),
    Metric("precision", "per_class", of=precision),
    Metric("recall", "per_class", of=recall),
    Metric("accuracy", "per_class", of=recall),
    Metric("f1", "per_class", of=f1),
    Metric("auc", "per_class", "AUC"),
    Metric("confusion_matrix", "plot", "MultiClassConfusionMatrixPlot"),
)


def measure_intervals(outcomes: Outcomes, confidence: float) -> dict[str, list[float]]:
    """Two-sided intervals: accuracy (Wilson), log loss (normal), macro F1 (bootstrap over images)."""
    images, losses = len(outcomes.labels), -np.log(np.clip(outcomes.true_probability, 1e-7, 1.0))
    half = statistics.quantile(0.5 + confidence / 2) * float(losses.std()) / np.sqrt(max(images, 1))
    return {
        "accuracy": list(statistics.wilson_interval(int(outcomes.right.sum()), images, confidence)),
        "log_loss": [float(losses.mean() - half), float(losses.mean() + half)],
        "macro_f1": list(statistics.bootstrap_interval(outcomes.matrix, macro_f1_of, confidence)),
    }


def measure_slice(outcomes: Outcomes, inside: np.ndarray, confidence: float, fewest: int) -> dict[str, Any]:
    """One slice: its images, accuracy with interval, and whether it is too small to mean much.

    Args:
        outcomes: of all images.
        inside: int [images in the slice].
        confidence: of the interval.
        fewest: a slice with fewer images is marked `small`.
    """
    right = int(outcomes.right[inside].sum())
    return {
        "examples": len(inside),
        "accuracy": right / len(inside),
        "interval": list(statistics.wilson_interval(right, len(inside), confidence)),
        "small": len(inside) < fewest,
    }


def measure_model(
    by_tfma: dict[str, Any], outcomes: Outcomes, classes: list[str], slices: dict[str, Any], settings: tuple[int, float]
) -> dict[str, Any]:
    """All metrics of one model, as `metrics.json` holds them.

    Args:
        by_tfma: the rows of the table that TFMA takes, as `analysis.read_tfma` gives them.
        outcomes: of every image.
        classes: names, in the order of the label index.
        slices: {name of `evaluator.slices`: {slice: as `measure_slice` gives it}}.
        settings: k of top-k, and the confidence of the intervals.
    """
    k, confidence = settings
    own = [row for row in METRICS if row.of is not None]
    metrics = {name: value for name, value in by_tfma.items() if name not in ("per_class", "confusion_matrix")}
    metrics |= {row.name: row.of(outcomes, k) for row in own if row.of and row.over == "overall"}
    columns = {row.name: row.of(outcomes, k) for row in own if row.of and row.over == "per_class"}
    per_class = {
        label: {**{name: column[index] for name, column in columns.items()}, **by_tfma["per_class"][index]}
        for index, label in enumerate(classes)
    }
    areas = [row["auc"] for row in per_class.values() if row["auc"] is not None]
    return {
        **metrics,
        "auc": sum(areas) / len(areas) if areas else None,
        "k": k,
        "confidence": confidence,
        "intervals": measure_intervals(outcomes, confidence),
        "per_class": per_class,
        "confusion_matrix": by_tfma["confusion_matrix"],
        "slices": slices,
    }
