"""The second stage: the backbone's last layers learn with the head, and stay so only if held-out images gain by it.

The way of Chollet's guide (https://keras.io/guides/transfer_learning): after the head, with a small learning rate, and
with every batch norm in inference mode, else its statistics and its scale destroy what the backbone has learned. The
loss takes logits, as the head gives them.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.errors import InputError
from components.options.trainer import TrainerOptions
from components.trainer.backbones.build import BuiltBackbone, digest_weights
from components.trainer.backbones.precision import build_half
from components.trainer.devices.strategy import same_everywhere
from components.trainer.devices.tf_config import is_chief
from components.trainer.features.data import Split, image_size
from components.trainer.features.feature_pass import FeaturePass, gather_rows
from components.trainer.features.store_key import digest_transform
from components.trainer.fine_tune.epochs import STAGE, FineTuning
from components.trainer.fine_tune.inputs import Images, augmentation_of
from components.trainer.fine_tune.layers import Trunk, choose_layers, unfreeze, why_not_repeatable
from components.trainer.heads.calibration import Answers, answers_of, distinct_rows
from components.trainer.heads.head import Head, hold_out
from components.trainer.training.checkpoints import checkpoints_of, digest_training, resume_training
from components.trainer.training.loop import TensorBoardWriter, run_training
from components.trainer.training.step import unpack_layers

progress = logging.getLogger("graft.progress")

LOGS = "fine_tune"  # folder of its TensorBoard curves, beside those of the head


@dataclass(frozen=True)
class FineTuned:
    """What the second stage came to.

    Attributes:
        backbone: with the new weights and their digest; as it was where they are not kept.
        head: that belongs to it, with the history of the first stage.
        kept: whether held-out images are better off than before.
        before: `loss` and `accuracy` of the held-out images before it.
        after: the same after its best epoch, kept or not.
        history: per epoch, a list a name: `loss`, `accuracy`, `val_loss`, `val_accuracy`.
        deterministic: whether it gives the same bits when repeated.
        reason: why it does not; empty where it does.
    """

    backbone: BuiltBackbone
    head: Head
    kept: bool
    before: dict[str, float]
    after: dict[str, float]
    history: dict[str, list[float]]
    deterministic: bool
    reason: str

    def describe(self) -> str:
        """Says in a few words for the closing line what it came to."""
        change = f"held-out loss {self.before['loss']:.4f} to {self.after['loss']:.4f}"
        change += f", accuracy {self.before['accuracy']:.3f} to {self.after['accuracy']:.3f}"
        exact = f"; does not repeat exactly: {self.reason}" if self.reason else ""
        return f"{STAGE}: {change}: {'kept' if self.kept else 'no better, not kept'}{exact}"


def fine_tune(  # noqa: PLR0913  a stage's inputs, each of another kind
    strategy: tf.distribute.Strategy,
    backbone: BuiltBackbone,
    head: Head,
    train: Split,
    transform: tft.TFTransformOutput,
    options: TrainerOptions,
    checkpoint_dir: str = "",
    log_dir: str = "",
) -> FineTuned:
    """Trains the backbone's last layers together with the head, on the images themselves.

    Args:
        strategy: the replicas; the batch is global.
        backbone: its model gets the new weights where they are kept, and is not touched where they are not.
        head: of the first stage.
        train: the train split, in the order of its files.
        transform: the transform graph.
        options: of the Trainer; `fine_tune` says what is trained and how.
        checkpoint_dir: as in `train_head`, for checkpoints every `checkpoint_steps` steps and after each epoch.
        log_dir: TensorBoard's curves go to `fine_tune` below it; empty: nowhere.

    Raises:
        InputError: nothing is held out, the layers cannot be trained, the loss is not finite, or workers see different
            data.
        RuntimeError: the records are not those of the split any more.
    """
    held = check_held_out(train, options.held_out)
    options = options.model_copy(update={"l2": head.l2 if options.l2 is None else options.l2})
    half = None if options.precision == "float32" else build_half(options, image_size(transform))
    trunk = unfreeze(backbone, options.pooling, options.fine_tune, half)
    layers = choose_layers(backbone.model, options.fine_tune)
    reason = why_not_repeatable(strategy, layers, options.deterministic)
    start = np.concatenate([trunk.read(), head.params()])
    digest = digest_training(start, train.labels, held, *_facts(strategy, backbone, trunk, train, transform, options))
    same_everywhere(strategy, digest)
    images = Images(train, held, transform, augmentation_of(options))
    curves = bool(log_dir) and options.tensorboard and is_chief()
    board = TensorBoardWriter(os.path.join(log_dir, LOGS), curves, histograms=False)
    training = FineTuning(strategy, trunk, head, images, options, board)
    checkpoints = checkpoints_of(checkpoint_dir, digest, STAGE)
    progress.info("%s: %d weights of the last %d layers, with the head's", STAGE, sum(trunk.sizes), len(layers))

    with bits_may_differ(bool(reason)), closing(board):
        before = training.measure(start)
        state = resume_training(strategy, checkpoints, STAGE) or training.start(start)
        state = run_training(training, state, checkpoints)
    best = int(np.argmin(state.history["val_loss"]))
    after = {name: state.history[f"val_{name}"][best] for name in ("loss", "accuracy")}
    kept = (after["loss"], -after["accuracy"]) < (before["loss"], -before["accuracy"])
    if kept:
        backbone, head = graft(backbone, trunk, head, state.best)
    done = FineTuned(backbone, head, kept, before, after, state.history, not reason, reason)
    progress.info(done.describe())
    return done


def check_held_out(train: Split, fraction: float) -> np.ndarray:
    """Chooses the held-out images, bool [n]: the same as in the first stage, in any order of the split.

    Raises:
        InputError: none.
    """
    held = hold_out(train, fraction)
    if not held.any():
        raise InputError(
            "trainer.validation_fraction: expected a share of the train images to be held out, as fine-tuning is kept "
            f"only if it helps images that were not learned from; {fraction:g} holds out none of {len(train):,}.\n"
            "Set trainer.validation_fraction: 0.1 (or more, with few images), or leave trainer.fine_tune out."
        )
    return held


def held_out_after(feature_pass: FeaturePass, train: Split, fraction: float, head: Head) -> Answers:
    """Asks network and head of the second stage about the images that it was judged by, copies once.

    Args:
        feature_pass: through the backbone with its new weights.
        train: the train split, in the order of its files.
        fraction: of it that was held out.
        head: that belongs to the backbone.
    """
    rows = distinct_rows(train)
    rows = rows[hold_out(train, fraction)[rows]]
    return answers_of(head, gather_rows(feature_pass, train, rows), train.labels[rows])


def graft(backbone: BuiltBackbone, trunk: Trunk, head: Head, params: np.ndarray) -> tuple[BuiltBackbone, Head]:
    """Writes the parameters, float64 [p], trunk and head, into the backbone's model and a new head."""
    size = sum(trunk.sizes)
    trunk.write(params[:size])
    layers = unpack_layers(params[size:].astype(np.float32), head.widths)
    (kernel, bias), hidden = layers[-1], layers[0] if head.hidden else None
    head = dataclasses.replace(head, kernel=kernel, bias=bias, hidden=hidden)
    return dataclasses.replace(backbone, digest=digest_weights(backbone.model)), head


@contextmanager
def bits_may_differ(allowed: bool) -> Iterator[None]:
    """Lifts TensorFlow's refusal of ops that cannot repeat exactly, where the caller says that they do not."""
    from tensorflow.python.framework import config  # there is no public way to lift it

    if not (allowed and config.is_op_determinism_enabled()):
        yield
        return
    config.disable_op_determinism()
    try:
        yield
    finally:
        config.enable_op_determinism()


def _facts(
    strategy: tf.distribute.Strategy,
    backbone: BuiltBackbone,
    trunk: Trunk,
    train: Split,
    transform: tft.TFTransformOutput,
    options: TrainerOptions,
) -> list[str]:
    """Lists what decides where the training goes, beside its start and the labels."""
    return [
        backbone.digest,
        *(variable.path for variable in trunk.variables),
        train.digests().tobytes().hex(),
        digest_transform(transform),
        options.model_copy(update={"tensorboard": False, "histograms": False}).to_json(),
        str(strategy.num_replicas_in_sync),
    ]
