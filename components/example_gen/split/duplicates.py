"""Finds images that are copies, nearly the same, or of one group: pure functions over small arrays.

Near-duplicates are pairs whose PDQ hashes (Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing
Algorithm", 2019) differ in few of 256 bits. They are found exactly, without comparing all pairs, by the pigeonhole
principle: Norouzi, Punjani, Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012. What is held:
52 bytes an image; what is needed on the way does not depend on how many pairs there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from components.contract import features
from components.example_gen.split import hamming

COPY, NEAR, GROUP = "copy", "near", "group"


@dataclass(frozen=True, slots=True)
class Leak:
    """A train image that is a direct neighbour of an eval image.

    Attributes:
        train: index of the train image.
        evaluation: index of the eval image.
        kind: `copy` (equal bytes), `near` (hashes within the distance) or `group`; the first that holds.
        distance: differing bits of the hashes, 0..256; None for a group.
    """

    train: int
    evaluation: int
    kind: str
    distance: int | None


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The neighbourhood of n images, made by `find_neighbours`.

    Attributes:
        clusters: int32 [n], the connected component of each image over all edges.
        near: int32 [n], the connected component over the hash edges alone; -1: the image has no hash.
        digests: int32 [n], equal for equal bytes.
        groups: int32 [n], equal for an equal group; -1: in none.
        words: uint64 [n, 4], the hashes; zeros where there is none.
        distance: bits, 0..256; None: there are no hash edges.
    """

    clusters: np.ndarray
    near: np.ndarray
    digests: np.ndarray
    groups: np.ndarray
    words: np.ndarray
    distance: int | None

    def near_groups(self) -> list[list[int]]:
        """Indices of images that hash edges alone connect, of two and more different digests, by first index."""
        return [group.tolist() for group in _runs(self.near) if len(np.unique(self.digests[group])) > 1]

    def leaks(self, sides: Sequence[str]) -> list[Leak]:
        """Returns the train images that are direct neighbours of an eval image, by index.

        Of several eval neighbours that with the smallest distance is named, then that with the smallest index. In a
        crowd (more than `hamming.CROWD` hashes with a band in common) it may be another one within the distance.

        Args:
            sides: [n], `train`, `eval`, or anything else for an image that is on neither side.
        """
        train = np.fromiter((side == features.TRAIN_SPLIT for side in sides), bool, len(self.clusters))
        evaluation = np.fromiter((side == features.EVAL_SPLIT for side in sides), bool, len(self.clusters))
        kinds = {
            COPY: _partners(self.digests, train, evaluation),
            NEAR: self._near_partners(train, evaluation),
            GROUP: _partners(self.groups, train, evaluation),
        }
        leaks: dict[int, Leak] = {}
        for kind, (left, right) in kinds.items():
            bits = hamming.distances(self.words, left, right)
            for one, other, count in zip(left.tolist(), right.tolist(), bits.tolist(), strict=True):
                distance = {COPY: 0, NEAR: count}.get(kind)
                leaks.setdefault(one, Leak(one, other, kind, distance))
        return [leaks[index] for index in sorted(leaks)]

    def _near_partners(self, train: np.ndarray, evaluation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of train images, and of the nearest eval image of each."""
        if self.distance is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        # Only a cluster with both sides can leak: in a clean set nothing is left to search.
        both = np.intersect1d(self.near[train], self.near[evaluation])
        chosen = np.flatnonzero((train | evaluation) & (self.near >= 0) & np.isin(self.near, both))
        left, right = hamming.nearest_across(self.words[chosen], train[chosen], evaluation[chosen], self.distance)
        return chosen[left], chosen[right]


def exact_groups(digests: Sequence[str]) -> list[list[int]]:
    """Finds images with equal bytes: their indices, in groups of two and more, ordered by first index.

    Args:
        digests: sha256 of each image, 64 hex digits.
    """
    return [group.tolist() for group in _runs(_number_digests(digests))]


def find_neighbours(
    digests: Sequence[str], hashes: Sequence[str], groups: Sequence[str], distance: int | None
) -> Neighbours:
    """Connects n images that have equal bytes, hashes within `distance`, or an equal group.

    Args:
        digests: [n] sha256 of each image, 64 hex digits.
        hashes: [n] PDQ hash of each image, 64 hex digits; empty: no meaningful hash, so no hash edge.
        groups: [n] group of each image; empty: none.
        distance: in bits, 0..256; None: no hash edges.
    """
    digest_ids = _number_digests(digests)
    group_ids = _number_groups(groups)
    near = np.full(len(digests), -1, np.int32)
    words = np.zeros((len(digests), hamming.WORDS), np.uint64)
    if distance is not None:
        hashed = np.flatnonzero(np.fromiter((bool(text) for text in hashes), bool, len(digests)))
        words[hashed] = hamming.pack_hex([hashes[int(index)] for index in hashed])
        near[hashed] = hamming.connect_near(words[hashed], distance)
    edges = [_star(ids) for ids in (digest_ids, near, group_ids)]
    left, right = (np.concatenate(ends) for ends in zip(*edges, strict=True))
    clusters = hamming.join_components(np.arange(len(digests), dtype=np.int32), left, right)
    return Neighbours(clusters, near, digest_ids, group_ids, words, distance)


def _number_digests(digests: Sequence[str]) -> np.ndarray:
    """int32 [n], equal for equal digests."""
    return hamming.number_rows(hamming.pack_hex(digests))


def _number_groups(groups: Sequence[str]) -> np.ndarray:
    """int32 [n], equal for equal groups; -1 for the empty one."""
    known: dict[str, int] = {"": -1}
    return np.fromiter((known.setdefault(group, len(known)) for group in groups), np.int32, len(groups))


def _runs(ids: np.ndarray) -> Iterator[np.ndarray]:
    """The indices of each id that is there twice and more, ascending, by first index; none for id -1."""
    common = np.bincount(ids + 1, minlength=1) > 1
    common[0] = False
    members = np.flatnonzero(common[ids + 1])
    order = members[np.argsort(ids[members], kind="stable")]
    cuts = np.flatnonzero(np.diff(ids[order])) + 1
    runs = np.split(order, cuts) if len(order) else []
    yield from sorted(runs, key=lambda run: run[0])


def _star(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges from each image to the first one of the same id; none for id -1."""
    members = np.flatnonzero(ids >= 0)
    _, first, inverse = np.unique(ids[members], return_index=True, return_inverse=True)
    return members, members[first[inverse]]


def _partners(ids: np.ndarray, train: np.ndarray, evaluation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of train images, and of the first eval image with the same id; id -1 has none."""
    known, first = np.unique(np.where(evaluation, ids, -1), return_index=True)
    left = np.flatnonzero(train & (ids >= 0) & np.isin(ids, known))
    return left, first[np.searchsorted(known, ids[left])]
