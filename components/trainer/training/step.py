"""The head's training loop: a whole epoch is one call into a graph, on any number of replicas and workers.

Replicas agree because nothing depends on how many there are: batches and dropout masks are drawn for the global batch
and then cut, a replica returns sums, and the one division and the one step of the optimizer follow after the reduction.
All of it is in float64: the order of a sum then changes the weights by 1e-12, where float32 would let runs drift apart.

The state is plain tensors in a loop of the graph, and Adam is written out, because Keras (3.12 and later) refuses
`stateless_apply` on TensorFlow, and its `fit` cannot trace several steps at once on several replicas.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.trainer.features.arrays import share
from components.trainer.heads.standard import Scale
from components.trainer.training.schedule import Recipe, fill_up

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # those of keras.optimizers.Adam
LARGEST = float(np.finfo(np.float32).max)  # beyond it the exported head would be infinite
MEASURE_BATCH = 1024


class LoopState(NamedTuple):
    """What a step of Adam reads and writes: float64 [p] each.

    Attributes:
        params: all layers' kernels and biases, see `unpack`.
        mean: running mean of the gradient.
        square: running mean of its square.
    """

    params: Any
    mean: Any
    square: Any


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes:
        loss: mean over the images, with the L2 penalty.
        accuracy: share of images that were right when their batch came, under dropout.
        broken_at: the step (from 0, within the epoch) whose loss or weights are not finite in float32; None: all are.
    """

    loss: float
    accuracy: float
    broken_at: int | None


def unpack(params: Any, widths: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """(kernel [in, out], bias [out]) of each layer, from [p]; `widths`: features, hidden units if any, classes."""
    reshape = np.reshape if isinstance(params, np.ndarray) else tf.reshape
    layers, start = [], 0
    for before, after in pairwise(widths):
        middle, end = start + before * after, start + (before + 1) * after
        layers.append((reshape(params[start:middle], [before, after]), params[middle:end]))
        start = end
    return layers


def start_state(widths: tuple[int, ...], seed: int) -> LoopState:
    """The last layer, biases and moments are 0; a hidden layer is as Glorot and Bengio (2010) and Keras' Dense have it.

    What a random start puts into directions that few images vary in, they never unlearn.
    """
    pieces: list[np.ndarray] = []
    for before, after in pairwise(widths[:-1]):
        initializer = keras.initializers.GlorotUniform(seed=seed)
        pieces += [np.asarray(initializer([before, after])).ravel(), np.zeros(after)]
    params = np.concatenate([*pieces, np.zeros((widths[-2] + 1) * widths[-1])]).astype(np.float64)
    return LoopState(params, np.zeros_like(params), np.zeros_like(params))


def adam(state: LoopState, gradient: tf.Tensor, rate: tf.Tensor, step: tf.Tensor) -> LoopState:
    """One step of Adam (Kingma and Ba, 2015, arXiv:1412.6980, section 2's efficient order), `step` counted from 0."""
    time = tf.cast(step + 1, tf.float64)
    mean = BETA_1 * state.mean + (1 - BETA_1) * gradient
    square = BETA_2 * state.square + (1 - BETA_2) * gradient * gradient
    pace = rate * tf.sqrt(1 - BETA_2**time) / (1 - BETA_1**time)
    return LoopState(state.params - pace * mean / (tf.sqrt(square) + EPSILON), mean, square)


def _call(function: Any, *inputs: Any) -> Any:
    """Calls a `tf.function` by its graph: else TensorFlow warns that many heads in a process are one traced anew."""
    return function.get_concrete_function(*inputs)(*inputs)


class Loop:
    """Trains and measures one head on one set of features."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        recipe: Recipe,
        widths: tuple[int, ...],
        values: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray,
        scale: Scale,
    ) -> None:
        """Takes what does not change.

        Args:
            strategy: the replicas.
            recipe: dropout, L2, label smoothing, seed.
            widths: features, hidden units if any, classes.
            values: float32 [n, d]; read where they are if they can be, see `arrays.share`.
            labels: int64 [n].
            weights: float64 [classes], what an image of each class counts.
            scale: on which the head sees the values.
        """
        self._strategy, self._recipe, self._widths = strategy, recipe, widths
        self._replicas = strategy.num_replicas_in_sync
        with tf.device("/cpu:0"):  # a GPU gets the rows of a batch, never all of them
            self._values, self._labels = tf.Variable(share(values), trainable=False), tf.constant(labels)
        self._weights, self._scale = weights, scale
        self._penalty = np.concatenate([np.repeat([recipe.l2, 0.0], [a * b, b]) for a, b in pairwise(widths)])
        self._graph_epoch = tf.function(self._run_steps, autograph=False)
        self._graph_measure = tf.function(self._measure_steps, autograph=False)

    def run_epoch(
        self, state: LoopState, rows: np.ndarray, rates: np.ndarray, batch_size: int, first: int
    ) -> tuple[LoopState, Epoch]:
        """Learns from each row once.

        Args:
            state: before the epoch.
            rows: int [n], in this epoch's order.
            rates: float64 [steps], learning rates.
            batch_size: rows a step, global.
            first: steps before this epoch.

        Returns:
            The state after it, as NumPy arrays, and what it came to.
        """
        batches = fill_up(rows, batch_size, self._replicas)
        given = LoopState(*(tf.constant(x, tf.float64) for x in state))
        inputs = (given, tf.constant(batches), tf.constant(rates), tf.constant(first, tf.int64))
        steps, sane, *after, totals = _call(self._graph_epoch, *inputs, batch_size)
        loss, right = totals.numpy() / len(rows)
        broken_at = None if bool(sane) else int(steps) - 1
        return LoopState(*(x.numpy() for x in after)), Epoch(float(loss), float(right), broken_at)

    def replace_values(self, values: np.ndarray) -> None:
        """Takes other features of the same images, float32 [n, d], from now on."""
        self._values.assign(share(values))

    def measure(self, params: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
        """Loss (without dropout and penalty) and accuracy over these rows, n > 0."""
        batches = fill_up(rows, min(MEASURE_BATCH, len(rows)), self._replicas)
        loss, right = _call(self._graph_measure, tf.constant(params), tf.constant(batches)).numpy() / len(rows)
        return float(loss), float(right)

    def _run_steps(
        self, state: LoopState, batches: tf.Tensor, rates: tf.Tensor, first: tf.Tensor, batch_size: int
    ) -> Any:
        size, penalty = len(self._penalty), tf.constant(self._penalty)

        def one(step: tf.Tensor, sane: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, ...]:
            now, totals = LoopState(*rest[:3]), rest[3]
            seed = tf.stack([tf.constant(self._recipe.seed, tf.int64), first + step])
            index = batches[step]
            sums = self._reduce(self._learn, (now.params, index, seed, batch_size))
            real = tf.reduce_sum(tf.cast(index >= 0, tf.float64))
            loss = sums[size] / real + tf.reduce_sum(penalty * now.params**2)
            after = adam(now, sums[:size] / real + 2 * penalty * now.params, rates[step], first + step)
            sane = (tf.abs(loss) <= LARGEST) & tf.reduce_all(tf.abs(after.params) <= LARGEST)  # false for NaN too
            return (step + 1, sane, *after, totals + tf.stack([loss * real, sums[size + 1]]))

        def more(step: tf.Tensor, sane: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return sane & (step < tf.shape(batches, tf.int64)[0])

        start = (tf.constant(0, tf.int64), tf.constant(True), *state, tf.zeros([2], tf.float64))
        return tf.while_loop(more, one, start, parallel_iterations=1)

    def _measure_steps(self, params: tf.Tensor, batches: tf.Tensor) -> tf.Tensor:
        def one(step: tf.Tensor, totals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return step + 1, totals + self._reduce(self._score, (params, batches[step]))

        start = (tf.constant(0), tf.zeros([2], tf.float64))
        return tf.while_loop(lambda step, _: step < tf.shape(batches)[0], one, start, parallel_iterations=1)[1]

    def _reduce(self, function: Any, arguments: tuple[Any, ...]) -> tf.Tensor:
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, self._strategy.run(function, arguments), axis=None)

    def _learn(self, params: tf.Tensor, index: tf.Tensor, seed: tf.Tensor, batch_size: int) -> tf.Tensor:
        """Sums over this replica's share of a batch: gradient [p], loss, images that are right."""
        with tf.GradientTape() as tape:
            tape.watch(params)
            loss, right = self._loss(params, index, lambda layer: self._mask(seed, layer, batch_size, index.shape[0]))
        return tf.concat([tape.gradient(loss, params), tf.stack([loss, right])], axis=0)

    def _score(self, params: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        return tf.stack(self._loss(params, index, lambda layer: None))

    def _loss(self, params: tf.Tensor, index: tf.Tensor, mask_of: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Summed loss and number of images that are right; a share without an image gives 0 and 0."""
        mine = self._cut(index)
        real = mine >= 0
        with tf.device("/cpu:0"):
            rows, labels = (tf.gather(x, tf.maximum(mine, 0)) for x in (self._values, self._labels))
        signal = (tf.cast(rows, tf.float64) - self._scale.mean) / self._scale.spread
        signal = tf.where(real[:, None], signal, 0.0)
        layers = unpack(params, self._widths)
        for number, (kernel, bias) in enumerate(layers):
            mask = mask_of(number)
            signal = signal if mask is None else signal * mask
            signal = tf.matmul(signal, kernel) + bias
            signal = signal if number == len(layers) - 1 else tf.nn.relu(signal)
        smoothing, classes = self._recipe.label_smoothing, self._widths[-1]
        targets = tf.one_hot(labels, classes, dtype=tf.float64) * (1 - smoothing) + smoothing / classes
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, signal) * tf.gather(self._weights, labels)
        right = real & (tf.argmax(signal, axis=1) == labels)
        return tf.reduce_sum(tf.where(real, losses, 0.0)), tf.reduce_sum(tf.cast(right, tf.float64))

    def _mask(self, seed: tf.Tensor, layer: int, batch_size: int, padded: int) -> tf.Tensor | None:
        """0 or 1 / (1 - rate) for each input of a layer, drawn for the global batch."""
        rate = self._recipe.dropout
        if not rate:
            return None
        drawn = tf.random.stateless_uniform(
            [batch_size, self._widths[layer]], seed + tf.constant([layer << 32, 0], tf.int64)
        )
        mask = tf.where(drawn >= rate, tf.constant(1 / (1 - rate), tf.float64), 0.0)
        return self._cut(tf.pad(mask, [[0, padded - batch_size], [0, 0]]))

    def _cut(self, batch: tf.Tensor) -> tf.Tensor:
        """This replica's share of the first axis, which is a multiple of the replicas."""
        share = batch.shape[0] // self._replicas
        start = tf.distribute.get_replica_context().replica_id_in_sync_group * share
        return batch[start : start + share]
