"""The head: dropout and a dense softmax on pooled features, trained under the strategy."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.options import TrainerOptions
from components.trainer.data import Split
from components.trainer.devices import global_batch_size

progress = logging.getLogger("graft.progress")


@dataclass(frozen=True)
class Head:
    """A trained head: logits = features @ kernel + bias.

    Attributes:
        kernel: float32 [d, classes].
        bias: float32 [classes].
        history: per epoch, a list a name: `loss`, `accuracy`, and `val_*` where images were held out.
    """

    kernel: np.ndarray
    bias: np.ndarray
    history: dict[str, list[float]] = field(default_factory=dict)

    def digest(self) -> str:
        """sha256 over the weights' bytes."""
        return hashlib.sha256(self.kernel.tobytes() + self.bias.tobytes()).hexdigest()

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """float32 [n, classes] from features float32 [n, d]."""
        return tf.nn.softmax(tf.matmul(values, self.kernel) + self.bias).numpy()


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
    values: np.ndarray,
    split: Split,
    classes: int,
    options: TrainerOptions,
    log_dir: str,
) -> Head:
    """Trains the head.

    Args:
        strategy: the replicas; the batch is global.
        values: float32 [n, d], the train split's features.
        split: their labels.
        classes: how many there are.
        options: epochs, learning rate and so on.
        log_dir: for TensorBoard.
    """
    keras.utils.set_random_seed(options.seed)
    held = hold_out(split, options.validation_fraction)
    batch_size = global_batch_size(strategy, options.batch_size)
    batches, steps = _batches(values[~held], split.labels[~held], batch_size, options.seed)
    with strategy.scope():
        # Keras (3.12 with TensorFlow 2.16) fails to trace several steps at once on several replicas.
        steps_at_once = steps if strategy.num_replicas_in_sync == 1 else 1
        model = _compile_head(values.shape[1], classes, steps, steps_at_once, options)
    callbacks = _callbacks(values[held], split.labels[held], options, log_dir)
    history = model.fit(batches, steps_per_epoch=steps, epochs=options.epochs, verbose=0, callbacks=callbacks)
    kernel, bias = (weight.numpy() for weight in model.layers[-1].weights)
    return Head(kernel, bias, {name: [float(x) for x in column] for name, column in history.history.items()})


def _batches(values: np.ndarray, labels: np.ndarray, batch_size: int, seed: int) -> tuple[tf.data.Dataset, int]:
    """Endless full batches: a short last one could leave a replica empty, and its mean would not be a number."""
    count = len(labels)
    with tf.device("/cpu:0"):
        rows, targets = tf.constant(values), tf.constant(labels)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    order = tf.data.Dataset.range(count).shuffle(count, seed=seed, reshuffle_each_iteration=True).repeat()
    batches = order.batch(batch_size, drop_remainder=True).map(
        lambda index: (tf.gather(rows, index), tf.gather(targets, index))
    )
    return batches.prefetch(2).with_options(options), max(1, count // batch_size)


def _compile_head(width: int, classes: int, steps: int, steps_at_once: int, options: TrainerOptions) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input([width], name="features"),
            keras.layers.Dropout(options.dropout, seed=options.seed),
            keras.layers.Dense(
                classes, name="logits", kernel_regularizer=keras.regularizers.L2(options.l2) if options.l2 else None
            ),
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(options.learning_rate, steps * options.epochs)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=steps_at_once,
        jit_compile=False,  # XLA on a CPU takes longer to compile this than to run it
    )
    return model


def _callbacks(values: np.ndarray, labels: np.ndarray, options: TrainerOptions, log_dir: str) -> list[Any]:
    callbacks: list[Any] = [keras.callbacks.TerminateOnNaN()]
    if len(labels):
        callbacks.append(WatchHeldOut(values, labels))
        if options.early_stopping_patience:
            callbacks.append(
                keras.callbacks.EarlyStopping(
                    monitor="val_loss", patience=options.early_stopping_patience, restore_best_weights=True
                )
            )
    if options.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(log_dir, write_graph=False))
    callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=_report_epoch(options.epochs)))
    return callbacks


def _report_epoch(epochs: int) -> Callable[[int, dict[str, float]], None]:
    def report(epoch: int, logs: dict[str, float]) -> None:
        shown = "val_accuracy" if "val_accuracy" in logs else "accuracy"
        progress.info("head: epoch %d of %d, %s %.3f", epoch + 1, epochs, shown, logs[shown])

    return report


class WatchHeldOut(keras.callbacks.Callback):
    """Adds `val_loss` and `val_accuracy` to an epoch's logs: one matrix product, whatever the replicas are."""

    def __init__(self, values: np.ndarray, labels: np.ndarray) -> None:
        super().__init__()
        self._values, self._labels = values, labels

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measures the head as it is after this epoch."""
        kernel, bias = (weight.numpy() for weight in self.model.layers[-1].weights)
        logits = self._values @ kernel + bias
        shifted = logits - logits.max(axis=1, keepdims=True)
        rows = np.arange(len(self._labels))
        log_likelihood = shifted[rows, self._labels] - np.log(np.exp(shifted).sum(axis=1))
        if logs is not None:
            logs["val_loss"] = float(-log_likelihood.mean())
            logs["val_accuracy"] = float((logits.argmax(axis=1) == self._labels).mean())
