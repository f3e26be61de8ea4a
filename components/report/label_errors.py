"""Finds images whose label is likely wrong: confident learning (Northcutt et al., 2021, arXiv:1911.00068).

Each image gets probabilities from a head that has not seen it, nor any near copy of it (`out_of_fold.py`). A class's
threshold is the mean probability that images labelled so get for it. An image that is over the threshold of another
class, more probable there than in its own (an entry off the diagonal of the paper's confident joint), and there with a
probability over one half, is a likely label error. All are ranked by their margin, the suggested class's probability
less the given one's. A head that is hardly better than chance on held-out images doubts good labels: where it gains
less than half of what a guess leaves, nothing is suggested.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from components.report.out_of_fold import FOLDS, OutOfFold, draw_folds, in_parts

JUDGED = 100_000  # images at most
LEAST_SKILL = 0.5  # of held-out images: 0 is a guess, 1 agrees with every label
SURE = 0.5  # a class that is no more probable than all others together is no suggestion: a weak head knows nothing


@dataclass(frozen=True)
class LabelErrors:
    """All judged images: likely errors first, and among both kinds the most suspect first.

    Attributes:
        rows: int64 [k], which image.
        given: int64 [k], index of its label.
        suggested: int64 [k], index of the class that it rather shows.
        p_given: float32 [k], 0..1, out-of-fold probability of the label.
        p_suggested: float32 [k], 0..1, likewise of the suggestion.
        likely: bool [k], whether it is suggested as an error.
        notes: what was not looked at, or only a sample of it, a line each; for people.
    """

    rows: np.ndarray
    given: np.ndarray
    suggested: np.ndarray
    p_given: np.ndarray
    p_suggested: np.ndarray
    likely: np.ndarray
    notes: list[str] = field(default_factory=list)

    @property
    def score(self) -> np.ndarray:
        """The margin by which the suggestion is more probable than the label: float32 [k], -1..1."""
        return self.p_suggested - self.p_given


def find_label_errors(
    values: np.ndarray, labels: np.ndarray, classes: list[str], groups: np.ndarray | None = None, seed: int = 0
) -> LabelErrors:
    """Ranks images by how likely their label is wrong.

    Args:
        values: float32 [n, d], kept features.
        labels: int [n], 0..classes-1.
        classes: names, in the order of the index.
        groups: int [n]; images of one group, such as near copies, are held out together. None: each is alone.
        seed: of folds, samples and the projection; the same one gives the same answer.

    Returns:
        The judged images; none where fewer than two classes can be judged, which a note says.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    random = np.random.default_rng(seed)
    rows, notes = _choose_rows(values, labels, classes, groups, random)
    kept = np.unique(labels[rows])
    if len(kept) < 2:
        notes.append(f"label errors need two classes with {FOLDS} different images or more: none was looked for")
        whole, real = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return LabelErrors(whole, whole, whole, real, real, np.zeros(0, bool), notes)
    own = np.searchsorted(kept, labels[rows])
    scored = OutOfFold(values, rows, own, draw_folds(own, groups[rows], random), random)
    suggested, p_given, p_suggested, likely = _judge(scored, len(kept))
    if (skill := measure_skill(own, p_given > p_suggested, len(kept))) < LEAST_SKILL:
        likely[:] = False
        notes.append(f"nothing is suggested: on held-out images the head gains {max(skill, 0.0):.0%} over a guess")
    order = np.lexsort((rows, p_given - p_suggested, ~likely))
    which = rows[order], kept[own][order], kept[suggested][order]
    return LabelErrors(*which, p_given[order], p_suggested[order], likely[order], notes + scored.notes)


def measure_skill(labels: np.ndarray, right: np.ndarray, classes: int) -> float:
    """Measures how much of what a guess leaves is told rightly: mean recall of the classes, from 0, a guess, to 1.

    Args:
        labels: int [n], 0..classes-1, each of them somewhere.
        right: bool [n].
        classes: how many there are, at least two.
    """
    recall = np.bincount(labels, right, classes) / np.bincount(labels, minlength=classes)
    return float((recall.mean() - 1 / classes) / (1 - 1 / classes))


def _choose_rows(
    values: np.ndarray, labels: np.ndarray, classes: list[str], groups: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, list[str]]:
    """Chooses the images that can be judged, int64 [k], sorted; and says which cannot."""
    notes, every = list[str](), np.arange(len(labels))
    finite = [np.isfinite(values[part]).all(axis=1) for part in in_parts(every)]
    rows = every[np.concatenate(finite)] if finite else every
    if len(rows) < len(every):
        notes.append(f"{len(every) - len(rows):,} images are not judged: their features are not finite")
    if len(rows) > JUDGED:
        notes.append(f"a random {JUDGED:,} of {len(rows):,} images were judged")
        rows = np.sort(random.choice(rows, JUDGED, replace=False))
    different = np.unique(np.stack([labels[rows], groups[rows]]), axis=1)[0]
    counts = np.bincount(different, minlength=len(classes))
    if len(small := np.flatnonzero((counts < FOLDS) & (counts > 0))):
        named = ", ".join(f"'{classes[index]}'" for index in small[:3]) + (", ..." if len(small) > 3 else "")
        notes.append(f"classes with fewer than {FOLDS} different images are not judged: {len(small):,} ({named})")
    return rows[counts[labels[rows]] >= FOLDS], notes


def _judge(scored: OutOfFold, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gives suggestion, both probabilities, and whether it is a likely error, of each image; two passes over them."""
    count = len(scored.labels)
    p_given, p_suggested = np.zeros(count, np.float32), np.zeros(count, np.float32)
    suggested, likely = np.zeros(count, np.int64), np.zeros(count, bool)
    for part, found in scored.probabilities():
        p_given[part] = found[np.arange(len(part)), scored.labels[part]]
    thresholds = np.bincount(scored.labels, p_given, classes) / np.bincount(scored.labels, minlength=classes)
    for part, found in scored.probabilities():
        each = np.arange(len(part))
        found[each, scored.labels[part]] = -1.0
        sure = np.where(found >= thresholds, found, -1.0)
        likely[part] = sure.max(axis=1) > np.maximum(p_given[part], SURE)
        best = np.where(likely[part], sure.argmax(axis=1), found.argmax(axis=1))
        suggested[part], p_suggested[part] = best, found[each, best]
    return suggested, p_given, p_suggested, likely
