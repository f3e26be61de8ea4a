"""Whether the TensorFlow Lite file of an export answers as its SavedModel does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tfx.dsl.io import fileio

from components.contract import features
from components.contract.gates import FAIL, Check, at_most
from components.exports import tflite
from components.options.gates import ServabilityGateOptions
from components.process.lines import current_line

PROBE = Path(tflite.__file__).with_name("tflite_probe.py")
Run = Callable[[dict[str, Any], int, Path], tuple[dict[str, Any] | None, str]]


def check_tflite(
    request: dict[str, Any], labels: list[str], gate: ServabilityGateOptions, run: Run
) -> tuple[dict[str, Any], list[Check]]:
    """Replays the images of a request through both; nothing where the export has no such file.

    Args:
        request: of the probe of the SavedModel.
        labels: the class names in the export.
        gate: images, tolerance and time.
        run: runs a probe in a fresh process.

    Returns:
        What was measured, and the checks.
    """
    path = os.path.join(request["model"], features.EXTRA_ASSETS, features.TFLITE_ASSET)
    if not fileio.exists(path):
        return {}, []
    asked = {
        **request,
        "tflite": path,
        "labels": features.LABELS_ASSET,
        "interpreter": current_line().tflite_interpreter,
    }
    answer, failure = run(asked, gate.timeout_seconds, PROBE)
    if answer is None:
        return {}, [Check("tflite/loads", "no", "yes", FAIL, f"{features.TFLITE_ASSET}: {failure}")]
    return judge_tflite(answer, labels, gate)


def judge_tflite(
    answer: dict[str, Any], labels: list[str], gate: ServabilityGateOptions
) -> tuple[dict[str, Any], list[Check]]:
    """Compares the answers of the two: probabilities, the most probable class, and the class names in the file."""
    pairs = [(np.array(row["tflite"]), np.array(row["saved_model"])) for row in answer["rows"]]
    if any(lite.shape != saved.shape for lite, saved in pairs):
        reason = f"{features.TFLITE_ASSET} gives {pairs[0][0].size} probabilities; there are {len(labels)} classes"
        return {}, [Check("tflite/classes", pairs[0][0].size, len(labels), FAIL, reason)]
    worst = max((float(np.abs(lite - saved).max()) for lite, saved in pairs), default=float("inf"))
    other_labels = sum(a != b for a, b in zip(answer["labels"], labels, strict=False))
    other_labels += abs(len(answer["labels"]) - len(labels))
    reason = (
        f"{features.TFLITE_ASSET} differs from serving_default by {worst:.2g} in probability; "
        f"gates.servability.max_difference is {gate.max_difference:.2g}"
    )
    names = f"{other_labels} class names in {features.TFLITE_ASSET} are not those of {features.LABELS_ASSET}"
    measured = {
        "tflite_images": len(pairs),
        "tflite_max_difference": worst,
        "tflite_same_label": sum(int(lite.argmax() == saved.argmax()) for lite, saved in pairs),
        "tflite_megabytes": round(answer["bytes"] / 1e6, 2),
    }
    return measured, [
        at_most("tflite/parity", worst, gate.max_difference, reason),
        at_most("tflite/labels", other_labels, 0, names),
    ]
