"""Ranks unlabelled images by what they would teach, from features alone. Pure functions over arrays.

While few images are labelled, a head's doubts say little: what is typical of a part of the data that no label covers
teaches most (TypiClust: Hacohen et al., 2022, arXiv:2202.02794). Later the images at the border between two classes do,
no two of them alike. Whether either beats choosing at random is tried out on the labelled images themselves (`replay`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

FEW = 20  # labelled images a class, below which typical ones come first
NEIGHBOURS = 20  # by which an image is typical of its part of the data
PARTS = 500  # clusters at most
IN_PART = 2000  # images of a cluster that are compared with one another
WIDTH = 128  # values an image that are clustered: more are projected at random
DOUBTED = 5  # times as many doubtful images as are wanted, of which those that differ are taken
ROUNDS = 10  # of the replay
REPLAYED = 1000  # labelled images at most that a replay uses
LEAST = 60  # labelled images, below which there is nothing to replay with
DRAWS = 3  # choices at random that a round is compared with
SURE = 1.383  # of Student's t with 9 degrees of freedom: one chance in ten that mere luck looks so good


class Choice(NamedTuple):
    """Chosen images, the most instructive first: int64 [k]; and how many images each stands for, int64 [k]."""

    rows: np.ndarray
    stands_for: np.ndarray


class Head(NamedTuple):
    """A linear head on scaled features: float32 [d, classes] and [classes]."""

    kernel: np.ndarray
    bias: np.ndarray

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Scores images, float32 [n, classes]; about 1 for the class and 0 for others."""
        return np.asarray(values @ self.kernel + self.bias)


@dataclass(frozen=True)
class Replay:
    """What choosing gained over chance on labelled images, whose labels were hidden for it.

    Attributes:
        gains: difference of the accuracies on images left out, a round each; empty: there were too few to try.
        chosen: images that were chosen in a round.
    """

    gains: list[float]
    chosen: int = 0

    @property
    def mean(self) -> float:
        """The mean gain, a share of 1."""
        return float(np.mean(self.gains)) if self.gains else 0.0

    @property
    def beats_chance(self) -> bool | None:
        """Whether the gain is more than luck (Student's t, one-sided, 10 %); None: it was not tried."""
        if not self.gains:
            return None
        error = float(np.std(self.gains, ddof=1)) / len(self.gains) ** 0.5
        return self.mean > SURE * error and self.mean > 0


def scale(values: np.ndarray) -> np.ndarray:
    """Brings features, float32 [n, d], to signed square roots of length 1; a row that is not finite becomes zeros."""
    roots = np.nan_to_num(np.sign(values) * np.sqrt(np.abs(values)), nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-9), np.float32)


def fit_head(values: np.ndarray, labels: np.ndarray, classes: int) -> Head:
    """Fits a ridge regression on indicators of the classes.

    Args:
        values: float32 [n, d], of `scale`.
        labels: int [n].
        classes: how many there are.
    """
    mean, targets = values.mean(axis=0), np.eye(classes, dtype=np.float32)[labels]
    centred, share = values - mean, targets.mean(axis=0)
    penalty = max(float((centred**2).sum()) / len(values), 1e-6)
    if len(values) <= values.shape[1]:
        inner = centred @ centred.T + penalty * np.eye(len(values), dtype=np.float32)
        kernel = centred.T @ np.linalg.solve(inner, targets - share)
    else:
        inner = centred.T @ centred + penalty * np.eye(values.shape[1], dtype=np.float32)
        kernel = np.linalg.solve(inner, centred.T @ (targets - share))
    return Head(kernel.astype(np.float32), (share - mean @ kernel).astype(np.float32))


def choose(pool: np.ndarray, known: np.ndarray, labels: np.ndarray, classes: int, count: int, seed: int = 0) -> Choice:
    """Chooses images by the strategy that suits the number of labelled ones.

    Args:
        pool: float32 [n, d], features of unlabelled images, of `scale`.
        known: float32 [m, d], of labelled ones.
        labels: int [m].
        classes: how many there are.
        count: images to choose, all where there are fewer.
        seed: of the clusters.
    """
    count = min(count, len(pool))
    if not count:
        return Choice(np.zeros(0, np.int64), np.zeros(0, np.int64))
    if is_few(labels, classes):
        return choose_typical(pool, known, count, seed)
    return choose_doubtful(pool, fit_head(known, labels, classes), count, seed)


def is_few(labels: np.ndarray, classes: int) -> bool:
    """Tells whether so few images are labelled that typical ones teach more than doubtful ones."""
    return len(labels) < FEW * classes


def choose_typical(pool: np.ndarray, known: np.ndarray, count: int, seed: int) -> Choice:
    """Chooses the most typical image of each part of the data: parts without a label first, large ones first."""
    parts = cluster(np.concatenate([known, pool]), min(len(known) + count, PARTS), seed)
    labelled, mine = np.bincount(parts[: len(known)], minlength=parts.max() + 1), parts[len(known) :]
    queues = {part: _by_typicality(pool, np.flatnonzero(mine == part)) for part in np.unique(mine)}
    order = sorted(queues, key=lambda part: (labelled[part] > 0, -len(queues[part]), part))
    rows, stands_for = list[int](), list[int]()
    for place in range(max(map(len, queues.values()))):
        for part in order:
            if place < len(queues[part]) and len(rows) < count:
                rows.append(queues[part][place])
                stands_for.append(len(queues[part]))
    return Choice(np.array(rows, np.int64), np.array(stands_for, np.int64))


def _by_typicality(pool: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Sorts images of one part by their likeness to their nearest neighbours in it, the most typical first."""
    some = rows[:: -(-len(rows) // IN_PART)]
    near = min(NEIGHBOURS, len(some))
    likeness = np.concatenate(
        [
            np.partition(pool[rows[start : start + IN_PART]] @ pool[some].T, -near, axis=1)[:, -near:].mean(axis=1)
            for start in range(0, len(rows), IN_PART)
        ]
    )
    return np.asarray(rows[np.argsort(-likeness, kind="stable")])


def choose_doubtful(pool: np.ndarray, head: Head, count: int, seed: int) -> Choice:
    """Chooses images between two classes, of those that are alike the most doubtful only."""
    best = np.sort(head.scores(pool), axis=1)[:, -2:]
    doubtful = np.argsort(best[:, 1] - best[:, 0], kind="stable")[: count * DOUBTED]
    parts = cluster(pool[doubtful], min(count, PARTS), seed)
    turn, seen = np.zeros(len(doubtful), np.int64), dict[int, int]()
    for place, part in enumerate(parts.tolist()):  # the first of each part, then the second, ...
        turn[place] = seen[part] = seen.get(part, -1) + 1
    chosen = np.argsort(turn, kind="stable")[:count]
    return Choice(doubtful[chosen], np.bincount(parts)[parts[chosen]])


def cluster(values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Numbers parts of the data by k-means: int [n], 0..count-1, some of which may be empty."""
    import warnings

    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    if values.shape[1] > WIDTH:
        values = values @ np.random.default_rng(0).standard_normal((values.shape[1], WIDTH), np.float32)
    means = MiniBatchKMeans(min(count, len(values)), n_init=1, random_state=seed, batch_size=max(1024, 3 * count))
    with threadpool_limits(1), warnings.catch_warnings():  # short loops: threads would wait for one another
        warnings.simplefilter("ignore")  # that equal images make fewer parts is no news
        return np.asarray(means.fit_predict(np.ascontiguousarray(values, np.float32)))


def replay(values: np.ndarray, labels: np.ndarray, classes: int, count: int, seed: int = 0) -> Replay:
    """Tries out on labelled images whether choosing beats chance: their labels are hidden, then given when chosen.

    A third is left out to measure on; of the rest, half are labelled, as now, and the others are to choose from.

    Args:
        values: float32 [n, d], of `scale`.
        labels: int [n].
        classes: how many there are.
        count: images that would be chosen.
        seed: of the rounds.
    """
    if len(labels) < LEAST or len(np.unique(labels)) < 2:
        return Replay([])
    count = max(min(count, min(len(labels), REPLAYED) // 6), 2)
    return Replay([_round(values, labels, classes, count, seed + number) for number in range(ROUNDS)], count)


def _round(values: np.ndarray, labels: np.ndarray, classes: int, count: int, seed: int) -> float:
    random = np.random.default_rng(seed)
    rows = random.permutation(len(labels))[:REPLAYED]
    left_out, start, pool = np.split(rows, [len(rows) // 3, 2 * len(rows) // 3])
    typical = is_few(labels, classes)  # as it would be chosen now, not with half the labels

    def accuracy(more: np.ndarray) -> float:
        learned = np.concatenate([start, more])
        head = fit_head(values[learned], labels[learned], classes)
        return float((head.scores(values[left_out]).argmax(axis=1) == labels[left_out]).mean())

    if typical:
        chosen = choose_typical(values[pool], values[start], count, seed)
    else:
        chosen = choose_doubtful(values[pool], fit_head(values[start], labels[start], classes), count, seed)
    by_chance = np.mean([accuracy(random.permutation(pool)[:count]) for _ in range(DRAWS)])
    return accuracy(pool[chosen.rows]) - float(by_chance)
