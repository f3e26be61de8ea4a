"""The second stage's epochs: who is learned from and who is watched, what a step sees, and how it is told."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.errors import InputError
from components.options.trainer import TrainerOptions
from components.trainer.backbones.precision import LossScale
from components.trainer.devices.strategy import global_batch_size
from components.trainer.features.augment import DRAWS, Augmentation, View
from components.trainer.features.data import Split, pixel_batches, readable_records
from components.trainer.fine_tune.inputs import shuffled_batches
from components.trainer.fine_tune.layers import Trunk
from components.trainer.fine_tune.step import Batch, TuneStep
from components.trainer.training.checkpoints import TrainingState
from components.trainer.training.loop import TensorBoardWriter
from components.trainer.training.schedule import Recipe, learning_rates, weigh_classes
from components.trainer.training.step import LoopState

progress = logging.getLogger("graft.progress")


class FineTuneTask:
    """Turns a `TrainingState` into the one after the next epoch, with stops on the way."""

    def __init__(  # noqa: PLR0913  a problem, each part of another kind
        self,
        strategy: tf.distribute.Strategy,
        trunk: Trunk,
        widths: tuple[int, ...],
        split: Split,
        held: np.ndarray,
        transform: tft.TFTransformOutput,
        options: TrainerOptions,
        spread: np.ndarray | None = None,
    ) -> None:
        """Takes what does not change.

        Args:
            strategy: the replicas.
            trunk: what of the backbone is trained.
            widths: of the head: features, hidden units if any, classes.
            split: in the order of its files.
            held: bool [n], True for the images that are only watched.
            transform: the transform graph.
            options: of the Trainer.
            spread: of the features that the head learned from, see `Head`.
        """
        wish, view = options.fine_tune, options.augment
        self._rows, self._held, self._split, self._transform = np.flatnonzero(~held), held, split, transform
        self._batch = min(wish.batch_size, len(self._rows))
        self._places = global_batch_size(strategy, self._batch)
        self._steps = -(-len(self._rows) // self._batch)
        self._recipe = dataclasses.replace(
            Recipe.of(options), learning_rate=wish.learning_rate, epochs=wish.epochs, batch_size=self._batch
        )
        self._every, self._precision = wish.checkpoint_steps, options.precision
        self._augmentation = Augmentation(view.flip, view.rotation, view.zoom, view.brightness, view.contrast)
        weights = weigh_classes(split.labels[self._rows], widths[-1], options.class_weights)
        self._step = TuneStep(strategy, trunk, self._recipe, widths, split.labels, weights, self._augmentation, spread)

    def start(self, params: np.ndarray) -> TrainingState:
        """Before the first step; `params`: float64 [p], trunk and head."""
        scale = dataclasses.astuple(LossScale.first(self._precision))
        return TrainingState(LoopState(params, np.zeros_like(params), np.zeros_like(params)), best=params, scale=scale)

    def is_done(self, course: TrainingState) -> bool:
        """All epochs are over."""
        return course.epoch >= self._recipe.epochs

    def measure(self, params: np.ndarray) -> dict[str, float]:
        """`loss` and `accuracy` of the held-out images, without dropout, penalty and views."""
        sums, count = np.zeros(2), 0
        for batch in self._checked(pixel_batches(self._split, self._transform, self._places, self._held)):
            sums += self._step.measure(params, batch)
            count += int((batch.index.numpy() >= 0).sum())
        self._check_count(count, int(self._held.sum()))
        return {"loss": float(sums[0] / count), "accuracy": float(sums[1] / count)}

    def run_epoch(self, course: TrainingState, board: TensorBoardWriter) -> Iterator[TrainingState]:
        """Learns from what is left of an epoch, measures, and tells.

        Yields:
            The course after every `checkpoint_steps` steps, and after the epoch.

        Raises:
            InputError: the loss or a weight is no longer finite.
            RuntimeError: the records are not those of the split any more.
        """
        epoch, first = course.epoch, course.step
        rates, began = learning_rates(self._recipe, self._steps, epoch), time.monotonic()
        state, sums, done, scale = course.state, np.array(course.sums), 0, LossScale(*course.scale)
        for step, batch in enumerate(self._batches(epoch, first), first + 1):
            tried = self._learn(state, batch, (rates[step - 1], epoch * self._steps + step - 1), scale)
            if tried is None:
                raise self._not_finite("loss", epoch, step)
            state, found, scale = tried
            sums, done = sums + found, done + int((batch.index.numpy() >= 0).sum())
            if step % self._every == 0 and step < self._steps:
                self._tell_progress(epoch, step, done / (time.monotonic() - began))
                reached = dataclasses.replace(course, state=_fetch(state), step=step, sums=tuple(sums.tolist()))
                yield dataclasses.replace(reached, scale=dataclasses.astuple(scale))
        self._check_count(first * self._batch + done, len(self._rows))
        rate, fetched = done / (time.monotonic() - began), _fetch(state)
        logs = self._finish(epoch, fetched, sums / len(self._rows))
        board.write_epoch(epoch, logs, {"learning_rate": rates[-1], "examples_per_second": rate})
        self._tell_epoch(epoch, logs, rate)
        scaled = dataclasses.replace(course, scale=dataclasses.astuple(scale))
        yield dataclasses.replace(scaled, step=0, sums=(0.0, 0.0)).after(fetched, logs)

    def _learn(
        self, state: LoopState, batch: Batch, place: tuple[float, int], scale: LossScale
    ) -> tuple[LoopState, np.ndarray, LossScale] | None:
        """One step, taken again with a smaller scale where float16 overflows; None: no scale makes it finite.

        Args:
            state: before it.
            batch: what is learned from.
            place: the learning rate, and which step it is.
            scale: of the loss.
        """
        trying: LossScale | None = scale
        while trying is not None:
            after, found, sane = self._step.learn(state, batch, *place, trying.value)
            if sane:
                return after, found, trying.after_step(self._precision)
            trying = trying.smaller()
        return None

    def _finish(self, epoch: int, state: LoopState, means: np.ndarray) -> dict[str, float]:
        watched = self.measure(state.params)
        if not np.isfinite(watched["loss"]):
            raise self._not_finite("held-out loss", epoch, self._steps)
        logs = {"loss": float(means[0]), "accuracy": float(means[1])}
        return logs | {f"val_{name}": value for name, value in watched.items()}

    def _batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """What the steps from `first` on see, in this epoch's order and views."""
        draws = np.zeros([len(self._split), 0], np.float32)
        if self._augmentation.changes_anything:
            draws = np.zeros([len(self._split), DRAWS], np.float32)
            view = View(self._augmentation, self._recipe.seed, epoch + 1)
            draws[self._rows] = view.draws(self._split.digests()[self._rows])
        seed = int(np.random.default_rng([self._recipe.seed, epoch]).integers(2**31))
        shape = (self._batch, self._places)
        batches = shuffled_batches(self._split, self._transform, self._rows, shape, seed, first)
        for batch in self._checked(batches):
            yield batch._replace(draws=tf.constant(draws[np.maximum(batch.index.numpy(), 0)]))

    def _checked(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> Iterator[Batch]:
        with readable_records():
            for index, pixels in batches:
                if (index.numpy() < -1).any():
                    raise RuntimeError("The examples changed while they were read: they stand in another order now.")
                yield Batch(index, pixels, tf.zeros([self._places, 0]))

    def _check_count(self, found: int, expected: int) -> None:
        if found < expected:
            raise RuntimeError(f"The examples changed while they were read: expected {expected} images, got {found}.")

    def _tell_progress(self, epoch: int, step: int, rate: float) -> None:
        place = f"epoch {epoch + 1} of {self._recipe.epochs}, step {step:,} of {self._steps:,}"
        progress.info("fine-tuning: %s, %s images/s", place, f"{rate:,.0f}")

    def _tell_epoch(self, epoch: int, logs: dict[str, float], rate: float) -> None:
        values = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
        place = f"epoch {epoch + 1} of {self._recipe.epochs}"
        progress.info("fine-tuning: %s, %s, %s images/s", place, values, f"{rate:,.0f}")

    def _not_finite(self, what: str, epoch: int, step: int) -> InputError:
        rate = learning_rates(self._recipe, self._steps, epoch)[step - 1]
        narrow = self._precision == "mixed_float16"
        return InputError(
            f"Fine-tuning: the {what} is not finite at step {epoch * self._steps + step:,} (epoch {epoch + 1}, "
            f"learning rate {rate:.3g}): expected numbers that a float32 holds.\n"
            f"Try a lower trainer.fine_tune.learning_rate (now {self._recipe.learning_rate:.3g}; a tenth of it is a "
            "good next step), fewer trainer.fine_tune.layers, or trainer.warmup_epochs: 1."
            + ("\nOr trainer.precision: mixed_bfloat16, which holds larger numbers than float16." if narrow else "")
        )


def _fetch(state: LoopState) -> LoopState:
    return LoopState(*(np.asarray(part) for part in state))
