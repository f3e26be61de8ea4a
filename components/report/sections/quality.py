"""Quality on the eval images: who is taken for whom, each class, how far a probability can be trusted, slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from components.contract import features
from components.evaluator.metrics import calibration, ece, ece_uncalibrated
from components.report.answers import (
    MODEL,
    NOTHING,
    Answers,
    answer_above,
    count_above,
    precision_recall,
    rate_classes,
    read_answers,
)
from components.report.charts import FAINT, FIRST, INK, SECOND, draw_chart
from components.report.confusion import MOST_CLASSES, choose_classes, draw_matrix, gather_cells, rank_pairs
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.section import Facts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Quality"
TEMPLATE = "quality.html"
PARTS = ("confusion.html", "thresholds.html")  # of the template
MOST_ROWS = 500  # classes in the table, the worst
MOST_SLICES = 40  # of one kind
FEW = 30  # images of a class, below which its row is marked, as `evaluator.small_slice` does for slices
THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
STEPS = 1000  # of the slider, from 0 to 1
SLIDER = tuple(step / STEPS for step in range(STEPS + 1))
CURVE = 300  # points of a curve at most
GAP = 0.01  # between stated and true share, below which they agree


def gather(inputs: ReportInputs, pictures: Pictures) -> Facts | str:
    """Gathers the matrix with the images of its cells, the tables, and two charts."""
    answers = read_answers(inputs)
    if answers is None:
        return NOTHING
    classes = rate_classes(answers, MOST_ROWS)
    metrics = inputs.metrics.get(MODEL, {})
    slices = {name: found for name, found in metrics.get("slices", {}).items() if name != "class"}
    sizes = answers.outcomes.matrix.sum(axis=1)
    return {
        "labels": answers.labels,
        "images": len(answers.names),
        "confidence": answers.confidence,
        "few": FEW,
        "measures": _list_measures(metrics),
        **_gather_confusion(answers, pictures),
        "classes": classes,
        "left_out_rows": int((sizes > 0).sum()) - len(classes),
        "empty": [label for label, size in zip(answers.labels, sizes, strict=True) if not size],
        "reliability": _gather_reliability(answers, inputs),
        "thresholds": answer_above(answers, THRESHOLDS),
        "slider": [column.tolist() for column in count_above(answers, SLIDER)],
        "curve": _draw_curve(answers, classes),
        "slices": [_gather_slice(name, found) for name, found in slices.items() if len(found) > 1],
        "one_kind": [name for name, found in slices.items() if len(found) == 1],
    }


def _list_measures(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    k = metrics.get("k", 0)
    words = (
        ("accuracy", "Accuracy", "share of images with the right answer", True),
        ("top_k", f"Top {k}", f"share of images whose class is among the {k} most probable", True),
        ("macro_f1", "Macro F1", "mean over the classes of the balance between found and right, 1 is best", True),
        ("auc", "AUC", "how well probabilities order a class's images before all others, 0.5 is chance", False),
        ("log_loss", "Log loss", "the mean surprise at the true class, 0 is best", False),
    )
    return [
        {
            "name": title,
            "value": metrics[name],
            "share": share,
            "interval": metrics["intervals"].get(name),
            "words": text,
        }
        for name, title, text, share in words
        if metrics.get(name) is not None
    ]


def _gather_confusion(answers: Answers, pictures: Pictures) -> dict[str, Any]:
    matrix = answers.outcomes.matrix
    shown, pairs = choose_classes(matrix), rank_pairs(matrix)
    rows = draw_matrix(matrix, shown)
    filled = {(row["actual"], cell["predicted"]) for row in rows for cell in row["cells"] if cell["count"]}
    wanted = {(pair["actual"], pair["predicted"]): None for pair in pairs}
    wanted |= dict.fromkeys(sorted(filled, key=lambda cell: (cell[0] == cell[1], cell)))
    cells = gather_cells(answers, list(wanted), pictures)
    left = [index for index in range(len(matrix)) if index not in set(shown)]
    return {
        "shown": shown,
        "rows": rows,
        "pairs": pairs if len(matrix) > 2 else [],
        "cells": list(cells.values()),
        "many": len(matrix) > MOST_CLASSES,
        "left_out": {"classes": len(left), "images": int(matrix[left].sum()), "mistakes": _mistakes(matrix, left)},
        "mistakes": int(matrix.sum() - np.trace(matrix)),
    }


def _mistakes(matrix: np.ndarray, rows: list[int]) -> int:
    return int(matrix[rows].sum() - matrix[rows, rows].sum())


def _gather_reliability(answers: Answers, inputs: ReportInputs) -> dict[str, Any]:
    """Gathers the bins, whether probabilities promise too much or too little, and what the temperature did to that."""
    bins = [
        {**row, "interval": answers.interval(row["accuracy"] * row["examples"], row["examples"])}
        for row in calibration(answers.outcomes)
    ]
    stated, right = float(answers.outcomes.probability.mean()), float(answers.outcomes.right.mean())
    chart = draw_chart(
        "Reliability: the share that was right over the stated probability", lambda axes: _plot_bins(axes, bins)
    )
    return {
        "bins": bins,
        "ece": ece(answers.outcomes),
        "before": ece_uncalibrated(answers.outcomes),
        "temperature": inputs.facts.get(features.TEMPERATURE_FACT, 1.0),
        "stated": stated,
        "right": right,
        "agrees": abs(stated - right) < GAP,
        "chart": chart,
    }


def _plot_bins(axes: Axes, bins: list[dict[str, Any]]) -> None:
    x, y = np.array([row["confidence"] for row in bins]), np.array([row["accuracy"] for row in bins])
    low, high = np.array([row["interval"] for row in bins]).T
    size = np.array([row["examples"] for row in bins])
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="what a probability promises")
    axes.vlines(x, low, high, color=FIRST, linewidth=1)
    axes.scatter(x, y, s=15 + 150 * size / size.max(), color=FIRST, label="this model; larger: more images", zorder=3)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="stated probability", ylabel="share that was right")
    axes.legend(loc="upper left", markerscale=0.5)


def _draw_curve(answers: Answers, classes: list[dict[str, Any]]) -> dict[str, Any]:
    """Draws precision over recall, of all answers and of the worst class that has enough images."""
    worst = next((row for row in classes if row["examples"] >= FEW and row["predicted"]), None)
    worst = worst if worst and worst["recall"] < 1 else None
    curves = [("all answers", FIRST, precision_recall(answers))]
    if worst:
        curves.append(("the worst class", SECOND, precision_recall(answers, worst["index"])))

    def plot(axes: Axes) -> None:
        for name, colour, (found, exact) in curves:
            steps = np.unique(np.linspace(0, len(found) - 1, CURVE).astype(int)) if len(found) else []
            axes.plot(found[steps], exact[steps], color=colour, label=name, drawstyle="steps-post")
        axes.set(xlim=(0, 1.02), xlabel="recall: share of images found", ylabel="precision: share of answers right")
        lowest = min(float(exact.min()) for _, _, (_, exact) in curves if len(exact))
        axes.set_ylim(max(0.0, min(lowest - 0.05, 0.9)), 1.01)
        axes.legend(loc="lower left")
        axes.axhline(1, color=FAINT, linewidth=0.5)

    return {"chart": draw_chart("Precision over recall as the threshold falls", plot), "worst": worst and worst["name"]}


def _gather_slice(name: str, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rows = sorted(found.items(), key=lambda item: (item[1]["small"], item[1]["accuracy"], item[0]))
    shown = [{"name": place, **values} for place, values in rows[:MOST_SLICES]]
    return {"name": name, "rows": shown, "left_out": len(rows) - len(shown)}
