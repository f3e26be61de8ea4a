"""All metrics of one evaluation: what TFMA's pass left, put together by the table of metrics."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tfx.dsl.io import fileio

from components.contract import features, statistics
from components.evaluator.areas import measure_areas, read_probabilities
from components.evaluator.metrics import list_metrics
from components.evaluator.outcomes import Outcomes, outcomes_of
from components.evaluator.slices import group_images
from components.evaluator.tfma_results import read_tfma
from components.options.gates import EvaluatorOptions, QualityGateOptions


def measure(
    uri: str, names: list[str], classes: list[str], options: tuple[EvaluatorOptions, QualityGateOptions]
) -> tuple[dict[str, dict[str, Any]], dict[str, Outcomes]]:
    """Measures each model: {model: all metrics}, and {model: outcomes of each image}."""
    tell_apart = len(names) > 1  # TFMA keeps no name where there is one model
    by_tfma = {name: read_tfma(uri, name if tell_apart else None) for name in names}
    table = read_outcomes(os.path.join(uri, features.OUTCOMES_FILE))
    outcomes = {name: outcomes_of(table, name, len(classes)) for name in names}
    for name, row in outcomes.items():
        areas = measure_areas(row, read_probabilities(uri, name))
        outcomes[name] = replace(row, areas=tuple(areas))
    k, confidence = min(options[0].top_k, len(classes)), options[1].confidence
    metrics = {
        name: measure_model(
            by_tfma[name], outcomes[name], classes, measure_slices(table, outcomes[name], *options), (k, confidence)
        )
        for name in names
    }
    return metrics, outcomes


def measure_slices(
    table: pa.Table, outcomes: Outcomes, options: EvaluatorOptions, gate: QualityGateOptions
) -> dict[str, dict[str, Any]]:
    """Measures every slice of `evaluator.slices`."""
    return {
        name: {
            place: measure_slice(outcomes, inside, gate.confidence, options.small_slice)
            for place, inside in group_images(name, table[f"slice/{name}"].to_pylist()).items()
        }
        for name in options.slices
    }


def measure_model(
    by_tfma: dict[str, Any], outcomes: Outcomes, classes: list[str], slices: dict[str, Any], settings: tuple[int, float]
) -> dict[str, Any]:
    """Computes all metrics of one model, as `metrics.json` holds them.

    Args:
        by_tfma: the rows of the table that TFMA takes, as `tfma_results.read_tfma` gives them.
        outcomes: of every image.
        classes: names, in the order of the label index.
        slices: {name of `evaluator.slices`: {slice: as `measure_slice` gives it}}.
        settings: k of top-k, and the confidence of the intervals.
    """
    k, confidence = settings
    overall = list_metrics("overall")
    by_class = list_metrics("per_class")
    columns = {row.name: row.measure(outcomes, k) for row in by_class}
    intervals = {row.name: row.interval(outcomes, k, confidence) for row in overall}
    return {
        **{row.name: by_tfma[row.name] if row.tfma else row.measure(outcomes, k) for row in overall},
        **{row.name: _mean(columns[row.name]) for row in by_class if row.mean},
        "k": k,
        "confidence": confidence,
        "intervals": {name: list(interval) for name, interval in intervals.items() if interval},
        "per_class": {
            label: {name: column[index] for name, column in columns.items()} for index, label in enumerate(classes)
        },
        **{row.name: row.measure(outcomes, k) for row in list_metrics("plot")},
        "slices": slices,
    }


def _mean(column: list[float | None]) -> float | None:
    values = [value for value in column if value is not None]
    return sum(values) / len(values) if values else None


def measure_slice(outcomes: Outcomes, inside: np.ndarray, confidence: float, fewest: int) -> dict[str, Any]:
    """Computes one slice: its images, accuracy with interval, and whether it is too small to mean much.

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


def read_outcomes(path: str) -> pa.Table:
    """Reads `images.parquet` sorted by image, so that the order of Beam's bundles means nothing."""
    with fileio.open(path, "rb") as file, tempfile.TemporaryFile() as local:
        local.write(file.read())
        local.seek(0)
        return pq.read_table(local).sort_by([("sha256", "ascending"), ("name", "ascending")])
