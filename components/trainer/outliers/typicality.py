"""How typical an image is: its distance to a bank of train features, among the distances of good eval images.

The distance is 1 minus the mean cosine to the nearest few rows of the bank (Sun et al. 2022, arXiv:2204.06507: nearest
neighbours of features of unit length). The answer is a conformal p-value (Bates et al. 2023, arXiv:2104.08279): of good
images that neither the bank nor the calibration has seen, at most a share p gets p or less, whatever the distances
are. `benchmarks/outlier.py` measures it, `docs/outliers.md` has the figures. NumPy here, the same in TensorFlow in
`served.py`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.contract.features import MAX_REFUSED
from components.trainer.features.data import Split, spread_rows

NEIGHBOURS = 5  # at most; never more than the bank has of its rarest class
BANK_ROWS = 1_000  # at most, unless there are more classes
BANK_BYTES = 4_000_000  # likewise, as float32
SAMPLE = 500  # eval images, at least, that it is calibrated on
# More for a smaller promise: so many are refused of the sample, on average. The share that is refused of further images
# then strays by a fifth of the promise (1 / sqrt(25), a standard deviation): by one point at 5 %.
REFUSED = 25
CALIBRATED_ON = 10_000  # eval images, at most
SCORES = 1_000  # of their distances that an export holds, at most
TIE = 1e-5  # distances this near are equal: a served feature is rounded otherwise than a kept one
AT_ONCE = 1_024  # images


@dataclass(frozen=True)
class Typicality:
    """What an export holds to tell outliers.

    Attributes:
        bank: float32 [rows, d], features of train images, of unit length.
        neighbours: so many rows, the nearest, make the distance.
        scores: float32 [m], distances of good eval images, falling.
        shares: float32 [m + 1]: the answer for an image that so many of the scores are not below.
        max_refused: the promised share of good images that are refused, 0..1.
        calibrated_on: how many good eval images the scores stand for.
    """

    bank: np.ndarray
    neighbours: int
    scores: np.ndarray
    shares: np.ndarray
    max_refused: float
    calibrated_on: int

    @classmethod
    def blank(cls, width: int) -> Typicality:
        """Makes one that knows nothing: every image of so many features gets 1, and is known."""
        zeros = np.zeros([1, width], np.float32)
        return cls(zeros, 1, *summarise_scores(np.zeros(0)), MAX_REFUSED, 0)

    @classmethod
    def of(cls, values: np.ndarray, labels: np.ndarray, evaluation: np.ndarray, max_refused: float) -> Typicality:
        """Makes the bank and calibrates it.

        Args:
            values: float32 [rows, d], features of the train images of `choose_rows`.
            labels: int64 [rows], their classes.
            evaluation: float32 [n, d], features of good eval images in an order that means nothing; the first
                `CALIBRATED_ON` count. None of them: every image gets 1, and is known.
            max_refused: the promised share of good images that are refused, 0..1.
        """
        bank, neighbours = unit_length(values), min(NEIGHBOURS, int(np.unique(labels, return_counts=True)[1].min()))
        good = evaluation[:CALIBRATED_ON]
        scores, shares = summarise_scores(measure_distances(good, bank, neighbours))
        return cls(bank, neighbours, scores, shares, max_refused, len(good))

    def outlier(self, values: np.ndarray) -> np.ndarray:
        """Answers for features float32 [n, d]: the share of good images that look less typical, float32 [n]."""
        return self.share_beyond(measure_distances(values, self.bank, self.neighbours))

    def share_beyond(self, distances: np.ndarray) -> np.ndarray:
        """Gives the share of good images that are as far away or farther, float32 [n]; no number is far away."""
        return self.shares[(self.scores[None] >= distances[:, None].astype(np.float32) - np.float32(TIE)).sum(axis=1)]

    def variables(self) -> dict[str, np.ndarray]:
        """Names the arrays as the attributes of `OutlierScore`, with the types that it stores them in."""
        numbers = {"neighbours": np.int64(self.neighbours), "max_refused": np.float32(self.max_refused)}
        arrays = {"bank": self.bank, "scores": self.scores, "shares": self.shares}
        return arrays | {name: np.asarray(value) for name, value in numbers.items()}

    def facts(self) -> dict[str, Any]:
        """Describes it for the export's `assets/graft.json`."""
        content = b"".join(array.tobytes() for array in self.variables().values())
        return {
            "bank_images": len(self.bank),
            "calibrated_on": self.calibrated_on,
            "max_refused": self.max_refused,
            "neighbours": self.neighbours,
            "sha256": hashlib.sha256(content).hexdigest(),
        }


def count_sample(max_refused: float) -> int:
    """Counts the eval images that keep a promise, 0..1, as near as `REFUSED` says."""
    return min(max(SAMPLE, math.ceil(REFUSED / max_refused)), CALIBRATED_ON) if max_refused else SAMPLE


def choose_rows(split: Split, width: int) -> np.ndarray:
    """Chooses the train images of the bank, int [rows]: of each class alike, by content, whatever the order is.

    No more than `BANK_ROWS`, nor than `BANK_BYTES` take at this width; but one of each class, as the head has a
    column for each of them.

    Args:
        split: the train split, in any order.
        width: features an image.
    """
    most = max(min(BANK_ROWS, BANK_BYTES // (4 * width)), len(np.unique(split.labels)))
    rows = spread_rows(split, most)
    return rows[np.argsort(split.sha256[rows], kind="stable")]


def unit_length(values: np.ndarray) -> np.ndarray:
    """Scales features, float [n, d], to length 1; those of length 0 stay."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, lengths, out=np.zeros_like(values), where=lengths != 0)


def measure_distances(values: np.ndarray, bank: np.ndarray, neighbours: int) -> np.ndarray:
    """Measures how far features float32 [n, d] are from their nearest rows of the bank: float32 [n], 0..2, or NaN.

    In float64 in between: the same features give the same bits on any number of processors.
    """
    found, columns = [np.zeros(0)], bank.T.astype(np.float64)
    for start in range(0, len(values), AT_ONCE):
        similar = unit_length(values[start : start + AT_ONCE].astype(np.float64)) @ columns
        found.append(1 - np.partition(similar, -neighbours, axis=1)[:, -neighbours:].mean(axis=1))
    return np.concatenate(found).astype(np.float32)


def summarise_scores(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums up distances of good images, so that at most `SCORES` of them give nearly the same answers.

    With all n of them, an image that k of them are not below gets (1 + k) / (n + 1). Where some are left out, k is
    taken as large as it may be: then an answer is too large by at most 1 / `SCORES`, and the promise is kept.

    Args:
        distances: float [n], in any order; one that is no number counts as the farthest.

    Returns:
        (scores, shares), as in `Typicality`.
    """
    count = len(distances)
    falling = -np.sort(-np.nan_to_num(distances, nan=np.inf))
    held = min(count, SCORES)
    ranks = (np.arange(1, held + 1) * count + held - 1) // max(held, 1)
    shares = np.append(ranks, count + 1) / (count + 1)
    return falling[ranks - 1].astype(np.float32), shares.astype(np.float32)
