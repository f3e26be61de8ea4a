"""One training step, of a head alone or of a backbone's layers with it, on any number of replicas and workers.

Replicas agree because nothing depends on how many there are: batches and dropout masks are drawn for the global batch
and then cut, a replica returns sums, and the one division and the one step of the optimizer follow after the reduction.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from components.trainer.training.schedule import Recipe

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # those of keras.optimizers.Adam
LARGEST_FLOAT32 = float(np.finfo(np.float32).max)  # beyond it the exported head would be infinite


class AdamState(NamedTuple):
    """What a step of Adam reads and writes: float64 [p] each.

    Attributes:
        params: weights of the feature source, then kernels and biases of the head's layers, see `unpack_layers`.
        mean: running mean of the gradient.
        square: running mean of its square.
    """

    params: Any
    mean: Any
    square: Any

    @classmethod
    def first(cls, params: np.ndarray) -> AdamState:
        """Gives the state before the first step."""
        return cls(params, np.zeros_like(params), np.zeros_like(params))


class Batch(NamedTuple):
    """A global batch, filled up to a multiple of the replicas.

    Attributes:
        index: int64 [places], rows of the split; below 0 where a place is empty.
        inputs: tensors [places, ...] that the feature source needs beside the index.
    """

    index: Any
    inputs: tuple[Any, ...] = ()


class FeatureSource(Protocol):
    """Gives the head its features: kept ones, or those of a backbone whose last layers learn too.

    Attributes:
        size: how many of the parameters are the source's own; they stand before the head's.
        first_mask: number of the first dropout mask, so that two stages do not drop the same.
    """

    size: int
    first_mask: int

    def features(self, params: tf.Tensor, share: Batch, learning: bool) -> tf.Tensor:
        """Computes the features float64 [places, d] of one replica's share of a batch; all 0, or any, where empty."""


def unpack_layers(params: Any, widths: tuple[int, ...], start: int = 0) -> list[tuple[Any, Any]]:
    """Cuts parameters into (kernel [in, out], bias [out]) of each layer of the head.

    Args:
        params: [p].
        widths: features, hidden units if any, classes.
        start: where the head's parameters begin.
    """
    reshape = np.reshape if isinstance(params, np.ndarray) else tf.reshape
    layers = []
    for before, after in pairwise(widths):
        middle, end = start + before * after, start + (before + 1) * after
        layers.append((reshape(params[start:middle], [before, after]), params[middle:end]))
        start = end
    return layers


def start_head(widths: tuple[int, ...], seed: int) -> np.ndarray:
    """Draws a head's first parameters, float64 [p].

    The last layer and biases are 0; a hidden layer is as Glorot and Bengio (2010) and Keras' Dense have it. What a
    random start puts into directions that few images vary in, training never unlearns.
    """
    pieces: list[np.ndarray] = []
    for before, after in pairwise(widths[:-1]):
        initializer = keras.initializers.GlorotUniform(seed=seed)
        pieces += [np.asarray(initializer([before, after])).ravel(), np.zeros(after)]
    return np.concatenate([*pieces, np.zeros((widths[-2] + 1) * widths[-1])]).astype(np.float64)


def adam(state: AdamState, gradient: tf.Tensor, rate: tf.Tensor, step: tf.Tensor) -> AdamState:
    """Takes a step of Adam (Kingma and Ba, 2015, arXiv:1412.6980, section 2's efficient order), counted from 0.

    Written out on plain tensors in float64, because Keras (3.12 and later) refuses `stateless_apply` in a
    `tf.function`, keeps its learning rate in float32, and cannot trace several steps at once on several replicas.
    """
    time = tf.cast(step + 1, tf.float64)
    mean = BETA_1 * state.mean + (1 - BETA_1) * gradient
    square = BETA_2 * state.square + (1 - BETA_2) * gradient * gradient
    pace = rate * tf.sqrt(1 - BETA_2**time) / (1 - BETA_1**time)
    return AdamState(state.params - pace * mean / (tf.sqrt(square) + EPSILON), mean, square)


def call_graph(function: Any, *inputs: Any) -> Any:
    """Calls a `tf.function` by its graph: else TensorFlow warns that many heads in a process are one traced anew."""
    return function.get_concrete_function(*inputs)(*inputs)


class TrainingStep:
    """Learns from a batch, and measures one. The loss takes logits."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        recipe: Recipe,
        widths: tuple[int, ...],
        labels: np.ndarray,
        weights: np.ndarray,
        source: FeatureSource,
        spread: np.ndarray | None = None,
    ) -> None:
        """Takes what does not change.

        Args:
            strategy: the replicas.
            recipe: dropout, L2, label smoothing, seed, and the batch size, before batches are filled up.
            widths: features, hidden units if any, classes.
            labels: int64 [n].
            weights: float64 [classes], what an image of each class counts.
            source: of the features.
            spread: float64 [d], what the penalty takes features to be divided by, see `Scale`; None: nothing.
        """
        self._strategy, self._recipe, self._widths = strategy, recipe, widths
        self._source, self._weights, self._replicas = source, weights, strategy.num_replicas_in_sync
        with tf.device("/cpu:0"):
            self._labels = tf.constant(labels)
        penalty = [np.repeat([recipe.l2, 0.0], [a * b, b]) for a, b in pairwise(widths)]
        if spread is not None:
            penalty[0][: widths[0] * widths[1]] *= np.repeat(spread**2, widths[1])
        self._penalty = np.concatenate([np.zeros(source.size), *penalty])
        self._graph_learn = tf.function(self.step, autograph=False)
        self._graph_measure = tf.function(self.score, autograph=False)

    def learn(
        self, state: AdamState, batch: Batch, rate: float, number: int, loss_scale: float = 1.0
    ) -> tuple[AdamState, np.ndarray, bool]:
        """Takes one step, see `step`; the state stays where it was computed, as tensors."""
        given = AdamState(*(tf.convert_to_tensor(x, tf.float64) for x in state))
        numbers = (tf.constant(rate, tf.float64), tf.constant(number, tf.int64), tf.constant(loss_scale, tf.float64))
        after, sums, finite = call_graph(self._graph_learn, given, batch, *numbers)
        return after, sums.numpy(), bool(finite)

    def measure(self, params: Any, batch: Batch) -> np.ndarray:
        """Measures a batch, see `score`."""
        return call_graph(self._graph_measure, tf.convert_to_tensor(params, tf.float64), batch).numpy()

    def step(
        self, state: AdamState, batch: Batch, rate: tf.Tensor, number: tf.Tensor, loss_scale: Any = 1.0
    ) -> tuple[AdamState, tf.Tensor, tf.Tensor]:
        """Traces one step into a graph.

        Args:
            state: before it.
            batch: with at least one image.
            rate: learning rate, float64.
            number: of the step, counted from 0 over all epochs, int64.
            loss_scale: what the loss is multiplied by while gradients are computed, see `LossScale`.

        Returns:
            The state after it; over the images the sums of the loss with the L2 penalty and of those that were right,
            float64 [2]; whether loss and weights are numbers that a float32 holds.
        """
        size, penalty = len(self._penalty), tf.constant(self._penalty)
        sums = self._reduce(self._learn, (state.params, batch, number, loss_scale))
        real = tf.reduce_sum(tf.cast(batch.index >= 0, tf.float64))
        loss = sums[size] / real + tf.reduce_sum(penalty * state.params**2)
        after = adam(state, sums[:size] / real + 2 * penalty * state.params, rate, number)
        # Both are false for NaN, too.
        finite = (tf.abs(loss) <= LARGEST_FLOAT32) & tf.reduce_all(tf.abs(after.params) <= LARGEST_FLOAT32)
        return after, tf.stack([loss * real, sums[size + 1]]), finite

    def score(self, params: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Traces a measurement into a graph.

        Returns:
            Over a batch the sums of the loss, without dropout and penalty, and of the right images: float64 [2].
        """
        return self._reduce(self._score, (params, batch))

    def _reduce(self, function: Any, arguments: tuple[Any, ...]) -> tf.Tensor:
        # Sums in float64: their order then changes the weights by 1e-12, where float32 would let replicas drift apart.
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, self._strategy.run(function, arguments), axis=None)

    def _learn(self, params: tf.Tensor, batch: Batch, number: tf.Tensor, loss_scale: Any) -> tf.Tensor:
        """Sums over this replica's share of a batch: gradient [p], loss, images that are right."""
        masks = [self._mask(number, layer, batch.index.shape[0]) for layer in range(len(self._widths) - 1)]
        with tf.GradientTape() as tape:
            tape.watch(params)
            loss, right = self._loss(params, self._cut(batch), masks)
            scaled = loss * loss_scale
        return tf.concat([tape.gradient(scaled, params) / loss_scale, tf.stack([loss, right])], axis=0)

    def _score(self, params: tf.Tensor, batch: Batch) -> tf.Tensor:
        return tf.stack(self._loss(params, self._cut(batch), None))

    def _loss(
        self, params: tf.Tensor, share: Batch, masks: list[tf.Tensor | None] | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Summed cross-entropy and number of images that are right; empty places count 0. `masks`: None to measure."""
        real = share.index >= 0
        with tf.device("/cpu:0"):
            labels = tf.gather(self._labels, tf.maximum(share.index, 0))
        signal = self._source.features(params, share, learning=masks is not None)
        layers = unpack_layers(params, self._widths, self._source.size)
        for number, (kernel, bias) in enumerate(layers):
            mask = masks[number] if masks else None
            signal = tf.matmul(signal if mask is None else signal * mask, kernel) + bias
            signal = signal if number == len(layers) - 1 else tf.nn.relu(signal)
        smoothing, classes = self._recipe.label_smoothing, self._widths[-1]
        targets = tf.one_hot(labels, classes, dtype=tf.float64) * (1 - smoothing) + smoothing / classes
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, signal) * tf.gather(self._weights, labels)
        right = real & (tf.argmax(signal, axis=1) == labels)
        return tf.reduce_sum(tf.where(real, losses, 0.0)), tf.reduce_sum(tf.cast(right, tf.float64))

    def _mask(self, number: tf.Tensor, layer: int, places: int) -> tf.Tensor | None:
        """This replica's share of a dropout mask, 0 or 1 / (1 - rate) for each input of a layer of the head."""
        rate, size = self._recipe.dropout, self._recipe.batch_size
        if not rate:
            return None
        # Drawn for the whole batch from the seed, the layer and the step, so that neither the number of replicas nor a
        # training that is resumed changes what is dropped.
        stream = self._recipe.seed + ((self._source.first_mask + layer) << 32)
        seed = tf.stack([tf.constant(stream, tf.int64), number])
        drawn = tf.random.stateless_uniform([size, self._widths[layer]], seed)
        mask = tf.where(drawn >= rate, tf.constant(1 / (1 - rate), tf.float64), 0.0)
        return self._share(tf.pad(mask, [[0, places - size], [0, 0]]))

    def _cut(self, batch: Batch) -> Batch:
        with tf.device("/cpu:0"):  # a GPU gets its share of a batch, never all of it
            return Batch(self._share(batch.index), tuple(self._share(part) for part in batch.inputs))

    def _share(self, part: tf.Tensor) -> tf.Tensor:
        """This replica's share of the first axis, which is a multiple of the replicas."""
        share = part.shape[0] // self._replicas
        start = tf.distribute.get_replica_context().replica_id_in_sync_group * share
        return part[start : start + share]
