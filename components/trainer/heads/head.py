"""The head: dropout and a dense softmax on pooled features, with a hidden layer if asked for."""

from __future__ import annotations

import hashlib
import logging
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from components.errors import InputError
from components.options.trainer import TrainerOptions
from components.trainer.devices.tf_config import is_chief
from components.trainer.devices.workers import broadcast, same_everywhere
from components.trainer.features.augment import FreshViews
from components.trainer.features.data import Split
from components.trainer.heads.epochs import HeadTask
from components.trainer.heads.scaling import find_penalty
from components.trainer.training.checkpoints import Checkpoints, TrainingState, checkpoints_of, digest_training
from components.trainer.training.loop import TensorBoardWriter
from components.trainer.training.schedule import Recipe
from components.trainer.training.step import unpack

AT_ONCE = 4096  # images

progress = logging.getLogger("graft.progress")


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
        spread: float64 [d], what these were divided by; None: nothing. The kernels here take features as they are.
    """

    kernel: np.ndarray
    bias: np.ndarray
    history: dict[str, list[float]] = field(default_factory=dict)
    hidden: tuple[np.ndarray, np.ndarray] | None = None
    l2: float = 0.0
    spread: np.ndarray | None = None

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(kernel, bias) of each layer, in the order of the data; a ReLU stands between two of them."""
        return [*([self.hidden] if self.hidden else []), (self.kernel, self.bias)]

    def digest(self) -> str:
        """sha256 over the weights' bytes."""
        return hashlib.sha256(b"".join(array.tobytes() for layer in self.layers for array in layer)).hexdigest()

    def logits(self, values: tf.Tensor) -> tf.Tensor:
        """float32 [n, classes] from features float32 [n, d]."""
        for kernel, bias in self.layers[:-1]:
            values = tf.nn.relu(tf.matmul(values, kernel) + bias)
        return tf.matmul(values, self.kernel) + self.bias

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """float32 [n, classes] from features float32 [n, d], which TensorFlow copies a part at a time."""
        starts = range(0, max(len(values), 1), AT_ONCE)
        parts = [tf.nn.softmax(self.logits(values[start : start + AT_ONCE])).numpy() for start in starts]
        return np.concatenate(parts)


def hold_out(split: Split, fraction: float) -> np.ndarray:
    """Which images of the train split early stopping watches: bool [n], by content, so copies stay together.

    A class of which chance would leave nothing to learn from is not held out at all.
    """
    buckets = np.array([int(digest[8:16], 16) for digest in split.sha256], np.float64)
    held = buckets < fraction * 2**32
    for label in np.unique(split.labels):
        if held[split.labels == label].all():
            held[split.labels == label] = False
    return held


def train_head(
    strategy: tf.distribute.Strategy,
    values: np.ndarray | FreshViews,
    split: Split,
    classes: int,
    options: TrainerOptions,
    log_dir: str,
    checkpoint_dir: str = "",
) -> Head:
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

    Raises:
        InputError: fewer than two classes, a loss or weights that are not finite, or workers that see different data.
    """
    check_labels(split.labels, classes)
    views = values if isinstance(values, FreshViews) else None
    plain = values.plain if isinstance(values, FreshViews) else values
    held = hold_out(split, options.held_out)
    recipe = Recipe.of(options, *find_penalty(strategy, plain, split, held, classes, options.class_weights))
    task = HeadTask(strategy, recipe, plain, split.labels, held, classes, views.refresh if views else None)
    facts = (recipe.to_json(), str(classes), str(strategy.num_replicas_in_sync), views.facts if views else "")
    digest = digest_training(plain, split.labels, held, *facts)
    same_everywhere(strategy, digest)

    kept = checkpoints_of(checkpoint_dir, digest) if checkpoint_dir and is_chief() else None
    course = resume(strategy, kept) or task.start()
    with closing(
        TensorBoardWriter(log_dir, options.tensorboard and is_chief(), options.histograms and is_chief())
    ) as board:
        while not task.is_done(course):
            course = task.run_epoch(course, board)
            if kept:
                kept.save(course)
    first, *others = unpack(task.result(course), task.widths)
    doubles = [task.scale.fold(*first), *others]
    layers = [(kernel.astype(np.float32), bias.astype(np.float32)) for kernel, bias in doubles]
    return Head(*layers[-1], course.history, layers[0] if others else None, recipe.l2, task.scale.spread)


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


def resume(strategy: tf.distribute.Strategy, kept: Checkpoints | None) -> TrainingState | None:
    """How far an earlier training came, as the chief finds it and tells the other workers; None: there is none."""
    course = kept.load() if kept else None
    content = broadcast(strategy, course.to_bytes() if course else b"")
    if not content:
        return None
    course = TrainingState.from_bytes(content)
    progress.info("head: going on after epoch %d, from a checkpoint", course.epoch)
    return course
