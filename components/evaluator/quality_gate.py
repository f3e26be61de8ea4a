"""The checks of the quality gate: floors, chance, the served model on the same images, the best version ever pushed.

`docs/gates.md` has the rules in words, with formulas, sources and measured error rates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.contract import statistics
from components.contract.artifacts import Baseline
from components.contract.gates import FAIL, PASS, UNDECIDED, WARN, Check, Verdict, undecided
from components.contract.loss import ROUNDING, LossRule, judge_loss
from components.contract.statistics import Pair
from components.evaluator.metrics import Metric, gate_metrics
from components.evaluator.outcomes import Outcomes
from components.evaluator.refusals import check_refused
from components.options.gates import QualityGateOptions

CLASSES_NAMED = 5  # classes in a reason


@dataclass(frozen=True)
class EvaluatedBaseline:
    """A baseline, and its outcomes on the candidate's images; None where it could not be run."""

    baseline: Baseline
    outcomes: Outcomes | None = None


def judge_candidate(
    metrics: dict[str, Any],
    outcomes: Outcomes,
    served: EvaluatedBaseline,
    best: EvaluatedBaseline,
    gate: QualityGateOptions,
    calibrated_on: int | None = None,
) -> list[Check]:
    """Makes every check of the quality gate.

    Args:
        metrics: the candidate's, as `measure_model` gives them.
        outcomes: the candidate's, in the order of the images' content.
        served: the served baseline, the version being served now.
        best: the best baseline, the best version ever pushed; without outcomes its recorded accuracy counts, or it is
            the served one.
        gate: the limits.
        calibrated_on: so many images, the first ones, its `known` was calibrated on; None: all.
    """
    classes = list(metrics["per_class"])
    return [
        *check_floors(metrics, gate),
        *check_metric_floors(metrics, outcomes, gate),
        *check_trivial(outcomes, classes, gate),
        *check_refused(outcomes, gate, calibrated_on),
        *check_served(outcomes, classes, served, gate),
        *check_decay(metrics, outcomes, served, best, gate),
    ]


def check_floors(metrics: dict[str, Any], gate: QualityGateOptions) -> Iterator[Check]:
    """Holds the accuracy over all, in each class and in each slice against its floor."""
    yield _floor("accuracy", "accuracy", metrics, gate.min_accuracy, "min_accuracy", gate)
    for label, row in metrics["per_class"].items():
        limit = gate.class_floors.get(label, gate.min_class_accuracy)
        option = f"class_floors.{label}" if label in gate.class_floors else "min_class_accuracy"
        if limit and row["examples"]:
            yield _floor(f"class/{label}", f"accuracy of class '{label}'", row, limit, option, gate)
        elif limit:
            yield Check(
                f"class/{label}", None, limit, WARN, f"class '{label}' has no eval image: its floor is untested"
            )
    for name, slices in metrics["slices"].items() if gate.min_slice_accuracy else ():
        for place, row in slices.items():
            words = f"accuracy of slice {name} '{place}'"
            yield _floor(f"slice/{name}/{place}", words, row, gate.min_slice_accuracy, "min_slice_accuracy", gate)


def _floor(name: str, words: str, row: dict[str, Any], limit: float, option: str, gate: QualityGateOptions) -> Check:
    """Passes at the floor or above it; below it fails where chance does not explain it."""
    value, images = row["accuracy"], row["examples"]
    if value >= limit - ROUNDING:
        return Check(name, value, limit, PASS)
    reason = f"{words} {value:.4f} is below gates.quality.{option} {limit:.4f}"
    _, high = statistics.wilson_interval(value * images, images, 2 * gate.confidence - 1)
    if high < limit or name == "accuracy":
        return Check(name, value, limit, FAIL, reason)
    needed = statistics.images_for_share(value, limit, gate.confidence)
    reason += f", but {images:,} images are too few to tell (up to {high:.4f} is likely); about {needed:,} would"
    return _undecided(name, value, limit, reason, stops_by_estimate=True, gate=gate)


def check_metric_floors(metrics: dict[str, Any], outcomes: Outcomes, gate: QualityGateOptions) -> Iterator[Check]:
    """Holds each metric of `gates.quality.min` against its floor; fails where the metric's interval is below it."""
    for name, limit in sorted(gate.min.items()):
        yield _check_metric(gate_metrics()[name], metrics, outcomes, limit, gate)


def _check_metric(
    metric: Metric, metrics: dict[str, Any], outcomes: Outcomes, limit: float, gate: QualityGateOptions
) -> Check:
    value, images = metrics[metric.name], metrics["examples"]
    if value is None:
        return Check(metric.name, None, limit, WARN, f"{metric.name} is undefined here: its floor is untested")
    if value >= limit - ROUNDING:
        return Check(metric.name, value, limit, PASS)
    reason = f"{metric.name} {value:.4f} is below gates.quality.min.{metric.name} {limit:.4f}"
    _, high = metric.interval(outcomes, metrics["k"], 2 * gate.confidence - 1) or (0.0, value)
    if high < limit:
        return Check(metric.name, value, limit, FAIL, reason)
    needed = images * ((high - value) / (limit - value)) ** 2  # an interval shrinks with the root of the images
    reason += f", but {images:,} images are too few to tell (up to {high:.4f} is likely); about {needed:,.0f} would"
    return _undecided(metric.name, value, limit, reason, stops_by_estimate=True, gate=gate)


def _undecided(
    name: str, value: float, limit: float, reason: str, *, stops_by_estimate: bool, gate: QualityGateOptions
) -> Check:
    return undecided(name, value, limit, reason, stops_by_estimate, gate.on_undecided, "gates.quality.on_undecided")


def check_trivial(outcomes: Outcomes, classes: list[str], gate: QualityGateOptions) -> Iterator[Check]:
    """Holds the candidate against classifiers that do not look at the image: chance, and always the largest class."""
    yield _check_chance(outcomes, gate)
    sizes = outcomes.matrix.sum(axis=1)
    largest, accuracy = float(sizes.max() / sizes.sum()), float(outcomes.right.mean())
    if accuracy < largest - ROUNDING:
        reason = (
            f"always answering '{classes[int(sizes.argmax())]}' would be right for {largest:.4f} of the eval images, "
            f"the candidate is for {accuracy:.4f}; it is of use only where the rarer classes matter more"
        )
        yield Check("largest_class", accuracy, largest, WARN, reason)
    missed = np.flatnonzero((sizes > 0) & (np.diag(outcomes.matrix) == 0))
    if len(missed):
        names = ", ".join(f"'{classes[index]}' (0 of {sizes[index]:,})" for index in missed[:CLASSES_NAMED])
        more = f" and {len(missed) - CLASSES_NAMED:,} more" if len(missed) > CLASSES_NAMED else ""
        reason = (
            f"no image is recognised of {len(missed):,} of {np.count_nonzero(sizes):,} classes: {names}{more}; more "
            "images of a rare class help, and trainer.class_weights: balanced"
        )
        yield Check("missed_classes", len(missed), 0, WARN, reason)


def _check_chance(outcomes: Outcomes, gate: QualityGateOptions) -> Check:
    """Fails where a label-blind classifier explains the mean recall, unless too few images could show anything else.

    The mean recall of the classes (balanced accuracy) of any classifier that does not look at the image is 1 / classes
    on average, however unequal the classes are: so one limit covers guessing and always answering the largest class.
    """
    chance, value = 1 / np.count_nonzero(outcomes.matrix.sum(axis=1)), statistics.mean_recall(outcomes.matrix)
    p = statistics.chance_p(outcomes.labels, outcomes.predicted, gate.confidence)
    reason = (
        f"mean recall of the classes {value:.4f}, of a classifier that does not look at the image {chance:.4f} "
        f"(permutation test: p = {p:.2g} that chance explains it; gates.quality.confidence allows "
        f"{1 - gate.confidence:.2g})"
    )
    if p <= 1 - gate.confidence + ROUNDING:
        return Check("chance", value, chance, PASS, reason)
    if statistics.perfect_p(outcomes.labels) > 1 - gate.confidence + ROUNDING:
        reason = f"eval set too small to show of any candidate that it is better than chance: {reason}"
        return _undecided("chance", value, chance, reason, stops_by_estimate=value <= chance + ROUNDING, gate=gate)
    stops = gate.on_chance == "refuse"
    reason = f"not shown to be better than chance: {reason}; gates.quality.on_chance: {gate.on_chance} decides"
    return Check("chance", value, chance, FAIL if stops else WARN, reason)


def check_served(
    outcomes: Outcomes, classes: list[str], served: EvaluatedBaseline, gate: QualityGateOptions
) -> Iterator[Check]:
    """Holds the candidate against the served baseline, on the same images."""
    if served.outcomes is None:
        yield _no_baseline(served.baseline, gate)
        return
    pair = statistics.count_pairs(served.outcomes.right, outcomes.right)
    yield check_loss(pair, f"the served version {served.baseline.version}", gate)
    yield _enough_images(pair, gate)
    if gate.max_class_drop is not None:
        yield from _check_classes(outcomes, served.outcomes, classes, gate)


def _no_baseline(baseline: Baseline, gate: QualityGateOptions) -> Check:
    if baseline.version is None:
        return Check("baseline", "none", None, PASS, baseline.reason)
    verdict: Verdict = FAIL if gate.on_incomparable == "refuse" else WARN
    reason = f"no comparable baseline: {baseline.reason}; gates.quality.on_incomparable: {gate.on_incomparable} decides"
    return Check("baseline", "none", "comparable", verdict, reason)


def check_loss(pair: Pair, other: str, gate: QualityGateOptions) -> Check:
    """Tests that the loss against another model is within the tolerated one; see `judge_loss`."""
    margin, sure = gate.max_accuracy_drop, gate.confidence
    rule = LossRule(margin, "max_accuracy_drop", sure, gate.on_undecided, "gates.quality")
    return judge_loss("accuracy_drop", pair, other, rule)


def _enough_images(pair: Pair, gate: QualityGateOptions) -> Check:
    """Told whatever came out: with so few images, no candidate could be shown to be within the tolerated loss."""
    fewest = statistics.fewest_images(gate.max_accuracy_drop, gate.confidence)
    if pair.images >= fewest or not np.isfinite(fewest):
        return Check("eval_images", pair.images, None if not np.isfinite(fewest) else int(fewest), PASS)
    reason = (
        f"eval set too small: {pair.images:,} images cannot show of any candidate that its loss is within "
        f"gates.quality.max_accuracy_drop {gate.max_accuracy_drop:.4f} at {gate.confidence:.0%} confidence; "
        f"it takes {fewest:,.0f} or more"
    )
    return Check("eval_images", pair.images, int(fewest), UNDECIDED, reason)


def _check_classes(
    outcomes: Outcomes, served: Outcomes, classes: list[str], gate: QualityGateOptions
) -> Iterator[Check]:
    """No class may lose more than `max_class_drop`, where chance does not explain it (Bonferroni over the classes)."""
    limit = gate.max_class_drop or 0.0
    for index, label in enumerate(classes):
        inside = outcomes.images_of_classes[index]
        pair = statistics.count_pairs(served.right[inside], outcomes.right[inside])
        if pair.loss <= limit + ROUNDING:
            continue
        p = statistics.worse_p(pair)
        certain = p < (1 - gate.confidence) / len(classes)
        reason = (
            f"class '{label}' lost {pair.loss:.4f} of its accuracy ({pair.lost:,} images lost, {pair.gained:,} gained "
            f"of {pair.images:,}; McNemar, exact: p = {p:.2g}, {'not ' if certain else ''}explained by chance over "
            f"{len(classes)} classes); gates.quality.max_class_drop is {limit:.4f}"
        )
        yield Check(f"class_drop/{label}", pair.loss, limit, FAIL if certain else WARN, reason)


def check_decay(
    metrics: dict[str, Any],
    outcomes: Outcomes,
    served: EvaluatedBaseline,
    best: EvaluatedBaseline,
    gate: QualityGateOptions,
) -> Iterator[Check]:
    """Holds the candidate against the best baseline, so that small losses do not add up."""
    recorded, evaluated = best.baseline, best.outcomes
    if recorded.version is None:
        return
    if evaluated is None and recorded.version == served.baseline.version:
        evaluated = served.outcomes
    limit, other = gate.max_decay, f"the best version ever pushed, {recorded.version}"
    if evaluated is not None:
        pair = statistics.count_pairs(evaluated.right, outcomes.right)
        loss, p, how = pair.loss, statistics.worse_p(pair), "on the same images; McNemar, exact"
    elif recorded.accuracy is not None and recorded.examples:
        loss = recorded.accuracy - metrics["accuracy"]
        p = statistics.unpaired_worse_p(metrics["accuracy"], metrics["examples"], recorded.accuracy, recorded.examples)
        how = f"by its recorded accuracy {recorded.accuracy:.4f} on {recorded.examples:,} images of then"
        how += f", since {recorded.reason}; z-test"
    else:
        yield Check("decay", None, limit, WARN, f"{other}, cannot be compared: {recorded.reason}")
        return
    reason = f"accuracy is {loss:.4f} below {other} ({how}: p = {p:.2g}); gates.quality.max_decay is {limit:.4f}"
    if loss <= limit + ROUNDING:
        yield Check("decay", loss, limit, PASS, reason)
    elif p < 1 - gate.confidence:
        yield Check("decay", loss, limit, FAIL, reason)
    else:  # the best of many is better by chance, too: only a loss that chance does not explain stops
        reason = f"eval set too small to decide: {reason}"
        yield _undecided("decay", loss, limit, reason, stops_by_estimate=False, gate=gate)
