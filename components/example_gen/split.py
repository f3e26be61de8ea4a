"""Which side of the split an image falls on, where the data does not say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components import features

_BUCKETS = 2**32


def split_by_content(sha256: str, eval_fraction: float) -> str:
    """`train` or `eval`, from the content alone.

    Copies of one picture always land on the same side, and adding images never moves an old one.

    Args:
        sha256: hex digest of the file's bytes.
        eval_fraction: expected share of `eval`, 0..1.
    """
    bucket = int(sha256[:8], 16)
    return features.EVAL_SPLIT if bucket < eval_fraction * _BUCKETS else features.TRAIN_SPLIT


def assign_sides(
    digests: Sequence[str], clusters: np.ndarray, remembered: Sequence[str], eval_fraction: float
) -> tuple[list[str], list[int]]:
    """The side of each image; clusters stay whole, and no image ever leaves the side that is remembered.

    - A cluster without a remembered image goes where the smallest of its digests falls (`split_by_content`).
    - Newcomers to a cluster whose remembered images are on one side join that side.
    - Newcomers to a cluster with remembered images on both sides (they bridge what used to be apart) are on neither,
      even where a newcomer is a neighbour of one side only: through the others it is near both. A copy of a
      remembered image is no bridge: it goes where its original is.

    Where nothing is remembered, the sides depend on the clusters and digests alone, not on their order; but a new
    image with a smaller digest may then move its cluster: remember the sides.

    Args:
        digests: [n] sha256 of each image, 64 hex digits.
        clusters: int [n], equal for images that must be on one side; equal digests have equal clusters.
        remembered: [n] `train` or `eval` of an earlier run; empty: never seen.
        eval_fraction: expected share of `eval`, 0..1.

    Returns:
        [n] `train`, `eval`, or empty for a bridging newcomer; and the indices of these.
    """
    _, numbers = np.unique(clusters, return_inverse=True)
    settled = {side: _have_side(numbers, remembered, side) for side in features.SPLITS}
    bridged = np.logical_and.reduce(list(settled.values()))
    fallen = _fall(digests, numbers, eval_fraction)
    originals: dict[str, set[str]] = {}  # the remembered sides of the digests in bridged clusters: few
    for digest, number, side in zip(digests, numbers.tolist(), remembered, strict=True):
        if side and bridged[number]:
            originals.setdefault(digest, set()).add(side)
    sides = []
    for digest, number, side in zip(digests, numbers.tolist(), remembered, strict=True):
        if bridged[number]:
            known = originals.get(digest, set())
            joined = next(iter(known)) if len(known) == 1 else ""
        else:
            joined = next((name for name in features.SPLITS if settled[name][number]), fallen[number])
        sides.append(side or joined)
    return sides, [index for index, side in enumerate(sides) if not side]


def _have_side(numbers: np.ndarray, remembered: Sequence[str], side: str) -> np.ndarray:
    """bool [clusters]: which clusters have an image that is remembered on that side."""
    chosen = np.fromiter((known == side for known in remembered), bool, len(numbers))
    return np.bincount(numbers, weights=chosen) > 0


def _fall(digests: Sequence[str], numbers: np.ndarray, eval_fraction: float) -> list[str]:
    """The side of each cluster's smallest digest."""
    smallest = [""] * (int(numbers.max(initial=-1)) + 1)
    for digest, number in zip(digests, numbers.tolist(), strict=True):
        smallest[number] = min(digest, smallest[number] or digest)
    return [split_by_content(digest, eval_fraction) for digest in smallest]
