"""How sure a head may sound: one temperature, so that of its answers at 0.9 nine in ten are right.

Guo et al. (2017, arXiv:1706.04599): logits are divided by one number, the most likely one for labels of images that the
head has not learned from. Those are the images that were held out of the train split where there are enough; else
heads of the same recipe are trained without one fold of the images each, and answer for it. The eval images have no
part in it. The temperature goes into the last layer (`cool`), so that every form of the model has it, and no answer
changes: a division leaves the order of the logits as it is, up to what float32 rounds away.

Few answers say little, and right ones alone would have no end of sureness: the temperature's logarithm has a normal
prior around 0, of a deviation of `PRIOR`, and fewer than `LEAST` answers leave it at 1.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from components.errors import InputError, first_line
from components.options.trainer import TrainerOptions
from components.trainer.devices.strategy import broadcast
from components.trainer.features.augment import FreshViews
from components.trainer.features.data import Split
from components.trainer.heads.epochs import HeadData, HeadTraining
from components.trainer.heads.head import Head, head_of, hold_out
from components.trainer.training.loop import run_training
from components.trainer.training.schedule import Recipe

log = logging.getLogger("graft.run")

FOLDS = 5
LEAST = 30  # answers, below which nothing is said
ENOUGH = 200  # held-out answers, of which no other head must be trained: log T is then known to about 0.1
WANTED = 1000  # out-of-fold answers: no further fold is trained when they are there
AT_MOST = 4096  # answers that are used
PRIOR = 0.3  # deviation of log T: before any answer, T is between 0.55 and 1.8 in 19 of 20
LIMITS = (0.1, 10.0)
GRID = 41  # temperatures between the limits that are tried before the best one is refined


@dataclass(frozen=True)
class Answers:
    """What heads answered for images that they had not learned from.

    Attributes:
        logits: float32 [n, classes].
        labels: int [n].
        source: whose answers they are: of the very head, or of heads of the same recipe.
    """

    logits: np.ndarray
    labels: np.ndarray
    source: Literal["held_out", "out_of_fold"]


@dataclass(frozen=True)
class Calibration:
    """A temperature and what it was found from.

    Attributes:
        temperature: within `LIMITS`; 1: the head is as it was.
        source: of the answers; `none` where there was nothing to go by.
        images: how many answers.
        before: mean log loss of these answers as they were; None without any.
        after: the same under the temperature.
        reason: why the temperature is 1; empty where it was found.
    """

    temperature: float = 1.0
    source: Literal["held_out", "out_of_fold", "none"] = "none"
    images: int = 0
    before: float | None = None
    after: float | None = None
    reason: str = ""

    def facts(self) -> dict[str, Any]:
        """Gives what is recorded in `history.json`."""
        return dataclasses.asdict(self)

    def describe(self) -> str:
        """Says the temperature for the closing line; nothing where none was found."""
        return "" if self.source == "none" else f"temperature {self.temperature:.2f}"


def calibrate(
    strategy: tf.distribute.Strategy,
    head: Head,
    values: np.ndarray | FreshViews,
    split: Split,
    options: TrainerOptions,
    training: HeadTraining | None = None,
) -> tuple[Head, Calibration]:
    """Finds the temperature of a head that was trained on kept features, and puts it in.

    Args:
        strategy: the replicas.
        head: of `train_head`, with these values, labels and options.
        values: float32 [n, d], as `train_head` took them.
        split: their labels and digests.
        options: of the Trainer.
        training: of this head, by whose graph others can learn; None: one is made where it is needed.
    """
    plain = values.plain if isinstance(values, FreshViews) else values
    rows = distinct_rows(split)
    held = rows[hold_out(split, options.held_out)[rows]]
    answers = answers_of(head, plain[held], split.labels[held])
    if len(answers.labels) < ENOUGH and not isinstance(values, FreshViews):
        if (able := int((deal_folds(split)[rows] >= 0).sum())) < LEAST:
            return head, too_few(able)
        try:
            answers = out_of_fold_answers(strategy, head, plain, split, options, training)
        except InputError as error:
            log.warning("Heads without some of the images did not learn, so the temperature stays 1: %s", error)
            return head, Calibration(reason=f"heads without some of the images did not learn: {first_line(error)}")
    return cool_by(strategy, head, answers)


def answers_of(head: Head, values: np.ndarray, labels: np.ndarray) -> Answers:
    """Asks the very head about images that it has not learned from: features float32 [k, d], labels int [k]."""
    return Answers(head.logits_of(values[:AT_MOST]), labels[:AT_MOST], "held_out")


def cool_by(strategy: tf.distribute.Strategy, head: Head, answers: Answers) -> tuple[Head, Calibration]:
    """Finds the temperature for these answers in the chief, tells the other workers, and puts it into the head."""
    count = len(answers.labels)
    if count < LEAST:
        return head, too_few(count)
    own = find_temperature(answers.logits, answers.labels)
    temperature = float(broadcast(strategy, f"{own:.6g}".encode()))
    before, after = (surprise(answers.logits, answers.labels, at) / count for at in (1.0, temperature))
    return cool(head, temperature), Calibration(temperature, answers.source, count, before, after)


def too_few(answers: int) -> Calibration:
    """Says that so many answers leave the temperature at 1."""
    what = "images that were not learned from"
    return Calibration(reason=f"expected the answers for {LEAST} {what} or more, there are {answers}")


def cool(head: Head, temperature: float) -> Head:
    """Divides a head's logits by a temperature > 0: in its last layer, float32."""
    kernel, bias = (array.astype(np.float64) / temperature for array in (head.kernel, head.bias))
    return dataclasses.replace(head, kernel=kernel.astype(np.float32), bias=bias.astype(np.float32))


def find_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Finds the most likely temperature, within `LIMITS`, of logits float [n, classes] for labels int [n]."""
    from scipy.optimize import minimize_scalar

    logits = logits.astype(np.float64)

    def cost(exponent: float) -> float:
        return surprise(logits, labels, float(np.exp(exponent))) + exponent**2 / (2 * PRIOR**2)

    tried = np.linspace(np.log(LIMITS[0]), np.log(LIMITS[1]), GRID)
    best = int(np.argmin([cost(exponent) for exponent in tried]))
    around = tried[max(best - 1, 0)], tried[min(best + 1, GRID - 1)]
    found = minimize_scalar(cost, bounds=around, method="bounded", options={"xatol": 1e-7})
    return float(np.exp(found.x))


def surprise(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Adds up the log loss of logits, float [n, classes], under a temperature."""
    from scipy.special import logsumexp

    cooled = np.asarray(logits, np.float64) / temperature
    return float(np.sum(logsumexp(cooled, axis=1) - cooled[np.arange(len(labels)), labels]))


def distinct_rows(split: Split) -> np.ndarray:
    """Gives the first row of each image, int [k], in order: copies and views of it stand behind it."""
    return np.sort(np.unique(split.digests(), return_index=True)[1])


def deal_folds(split: Split) -> np.ndarray:
    """Deals images out to folds, those of a class evenly, with their copies and views: int [n], 0..FOLDS-1.

    The only image of its class is in no fold (-1): a head without it would not know the class.
    """
    digests = split.digests()
    rows = distinct_rows(split)
    sizes = np.bincount(split.labels[rows], minlength=int(split.labels.max()) + 1)
    dealt = rows[sizes[split.labels[rows]] > 1]
    dealt = dealt[np.argsort(split.labels[dealt], kind="stable")]
    fold_of = dict(zip(digests[dealt].tolist(), (np.arange(len(dealt)) % FOLDS).tolist(), strict=True))
    return np.array([fold_of.get(digest, -1) for digest in digests.tolist()])


def out_of_fold_answers(
    strategy: tf.distribute.Strategy,
    head: Head,
    values: np.ndarray,
    split: Split,
    options: TrainerOptions,
    training: HeadTraining | None = None,
) -> Answers:
    """Trains heads as this one was, each without one fold, and asks them about it, until the answers are enough.

    Penalty, scale and weights of the classes are those of all images, which no label of one image moves by much, and
    each head learns for as many epochs as this one.

    Raises:
        InputError: the loss of one is not finite.
    """
    recipe = Recipe.of(options, head.l2, head.even)
    folds, rows, epochs = deal_folds(split), distinct_rows(split), epochs_of(head, options)
    whole = training
    if whole is None or not whole.learns_from_all:
        every = HeadData(values, split.labels, np.zeros(len(split), bool), head.widths[-1])
        whole = HeadTraining(strategy, recipe, every, name="calibration")
    asked = [rows[folds[rows] == fold][:AT_MOST] for fold in range(count_folds(folds[rows]))]

    def answer(fold: int) -> np.ndarray:
        part = whole.leaving_out(folds == fold, f"calibration {fold + 1}")
        state = run_training(part, part.start(), until=epochs)
        return head_of(part, state, recipe).logits_of(values[asked[fold]])

    # A step of a head is too small for two processors. Replicas must all be asked for the same step, so one by one.
    at_once = min(len(asked), os.cpu_count() or 1) if strategy.num_replicas_in_sync == 1 else 1
    with ThreadPoolExecutor(at_once) as pool:
        logits = list(pool.map(answer, range(len(asked))))
    return Answers(np.concatenate(logits), split.labels[np.concatenate(asked)], "out_of_fold")


def count_folds(folds: np.ndarray) -> int:
    """Counts the folds, from the first one on, that give `WANTED` answers; `folds`: int [images], -1 for none."""
    reached = np.cumsum(np.minimum(np.bincount(folds[folds >= 0], minlength=FOLDS), AT_MOST))
    return min(int(np.searchsorted(reached, WANTED)) + 1, FOLDS)


def epochs_of(head: Head, options: TrainerOptions) -> int:
    """Counts the epochs that a head's weights have learned: to its best one where early stopping chose it."""
    losses = head.history.get("val_loss", [])
    if losses and options.early_stopping_patience:
        return int(np.argmin(losses)) + 1
    return len(head.history["loss"])
