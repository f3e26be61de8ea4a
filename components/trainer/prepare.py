"""What Trainer and Tuner begin with: both splits, the frozen backbone, and the features that a head learns from."""

from __future__ import annotations

import logging
from typing import NamedTuple

import keras
import tensorflow as tf
import tensorflow_transform as tft

from components.options.trainer import TrainerOptions
from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.backbones.frozen import Frozen, freeze
from components.trainer.devices.strategy import repeat_exactly
from components.trainer.features.data import Split, image_size, names_by_index, read_split
from components.trainer.features.training_inputs import TrainingInputs, gather_inputs, make_pass

progress = logging.getLogger("graft.progress")


class Prepared(NamedTuple):
    """The examples, the network, and what it makes of them.

    Attributes:
        train: the train split, in the order of its files.
        evaluation: the eval split, in the order of its files.
        transform: the transform graph.
        classes: names, in the order of their index.
        size: of the images that the backbone takes, height and width in pixels.
        backbone: frozen.
        inputs: features of both splits, in the order of their content.
        known: where features and answers are kept.
    """

    train: Split
    evaluation: Split
    transform: tft.TFTransformOutput
    classes: list[str]
    size: tuple[int, int]
    backbone: Frozen
    inputs: TrainingInputs
    known: AnswerCache


def prepare_training(
    options: TrainerOptions,
    strategy: tf.distribute.Strategy,
    train_files: list[str],
    eval_files: list[str],
    transform_output: str,
    features_dir: str,
) -> Prepared:
    """Seeds the process, reads the splits, and computes the features that are not kept yet."""
    keras.utils.set_random_seed(options.seed)
    if options.deterministic and tf.config.get_visible_devices("GPU"):
        repeat_exactly()  # on a CPU the ops used here repeat anyway, and tf.data would lose its parallel calls
    transform = tft.TFTransformOutput(transform_output)
    train, evaluation = read_split(train_files), read_split(eval_files)
    size = image_size(transform)
    progress.info("looking up %s at %d x %d", options.backbone, *size)
    known = AnswerCache(features_dir)
    backbone = freeze(options, size, known)
    exact = make_pass(strategy, backbone, transform, options)
    inputs = gather_inputs(exact, backbone.facts, options, (train, evaluation), known)
    return Prepared(train, evaluation, transform, names_by_index(train), size, backbone, inputs, known)
