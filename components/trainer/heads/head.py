"""The head: dropout and a dense softmax on pooled features, with a hidden layer if asked for."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import tensorflow as tf

from components.errors import InputError
from components.options.trainer import TrainerOptions
from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.devices.strategy import same_everywhere
from components.trainer.devices.tf_config import is_chief
from components.trainer.features.augment import FreshViews
from components.trainer.features.data import Split
from components.trainer.heads.epochs import HeadData, HeadTraining
from components.trainer.heads.scaling import NOTHING_KEPT, find_penalty
from components.trainer.training.checkpoints import (
    TrainingState,
    checkpoints_of,
    digest_training,
    resume_training,
)
from components.trainer.training.loop import TensorBoardWriter, run_training
from components.trainer.training.schedule import Recipe
from components.trainer.training.step import unpack_layers

ANSWERED_AT_ONCE = 4096  # images


@dataclass(frozen=True)
class Head:
    """A trained head: logits = features @ kernel + bias, behind a ReLU layer where `hidden` has one.

    Two classes are two logits in a softmax like any other number of classes: there is no sigmoid head.

    Attributes:
        kernel: float32 [d, classes]; [units, classes] behind a hidden layer.
        bias: float32 [classes].
        history: per epoch, a list a name: `loss`, `accuracy`, and `val_*` where images were held out.
        hidden: kernel float32 [d, units] and bias float32 [units] of the layer before, or None.
        l2: the penalty that it learned under, on the kernel of features on their `Scale`.
        spread: float64 [d], what features were divided by while it learned; None: nothing. The kernels here take
            features as they are.
        even: whether each feature was divided by its own deviation, see `Penalty`.
    """

    kernel: np.ndarray
    bias: np.ndarray
    history: dict[str, list[float]] = field(default_factory=dict)
    hidden: tuple[np.ndarray, np.ndarray] | None = None
    l2: float = 0.0
    spread: np.ndarray | None = None
    even: bool = False

    @classmethod
    def blank(cls, width: int, hidden_units: int, classes: int) -> Head:
        """Makes one that knows nothing: all classes are alike for every image of so many features."""
        sizes = pairwise(size for size in (width, hidden_units, classes) if size)
        layers = [(np.zeros([before, after], np.float32), np.zeros(after, np.float32)) for before, after in sizes]
        return cls(*layers[-1], hidden=layers[0] if hidden_units else None)

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(kernel, bias) of each layer, in the order of the data; a ReLU stands between two of them."""
        return [*([self.hidden] if self.hidden else []), (self.kernel, self.bias)]

    @property
    def widths(self) -> tuple[int, ...]:
        """Features, hidden units if any, classes."""
        return (self.layers[0][0].shape[0], *(bias.shape[0] for _, bias in self.layers))

    def params(self) -> np.ndarray:
        """Joins all weights into one vector, in the order of `unpack_layers`."""
        return np.concatenate([part.ravel() for layer in self.layers for part in layer])

    def digest(self) -> str:
        """Gives the sha256 of the weights' bytes."""
        return hashlib.sha256(b"".join(array.tobytes() for layer in self.layers for array in layer)).hexdigest()

    def logits(self, values: tf.Tensor) -> tf.Tensor:
        """Computes logits float32 [n, classes] from features float32 [n, d]."""
        for kernel, bias in self.layers[:-1]:
            values = tf.nn.relu(tf.matmul(values, kernel) + bias)
        return tf.matmul(values, self.kernel) + self.bias

    def logits_of(self, values: np.ndarray) -> np.ndarray:
        """Computes logits float32 [n, classes] of features float32 [n, d], a part at a time: TensorFlow copies."""
        starts = range(0, max(len(values), 1), ANSWERED_AT_ONCE)
        return np.concatenate([self.logits(values[start : start + ANSWERED_AT_ONCE]).numpy() for start in starts])

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """Computes softmax float32 [n, classes] of features float32 [n, d], a part at a time into one array."""
        answers = np.empty([len(values), self.widths[-1]], np.float32)
        for start in range(0, len(values), ANSWERED_AT_ONCE):
            part = slice(start, start + ANSWERED_AT_ONCE)
            answers[part] = tf.nn.softmax(self.logits(values[part])).numpy()
        return answers


def hold_out(split: Split, fraction: float) -> np.ndarray:
    """Chooses the images of the train split that are held out, bool [n], by content, so copies stay together.

    A class of which chance would leave nothing to learn from is not held out at all.
    """
    buckets = np.array([int(digest[8:16], 16) for digest in split.sha256], np.float64)
    held = buckets < fraction * 2**32
    whole = np.bincount(split.labels, held) == np.bincount(split.labels)
    return held & ~whole[split.labels]


def train_head(  # noqa: PLR0913  a stage's inputs, each of another kind
    strategy: tf.distribute.Strategy,
    values: np.ndarray | FreshViews,
    split: Split,
    classes: int,
    options: TrainerOptions,
    log_dir: str,
    checkpoint_dir: str = "",
    answers: AnswerCache = NOTHING_KEPT,
) -> tuple[Head, HeadTraining]:
    """Trains the head: the same to 1e-5 on any number of replicas and workers, bit for bit when repeated on as many.

    Args:
        strategy: the replicas; the batch is global.
        values: float32 [n, d], the train split's features, in an order that does not depend on the machine; or views
            that are new in each epoch.
        split: their labels.
        classes: how many there are, at least 2.
        options: epochs, learning rate and so on.
        log_dir: for TensorBoard.
        checkpoint_dir: where the training is kept after each epoch, local or remote; empty: nowhere. A training of the
            same features, labels, options and replicas goes on from what is there, and only the chief worker needs to
            see it. Left as it is: the caller removes it (`remove_checkpoints`) when the model is written.
        answers: of earlier runs, the penalty among them.

    Returns:
        The head, and its training, by whose graph heads of the same recipe can learn (`HeadTraining.leaving_out`).

    Raises:
        InputError: fewer than two classes, a loss or weights that are not finite, or workers that see different data.
    """
    check_labels(split.labels, classes)
    views = values if isinstance(values, FreshViews) else None
    plain = values.plain if isinstance(values, FreshViews) else values
    data = HeadData(plain, split.labels, hold_out(split, options.held_out), classes, views.refresh if views else None)
    found = find_penalty(strategy, plain, split, data.held, classes, options.class_weights, answers)
    recipe = Recipe.of(options, *found)
    facts = (recipe.to_json(), str(classes), str(strategy.num_replicas_in_sync), views.facts if views else "")
    digest = digest_training(plain, split.labels, data.held, *facts)
    same_everywhere(strategy, digest)

    board = TensorBoardWriter(log_dir, options.tensorboard and is_chief(), options.histograms and is_chief())
    with closing(board):
        training = HeadTraining(strategy, recipe, data, board)
        checkpoints = checkpoints_of(checkpoint_dir, digest, training.name)
        state = resume_training(strategy, checkpoints, training.name) or training.start()
        state = run_training(training, state, checkpoints)
    return head_of(training, state, recipe), training


def head_of(training: HeadTraining, state: TrainingState, recipe: Recipe) -> Head:
    """Makes the head that a training came to: it takes features as the backbone gives them, in float32.

    The scale goes into its first layer.
    """
    first, *others = unpack_layers(training.result(state), training.widths)
    folded = [training.scale.fold(*first), *others]
    layers = [(kernel.astype(np.float32), bias.astype(np.float32)) for kernel, bias in folded]
    hidden = layers[0] if others else None
    return Head(*layers[-1], state.history, hidden, recipe.l2, training.scale.spread, recipe.even)


def check_labels(labels: np.ndarray, classes: int) -> None:
    """Refuses what no classifier can learn from.

    Args:
        labels: int64 [n].
        classes: the size of the class map.

    Raises:
        InputError: one class only, or labels that the class map does not have.
    """
    found = np.unique(labels)
    if len(found) < 2:
        raise InputError(
            f"A classifier needs at least two classes; the train split has {len(labels):,} images of {len(found)}.\n"
            "Add images of another class, or look at why they were refused: graft check."
        )
    if found[0] < 0 or found[-1] >= classes:
        raise InputError(
            f"The labels of {classes} classes are 0 to {classes - 1}; the train split has {found[0]} to {found[-1]}.\n"
            "Run the ingest again (--no-cache)."
        )
