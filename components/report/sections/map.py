"""The data as a map: images that the model finds alike lie side by side."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from components.example_gen.manifest import Row
from components.report.answers import Answers, read_answers
from components.report.inputs import ReportInputs
from components.report.known_features import KnownFeatures, gather_features
from components.report.pictures import Pictures
from components.report.projection import FEWEST, Projection, project
from components.report.section import Facts

TITLE = "Map of the data"
TEMPLATE = "map.html"
DOTS = 600  # images on the map at most
MISTAKES = 150  # of them that are mistakes: these are on the map for certain
MARKED = 8  # classes with a colour and a shape of their own
OUTLIERS = 12
LISTED = 25  # classes in the table
SIDE = 48  # px of a dot's picture
SIZE = (640, 480)  # of the drawing, in its own units
MARGIN = 12


def gather(inputs: ReportInputs, pictures: Pictures) -> Facts | str:
    """Gathers the dots with their words, the outliers, and of each class who its neighbours are."""
    known, answers = inputs.once(gather_features), read_answers(inputs)
    rows, projection = inputs.once(project_images)
    if projection is None:
        return known.note if not known.rows else f"A map needs {FEWEST} images that differ; this run has too few."
    said = _answers_by_digest(answers)
    counts = _count_classes(rows, said, inputs.labels)
    outliers = find_outliers(projection)
    return {
        "dots": _draw_dots(rows, inputs.once(place_images), said, [row["name"] for row in counts], pictures),
        "outliers": [_card(rows[index], pictures) for index in outliers],
        "outlying": outliers,
        "images": len(inputs.row_of),
        "known": known.note,
        "mistakes": sum(row["mistakes"] for row in counts),
        "all_mistakes": len(answers.wrong) if answers else 0,
        "classes": counts,
        "marked": MARKED,
        "neighbours": rank_neighbours(rows, projection)[:LISTED],
        "size": SIZE,
    }


def want(inputs: ReportInputs, pictures: Pictures) -> None:
    """Asks for the pictures that `gather` asks for."""
    rows, projection = inputs.once(project_images)
    if projection is not None:
        for row in rows:
            pictures.want(row.sha256, SIDE)
        for index in find_outliers(projection):
            pictures.want(rows[index].sha256)


def project_images(inputs: ReportInputs) -> tuple[list[Row], Projection | None]:
    """Chooses the images of the map and finds their neighbours; called by `inputs.once`.

    Returns:
        Their rows of the manifest, and the projection; None where there are too few images, or all are the same.
    """
    known = inputs.once(gather_features)
    chosen = choose_images(known, read_answers(inputs))
    rows = [known.rows[index] for index in chosen]
    return rows, project(known.values[chosen]) if rows else None


def place_images(inputs: ReportInputs) -> np.ndarray:
    """Places the images of the map, float [n, 2], 0..1; called by `inputs.once`; empty where there is no map."""
    _, projection = inputs.once(project_images)
    return np.zeros([0, 2]) if projection is None else projection.places


def find_outliers(projection: Projection) -> list[int]:
    """Finds the most remote images, their indices, the most remote first."""
    most = min(OUTLIERS, len(projection.remoteness) // 20)
    return [int(index) for index in np.argsort(-projection.remoteness, kind="stable")[:most]]


def choose_images(known: KnownFeatures, answers: Answers | None) -> np.ndarray:
    """Chooses images with finite features for the map, int [n], sorted: the surest mistakes, and others at random."""
    usable = np.flatnonzero(np.isfinite(known.values).all(axis=1)) if known.rows else np.zeros(0, int)
    if len(usable) <= DOTS:
        return usable
    wrong = {answers.digests[image] for image in answers.wrong[:MISTAKES]} if answers else set()
    first = np.array([known.rows[index].sha256 in wrong for index in usable], bool)
    others = np.random.default_rng(0).permutation(usable[~first])
    return np.sort(np.concatenate([usable[first], others[: DOTS - int(first.sum())]]))


def _answers_by_digest(answers: Answers | None) -> dict[str, dict[str, Any]]:
    """Gives {sha256 of an eval image: `predicted`, `probability`, `wrong`}."""
    if answers is None:
        return {}
    found = answers.outcomes
    columns = zip(answers.digests, found.predicted, found.probability, found.right, strict=True)
    return {
        sha: {"predicted": answers.labels[label], "probability": float(sure), "wrong": not right}
        for sha, label, sure, right in columns
    }


def _count_classes(rows: list[Row], said: dict[str, dict[str, Any]], labels: list[str]) -> list[dict[str, Any]]:
    """Counts images and mistakes of each class on the map; those with most mistakes, then most images, come first."""
    counts: dict[str, dict[str, Any]] = {label: {"name": label, "images": 0, "mistakes": 0} for label in labels}
    for row in rows:
        counts[row.label]["images"] += 1
        counts[row.label]["mistakes"] += bool(said.get(row.sha256, {}).get("wrong"))
    there = [row for row in counts.values() if row["images"]]
    return sorted(there, key=lambda row: (-row["mistakes"], -row["images"]))


def _draw_dots(
    rows: list[Row], places: np.ndarray, said: dict[str, dict[str, Any]], order: list[str], pictures: Pictures
) -> list[dict[str, Any]]:
    """Describes the dots: `x`, `y`, `mark` (of the class, `MARKED` for all others), `key`, `wrong`, and `words`."""
    rank = {label: number for number, label in enumerate(order)}
    room = np.array(SIZE) - 2 * MARGIN
    dots = []
    for row, (x, y) in zip(rows, (MARGIN + places * room).round(1).tolist(), strict=True):
        answer = said.get(row.sha256)
        words = [row.label, _shown(row.name), f"{row.split} side"]
        if answer:
            words.append(f"answered {answer['predicted']} with {100 * answer['probability']:.1f}\u00a0%")
        number = rank[row.label]
        dots.append(
            {
                "x": x,
                "y": y,
                "class": number,
                "mark": min(number, MARKED),
                "key": pictures.want(row.sha256, SIDE),
                "wrong": bool(answer and answer["wrong"]),
                "words": words,
            }
        )
    return dots


def _shown(name: str) -> str:
    """A name on one line, as titles of dots have it."""
    return " ".join(name.split())


def _card(row: Row, pictures: Pictures) -> dict[str, Any]:
    return {"key": pictures.want(row.sha256), "name": _shown(row.name), "lines": [row.label, f"{row.split} side"]}


def rank_neighbours(rows: list[Row], projection: Projection) -> list[dict[str, Any]]:
    """Ranks classes by how often the image most alike is of another class.

    Returns:
        `name`, `images`, `share` (of images with such a neighbour), `other` (the class that it most often is; empty:
        none), the largest share first, of equal ones the largest class.
    """
    labels = [row.label for row in rows]
    images, foreign = Counter(labels), defaultdict[str, Counter[str]](Counter)
    for label, nearest in zip(labels, projection.nearest, strict=True):
        if labels[nearest] != label:
            foreign[label][labels[nearest]] += 1
    table = [
        {
            "name": label,
            "images": count,
            "share": foreign[label].total() / count,
            "other": next((other for other, _ in foreign[label].most_common(1)), ""),
        }
        for label, count in images.items()
    ]
    return sorted(table, key=lambda row: (-row["share"], -row["images"]))
