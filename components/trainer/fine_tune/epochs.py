"""The second stage's training: backbone and head together, step by step over the images themselves."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from components.options.trainer import TrainerOptions
from components.trainer.backbones.precision import LossScale
from components.trainer.devices.strategy import global_batch_size
from components.trainer.features.augment import Augmentation, augment_pixels
from components.trainer.fine_tune.inputs import Images
from components.trainer.fine_tune.layers import Trunk
from components.trainer.heads.head import Head
from components.trainer.training.checkpoints import TrainingState
from components.trainer.training.loop import TensorBoardWriter, Training
from components.trainer.training.schedule import Recipe, weigh_classes
from components.trainer.training.step import AdamState, Batch, TrainingStep

STAGE = "fine-tuning"


class TrunkFeatures:
    """Features of a backbone whose last layers learn; a batch has pixels, and the draws for their views.

    The backbone computes in float32, or in half precision while it learns: replicas agree as far as it does.
    """

    first_mask = 1 << 16  # its dropout masks are not those of the first stage

    def __init__(self, trunk: Trunk, augmentation: Augmentation) -> None:
        """Takes the backbone, and how far a view may be from its image."""
        self.size, self._trunk, self._augmentation = sum(trunk.sizes), trunk, augmentation

    def features(self, params: tf.Tensor, batch: Batch, learning: bool) -> tf.Tensor:
        """Passes a replica's share of a batch through the backbone: float64 [places, d]."""
        pixels, draws = batch.inputs
        if learning and self._augmentation.changes_anything:
            pixels = augment_pixels(pixels, draws, self._augmentation)
        trunk = self._trunk.half if learning and self._trunk.half else self._trunk
        return tf.cast(trunk.features(params[: self.size], pixels), tf.float64)


class FineTuning(Training):
    """Trains the trunk's weights with the head's; parameters: the trunk's, then the head's."""

    subject, watched = "Fine-tuning: the", "held-out loss"

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        trunk: Trunk,
        head: Head,
        images: Images,
        options: TrainerOptions,
        board: TensorBoardWriter | None = None,
    ) -> None:
        """Takes what does not change.

        Args:
            strategy: the replicas.
            trunk: what of the backbone is trained.
            head: of the first stage: its widths count, and the scale of the penalty.
            images: what is learned from, and watched.
            options: of the Trainer.
            board: takes the curves; None: nothing does.
        """
        wish, self._images, self._precision = options.fine_tune, images, options.precision
        batch = min(wish.batch_size, len(images.learned))
        self._places, self._every = global_batch_size(strategy, batch), wish.checkpoint_steps
        recipe = dataclasses.replace(
            Recipe.of(options),
            learning_rate=wish.learning_rate,
            epochs=wish.epochs,
            batch_size=batch,
            early_stopping_patience=0,  # all epochs run, and the best of them counts
        )
        steps, source = -(-len(images.learned) // batch), TrunkFeatures(trunk, images.augmentation)
        super().__init__(STAGE, recipe, head.widths, steps, source.size, board)
        labels = images.split.labels
        weights = weigh_classes(labels[images.learned], head.widths[-1], options.class_weights)
        self._step = TrainingStep(strategy, recipe, head.widths, labels, weights, source, head.spread)

    def start(self, params: np.ndarray) -> TrainingState:
        """Gives the state before the first step; `params`: float64 [p], trunk and head."""
        return TrainingState.first(params, dataclasses.astuple(LossScale.first(self._precision)))

    def measure(self, params: np.ndarray) -> dict[str, float]:
        """Measures `loss` and `accuracy` of the held-out images."""
        sums, count = np.zeros(2), 0
        for batch, real in self._images.watched_batches(self._places):
            sums, count = sums + self._step.measure(params, batch), count + real
        return {"loss": float(sums[0] / count), "accuracy": float(sums[1] / count)}

    def run_epoch(self, state: TrainingState) -> Iterator[TrainingState]:
        """Learns from what is left of an epoch, measures, and tells.

        Yields:
            The state after every `checkpoint_steps` steps, and after the epoch.

        Raises:
            InputError: the loss or a weight is no longer finite.
            RuntimeError: the records are not those of the split any more.
        """
        epoch, rates, began = state.epoch, self.rates(state.epoch), time.monotonic()
        adam, sums, done, scale = state.adam, np.array(state.sums), 0, LossScale(*state.loss_scale)
        shape = (self._recipe.batch_size, self._places)
        batches = self._images.learned_batches(shape, self._recipe.seed, epoch, state.step)
        for step, (batch, real) in enumerate(batches, state.step):
            tried = self._learn(adam, batch, (rates[step], epoch * self._steps + step), scale)
            if tried is None:
                raise self.not_finite("loss", epoch, step)
            adam, found, scale = tried
            sums, done = sums + found, done + real
            if (step + 1) % self._every == 0 and step + 1 < self._steps:
                speed = done / (time.monotonic() - began)
                self.tell(epoch, f"step {step + 1:,} of {self._steps:,}, {speed:,.0f} images/s")
                reached = dataclasses.replace(state, adam=_fetch(adam), step=step + 1, sums=tuple(sums.tolist()))
                yield dataclasses.replace(reached, loss_scale=dataclasses.astuple(scale))
        speed, scaled = done / (time.monotonic() - began), dataclasses.astuple(scale)
        means = sums / len(self._images.learned)
        yield self.end_epoch(dataclasses.replace(state, loss_scale=scaled), _fetch(adam), means, speed)

    def describe_epoch(self, logs: dict[str, float], speed: float) -> str:
        """Says all losses and accuracies, and the speed."""
        return ", ".join(f"{name} {value:.4f}" for name, value in logs.items()) + f", {speed:,.0f} images/s"

    def advise(self, rows: np.ndarray | None) -> str:
        """Asks for smaller steps, or a wider type."""
        narrow = self._precision == "mixed_float16"
        return (
            f"Try a lower trainer.fine_tune.learning_rate (now {self._recipe.learning_rate:.3g}; a tenth of it is a "
            "good next step), fewer trainer.fine_tune.layers, or trainer.warmup_epochs: 1."
            + ("\nOr trainer.precision: mixed_bfloat16, which holds larger numbers than float16." if narrow else "")
        )

    def _learn(
        self, adam: AdamState, batch: Batch, place: tuple[float, int], scale: LossScale
    ) -> tuple[AdamState, np.ndarray, LossScale] | None:
        """Takes one step, again with a smaller scale where float16 overflows; None: no scale makes it finite.

        Args:
            adam: before it.
            batch: what is learned from.
            place: the learning rate, and which step it is.
            scale: of the loss.
        """
        trying: LossScale | None = scale
        while trying is not None:
            after, found, finite = self._step.learn(adam, batch, *place, trying.value)
            if finite:
                return after, found, trying.after_step(self._precision)
            trying = trying.smaller()
        return None


def _fetch(adam: AdamState) -> AdamState:
    return AdamState(*(np.asarray(part) for part in adam))
