"""Whether one model loses more accuracy against another than is tolerated, by both on the same images.

The rule of `docs/gates.md`, for the served version: the quality gate asks it of a candidate and that version, the
servability gate of a further form of an export and the SavedModel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.contract import statistics
from components.contract.gates import FAIL, PASS, Check, OnUndecided, undecided
from components.contract.statistics import Pair

ROUNDING = 1e-6  # TFMA's accuracies are float32: 9 of 10 right is 0.89999998


@dataclass(frozen=True)
class LossRule:
    """What is tolerated, and what happens where too few images can tell.

    Attributes:
        limit: largest tolerated loss of accuracy, 0..1.
        option: the name of the limit's option, below `block`.
        confidence: of the one-sided bounds.
        on_undecided: where the set is too small, the loss that was measured decides, or this.
        block: of the options, such as `gates.quality`.
    """

    limit: float
    option: str
    confidence: float
    on_undecided: OnUndecided
    block: str


def judge_loss(name: str, pair: Pair, other: str, rule: LossRule) -> Check:
    """Tests non-inferiority: the loss against another model is shown to be within the tolerated one.

    Passes where the upper bound of the loss is within the limit. Fails where the lower bound is beyond it, and also
    where a candidate as good as the other would have been shown to be within it, since the set is large enough.
    Otherwise the set is too small to decide.

    Args:
        name: of the check.
        pair: the other model is the reference.
        other: what it is called.
        rule: limit and confidence.
    """
    margin, sure = rule.limit, rule.confidence
    low, high = statistics.loss_bounds(pair, sure)
    reason = (
        f"{pair.lost:,} images lost and {pair.gained:,} gained of {pair.images:,} against {other}: a loss of "
        f"{pair.loss:.4f}, at {sure:.0%} confidence {low:.4f} or more and {high:.4f} or less; "
        f"{rule.block}.{rule.option} is {margin:.4f}"
    )
    value = pair.loss
    if high <= margin + ROUNDING:
        return Check(name, value, margin, PASS, reason)
    reason += f" (McNemar, exact: p = {statistics.worse_p(pair):.2g} that it is no worse)"
    if low > margin:
        return Check(name, value, margin, FAIL, f"worse than tolerated: {reason}")
    needed = statistics.images_needed(pair, margin, sure)
    if pair.images >= needed:
        return Check(name, value, margin, FAIL, f"not shown to be within the tolerated loss: {reason}")
    takes = (
        f"about {needed:,.0f} images would" if np.isfinite(needed) else "no number of images shows that nothing is lost"
    )
    reason = f"eval set too small to decide, {takes}: {reason}"
    option = f"{rule.block}.on_undecided"
    return undecided(name, value, margin, reason, value > margin + ROUNDING, rule.on_undecided, option)
