"""What the probe of a form answers, held against what is known of the export. Pure: no TensorFlow.

A probe answers `{"rows": [{"sha256", "probabilities"}, ...], "labels": [...], "bytes", "milliseconds"}`: each image by
the digest of its file, the class names in the form, its size, and the time an image takes it, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from components.contract import features
from components.contract.gates import FAIL, Check, OnUndecided, at_most
from components.contract.loss import LossRule, judge_loss
from components.contract.statistics import count_pairs, wilson_interval

MEGABYTE = 1e6
ADVICE = (
    ". Leave `{}` out of exports, or take a backbone that is made for whole numbers (MobileNetV2, EfficientNetLite0): "
    "swish and squeeze-and-excitation lose much in them"
)


class Limits(Protocol):
    """What a form is held to: these options of the servability gate.

    Not their class: the Trainer depends on forms, and a changed limit must not train anything anew.
    """

    @property
    def max_difference(self) -> float:
        """Largest difference of a probability."""

    @property
    def max_loss(self) -> float:
        """Largest loss of accuracy."""

    @property
    def confidence(self) -> float:
        """Of one-sided bounds."""

    @property
    def on_undecided(self) -> OnUndecided:
        """What happens where the eval set is too small to tell."""


@dataclass(frozen=True)
class Reference:
    """What is known of an export.

    Attributes:
        labels: its class names.
        served: what `serving_default` answered for the replayed images: sha256 to probabilities float32 [classes].
        trained: what the training path answered for every eval image, likewise.
        truth: the label index of every eval image, by sha256.
    """

    labels: list[str]
    served: dict[str, np.ndarray] = field(default_factory=dict)
    trained: dict[str, np.ndarray] = field(default_factory=dict)
    truth: dict[str, int] = field(default_factory=dict)


def judge_parity(
    name: str, file: str, answer: dict[str, Any], reference: Reference, limits: Limits
) -> tuple[dict[str, Any], list[Check]]:
    """Compares the answers with the SavedModel's, which they must equal, and the class names in both.

    Args:
        name: of the form.
        file: its file.
        answer: of its probe.
        reference: what is known of the export.
        limits: of the servability gate.

    Returns:
        What was measured, and the checks.
    """
    if wrong := _wrong_classes(name, file, answer, reference):
        return {}, [wrong]
    if not (rows := _rows(answer, reference.served)):
        reason = f"{file} was asked about no image that the SavedModel answered"
        return {}, [Check(f"{name}/images", 0, len(reference.served), FAIL, reason)]
    found, saved = _pair(rows, reference.served)
    worst = float(np.abs(found - saved).max())  # NaN stays NaN, and fails
    reason = (
        f"{file} differs from serving_default by {worst:.2g} in probability; "
        f"gates.servability.max_difference is {limits.max_difference:.2g}"
    )
    measured = {"max_difference": worst, "same_label": int((found.argmax(axis=-1) == saved.argmax(axis=-1)).sum())}
    parity = at_most(f"{name}/parity", worst, limits.max_difference, reason)
    return _named(name, answer, measured), [parity, *_check_names(name, file, answer, reference)]


def judge_accuracy(
    name: str, file: str, answer: dict[str, Any], reference: Reference, limits: Limits
) -> tuple[dict[str, Any], list[Check]]:
    """Tests that the form is right about as often as the SavedModel, on all eval images; arguments as `judge_parity`.

    The SavedModel's answers are those of the training path, which `parity/training` holds it against.
    """
    if wrong := _wrong_classes(name, file, answer, reference):
        return {}, [wrong]
    rows, images = _rows(answer, reference.trained), len(reference.trained)
    if (missing := images - len({row["sha256"] for row in rows})) or not rows:
        reason = f"{file} was not asked about {missing:,} of {images:,} eval images"
        return {}, [Check(f"{name}/images", images - missing, images, FAIL, reason)]
    found, saved = _pair(rows, reference.trained)
    if not np.isfinite(found).all():
        return {}, [Check(f"{name}/finite", "no", "yes", FAIL, f"{file} gives probabilities that are no numbers")]
    truth = np.array([reference.truth[row["sha256"]] for row in rows])
    right, before = found.argmax(axis=1) == truth, saved.argmax(axis=1) == truth
    low, high = wilson_interval(float(right.sum()), len(right), 2 * limits.confidence - 1)
    measured = {
        "accuracy": round(float(right.mean()), 6),
        "accuracy_interval": [round(low, 6), round(high, 6)],
        "same_label": int((found.argmax(axis=1) == saved.argmax(axis=1)).sum()),
    }
    rule = LossRule(limits.max_loss, "max_loss", limits.confidence, limits.on_undecided, "gates.servability")
    loss = judge_loss(f"{name}/loss", count_pairs(before, right), "the SavedModel", rule)
    advice = ADVICE.format(name) if loss.stops else ""
    loss = replace(loss, reason=f"{file}: {loss.reason}{advice}")
    return _named(name, answer, measured), [loss, *_check_names(name, file, answer, reference)]


def _pair(rows: list[dict[str, Any]], known: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Gives the form's probabilities and the known ones, float64 [images, classes] each."""
    found = np.array([row["probabilities"] for row in rows], np.float64)
    return found, np.array([known[row["sha256"]] for row in rows], np.float64)


def _rows(answer: dict[str, Any], known: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Gives the form's answers for images that are known."""
    return [row for row in answer["rows"] if row["sha256"] in known]


def _wrong_classes(name: str, file: str, answer: dict[str, Any], reference: Reference) -> Check | None:
    """Fails a form that does not answer with one probability a class."""
    widths = {len(row["probabilities"]) for row in answer["rows"]}
    if not widths - {len(reference.labels)}:
        return None
    reason = f"{file} gives {max(widths)} probabilities; there are {len(reference.labels)} classes"
    return Check(f"{name}/classes", max(widths), len(reference.labels), FAIL, reason)


def _check_names(name: str, file: str, answer: dict[str, Any], reference: Reference) -> Iterator[Check]:
    """Compares the class names in the form with those of the export."""
    theirs, ours = answer["labels"], reference.labels
    others = sum(a != b for a, b in zip(theirs, ours, strict=False)) + abs(len(theirs) - len(ours))
    reason = f"{others} class names in {file} are not those of {features.LABELS_ASSET}"
    yield at_most(f"{name}/labels", others, 0, reason)


def _named(name: str, answer: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """Adds what each probe measures, and the form's name in front of each name."""
    costs = {"images": len(answer["rows"]), "megabytes": round(answer["bytes"] / MEGABYTE, 2)}
    costs |= {"milliseconds": answer["milliseconds"]}
    return {f"{name.replace('-', '_')}_{key}": value for key, value in (costs | measured).items()}
