"""The head's training: features that are kept, and a whole epoch as one call into a graph."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from components.trainer.features.shared_arrays import share
from components.trainer.heads.scaling import Scale
from components.trainer.training.checkpoints import TrainingState
from components.trainer.training.loop import TensorBoardWriter, Training, progress
from components.trainer.training.schedule import Recipe, fill_up, passes, shuffle, weigh_classes
from components.trainer.training.step import AdamState, Batch, TrainingStep, call_graph, start_head

MEASURE_BATCH = 1024  # images
AHEAD = 4  # steps of an epoch that are under way at once


@dataclass(frozen=True)
class HeadData:
    """What a head learns from.

    Attributes:
        values: features float32 [n, d].
        labels: int64 [n].
        held: bool [n], True for the images that are only watched.
        classes: how many there are.
        refresh: gives the features of an epoch's own views, where there are any; what is watched stays as it is.
    """

    values: np.ndarray
    labels: np.ndarray
    held: np.ndarray
    classes: int
    refresh: Callable[[int], np.ndarray] | None = None


class KeptFeatures:
    """Features that were computed before, on the head's scale: a source without weights of its own."""

    size = first_mask = 0

    def __init__(self, values: np.ndarray, scale: Scale) -> None:
        """Takes features float32 [n, d]; read where they are if they can be, see `shared_arrays.share`."""
        with tf.device("/cpu:0"):  # a GPU gets the rows of a batch, never all of them
            self.values = tf.Variable(share(values), trainable=False)
        self._scale = scale

    def features(self, params: tf.Tensor, batch: Batch, learning: bool) -> tf.Tensor:
        """Looks up the rows of a replica's share of a batch: float64 [places, d], 0 where a place is empty."""
        with tf.device("/cpu:0"):  # a gather from the variable itself would first copy all of it
            rows = tf.gather(self.values.read_value(), tf.maximum(batch.index, 0))
        scaled = (tf.cast(rows, tf.float64) - self._scale.mean) / self._scale.spread
        # An empty place reads row 0, which may not be finite: 0 times that would still spoil the gradient.
        return tf.where((batch.index >= 0)[:, None], scaled, 0.0)


class EpochGraph:
    """Runs the steps of an epoch, or a measurement, as one call into a graph.

    A step of a head takes less time than a call from Python, or than Keras' `fit` needs between two steps.
    """

    def __init__(self, step: TrainingStep, batch_size: int, replicas: int) -> None:
        """Takes the step, and of how many rows its batches are, before they are filled up for the replicas."""
        self._step, self._size, self._replicas = step, batch_size, replicas
        self._graph_epoch = tf.function(self._run_steps, autograph=False)
        self._graph_measure = tf.function(self._measure_steps, autograph=False)

    def run_epoch(
        self, state: AdamState, rows: np.ndarray, rates: np.ndarray, first: int
    ) -> tuple[AdamState, np.ndarray, int | None]:
        """Learns from each row once.

        Args:
            state: before the epoch.
            rows: int [n], in this epoch's order.
            rates: learning rates, float64 [steps].
            first: steps before this epoch.

        Returns:
            The state after it, as NumPy arrays; the means over the images of the loss with the L2 penalty and of those
            that were right when their batch came, under dropout, float64 [2]; the step, from 0 within the epoch, whose
            loss or weights no float32 holds, None where there is none.
        """
        batches = fill_up(rows, self._size, self._replicas)
        given = AdamState(*(tf.constant(x, tf.float64) for x in state))
        inputs = (tf.constant(batches), tf.constant(rates), tf.constant(first, tf.int64))
        graph = self._graph_epoch.get_concrete_function(given, *map(_of_any_length, inputs))
        broken, *after, totals = graph(given, *inputs)
        first_bad = None if int(broken) == len(batches) else int(broken)
        return AdamState(*(x.numpy() for x in after)), totals.numpy() / len(rows), first_bad

    def measure(self, params: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Measures rows, n > 0: the means of the loss, without dropout and penalty, and of the right images."""
        batches = fill_up(rows, min(MEASURE_BATCH, len(rows)), self._replicas)
        return call_graph(self._graph_measure, tf.constant(params), tf.constant(batches)).numpy() / len(rows)

    def _run_steps(self, state: AdamState, batches: tf.Tensor, rates: tf.Tensor, first: tf.Tensor) -> Any:
        steps, ahead = tf.shape(batches, tf.int64)[0], AHEAD if self._replicas == 1 else 1

        def one(step: tf.Tensor, broken: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, ...]:
            after, sums, finite = self._step.step(AdamState(*rest[:3]), Batch(batches[step]), rates[step], first + step)
            return (step + 1, tf.where(finite, broken, tf.minimum(broken, step)), *after, rest[3] + sums)

        # No step waits for the state of the one before, but where it needs it: rows are looked up and scaled ahead.
        start = (tf.constant(0, tf.int64), steps, *state, tf.zeros([2], tf.float64))
        return tf.while_loop(lambda step, *_: step < steps, one, start, parallel_iterations=ahead)[1:]

    def _measure_steps(self, params: tf.Tensor, batches: tf.Tensor) -> tf.Tensor:
        def one(step: tf.Tensor, totals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return step + 1, totals + self._step.score(params, Batch(batches[step]))

        start = (tf.constant(0), tf.zeros([2], tf.float64))
        return tf.while_loop(lambda step, _: step < tf.shape(batches)[0], one, start, parallel_iterations=1)[1]


def _of_any_length(values: tf.Tensor) -> tf.TensorSpec:
    """Describes values of any number of steps: one graph then serves epochs of all lengths."""
    return tf.TensorSpec([None, *values.shape[1:]] if values.shape.rank else [], values.dtype)


class HeadTraining(Training):
    """Trains one head.

    Attributes:
        scale: of the features that are learned from; the parameters are those of a head on it.
    """

    subject, watched = "The head's", "validation loss"

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        recipe: Recipe,
        data: HeadData,
        board: TensorBoardWriter | None = None,
        name: str = "head",
    ) -> None:
        """Says so where there are fewer images than a batch has.

        Args:
            strategy: the replicas.
            recipe: how it is trained.
            data: what it learns from.
            board: takes the curves; None: nothing does.
            name: what is trained, for the log.
        """
        self._data, self._rows, self._held = data, np.flatnonzero(~data.held), np.flatnonzero(data.held)
        batch = min(recipe.batch_size, len(self._rows))
        if batch < recipe.batch_size:
            progress.info("%s: only %d images to learn from, so the batch is %d", name, len(self._rows), batch)
        self._passes = passes(len(self._rows), batch)
        widths = tuple(width for width in (data.values.shape[1], recipe.hidden_units, data.classes) if width)
        steps = -(-self._passes * len(self._rows) // batch)
        super().__init__(name, dataclasses.replace(recipe, batch_size=batch), widths, steps, board=board)
        weights = weigh_classes(data.labels[self._rows], data.classes, recipe.class_weights)
        self.scale = Scale.of(data.values, self._rows, recipe.even)
        self._source = KeptFeatures(data.values, self.scale)
        step = TrainingStep(strategy, self._recipe, widths, data.labels, weights, self._source)
        self._graph = EpochGraph(step, batch, strategy.num_replicas_in_sync)

    def leaving_out(self, held: np.ndarray, name: str) -> HeadTraining:
        """Gives the same training without some images, bool [n]; it watches none, and tells TensorBoard nothing.

        Scale and weights of the classes stay. Its graph is this one's: to trace another takes longer than to train a
        small head.
        """
        other, batch = copy.copy(self), self._recipe.batch_size
        other._recipe, other._board = dataclasses.replace(self._recipe, early_stopping_patience=0), None
        other.name, other._rows, other._held = name, np.flatnonzero(~held), np.zeros(0, np.int64)
        other._passes = passes(len(other._rows), batch)
        other._steps = -(-other._passes * len(other._rows) // batch)
        return other

    @property
    def learns_from_all(self) -> bool:
        """Whether no image is held out."""
        return not len(self._held)

    def start(self) -> TrainingState:
        """Gives the state before the first epoch."""
        return TrainingState.first(start_head(self.widths, self._recipe.seed))

    def result(self, state: TrainingState) -> np.ndarray:
        """Gives float64 [p]: the best parameters where early stopping watches, else the last ones."""
        return state.best if self._recipe.early_stopping_patience else state.adam.params

    def run_epoch(self, state: TrainingState) -> Iterator[TrainingState]:
        """Learns from each image once, from few images more often (see `passes`), measures, and tells."""
        epoch, began = state.epoch, time.monotonic()
        if self._data.refresh:
            fresh = self._data.refresh(epoch)
            fresh[self._held] = self._data.values[self._held]
            self._source.values.assign(share(fresh))
        # Drawn from the seed and the epoch's number, never from a running generator: an epoch that is repeated after a
        # crash, or computed by another worker, gets the same batches.
        order = shuffle(self._rows, self._recipe.seed, epoch, self._passes)
        after, means, broken = self._graph.run_epoch(state.adam, order, self.rates(epoch), epoch * self._steps)
        speed = len(order) / (time.monotonic() - began)
        if broken is not None:
            size = self._recipe.batch_size
            raise self.not_finite("loss", epoch, broken, order[broken * size :][:size])
        yield self.end_epoch(state, after, means, speed)

    def measure(self, params: np.ndarray) -> dict[str, float]:
        """Measures `loss` and `accuracy` of the held-out images; empty where none is held out."""
        if not len(self._held):
            return {}
        loss, right = self._graph.measure(params, self._held)
        return {"loss": float(loss), "accuracy": float(right)}

    def describe_epoch(self, logs: dict[str, float], speed: float) -> str:
        """Says the accuracy, of the held-out images where there are any."""
        shown = "val_accuracy" if "val_accuracy" in logs else "accuracy"
        return f"{shown} {logs[shown]:.3f}"

    def advise(self, rows: np.ndarray | None) -> str:
        """Names features that are not finite as the cause, or else asks for smaller steps."""
        rows = self._held if rows is None else rows
        if bad := int((~np.isfinite(self._data.values[rows])).any(axis=1).sum()):
            return (
                f"{bad} of its {len(rows)} images have features that are not finite: the backbone's weights or "
                "trainer.backbone_scaling are wrong for it, or a half-precision setting (trainer.precision, "
                "trainer.feature_dtype) is too narrow; try float32."
            )
        return (
            f"Try a lower trainer.learning_rate (now {self._recipe.learning_rate:.3g}; a tenth of it is a good "
            "next step), trainer.warmup_epochs: 1, or a larger trainer.batch_size."
        )
