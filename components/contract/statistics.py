"""Intervals and tests for shares of images, one model or two on the same images. Pure functions; numbers in 0..1.

Sources: Wilson 1927 (interval of a share); McNemar 1947, in the exact form (who of two models is right more often on
the same images); Tango 1998, Statistics in Medicine 17:891 (score interval of the difference of two paired shares, and
the test of non-inferiority that is its inversion); Efron 1979 (bootstrap over images); Fisher 1935, The Design of
Experiments (permutation test).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats

POWER = 0.95  # how surely a candidate that is as good passes where the set is called large enough
RESAMPLES = 1000


@dataclass(frozen=True)
class Pair:
    """Two models on the same images.

    Attributes:
        images: how many.
        lost: images that the reference had right and the candidate has wrong.
        gained: the other way round.
    """

    images: int
    lost: int
    gained: int

    @property
    def loss(self) -> float:
        """Accuracy of the reference minus that of the candidate, -1..1."""
        return (self.lost - self.gained) / self.images if self.images else 0.0


def count_pairs(reference: np.ndarray, candidate: np.ndarray) -> Pair:
    """Counts; both arguments bool [images], whether the model was right."""
    return Pair(len(reference), int((reference & ~candidate).sum()), int((~reference & candidate).sum()))


def quantile(confidence: float) -> float:
    """The normal quantile of a one-sided test: 1.645 for 0.95."""
    return float(stats.norm.ppf(confidence))


@lru_cache(maxsize=4096)  # of a thousand small classes and slices, most have the same few numbers
def wilson_interval(right: float, images: int, confidence: float) -> tuple[float, float]:
    """Two-sided interval of a share; 0..1 without an image."""
    if not images:
        return 0.0, 1.0
    interval = stats.binomtest(round(right), images).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def loss_score(pair: Pair, loss: float) -> float:
    """Tango's statistic for "the true loss is `loss`", standard normal if it is; falls as `loss` rises.

    Where the variance under the hypothesis is 0 it is infinite, with the sign of what was seen.
    """
    n, b, c = pair.images, pair.lost, pair.gained
    first, second, third = 2 * n, -b - c + (2 * n - b + c) * loss, -c * loss * (1 - loss)
    share = (math.sqrt(max(second * second - 4 * first * third, 0.0)) - second) / (2 * first)
    variance = n * (2 * share + loss * (1 - loss))
    difference = b - c - n * loss
    if variance <= 1e-12:
        return 0.0 if abs(difference) < 1e-9 else math.copysign(math.inf, difference)
    return difference / math.sqrt(variance)


def loss_bounds(pair: Pair, confidence: float) -> tuple[float, float]:
    """One-sided lower and upper bound of the true loss, each with this confidence; -1..1."""
    z = quantile(confidence)
    return _where_score_is(pair, z), _where_score_is(pair, -z)


def _where_score_is(pair: Pair, level: float) -> float:
    """Finds the loss where the score falls to a level; -1 or 1 where it does so nowhere between."""

    def distance(loss: float) -> float:
        return float(np.clip(loss_score(pair, loss) - level, -1e6, 1e6))  # the solver wants finite numbers

    if distance(-1.0) <= 0:
        return -1.0
    return 1.0 if distance(1.0) > 0 else float(optimize.brentq(distance, -1.0, 1.0, xtol=1e-13))


def worse_p(pair: Pair) -> float:
    """McNemar's exact one-sided test: how likely so many lost images would be if both models were alike; 0..1."""
    return float(stats.binomtest(pair.lost, pair.lost + pair.gained, 0.5, "greater").pvalue) if pair.lost else 1.0


def images_needed(pair: Pair, margin: float, confidence: float) -> float:
    """So many images show of a candidate that is as good, with `POWER`, that its loss is within the margin.

    The usual sample size for paired shares, churn (z_confidence + z_power)^2 / margin^2, with the churn that was seen
    (one image more each way than there was, so that none seen is not none). At least what Tango's bound needs where
    the models differ on no image: z^2 (1 - margin) / margin. Infinite for a margin of 0: no number of images shows that
    nothing at all is lost.
    """
    if margin <= 0:
        return math.inf
    z, churn = quantile(confidence), (pair.lost + pair.gained + 1) / (pair.images + 2)
    return float(math.ceil(max(churn * (z + quantile(POWER)) ** 2 / margin**2, fewest_images(margin, confidence))))


def fewest_images(margin: float, confidence: float) -> float:
    """With fewer images, not even a candidate without a single lost image could be shown to be within the margin."""
    return float(math.ceil(quantile(confidence) ** 2 * (1 - margin) / margin)) if margin > 0 else math.inf


def images_for_share(share: float, limit: float, confidence: float) -> int:
    """So many images would tell this share from the limit, one-sided."""
    z, distance = quantile(confidence), max(abs(share - limit), 1e-3)
    return math.ceil(z * z * max(limit * (1 - limit), share * (1 - share), 1e-3) / distance**2)


def unpaired_worse_p(accuracy: float, images: int, reference: float, reference_images: int) -> float:
    """Pooled z-test of two shares on different images: how likely so low an accuracy would be if both were alike."""
    pooled = (accuracy * images + reference * reference_images) / (images + reference_images)
    deviation = math.sqrt(max(pooled * (1 - pooled), 1e-9) * (1 / images + 1 / reference_images))
    return float(stats.norm.sf((reference - accuracy) / deviation))


def mean_recall(matrix: np.ndarray) -> float:
    """The mean over the classes that have images of their recall, from counts [actual][predicted]; 0..1."""
    sizes = matrix.sum(axis=1)
    return float((np.diag(matrix)[sizes > 0] / sizes[sizes > 0]).mean())


def chance_p(labels: np.ndarray, predicted: np.ndarray, confidence: float, seed: int = 1) -> float:
    """How likely the mean recall would be at least this high if predictions had nothing to do with labels; 0..1.

    Permutation test: the predictions are dealt out to the images anew, so that each class is predicted as often as it
    was. For two classes it estimates Fisher's exact test.

    Args:
        labels: int [images], at least one.
        predicted: int [images].
        confidence: the test has enough draws for it.
        seed: the same answer every time.
    """
    if np.array_equal(labels, predicted):
        return perfect_p(labels)
    weights = 1 / np.bincount(labels)[labels]
    found, draw = float(weights @ (labels == predicted)), np.random.default_rng(seed).permutation
    draws = max(RESAMPLES, math.ceil(10 / (1 - confidence))) - 1
    reached = sum(float(weights @ (labels == draw(predicted))) >= found - 1e-9 for _ in range(draws))
    return (1 + reached) / (1 + draws)


def perfect_p(labels: np.ndarray) -> float:
    """`chance_p` of a candidate without a single error, exactly; no candidate has a smaller one.

    It is one over the number of ways to deal the labels out, a multinomial coefficient.
    """
    sizes = np.bincount(labels)
    return float(np.exp(special.gammaln(sizes + 1).sum() - special.gammaln(len(labels) + 1)))


def bootstrap_cells(
    counts: np.ndarray, measure: Callable[[np.ndarray], float], confidence: float, seed: int = 1
) -> tuple[float, float]:
    """Percentile interval of anything that a confusion matrix decides, by drawing images again.

    Drawing images with replacement is drawing the cells of the matrix from a multinomial distribution, so the cost
    grows neither with the images nor with cells that no image is in.

    Args:
        counts: int [cells], of the images in each cell that has any.
        measure: of as many counts, drawn again.
        confidence: of both sides together.
        seed: the same interval every time.
    """
    if not counts.sum():
        return 0.0, 1.0
    drawn = np.random.default_rng(seed).multinomial(int(counts.sum()), counts / counts.sum(), RESAMPLES)
    return _percentiles([measure(row) for row in drawn], confidence)


def bootstrap_images(
    images: int, measure: Callable[[np.ndarray], float], confidence: float, seed: int = 1
) -> tuple[float, float]:
    """Percentile interval of any measure of images, by drawing images again; its cost grows with the images.

    Args:
        images: number of images.
        measure: of int [images], indices of the images drawn.
        confidence: of both sides together.
        seed: the same interval every time.
    """
    draw = np.random.default_rng(seed)
    values = [measure(draw.integers(0, images, images)) for _ in range(RESAMPLES)] if images else [0.0, 1.0]
    return _percentiles(values, confidence)


def _percentiles(values: list[float], confidence: float) -> tuple[float, float]:
    tails = (1 - confidence) / 2
    low, high = np.quantile(values, [tails, 1 - tails])
    return float(low), float(high)


def fewest_to_refuse(max_refused: float) -> int:
    """With fewer good images no outlier answer is as small as the promised share: the least is 1 / (images + 1)."""
    return math.ceil(1 / max_refused - 1e-9) - 1
