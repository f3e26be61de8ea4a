"""The scale on which a head learns, and how strong its L2 penalty is where the options leave it open.

Each feature is less its mean, and half-way to a deviation of 1, or all the way. Half-way, a feature is divided by the
geometric mean of its own deviation and of that of all: as they are, a few large ones drown the rest; all at 1, the many
small ones are as loud as those that the backbone found worth it. Where scales say nothing about worth, 1 is right. One
learning rate and one number of steps then serve features of any backbone. The finished head has the scale in its first
layer (`fold`): what is exported takes features as the backbone gives them.

Scale and penalty are those that serve images left out. A softmax that is unsure is a ridge regression with one column a
class: its curvature is 1 / classes, so l2 shrinks as a ridge of 2 * classes * n * l2 does. The error of a ridge
regression on each image that was left out, alone, follows from one fit to all in closed form (Golub, Heath and Wahba,
1979), and one decomposition a scale gives it for every ridge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.devices.strategy import broadcast
from components.trainer.features.data import Split
from components.trainer.training.schedule import weigh_classes

SCALED_AT_ONCE = 1024  # images
# Of a feature's mean, and of the deviation of all: what varies by less stays small. Blown up to the size of others it
# would carry what float32 rounds away into the answers, and training and serving would differ.
LEAST = 1e-3
RATIOS = 10.0 ** np.arange(-2.0, 3.0, 0.5)  # of noise to signal: ridges in units of the features' variance, all told
AT_MOST = 4096  # images that the penalty is found from
DIGITS = ".1e"  # kept of the penalty: another processor rounds the decomposition in another way
WAY = 1  # of the search: another number where it changes, so that no answer of the earlier one is taken
NOTHING_KEPT = AnswerCache()


@dataclass(frozen=True)
class Scale:
    """Mean and spread of a set of features.

    Attributes:
        mean: float64 [d].
        spread: float64 [d], > 0: what they are divided by.
    """

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, rows: np.ndarray, even: bool = False) -> Scale:
        """Measures some rows, int [k], of features, float32 [n, d], a part at a time; `even`: to a deviation of 1 each.

        A feature that is not finite for some image keeps its own scale, so that no other image is blamed for it.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            mean = _mean(values, rows, lambda part: part)
            own = np.sqrt(_mean(values, rows, lambda part: (part - mean) ** 2))
        varied = np.isfinite(own) & (own > LEAST * np.abs(mean))
        of_all = np.sqrt(np.mean(own[varied] ** 2)) if varied.any() else 1.0
        usable = varied & (own > LEAST * of_all)
        spread = np.where(usable, own if even else np.sqrt(np.where(usable, own, 0.0) * of_all), of_all)
        return cls(np.where(np.isfinite(mean), mean, 0.0), spread)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Scales features float32 [k, d] to float64 [k, d]."""
        return (values - self.mean) / self.spread

    def fold(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turns a layer on scaled features into one on the features as they are: float64, the same shapes."""
        own = kernel / self.spread[:, None]
        return own, bias - self.mean @ own


def _mean(values: np.ndarray, rows: np.ndarray, of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    parts = (rows[start : start + SCALED_AT_ONCE] for start in range(0, len(rows), SCALED_AT_ONCE))
    return np.sum([of(values[part].astype(np.float64)).sum(axis=0) for part in parts], axis=0) / len(rows)


class Penalty(NamedTuple):
    """The penalty and the scale that serve images that were left out.

    Attributes:
        l2: on the kernel.
        even: of features with a deviation of 1 each; False: half-way to it, see `Scale`.
    """

    l2: float
    even: bool


def find_penalty(
    strategy: tf.distribute.Strategy,
    values: np.ndarray,
    split: Split,
    held: np.ndarray,
    classes: int,
    how: str,
    answers: AnswerCache = NOTHING_KEPT,
) -> Penalty:
    """Finds the penalty for the images that are learned from, in the chief, and tells the other workers.

    Args:
        strategy: the replicas.
        values: float32 [n, d], features of the split.
        split: labels, and digests, by which copies and views of an image count once.
        held: bool [n], True for the images that are only watched.
        classes: how many there are.
        how: `class_weights` of the options.
        answers: of earlier runs: the search takes longer than to train the head, and no other option decides it.
    """
    rows = np.flatnonzero(~held)
    rows = rows[np.unique(split.digests()[rows], return_index=True)[1]]
    weights = weigh_classes(split.labels[rows], classes, how)

    def search() -> str:
        found = choose_penalty(values, split.labels, rows, weights)
        return f"{found.l2:{DIGITS}} {found.even:d}"

    told = str(answers.recall(describe_search(values, split.labels, rows, weights), search))
    l2, even = broadcast(strategy, told.encode()).split()
    return Penalty(float(l2), even == b"1")


def describe_search(values: np.ndarray, labels: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Describes all that decides a penalty; arguments as of `choose_penalty`."""
    some = thin_out(rows)
    content = hashlib.sha256(labels[some].astype(np.int64).tobytes() + weights.tobytes())
    for start in range(0, len(some), SCALED_AT_ONCE):
        content.update(values[some[start : start + SCALED_AT_ONCE]].astype(np.float32).tobytes())
    numbers = {"least": LEAST, "ratios": RATIOS.tolist(), "digits": DIGITS, "width": values.shape[1]}
    return {"what": "penalty", "way": WAY, "images": len(rows), "sha256": content.hexdigest(), **numbers}


def thin_out(rows: np.ndarray) -> np.ndarray:
    """Takes every so many of some rows, `AT_MOST` of them."""
    return rows[:: max(-(-len(rows) // AT_MOST), 1)]


def choose_penalty(values: np.ndarray, labels: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> Penalty:
    """Chooses the ridge and the scale with the least squared error on images that are left out, one at a time.

    Args:
        values: float32 [n, d].
        labels: int [n].
        rows: int [k], the images that are learned from, each of them once.
        weights: float64 [classes], what an image of each class counts.
    """
    some = thin_out(rows)
    some = some[np.isfinite(values[some]).all(axis=1)]  # the others end the training, which names them
    if not len(some):
        return Penalty(0.0, even=False)
    classes, root = len(weights), np.sqrt(weights[labels[some]])[:, None]
    targets = (np.eye(classes)[labels[some]] * classes - 1.0) * root
    scales = {even: Scale.of(values, some, even) for even in (False, True)}
    tried = {even: try_ridges(scale.apply(values[some]) * root, targets) for even, scale in scales.items()}
    even = tried[True][0] < tried[False][0]
    return Penalty(float(tried[even][1] / (2 * classes * len(rows))), even)


def try_ridges(features: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Gives the least squared error on rows that are left out, one at a time, and the ridge that does for a softmax.

    Args:
        features: float64 [n, d], on their scale.
        targets: float64 [n, classes].
    """
    signal, strengths = decompose(features)
    found, squares = signal.T @ targets, signal**2
    unit, best = max(np.sum(strengths) / len(features), 1e-9), (np.inf, 1.0, 1.0)
    for ratio in RATIOS:
        shrunk = 1 / (strengths + ratio * unit)
        missing = targets - signal @ (shrunk[:, None] * found)
        own = squares @ shrunk + 1 / len(features)
        error = np.sum((missing / np.maximum(1 - own, 1e-9)[:, None]) ** 2)
        best = min(best, (error, ratio, np.sum(missing**2) / np.sum(targets**2)))
    error, ratio, unexplained = best
    # Where the fit is sure, the softmax is flatter than a parabola, down to `unexplained`. The square root is measured.
    return error, max(ratio * np.sqrt(unexplained), RATIOS[0]) * unit


def decompose(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turns float64 [n, d] to its r = min(n, d) principal directions, [n, r]; and the sum of squares along each."""
    if len(values) > values.shape[1]:
        strengths, directions = np.linalg.eigh(values.T @ values)
        return values @ directions, np.maximum(strengths, 0)
    strengths, directions = np.linalg.eigh(values @ values.T)
    strengths = np.maximum(strengths, 0)
    return directions * np.sqrt(strengths), strengths
