"""Where the share of eval is far from what was asked for, and why: large units, or remembered sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from components.contract import features
from components.example_gen.manifest import Row

TOLERANCE = 0.5  # of the smaller side's share: 0.2 may become 0.1 to 0.3


def find_odd_shares(
    rows: list[Row], clusters: np.ndarray, remembered: list[str], eval_fraction: float
) -> list[dict[str, Any]]:
    """All classes together, then each class, where eval has far too many or too few images, or a side has none.

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
