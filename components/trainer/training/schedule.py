"""The schedule of a training: who is in which batch of an epoch, learning rates, weights of the classes.

Everything is drawn from the seed and the epoch's number, never from a running generator: an epoch that is repeated
after a crash, or computed by another worker, gets the same batches.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.options.trainer import TrainerOptions

LEAST_STEPS = 50  # an epoch


@dataclass(frozen=True)
class Recipe:
    """The options of the Trainer that decide which head comes out.

    `even` is not an option but found from the images, see `heads.scaling.Penalty`.
    """

    learning_rate: float
    epochs: int
    batch_size: int
    dropout: float
    l2: float
    early_stopping_patience: int
    validation_fraction: float
    seed: int
    hidden_units: int
    schedule: str
    warmup_epochs: float
    class_weights: str
    label_smoothing: float
    deterministic: bool
    even: bool

    @classmethod
    def of(cls, options: TrainerOptions, l2: float = 0.0, even: bool = False) -> Recipe:
        """Takes the options of the same names; `l2` where they leave it open and `even` are those of `find_penalty`."""
        names = [f.name for f in dataclasses.fields(cls) if f.name != "even"]
        known: dict[str, Any] = {name: getattr(options, name) for name in names}
        known |= {"l2": l2 if options.l2 is None else options.l2, "validation_fraction": options.held_out}
        return cls(**known, even=even)

    def to_json(self) -> str:
        """Writes the recipe as text: the same text for the same recipe."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def fill_up(rows: np.ndarray, size: int, multiple: int) -> np.ndarray:
    """Cuts rows into batches of one shape, without dropping any.

    Args:
        rows: int [n], n > 0.
        size: rows a batch, >= 1.
        multiple: the replicas; each batch is filled up to a multiple of them.

    Returns:
        int64 [steps, batch]; -1 where there is no row: at the end of each batch, and of the last one above all.
    """
    steps, width = -(-len(rows) // size), -(-size // multiple) * multiple
    batches = np.full([steps, width], -1, np.int64)
    padded = np.full(steps * size, -1, np.int64)
    padded[: len(rows)] = rows
    batches[:, :size] = padded.reshape(steps, size)
    return batches


def passes(images: int, batch_size: int) -> int:
    """Counts how often an epoch passes over the images: once, or as often as `LEAST_STEPS` need where they are few."""
    return -(-LEAST_STEPS * batch_size // images) if images < LEAST_STEPS * batch_size else 1


def shuffle(rows: np.ndarray, seed: int, epoch: int, times: int = 1) -> np.ndarray:
    """Puts the rows in the order of this epoch (counted from 0), so many times over, each time in another order."""
    draw = np.random.default_rng([seed, epoch])
    return np.concatenate([draw.permutation(rows) for _ in range(times)])


def learning_rates(recipe: Recipe, steps: int, epoch: int) -> np.ndarray:
    """Gives the learning rate of each step of an epoch.

    A linear warm-up, whose last step has the full rate, then constant, or a half cosine towards 0 over the remaining
    steps (Loshchilov and Hutter, 2017, arXiv:1608.03983, without restarts).

    Args:
        recipe: the highest rate, the schedule, and how long it is.
        steps: steps an epoch.
        epoch: counted from 0.

    Returns:
        float64 [steps], each > 0.
    """
    step = np.arange(epoch * steps, (epoch + 1) * steps, dtype=np.float64)
    total = recipe.epochs * steps
    warmup = min(round(recipe.warmup_epochs * steps), total - 1)
    factor = np.ones(steps)
    if recipe.schedule == "cosine":
        done = np.maximum(step - warmup, 0) / (total - warmup)
        factor = 0.5 * (1 + np.cos(np.pi * done))
    if warmup:
        factor = np.where(step < warmup, (step + 1) / warmup, factor)
    return recipe.learning_rate * factor


def weigh_classes(labels: np.ndarray, classes: int, how: str) -> np.ndarray:
    """Weighs the classes: the factor of an image of each class in the loss.

    Args:
        labels: int [n], of the images that are learned from.
        classes: how many there are.
        how: `none`, or `balanced`: n / (classes * count), as scikit-learn has it, so that the mean over images is 1.

    Returns:
        float64 [classes].
    """
    if how == "none":
        return np.ones(classes)
    counts = np.bincount(labels, minlength=classes)
    return len(labels) / (classes * np.maximum(counts, 1))


def stopped_early(losses: list[float], patience: int) -> bool:
    """Tells whether the best of these validation losses is `patience` epochs old; 0: never."""
    return bool(patience and losses and len(losses) - 1 - int(np.argmin(losses)) >= patience)
