"""Draws the side of the split for images whose data does not say it, and finds where the shares are odd."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from components.contract import features
from components.example_gen.manifest import Row
from components.example_gen.split.stratify import SplitUnit, draw_eval


def assign_sides(
    digests: Sequence[str],
    labels: Sequence[str],
    clusters: np.ndarray,
    remembered: Sequence[str],
    eval_fraction: float,
) -> tuple[list[str], list[int]]:
    """Assigns a side to each image; clusters stay whole, and no image ever leaves its remembered side.

    - Clusters without a remembered image are drawn, so that eval has its share of each class together with the images
      that are remembered there (`draw_eval`).
    - Newcomers to a cluster whose remembered images are on one side join that side.
    - Newcomers to a cluster with remembered images on both sides (they bridge what used to be apart) are on neither,
      even where a newcomer is a neighbour of one side only: through the others it is near both. A copy of a
      remembered image is no bridge: it goes where its original is.

    Where nothing is remembered, the sides depend on the clusters, classes and digests alone, not on their order; but
    new images may then move others: remember the sides.

    Args:
        digests: [n] sha256 of each image, 64 hex digits.
        labels: [n] the class of each image.
        clusters: int [n], equal for images that must be on one side; equal digests have equal clusters.
        remembered: [n] `train` or `eval` of an earlier run; empty: never seen.
        eval_fraction: wanted share of `eval` in each class, 0..1.

    Returns:
        [n] `train`, `eval`, or empty for a bridging newcomer; and the indices of these.
    """
    _, numbers = np.unique(clusters, return_inverse=True)
    settled = {side: _have_side(numbers, remembered, side) for side in features.SPLITS}
    bridged = np.logical_and.reduce(list(settled.values()))
    fresh = ~np.logical_or.reduce(list(settled.values()))
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
            joined = next((name for name in features.SPLITS if settled[name][number]), "")
        sides.append(side or joined)
    _draw(sides, digests, labels, numbers, np.flatnonzero(fresh[numbers]), eval_fraction)
    return sides, [index for index, side in enumerate(sides) if not side]


def _have_side(numbers: np.ndarray, remembered: Sequence[str], side: str) -> np.ndarray:
    """bool [clusters]: which clusters have an image that is remembered on that side."""
    chosen = np.fromiter((known == side for known in remembered), bool, len(numbers))
    return np.bincount(numbers, weights=chosen) > 0


def _draw(
    sides: list[str],
    digests: Sequence[str],
    labels: Sequence[str],
    numbers: np.ndarray,
    fresh: np.ndarray,
    eval_fraction: float,
) -> None:
    """Sets the sides of the images `fresh`, whose clusters have none; `numbers` are the clusters of all images."""
    ids = {label: index for index, label in enumerate(sorted(set(labels)))}
    classes = np.fromiter((ids[label] for label in labels), np.int64, len(labels))
    placed = np.zeros((len(ids), len(features.SPLITS)), np.int64)
    for column, name in enumerate(features.SPLITS):
        chosen = np.fromiter((side == name for side in sides), bool, len(sides))
        placed[:, column] = np.bincount(classes[chosen], minlength=len(ids))
    _, members = np.unique(numbers[fresh], return_inverse=True)
    draws = _number_draws([digests[index] for index in fresh.tolist()], members)
    on_eval = draw_eval(_count_classes(members, classes[fresh]), draws, placed, eval_fraction)
    for index, member in zip(fresh.tolist(), members.tolist(), strict=True):
        sides[index] = features.EVAL_SPLIT if on_eval[member] else features.TRAIN_SPLIT


def _number_draws(digests: Sequence[str], members: np.ndarray) -> list[int]:
    """A number of each cluster, from its smallest digest, digested again: the smallest of many is always small."""
    smallest = [""] * (int(members.max(initial=-1)) + 1)
    for digest, member in zip(digests, members.tolist(), strict=True):
        smallest[member] = min(digest, smallest[member] or digest)
    return [int.from_bytes(hashlib.sha256(digest.encode()).digest()[:8], "big") for digest in smallest]


def _count_classes(members: np.ndarray, classes: np.ndarray) -> list[SplitUnit]:
    """Counts the images of each class in each cluster.

    Args:
        members: int [n], the cluster of each image, 0 and up without a gap.
        classes: int [n], its class.
    """
    width = int(classes.max(initial=0)) + 1
    pairs, counts = np.unique(members * width + classes, return_counts=True)
    owners, labels = np.divmod(pairs, width)
    every = list(zip(labels.tolist(), counts.tolist(), strict=True))
    ends = np.cumsum(np.bincount(owners)).tolist()
    return [tuple(every[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


TOLERANCE = 0.5  # of the smaller side's share: 0.2 may become 0.1 to 0.3


def find_odd_shares(
    rows: list[Row], clusters: np.ndarray, remembered: list[str], eval_fraction: float
) -> list[dict[str, Any]]:
    """Finds the classes, all together first, of which eval has far too many or too few images, or a side none.

    Args:
        rows: [n] examples on either side, and rejected ones, which do not count.
        clusters: int [n], equal for images that are never parted.
        remembered: [n] the side of an earlier run; empty: never seen.
        eval_fraction: what was asked for, 0..1.

    Returns:
        For each `class` (empty: all of them) the `share` of eval, the nearest share that would be no `limit` passed,
        and the `reason`: what was asked for, what was found, why, and what to do.
    """
    on_eval = np.fromiter((row.split == features.EVAL_SPLIT for row in rows), bool, len(rows))
    known = np.fromiter((bool(side) for side in remembered), bool, len(rows))
    slack = TOLERANCE * min(eval_fraction, 1 - eval_fraction)
    parts, odd = list(_by_class(rows)), []
    for label, members in parts:
        total, found = len(members), int(on_eval[members].sum())
        off = found - eval_fraction * total
        rounding = 1 if label else len(parts) - 1  # an image a class
        if abs(off) >= max(rounding, slack * total + 1e-9) or (label and found in (0, total)):
            old = members[known[members]]
            why = _blame_memory(len(old), int(on_eval[old].sum()), off, total, eval_fraction)
            why = why or _blame_clusters([rows[index] for index in members.tolist()], clusters[members])
            limit = eval_fraction + (slack if off > 0 else -slack)
            said = f"{_describe(label, total, found / total, eval_fraction)}; {why}"
            odd.append({"class": label, "share": round(found / total, 4), "limit": round(limit, 4), "reason": said})
    return odd


def _describe(label: str, total: int, share: float, eval_fraction: float) -> str:
    where = f"class '{label}'" if label else "all classes"
    asked, found = (f"{100 * value:.3g} %" for value in (eval_fraction, share))
    return f"{where}: {found} of {total:,} images are on the eval side, {asked} were asked for (data.eval_fraction)"


def _by_class(rows: list[Row]) -> Iterator[tuple[str, np.ndarray]]:
    """The indices of all examples under an empty name, then those of each class, by name."""
    kept = np.flatnonzero(np.fromiter((row.is_example for row in rows), bool, len(rows)))
    labels = sorted({rows[index].label for index in kept.tolist()})
    ids = {label: number for number, label in enumerate(labels)}
    classes = np.fromiter((ids[rows[index].label] for index in kept.tolist()), np.int64, len(kept))
    order = kept[np.argsort(classes, kind="stable")]
    if len(kept):
        yield "", kept
        yield from zip(labels, np.split(order, np.cumsum(np.bincount(classes))[:-1]), strict=True)


def _blame_memory(old: int, old_eval: int, off: float, total: int, eval_fraction: float) -> str:
    """Says that the remembered sides alone make it so; empty where they do not.

    Args:
        old: images with a remembered side.
        old_eval: those of them on eval.
        off: images by which eval has too many, or (negative) too few.
        total: images, old and new.
        eval_fraction: what was asked for.
    """
    most = old_eval + total - old  # on eval, if all new images went there
    lacks = eval_fraction * total - most if off < 0 else old_eval - eval_fraction * total
    if not old or (lacks < 1 and old < total):
        return ""
    return (
        f"{old:,} of them keep the side of an earlier run, {old_eval:,} on eval. New images go to the other side until "
        "it fits; a fresh --workdir draws all of them anew"
    )


def _blame_clusters(rows: list[Row], clusters: np.ndarray) -> str:
    """Says how few units there are, and names an image of the largest."""
    _, first, counts = np.unique(clusters, return_index=True, return_counts=True)
    largest = int(counts.argmax())
    name = rows[int(first[largest])].name
    units = f"they are {len(counts):,} units that are" if len(counts) > 1 else "they are one unit that is"
    return (
        f"{units} never parted (a group, copies, near-duplicates), the largest of {counts[largest]:,} images "
        f"({name}). Add images of other groups, give each image its split yourself, or lower "
        "data.near_duplicate_distance where these are no near-duplicates"
    )
