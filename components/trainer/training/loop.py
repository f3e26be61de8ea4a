"""The loop over epochs, of head and second stage, and what it tells the log and TensorBoard."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from components.errors import InputError
from components.trainer.training.checkpoints import Checkpoints, TrainingState
from components.trainer.training.schedule import Recipe, learning_rates, stopped_early
from components.trainer.training.step import AdamState, unpack_layers

progress = logging.getLogger("graft.progress")


class Training(ABC):
    """Something that learns, epoch by epoch; each kind says how one epoch of it goes.

    Attributes:
        name: what is trained, in words for the log.
        widths: of the head: features, hidden units if any, classes.
    """

    subject: ClassVar[str]  # whose loss it is, in errors
    watched: ClassVar[str]  # the loss of the images that are held out, in errors

    def __init__(
        self,
        name: str,
        recipe: Recipe,
        widths: tuple[int, ...],
        steps: int,
        size: int = 0,
        board: TensorBoardWriter | None = None,
    ) -> None:
        """Takes what does not change.

        Args:
            name: what is trained.
            recipe: how it is trained.
            widths: of the head.
            steps: in an epoch.
            size: parameters before those of the head.
            board: takes the curves; None: nothing does.
        """
        self.name, self.widths = name, widths
        self._recipe, self._steps, self._size, self._board = recipe, steps, size, board

    @abstractmethod
    def run_epoch(self, state: TrainingState) -> Iterator[TrainingState]:
        """Learns from what is left of an epoch, measures, and tells.

        Yields:
            States on the way that are worth a checkpoint, and at last the one after the epoch (`end_epoch`).

        Raises:
            InputError: the loss or a weight is no longer finite.
        """

    @abstractmethod
    def measure(self, params: np.ndarray) -> dict[str, float]:
        """Measures `loss` and `accuracy` of the held-out images, without dropout, penalty and views; empty: none is."""

    @abstractmethod
    def describe_epoch(self, logs: dict[str, float], speed: float) -> str:
        """Says what an epoch came to; `speed` in images a second."""

    @abstractmethod
    def advise(self, rows: np.ndarray | None) -> str:
        """Says what to do about a loss that is not finite, of these rows of the split where they are known."""

    def is_done(self, state: TrainingState) -> bool:
        """Tells whether all epochs are over, or the held-out images say that it gets no better."""
        losses = state.history.get("val_loss", [])
        return state.epoch >= self._recipe.epochs or stopped_early(losses, self._recipe.early_stopping_patience)

    def rates(self, epoch: int) -> np.ndarray:
        """Gives the learning rate of each step of an epoch, float64 [steps]."""
        return learning_rates(self._recipe, self._steps, epoch)

    def end_epoch(self, state: TrainingState, adam: AdamState, means: np.ndarray, speed: float) -> TrainingState:
        """Measures the held-out images, tells the log and TensorBoard, and gives the state after the epoch.

        Args:
            state: before the epoch.
            adam: after its last step, as NumPy arrays.
            means: over its images, of the loss and of those that were right when their batch came, under dropout.
            speed: images a second.
        """
        epoch = state.epoch
        logs = {"loss": float(means[0]), "accuracy": float(means[1])}
        logs |= {f"val_{name}": value for name, value in self.measure(adam.params).items()}
        if not np.isfinite(logs.get("val_loss", 0.0)):
            raise self.not_finite(self.watched, epoch, self._steps - 1)
        if self._board:
            rate = self.rates(epoch)[-1]
            self._board.write_epoch(epoch, logs, {"learning_rate": rate, "examples_per_second": speed})
            self._board.write_weights(epoch, unpack_layers(adam.params, self.widths, self._size))
        self.tell(epoch, self.describe_epoch(logs, speed))
        return state.after(adam, logs)

    def tell(self, epoch: int, text: str) -> None:
        """Writes a line about an epoch, counted from 0, into the log."""
        counts = epoch + 1, self._recipe.epochs
        progress.info("%s: epoch %d of %d, %s", self.name, *counts, text, extra={"counts": counts})

    def not_finite(self, what: str, epoch: int, step: int, rows: np.ndarray | None = None) -> InputError:
        """Makes the error for a loss that no float32 holds, or weights; `step` counts from 0 within the epoch."""
        return InputError(
            f"{self.subject} {what} is not finite at step {epoch * self._steps + step + 1:,} (epoch {epoch + 1}, "
            f"learning rate {self.rates(epoch)[step]:.3g}): expected numbers that a float32 holds.\n"
            f"{self.advise(rows)}"
        )


def run_training(
    training: Training, state: TrainingState, checkpoints: Checkpoints | None = None, until: int | None = None
) -> TrainingState:
    """Runs the epochs that are left, with a checkpoint of each state that is reached.

    Args:
        training: what learns.
        state: how far it has come.
        checkpoints: where states are kept; None: nowhere.
        until: the epoch that it stops after at the latest; None: where its recipe says.
    """
    while not training.is_done(state) and (until is None or state.epoch < until):
        for reached in training.run_epoch(state):
            state = reached
            if checkpoints:
                checkpoints.save(state)
    return state


class TensorBoardWriter:
    """Writes learning curves for TensorBoard, in the folders and under the names that Keras gives them.

    `train` and `validation` below the folder lie over one another in TensorBoard.
    """

    def __init__(self, folder: str, scalars: bool, histograms: bool) -> None:
        """Makes no file before there is something to write."""
        self._folder, self._scalars, self._histograms = folder, scalars, histograms
        self._writers: dict[str, Any] = {}

    def write_epoch(self, epoch: int, logs: dict[str, float], extras: dict[str, float]) -> None:
        """Writes the scalars of an epoch.

        Args:
            epoch: counted from 0.
            logs: `loss`, `accuracy`, and `val_*`, which go to `validation` as `epoch_*`.
            extras: further ones, such as `learning_rate` and `examples_per_second`.
        """
        if not self._scalars:
            return
        curves: dict[str, dict[str, float]] = {"train": dict(extras)}
        for name, value in logs.items():
            place, name = ("validation", name[4:]) if name.startswith("val_") else ("train", name)
            curves.setdefault(place, {})[f"epoch_{name}"] = value
        for place, values in curves.items():
            with self._writer(place).as_default(step=epoch):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
            self._writer(place).flush()

    def write_weights(self, epoch: int, layers: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """Writes histograms of the kernel and bias of each layer of the head."""
        if not self._histograms:
            return
        with self._writer("train").as_default(step=epoch):
            for number, (kernel, bias) in enumerate(layers):
                tf.summary.histogram(f"head/{number}/kernel", kernel)
                tf.summary.histogram(f"head/{number}/bias", bias)

    def close(self) -> None:
        """Ends the files."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, place: str) -> Any:
        if place not in self._writers:
            self._writers[place] = tf.summary.create_file_writer(os.path.join(self._folder, place))
        return self._writers[place]
