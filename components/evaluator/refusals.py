"""Whether the served model keeps its promise about good images: no more of them than agreed are called outliers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from components.contract import statistics
from components.contract.gates import FAIL, PASS, UNDECIDED, WARN, Check
from components.evaluator.outcomes import Outcomes
from components.options.gates import QualityGateOptions

NAME = "refused"


def check_refused(outcomes: Outcomes, gate: QualityGateOptions, calibrated_on: int | None = None) -> Iterator[Check]:
    """Holds the share of good eval images that the served signature calls outliers against the promised share.

    The Trainer calibrates on the first images by content, so their share is within the promise unless the served scores
    are others: it fails where chance does not explain what is above, and where an answer about any image is no share at
    all. The share of further images strays around the promise by chance, so they are not judged by it. Of a candidate
    that does not answer `known` nothing is checked; the Trainer proves that its exports do.

    Args:
        outcomes: of all eval images, in the order of their content.
        gate: the limits.
        calibrated_on: how many of them the Trainer calibrated on; None: all.
    """
    if outcomes.known is None or outcomes.outlier is None:
        return
    if odd := int((~_are_shares(outcomes.outlier)).sum()):
        asked = len(outcomes.outlier)
        reason = f"`outlier` is no number in 0..1 for {odd:,} of {asked:,} eval images: the export is broken"
        yield Check(NAME, odd, 0, FAIL, reason)
        return
    known, limit = outcomes.known[:calibrated_on], gate.max_refused
    images, refused = len(known), int((~known).sum())
    share = refused / images
    low, high = statistics.wilson_interval(refused, images, 2 * gate.confidence - 1)
    said = f"{refused:,} of {images:,} good eval images are called outliers"
    if share > limit and low > limit:
        reason = (
            f"{said}: a share of {share:.4f} ({low:.4f} or more at {gate.confidence:.0%} confidence); "
            f"gates.quality.max_refused promises at most {limit:.4f}. What is served scores images otherwise than the "
            "Trainer did: train again (--no-cache)"
        )
        yield Check(NAME, share, limit, FAIL, reason)
    elif limit and images < (fewest := statistics.fewest_to_refuse(limit)):
        reason = (
            f"eval set too small to tell outliers: {images:,} images, and with fewer than {fewest:,} "
            f"every image is `known` where gates.quality.max_refused is {limit:.4f}"
        )
        yield Check(NAME, share, limit, UNDECIDED, reason)
    elif not refused and high < limit / 2:
        reason = f"{said}, where about {limit * images:,.0f} are expected: `outlier` does not tell images apart"
        yield Check(NAME, share, limit, WARN, reason)
    else:
        yield Check(NAME, share, limit, PASS)


def _are_shares(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values) & (values >= 0) & (values <= 1)
