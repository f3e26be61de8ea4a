"""What the candidate answered for each eval image, and the counts that the page shows of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.contract.statistics import wilson_interval
from components.evaluator.metrics import class_examples, precision, recall
from components.evaluator.outcomes import Outcomes, outcomes_of
from components.report.inputs import ReportInputs

NOTHING = "No model of this run was evaluated, so there is nothing to show here."
MODEL = "candidate"
CONFIDENCE = 0.95  # of intervals, where the Evaluator left none


@dataclass(frozen=True)
class Answers:
    """The candidate on every eval image, in the order of their sha256.

    Attributes:
        outcomes: labels, answers and probabilities.
        digests: sha256 of each image.
        names: of each image.
        labels: class names, in the order of the label index.
        confidence: of the intervals, both sides together.
    """

    outcomes: Outcomes
    digests: list[str]
    names: list[str]
    labels: list[str]
    confidence: float

    @property
    def wrong(self) -> np.ndarray:
        """int [mistakes]: indices of images with a wrong answer, the surest answer first."""
        found = np.flatnonzero(~self.outcomes.right)
        return found[np.argsort(-self.outcomes.probability[found], kind="stable")]

    def interval(self, right: float, images: float) -> tuple[float, float]:
        """Gives Wilson's interval of a share; 0..1 without an image."""
        return wilson_interval(right, int(images), self.confidence)


def read_answers(inputs: ReportInputs) -> Answers | None:
    """Reads the answers; None where the run did not come to its evaluation."""
    if inputs.outcomes is None or not inputs.outcomes.num_rows:
        return None
    table = inputs.outcomes.sort_by([("sha256", "ascending"), ("name", "ascending")])
    confidence = inputs.metrics.get(MODEL, {}).get("confidence", CONFIDENCE)
    outcomes = outcomes_of(table, MODEL, len(inputs.labels))
    return Answers(outcomes, table["sha256"].to_pylist(), table["name"].to_pylist(), inputs.labels, confidence)


def rate_classes(answers: Answers, most: int) -> list[dict[str, Any]]:
    """Rates each class that has images, the worst first: the least share found, and of those the most images.

    Returns:
        `index`, `name`, `examples`, `predicted` (images that got this answer), `recall` and `precision` with
        `recall_interval` and `precision_interval` (`precision` None: never answered), `f1`, and `taken_for`: index of
        the most frequent wrong answer, None where there is none; `most` rows at most.
    """
    matrix = answers.outcomes.matrix
    sizes, shares, predicted = class_examples(answers.outcomes), recall(answers.outcomes), matrix.sum(axis=0)
    exact = precision(answers.outcomes)
    there = [index for index, size in enumerate(sizes) if size]
    order = sorted(there, key=lambda index: (shares[index], -sizes[index], index))[:most]
    rows = []
    for index in order:
        right, wrong = int(matrix[index, index]), matrix[index].copy()
        wrong[index] = 0
        rows.append(
            {
                "index": index,
                "name": answers.labels[index],
                "examples": sizes[index],
                "predicted": int(predicted[index]),
                "recall": shares[index],
                "recall_interval": answers.interval(right, sizes[index]),
                "precision": exact[index],
                "precision_interval": answers.interval(right, predicted[index]),
                "f1": 2 * right / (sizes[index] + int(predicted[index])),
                "taken_for": int(wrong.argmax()) if wrong.any() else None,
            }
        )
    return rows


def count_above(answers: Answers, thresholds: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Counts images that are answered with at least a probability, and those of them with a right answer.

    Args:
        answers: of all images.
        thresholds: probabilities, 0..1.

    Returns:
        int [thresholds], answered; int [thresholds], right.
    """
    order = np.argsort(answers.outcomes.probability)
    first = np.searchsorted(answers.outcomes.probability[order], np.array(thresholds, np.float32), "left")
    right_before = np.append(0, np.cumsum(answers.outcomes.right[order]))
    return len(order) - first, right_before[-1] - right_before[first]


def answer_above(answers: Answers, thresholds: Sequence[float]) -> list[dict[str, Any]]:
    """Tells what is answered where answers below a probability are held back.

    Returns:
        A row a threshold: `threshold`, `answered` and `right` (images), `share` (answered), `accuracy` and `interval`
        (of those answered; None without any).
    """
    rows = []
    for threshold, answered, right in zip(thresholds, *count_above(answers, thresholds), strict=True):
        row = {"threshold": threshold, "answered": int(answered), "right": int(right)}
        rated = {"accuracy": right / answered, "interval": answers.interval(right, answered)} if answered else {}
        rows.append({**row, "share": answered / len(answers.names), "accuracy": None, "interval": None, **rated})
    return rows


def precision_recall(answers: Answers, index: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Draws the curve that the threshold moves along: precision over recall, from the surest answer to all of them.

    Args:
        answers: of all images.
        index: of a class: its answers against its images. None: all answers against all images.

    Returns:
        recall, float [n], and precision, float [n]; both empty where the class is never answered.
    """
    outcomes = answers.outcomes
    mine = np.arange(len(outcomes.labels)) if index is None else np.flatnonzero(outcomes.predicted == index)
    of = len(outcomes.labels) if index is None else int((outcomes.labels == index).sum())
    order = mine[np.argsort(-outcomes.probability[mine], kind="stable")]
    right, answered = np.cumsum(outcomes.right[order]), np.arange(1, len(order) + 1)
    last = np.append(np.diff(outcomes.probability[order]) != 0, True) if len(order) else np.zeros(0, bool)
    return (right / max(of, 1))[last], (right / answered)[last]
