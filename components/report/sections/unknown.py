"""What the model does not know: the good images that it refuses, and those that look least typical to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.contract import features
from components.contract.statistics import fewest_to_refuse
from components.report.answers import MODEL, NOTHING, Answers, read_answers
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.section import Facts

TITLE = "None of these"
TEMPLATE = "unknown.html"
SHOWN = 12  # images, the least typical first
OLDER = "The model does not say which images it knows: an older Graft made it."


def gather(inputs: ReportInputs, pictures: Pictures) -> Facts | str:
    """Gathers how many eval images are refused, against the promise, and the least typical of them with pictures."""
    answers = read_answers(inputs)
    if answers is None:
        return NOTHING
    outcomes, made_of = answers.outcomes, inputs.facts.get(features.OUTLIERS_FACT)
    if outcomes.known is None or outcomes.outlier is None or made_of is None:
        return OLDER
    order = np.argsort(outcomes.outlier, kind="stable")[:SHOWN]
    rows = [_describe(answers, int(image)) for image in order]
    for row in rows:
        row["key"] = pictures.want(row["sha256"])
    promised, calibrated_on = made_of["max_refused"], made_of["calibrated_on"]
    return {
        "images": len(answers.names),
        "refused": int((~outcomes.known).sum()),
        "interval": inputs.metrics.get(MODEL, {}).get("intervals", {}).get("refused"),
        "promised": promised,
        "bank": made_of["bank_images"],
        "calibrated_on": calibrated_on,
        "needed": fewest_to_refuse(promised) if promised else None,
        "right": {name: _share(outcomes.right[which]) for name, which in _kinds(outcomes.known)},
        "cards": rows,
    }


def _kinds(known: np.ndarray) -> tuple[tuple[str, np.ndarray], ...]:
    return ("known", known), ("refused", ~known)


def _share(right: np.ndarray) -> float | None:
    return float(right.mean()) if len(right) else None


def _describe(answers: Answers, image: int) -> dict[str, Any]:
    outcomes = answers.outcomes
    if outcomes.known is None or outcomes.outlier is None:
        raise TypeError("Expected outcomes of a model that says what it knows, got those of an older one.")
    actual, predicted = (answers.labels[column[image]] for column in (outcomes.labels, outcomes.predicted))
    share, said = 100 * float(outcomes.outlier[image]), "right" if actual == predicted else f"answered {predicted}"
    refused = [] if outcomes.known[image] else ["refused"]
    return {
        "sha256": answers.digests[image],
        "name": answers.names[image],
        "lines": [f"{actual}: {said}", f"{share:.1f} % look less typical", *refused],
    }
