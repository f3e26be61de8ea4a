"""The scale on which a head learns: each feature less its mean, and half-way to a deviation of 1, or all the way.

Half-way, a feature is divided by the geometric mean of its own deviation and of that of all: as they are, a few large
ones drown the rest; all at 1, the many small ones are as loud as those that the backbone found worth it. Where scales
say nothing about worth, 1 is right: images that are left out decide (`penalty`). One learning rate and one number of
steps then serve features of any backbone. The finished head has the scale in its first layer (`fold`): what is
exported takes features as the backbone gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

AT_ONCE = 1024  # images
# Of a feature's mean, and of the deviation of all: what varies by less stays small. Blown up to the size of others it
# would carry what float32 rounds away into the answers, and training and serving would differ.
LEAST = 1e-3


@dataclass(frozen=True)
class Scale:
    """Of a set of features.

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
        """float64 [k, d] of features float32 [k, d]."""
        return (values - self.mean) / self.spread

    def fold(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A layer on these features for one on the features as they are: float64, the same shapes."""
        own = kernel / self.spread[:, None]
        return own, bias - self.mean @ own


def _mean(values: np.ndarray, rows: np.ndarray, of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    parts = (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))
    return np.sum([of(values[part].astype(np.float64)).sum(axis=0) for part in parts], axis=0) / len(rows)
