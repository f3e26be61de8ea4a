"""Probabilities of images that the fit has not seen: one ridge regression a fold, each in closed form.

Sums of products over all images less those of a fold give the regression without it, so that five of them cost little
more than one. The penalty is that with the least error on images left out. Scores become probabilities by a temperature
and a share of the prior that are most likely on images left out. All passes go over parts of the features: no copy of
them is made, and a projection at random stands in for features that are wider than `WIDTH`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial, reduce

import numpy as np

FOLDS = 5
FITTED = 32_768  # images at most that the regressions are fitted to
TUNED = 4096  # images that penalty and temperature are found from
AT_ONCE = 2048  # images that are scored at once
WIDTH = 2048  # values an image that are taken as they are; wider features are projected to half of it
RATIOS = (0.3, 1.0, 3.0, 10.0, 30.0)  # of the penalty to the mean squared length of an image
LEAST = 1e-3  # of the deviation of all values: what varies by less says nothing
Sums = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def draw_folds(labels: np.ndarray, groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Deals groups out to folds, those of a class evenly: int64 [n], 0..FOLDS-1.

    Args:
        labels: int [n]; the first image of a group gives the group's class.
        groups: int [n].
        random: shuffles the groups of a class.
    """
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = random.permutation(len(first))
    order = shuffled[np.argsort(labels[first][shuffled], kind="stable")]
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(order)) % FOLDS
    return np.asarray(fold[member.ravel()])


def in_parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yields rows, int [n], so many at once that a part of the features fits into memory twice."""
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


class OutOfFold:
    """The fitted regressions.

    Attributes:
        labels: int [n], the given class of each image.
        notes: where a sample or a projection was taken, a line each; for people.
    """

    def __init__(
        self, values: np.ndarray, rows: np.ndarray, labels: np.ndarray, folds: np.ndarray, random: np.random.Generator
    ) -> None:
        """Fits.

        Args:
            values: float32 [all, d], finite in `rows`.
            rows: int [n], of the images that count.
            labels: int [n], 0..classes-1, each class in two folds or more.
            folds: int [n], of `draw_folds`.
            random: draws samples and the projection.
        """
        self.labels, self.notes = labels, list[str]()
        self._values, self._rows, self._folds = values, rows, folds
        counts = np.bincount(labels)
        self._classes = len(counts)
        self._weights = np.sqrt(len(labels) / (self._classes * counts)).astype(np.float32)  # half-way to equal classes
        self._log_prior = np.log(counts / len(labels)).astype(np.float32)
        self._projection = self._draw_projection(random)
        fitted = self._sample(FITTED, random)
        self._tuned = self._sample(TUNED, random)
        if len(fitted) < len(rows):
            self.notes.append(f"the head that judges was fitted to a random {len(fitted):,} of {len(rows):,} images")
        self._mean, self._spread = np.zeros(1, np.float32), np.ones(1, np.float32)
        self._mean, self._spread = self._measure(fitted)
        self._kernels, self._biases = self._regress(fitted)
        self._sharpness, self._share = 1.0, 0.0
        self._sharpness, self._share = self._temper()

    def probabilities(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields positions, int [k], and their probabilities, float32 [k, classes], of all images, some at once."""
        for part in in_parts(np.arange(len(self._rows))):
            logits = self._sharpness * self._scores(part) + np.float32(self._share) * self._log_prior
            raised = np.exp(logits - logits.max(axis=1, keepdims=True))
            yield part, raised / raised.sum(axis=1, keepdims=True)

    def _sample(self, most: int, random: np.random.Generator) -> np.ndarray:
        every = np.arange(len(self._rows))
        return every if len(every) <= most else np.sort(random.choice(every, most, replace=False))

    def _draw_projection(self, random: np.random.Generator) -> np.ndarray | None:
        width = self._values.shape[1]
        if width <= WIDTH:
            return None
        self.notes.append(f"{width:,} values an image were projected at random to {WIDTH // 2:,}")
        return random.standard_normal((width, WIDTH // 2), np.float32) / np.float32(np.sqrt(WIDTH // 2))

    def _scaled(self, part: np.ndarray) -> np.ndarray:
        """Gives features on their scale, float32 [k, d'], of signed square roots: few large values drown no others."""
        raw = np.asarray(self._values[self._rows[part]], np.float32)
        roots = np.sqrt(np.abs(raw))
        np.copysign(roots, raw, out=roots)
        if self._projection is not None:
            roots = roots @ self._projection
        roots -= self._mean
        roots /= self._spread
        return roots

    def _measure(self, fitted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Measures mean and spread of the roots; half-way to a deviation of 1, as in `heads/scaling.py`."""
        total, squares = np.zeros(1), np.zeros(1)
        for part in in_parts(fitted):
            roots = self._scaled(part)
            total = total + roots.sum(axis=0, dtype=np.float64)
            squares = squares + np.einsum("ij,ij->j", roots, roots, dtype=np.float64)
        mean = total / len(fitted)
        deviation = np.sqrt(np.maximum(squares / len(fitted) - mean**2, 0.0))
        of_all = np.sqrt(np.mean(deviation**2)) or 1.0
        spread = np.sqrt(np.maximum(deviation, LEAST * of_all) * of_all)
        return mean.astype(np.float32), spread.astype(np.float32)

    def _regress(self, fitted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fits all folds: kernels float32 [FOLDS, d', classes] and biases [FOLDS, classes]."""
        each = [self._sum(fitted[self._folds[fitted] == fold]) for fold in range(FOLDS)]
        whole = reduce(partial(_combine, np.add), each)
        unit = np.trace(whole[0]) / whole[3].sum() or 1.0
        tried = range(FOLDS) if len(fitted) <= TUNED // 4 else range(2)
        best, chosen, solved = np.inf, RATIOS[0], dict[int, tuple[np.ndarray, np.ndarray]]()
        for ratio in RATIOS:
            found = {fold: solve_ridge(_combine(np.subtract, whole, each[fold]), ratio * unit) for fold in tried}
            error = sum(self._error(fold, *found[fold]) for fold in tried)
            if error >= best:
                break  # it falls, then rises
            best, chosen, solved = error, ratio, found
        for fold in set(range(FOLDS)) - set(tried):
            solved[fold] = solve_ridge(_combine(np.subtract, whole, each[fold]), chosen * unit)
        kernels, biases = zip(*(solved[fold] for fold in range(FOLDS)), strict=True)
        return np.stack(kernels), np.stack(biases)

    def _sum(self, rows: np.ndarray) -> Sums:
        """Sums over some images: of products [d', d'], of values by class [d', classes], of values, of weights."""
        width = len(self._mean)
        products, by_class, total = np.zeros((width, width)), np.zeros((width, self._classes)), np.zeros(width)
        for part in in_parts(rows):
            scaled, labels = self._scaled(part), self.labels[part]
            scaled *= np.sqrt(self._weights[labels])[:, None]
            products += scaled.T @ scaled
            scaled *= np.sqrt(self._weights[labels])[:, None]
            total += scaled.sum(axis=0)
            order = np.argsort(labels, kind="stable")
            found, starts = np.unique(labels[order], return_index=True)
            by_class[:, found] += np.add.reduceat(scaled[order], starts, axis=0).T
        labels = self.labels[rows]
        return products, by_class, total, np.bincount(labels, self._weights[labels], self._classes)

    def _error(self, fold: int, kernel: np.ndarray, bias: np.ndarray) -> float:
        total = 0.0
        for part in in_parts(self._tuned[self._folds[self._tuned] == fold]):
            missing = self._scaled(part) @ kernel + bias
            missing[np.arange(len(part)), self.labels[part]] -= 1.0
            total += float(((missing**2).sum(axis=1) * self._weights[self.labels[part]]).sum())
        return total

    def _scores(self, part: np.ndarray) -> np.ndarray:
        """Scores images by the regression that has not seen them, float32 [k, classes]."""
        scaled = self._scaled(part)
        scores = np.empty((len(part), self._classes), np.float32)
        for fold in range(FOLDS):
            mine = self._folds[part] == fold
            scores[mine] = scaled[mine] @ self._kernels[fold] + self._biases[fold]
        return scores

    def _temper(self) -> tuple[float, float]:
        """Finds how sharp the scores are and what share the prior has, by the likelihood of the labels."""
        from scipy.optimize import minimize
        from scipy.special import logsumexp

        rows = self._tuned[: max(2, int(4e7) // self._classes)]
        scores = np.concatenate([self._scores(part) for part in in_parts(rows)])
        given = np.arange(len(rows)), self.labels[rows]

        def surprise(found: np.ndarray) -> float:
            logits = np.exp(found[0]) * scores + found[1] * self._log_prior
            return float(np.mean(logsumexp(logits, axis=1) - logits[given]))

        found = minimize(surprise, [np.log(5.0), 0.0], method="Nelder-Mead", options={"maxiter": 60, "xatol": 0.02})
        return float(np.exp(np.clip(found.x[0], -5.0, 7.0))), float(found.x[1])


def _combine(how: np.ufunc, one: Sums, other: Sums) -> Sums:
    """Adds, or subtracts, the sums over some images and those over others."""
    return how(one[0], other[0]), how(one[1], other[1]), how(one[2], other[2]), how(one[3], other[3])


def solve_ridge(sums: Sums, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Solves a weighted ridge regression on indicators of the classes: float32 [d', classes] and [classes].

    Args:
        sums: of `OutOfFold._sum`.
        penalty: > 0.
    """
    from scipy.linalg import cho_factor, cho_solve

    products, by_class, total, weights = sums
    everything = weights.sum()
    curvature = products - np.outer(total, total) / everything
    curvature[np.diag_indices_from(curvature)] += penalty
    factor = cho_factor(curvature, overwrite_a=True, check_finite=False)
    kernel = cho_solve(factor, by_class - np.outer(total, weights / everything), check_finite=False)
    return kernel.astype(np.float32), ((weights - total @ kernel) / everything).astype(np.float32)
