"""One step of the second stage: backbone and head together, on any number of replicas.

As in the head's loop nothing depends on how many replicas there are: batches, views and dropout are drawn for the
global batch and then cut, a replica returns sums, and one division and one step of Adam follow after the reduction.
The weights are float64 outside of the backbone, which computes in float32: replicas agree as far as it does.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from components.trainer.features.augment import Augmentation, augment_pixels
from components.trainer.fine_tune.layers import Trunk
from components.trainer.training.schedule import Recipe
from components.trainer.training.step import LARGEST, LoopState, adam, unpack

MASKS = 1 << 16  # dropout masks of this stage are numbered from here on: they are not those of the first


class Batch(NamedTuple):
    """What a step sees.

    Attributes:
        index: int64 [places], rows of the split; below 0 where a place is empty.
        pixels: float32 [places, height, width, 3] in 0..255.
        draws: float32 [places, 8] in 0..1, for the view of each image; [places, 0] for plain images.
    """

    index: Any
    pixels: Any
    draws: Any


class TuneStep:
    """Trains and measures a backbone's weights with a head's; parameters: the trunk's, then the head's."""

    def __init__(  # noqa: PLR0913  a problem, each part of another kind
        self,
        strategy: tf.distribute.Strategy,
        trunk: Trunk,
        recipe: Recipe,
        widths: tuple[int, ...],
        labels: np.ndarray,
        weights: np.ndarray,
        augmentation: Augmentation,
        spread: np.ndarray | None = None,
    ) -> None:
        """Takes what does not change.

        Args:
            strategy: the replicas.
            trunk: what of the backbone is trained.
            recipe: dropout, L2, label smoothing, batch size, seed.
            widths: features, hidden units if any, classes.
            labels: int64 [n].
            weights: float64 [classes], what an image of each class counts.
            augmentation: how far a view may be from its image.
            spread: of the features, float64 [d], see `Scale`: the penalty is that of the first stage.
        """
        self._strategy, self._trunk, self._recipe, self._widths = strategy, trunk, recipe, widths
        self._replicas = strategy.num_replicas_in_sync
        self._labels, self._weights, self._augmentation = labels, weights, augmentation
        self._of_trunk = sum(trunk.sizes)
        penalty = [np.repeat([recipe.l2, 0.0], [a * b, b]) for a, b in pairwise(widths)]
        if spread is not None:
            penalty[0][: widths[0] * widths[1]] *= np.repeat(spread**2, widths[1])
        self._penalty = np.concatenate([np.zeros(self._of_trunk), *penalty])
        self._graph_learn = tf.function(self._step, autograph=False)
        self._graph_measure = tf.function(self._measure, autograph=False)

    def learn(
        self, state: LoopState, batch: Batch, rate: float, step: int, scale: float = 1.0
    ) -> tuple[LoopState, np.ndarray, bool]:
        """One step.

        Args:
            state: before it, float64 [p] each, trunk and head.
            batch: with at least one image.
            rate: learning rate.
            step: counted from 0 over all epochs.
            scale: of the loss while gradients are computed, see `LossScale`.

        Returns:
            The state after it, as tensors; over the images the sums of the loss with the L2 penalty and of those that
            were right, float64 [2]; whether loss and weights are numbers that a float32 holds.
        """
        inputs = (LoopState(*(tf.convert_to_tensor(x, tf.float64) for x in state)), batch)
        numbers = (tf.constant(rate, tf.float64), tf.constant(step, tf.int64), tf.constant(scale, tf.float64))
        *after, sums, sane = self._graph_learn.get_concrete_function(*inputs, *numbers)(*inputs, *numbers)
        return LoopState(*after), sums.numpy(), bool(sane)

    def measure(self, params: Any, batch: Batch) -> np.ndarray:
        """Over a batch the sums of the loss, without dropout and penalty, and of the right images: float64 [2]."""
        params = tf.convert_to_tensor(params, tf.float64)
        return self._graph_measure.get_concrete_function(params, batch)(params, batch).numpy()

    def _step(
        self, state: LoopState, batch: Batch, rate: tf.Tensor, step: tf.Tensor, scale: tf.Tensor
    ) -> tuple[Any, ...]:
        size, penalty = len(self._penalty), tf.constant(self._penalty)
        sums = self._reduce(self._learn, (state.params, batch, step, scale))
        real = tf.reduce_sum(tf.cast(batch.index >= 0, tf.float64))
        loss = sums[size] / real + tf.reduce_sum(penalty * state.params**2)
        after = adam(state, sums[:size] / real + 2 * penalty * state.params, rate, step)
        sane = (tf.abs(loss) <= LARGEST) & tf.reduce_all(tf.abs(after.params) <= LARGEST)  # false for NaN too
        return (*after, tf.stack([loss * real, sums[size + 1]]), sane)

    def _measure(self, params: tf.Tensor, batch: Batch) -> tf.Tensor:
        return self._reduce(self._score, (params, batch))

    def _reduce(self, function: Any, arguments: tuple[Any, ...]) -> tf.Tensor:
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, self._strategy.run(function, arguments), axis=None)

    def _learn(self, params: tf.Tensor, batch: Batch, step: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Sums over this replica's share of a batch: gradient [p], loss, images that are right."""
        mine = self._cut(batch)
        if self._augmentation.changes_anything:
            mine = mine._replace(pixels=augment_pixels(mine.pixels, mine.draws, self._augmentation))
        with tf.GradientTape() as tape:
            tape.watch(params)
            masks = [self._mask(step, layer, batch.index.shape[0]) for layer in range(len(self._widths) - 1)]
            loss, right = self._loss(self._trunk.half or self._trunk, params, mine, masks)
            scaled = loss * scale
        return tf.concat([tape.gradient(scaled, params) / scale, tf.stack([loss, right])], axis=0)

    def _score(self, params: tf.Tensor, batch: Batch) -> tf.Tensor:
        return tf.stack(self._loss(self._trunk, params, self._cut(batch), [None] * (len(self._widths) - 1)))

    def _loss(
        self, trunk: Trunk, params: tf.Tensor, mine: Batch, masks: list[tf.Tensor | None]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Summed cross-entropy of the head's logits, and number of images that are right; empty places count 0."""
        real = mine.index >= 0
        labels = tf.gather(tf.constant(self._labels), tf.maximum(mine.index, 0))
        signal = tf.cast(trunk.features(params[: self._of_trunk], mine.pixels), tf.float64)
        layers = unpack(params[self._of_trunk :], self._widths)
        for number, ((kernel, bias), mask) in enumerate(zip(layers, masks, strict=True)):
            signal = tf.matmul(signal if mask is None else signal * mask, kernel) + bias
            signal = signal if number == len(layers) - 1 else tf.nn.relu(signal)
        smoothing, classes = self._recipe.label_smoothing, self._widths[-1]
        targets = tf.one_hot(labels, classes, dtype=tf.float64) * (1 - smoothing) + smoothing / classes
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, signal) * tf.gather(self._weights, labels)
        right = real & (tf.argmax(signal, axis=1) == labels)
        return tf.reduce_sum(tf.where(real, losses, 0.0)), tf.reduce_sum(tf.cast(right, tf.float64))

    def _mask(self, step: tf.Tensor, layer: int, places: int) -> tf.Tensor | None:
        """0 or 1 / (1 - rate) for each input of a layer of the head, drawn for the global batch."""
        rate, size = self._recipe.dropout, self._recipe.batch_size
        if not rate:
            return None
        seed = tf.stack([tf.constant(self._recipe.seed + ((MASKS + layer) << 32), tf.int64), step])
        drawn = tf.random.stateless_uniform([size, self._widths[layer]], seed)
        mask = tf.where(drawn >= rate, tf.constant(1 / (1 - rate), tf.float64), 0.0)
        return self._share(tf.pad(mask, [[0, places - size], [0, 0]]))

    def _cut(self, batch: Batch) -> Batch:
        with tf.device("/cpu:0"):  # a GPU gets its share of a batch, never all of it
            return Batch(*(self._share(part) for part in batch))

    def _share(self, part: tf.Tensor) -> tf.Tensor:
        """This replica's share of the first axis, which is a multiple of the replicas."""
        share = part.shape[0] // self._replicas
        start = tf.distribute.get_replica_context().replica_id_in_sync_group * share
        return part[start : start + share]
