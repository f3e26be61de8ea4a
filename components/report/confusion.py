"""The confusion matrix as the page shows it: which classes, which pairs, and some images of each cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.report.answers import Answers
from components.report.pictures import Pictures

MOST_CLASSES = 25  # in the matrix; of more, those with the most mistakes
MOST_PAIRS = 20
MOST_IMAGES = 12  # of a cell
CELL_PICTURES = 480  # of all cells together
TONES = 5  # steps of a cell's colour


def choose_classes(matrix: np.ndarray) -> list[int]:
    """Chooses the classes of the matrix: all, or those with the most mistakes in their row and their column."""
    if len(matrix) <= MOST_CLASSES:
        return list(range(len(matrix)))
    mistakes = matrix.sum(axis=1) + matrix.sum(axis=0) - 2 * np.diag(matrix)
    return sorted(int(index) for index in np.argsort(-mistakes, kind="stable")[:MOST_CLASSES] if mistakes[index])


def rank_pairs(matrix: np.ndarray) -> list[dict[str, Any]]:
    """Ranks pairs of classes by their mistakes: `actual`, `predicted`, `count`, and `share` of the actual class."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    flat = wrong.ravel()
    order = np.argsort(-flat, kind="stable")[:MOST_PAIRS]
    pairs = [(int(place // len(matrix)), int(place % len(matrix)), int(flat[place])) for place in order if flat[place]]
    sizes = matrix.sum(axis=1)
    return [{"actual": a, "predicted": p, "count": count, "share": count / int(sizes[a])} for a, p, count in pairs]


def draw_matrix(matrix: np.ndarray, shown: list[int]) -> list[dict[str, Any]]:
    """Gives a row a shown class: `actual`, `cells` (`predicted`, `count`, `tone`), `others`, `total`.

    `tone` is the share of the row in 1..`TONES`, 0 for nothing; `others` counts answers that have no column.
    """
    rows = []
    for actual in shown:
        total = int(matrix[actual].sum())
        cells = [
            {"predicted": predicted, "count": int(matrix[actual, predicted]), "tone": _tone(matrix, actual, predicted)}
            for predicted in shown
        ]
        others = total - sum(cell["count"] for cell in cells)
        rows.append({"actual": actual, "cells": cells, "others": others, "total": total})
    return rows


def _tone(matrix: np.ndarray, actual: int, predicted: int) -> int:
    count = int(matrix[actual, predicted])
    return int(np.ceil(TONES * count / matrix[actual].sum())) if count else 0


def gather_cells(
    answers: Answers, wanted: list[tuple[int, int]], pictures: Pictures
) -> dict[tuple[int, int], dict[str, Any]]:
    """Gathers the images of cells: the surest mistakes first, and of right answers the least sure.

    Args:
        answers: of all images.
        wanted: (actual, predicted) of cells with images; the first ones ask for their pictures first.
        pictures: takes the wishes.

    Returns:
        {cell: `actual`, `predicted`, `count`, `cards`: rows for the macro `cards`}.
    """
    outcomes, most = answers.outcomes, max(1, min(MOST_IMAGES, CELL_PICTURES // max(len(wanted), 1)))
    code = outcomes.labels.astype(np.int64) * outcomes.classes + outcomes.predicted
    order = np.lexsort((-outcomes.probability, code))
    places = np.searchsorted(code[order], [a * outcomes.classes + p for a, p in wanted], "left")
    found = {}
    for (actual, predicted), start in zip(wanted, places, strict=True):
        count = int(np.searchsorted(code[order], actual * outcomes.classes + predicted, "right") - start)
        inside = order[start : start + count]
        chosen = inside[::-1][:most] if actual == predicted else inside[:most]
        cards = [_card(answers, int(image), pictures) for image in chosen]
        found[actual, predicted] = {"actual": actual, "predicted": predicted, "count": count, "cards": cards}
    return found


def _card(answers: Answers, image: int, pictures: Pictures) -> dict[str, Any]:
    sure = float(answers.outcomes.probability[image])
    key = pictures.want(answers.digests[image])
    return {"key": key, "name": answers.names[image], "lines": [f"answered with {100 * sure:.1f}\u00a0%"]}
