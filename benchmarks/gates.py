"""Error rates of the quality gate by simulation: what is let through and what is refused, with the default limits.

Usage: python -m benchmarks.gates. Prints two tables; those of docs/gates.md were made with it.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from components.contract.gates import UNDECIDED
from components.contract.statistics import Pair, count_pairs, worse_p
from components.evaluator.quality_gate import check_loss
from components.options.gates import QualityGateOptions

GATE = QualityGateOptions()
RUNS = 4000


@cache
def outcome(images: int, lost: int, gained: int) -> tuple[str, bool]:
    """The verdict of the comparison with the served version, and whether it stops."""
    check = check_loss(Pair(images, lost, gained), "the served version", GATE)
    return check.verdict, check.stops


def rate_step(images: int, churn: float, loss: float) -> tuple[float, float, float]:
    """One retrain of a true loss: share pushed, share undecided, and share that a bare threshold would push."""
    lost, gained = (churn + loss) / 2, (churn - loss) / 2
    drawn = np.random.default_rng(1).multinomial(images, [lost, gained, 1 - lost - gained], RUNS)
    outcomes = [outcome(images, int(b), int(c)) for b, c, _ in drawn]
    bare = np.mean([(b - c) / images <= GATE.max_accuracy_drop + 1e-9 for b, c, _ in drawn])
    pushed = np.mean([not stops for _, stops in outcomes])
    return float(pushed), float(np.mean([verdict == UNDECIDED for verdict, _ in outcomes])), float(bare)


def rate_chain(
    images: int, churn: float, loss: float, nights: int = 30, chains: int = 300
) -> tuple[float, float, float]:
    """Retrains night after night, each `loss` worse than the served one, judged by all of the gate's comparisons.

    An image has a chance of being right, which falls by `loss` with each push; `churn` is how far two models of the
    same quality differ. Returns the share of nights refused, the mean true loss against the first model at the end, and
    the same with a bare threshold against the served model alone.
    """
    draw = np.random.default_rng(2)
    refused, ends, bare_ends = 0, [], []
    for _chain in range(chains):
        for bare in (False, True):
            level, served = 0, _answers(draw, images, churn, 0.0)
            best = served
            for _ in range(nights):
                candidate = _answers(draw, images, churn, loss * (level + 1))
                pushed = _bare(served, candidate) if bare else _passes(served, best, candidate)
                if pushed:
                    served, level = candidate, level + 1
                    best = candidate if candidate.sum() > best.sum() else best
                elif not bare:
                    refused += 1
            (bare_ends if bare else ends).append(level * loss)
    return refused / (chains * nights), float(np.mean(ends)), float(np.mean(bare_ends))


def _answers(draw: np.random.Generator, images: int, churn: float, loss: float) -> np.ndarray:
    """Right or wrong: most images always right, a few always wrong, and some right half the time."""
    doubtful, right = round(2 * churn * images), np.ones(images, bool)
    right[:doubtful] = draw.random(doubtful) < 0.5
    right[doubtful : doubtful + round(loss * images)] = False
    return right


def _bare(served: np.ndarray, candidate: np.ndarray) -> bool:
    return count_pairs(served, candidate).loss <= GATE.max_accuracy_drop + 1e-9


def _passes(served: np.ndarray, best: np.ndarray, candidate: np.ndarray) -> bool:
    pair, decay = count_pairs(served, candidate), count_pairs(best, candidate)
    decayed = decay.loss > GATE.max_decay + 1e-9 and worse_p(decay) < 1 - GATE.confidence
    return not outcome(pair.images, pair.lost, pair.gained)[1] and not decayed


def main() -> None:
    """Prints both tables."""
    print("images churn true-loss pushed undecided bare-threshold")
    for images in (20, 168, 1000, 5000):
        for churn in (0.02, 0.05):
            for loss in (0.0, 0.005, 0.01, 0.02, 0.03, 0.05):
                if loss <= churn:
                    print(images, churn, loss, *(f"{share:.3f}" for share in rate_step(images, churn, loss)))
    print("images churn loss-a-night refused end bare-end")
    for images, churn in ((168, 0.02), (1000, 0.02), (1000, 0.05)):
        for loss in (0.0, 0.001, 0.003):
            print(images, churn, loss, *(f"{value:.4f}" for value in rate_chain(images, churn, loss)))


if __name__ == "__main__":
    main()
