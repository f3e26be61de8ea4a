"""The mistakes that the model was surest of, with what it looked at."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from components.report.answers import NOTHING, Answers, read_answers
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.section import Facts
from components.report.sections.label_errors import judge_labels

TITLE = "Mistakes"
TEMPLATE = "mistakes.html"
SHOWN = 24  # with their pictures
LISTED = 200  # by their names

log = logging.getLogger("graft.report")


def gather(inputs: ReportInputs, pictures: Pictures) -> Facts | str:
    """Gathers the wrong answers, the surest first; one that a likely label error explains says so."""
    answers = read_answers(inputs)
    if answers is None:
        return NOTHING
    wrong = answers.wrong
    suggested = _suggestions(inputs) if len(wrong) else {}
    rows = [_describe(answers, int(image), suggested) for image in wrong[: SHOWN + LISTED]]
    for row in rows[:SHOWN]:
        row["key"], row["map"] = pictures.want(row["sha256"]), pictures.want_map(row["sha256"])
    explained = sum(suggested.get(answers.digests[image]) == int(answers.outcomes.predicted[image]) for image in wrong)
    return {
        "images": len(answers.names),
        "count": len(wrong),
        "cards": rows[:SHOWN],
        "listed": rows[SHOWN:],
        "explained": explained,
        "left_out": len(wrong) - len(rows),
    }


def _suggestions(inputs: ReportInputs) -> dict[str, int]:
    """Gives {sha256: index of the class} of likely label errors; its own section tells why there may be none."""
    try:
        rows, found = inputs.once(judge_labels)
    except Exception:
        log.exception("mistakes are shown without label errors")
        return {}
    return {rows[found.rows[i]].sha256: int(found.suggested[i]) for i in np.flatnonzero(found.likely)}


def _describe(answers: Answers, image: int, suggested: dict[str, int]) -> dict[str, Any]:
    outcomes, sha256 = answers.outcomes, answers.digests[image]
    return {
        "sha256": sha256,
        "name": answers.names[image],
        "actual": answers.labels[outcomes.labels[image]],
        "predicted": answers.labels[outcomes.predicted[image]],
        "probability": float(outcomes.probability[image]),
        "true_probability": float(outcomes.true_probability[image]),
        "explained": suggested.get(sha256) == int(outcomes.predicted[image]),
    }
