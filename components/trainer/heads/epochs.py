"""One head to train: who is learned from, who is watched, and what an epoch does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from components.errors import InputError
from components.trainer.heads.standard import Scale
from components.trainer.training.checkpoints import TrainingState
from components.trainer.training.loop import TensorBoardWriter
from components.trainer.training.schedule import Recipe, learning_rates, passes, shuffle, stopped_early, weigh_classes
from components.trainer.training.step import Loop, start_state

progress = logging.getLogger("graft.progress")


class HeadTask:
    """Turns a `TrainingState` into the one after the next epoch.

    Attributes:
        widths: features, hidden units if any, classes.
        scale: of the features that are learned from; the parameters are those of a head on it.
    """

    def __init__(  # noqa: PLR0913  a problem, each part of another kind
        self,
        strategy: tf.distribute.Strategy,
        recipe: Recipe,
        values: np.ndarray,
        labels: np.ndarray,
        held: np.ndarray,
        classes: int,
        refresh: Callable[[int], np.ndarray] | None = None,
        name: str = "head",
    ) -> None:
        """Says so where there are fewer images than a batch has.

        Args:
            strategy: the replicas.
            recipe: how it is trained.
            values: float32 [n, d].
            labels: int64 [n].
            held: bool [n], True for the images that are only watched.
            classes: how many there are.
            refresh: where each epoch learns from views of its own; what is watched stays as it is.
            name: what is trained, for the output.
        """
        self._name = name
        self._refresh = refresh
        self.widths = tuple(width for width in (values.shape[1], recipe.hidden_units, classes) if width)
        self._recipe, self._values = recipe, values
        self._rows, self._held = np.flatnonzero(~held), np.flatnonzero(held)
        weights = weigh_classes(labels[self._rows], classes, recipe.class_weights)
        self.scale = Scale.of(values, self._rows, recipe.even)
        self._loop = Loop(strategy, recipe, self.widths, values, labels, weights, self.scale)
        self._batch = min(recipe.batch_size, len(self._rows))
        self._passes = passes(len(self._rows), self._batch)
        self._steps = -(-self._passes * len(self._rows) // self._batch)
        if self._batch < recipe.batch_size:
            progress.info("%s: only %d images to learn from, so the batch is %d", name, len(self._rows), self._batch)

    def start(self) -> TrainingState:
        """Before the first epoch."""
        state = start_state(self.widths, self._recipe.seed)
        return TrainingState(state, best=state.params)

    def is_done(self, course: TrainingState) -> bool:
        """All epochs are over, or the held-out images say that it gets no better."""
        patience = self._recipe.early_stopping_patience
        return course.epoch >= self._recipe.epochs or stopped_early(course.history.get("val_loss", []), patience)

    def result(self, course: TrainingState) -> np.ndarray:
        """float64 [p]: the best parameters where early stopping watches, else the last ones."""
        return course.best if self._recipe.early_stopping_patience else course.state.params

    def run_epoch(self, course: TrainingState, board: TensorBoardWriter) -> TrainingState:
        """Learns from each image once, from few images more often (see `passes`), measures, and tells.

        Raises:
            InputError: the loss or a weight is no longer finite.
        """
        number, began = course.epoch, time.monotonic()
        if self._refresh:
            fresh = self._refresh(number)
            fresh[self._held] = self._values[self._held]
            self._loop.replace_values(fresh)
        order = shuffle(self._rows, self._recipe.seed, number, self._passes)
        rates = learning_rates(self._recipe, self._steps, number)
        state, epoch = self._loop.run_epoch(course.state, order, rates, self._batch, number * self._steps)
        extras = {"learning_rate": rates[-1], "examples_per_second": len(order) / (time.monotonic() - began)}
        if epoch.broken_at is not None:
            batch = order[epoch.broken_at * self._batch :][: self._batch]
            raise self._not_finite("loss", number, epoch.broken_at, batch)
        logs = {"loss": epoch.loss, "accuracy": epoch.accuracy}
        if len(self._held):
            logs["val_loss"], logs["val_accuracy"] = self._loop.measure(state.params, self._held)
            if not np.isfinite(logs["val_loss"]):
                raise self._not_finite("validation loss", number, self._steps - 1, self._held)
        board.write_epoch(number, logs, extras)
        board.write_weights(number, state.params, self.widths)
        shown = "val_accuracy" if "val_accuracy" in logs else "accuracy"
        progress.info("%s: epoch %d of %d, %s %.3f", self._name, number + 1, self._recipe.epochs, shown, logs[shown])
        return course.after(state, logs)

    def _not_finite(self, what: str, epoch: int, step: int, rows: np.ndarray) -> InputError:
        bad = int((~np.isfinite(self._values[rows])).any(axis=1).sum())
        rate = learning_rates(self._recipe, self._steps, epoch)[step]
        found = (
            f"The head's {what} is not finite at step {epoch * self._steps + step + 1:,} (epoch {epoch + 1}, "
            f"learning rate {rate:.3g}): expected numbers that a float32 holds.\n"
        )
        if bad:
            return InputError(
                f"{found}{bad} of its {len(rows)} images have features that are not finite: the backbone's weights or "
                "trainer.backbone_scaling are wrong for it, or a half-precision setting (trainer.precision, "
                "trainer.feature_dtype) is too narrow; try float32."
            )
        return InputError(
            f"{found}Try a lower trainer.learning_rate (now {self._recipe.learning_rate:.3g}; a tenth of it is a good "
            "next step), trainer.warmup_epochs: 1, or a larger trainer.batch_size."
        )
