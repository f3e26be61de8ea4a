"""What Trainer and Tuner begin with: both splits, the frozen backbone, and the features that a head learns from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import keras
import tensorflow as tf
import tensorflow_transform as tft

from components.errors import InputError
from components.options.trainer import TrainerOptions
from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.backbones.frozen import Frozen, freeze
from components.trainer.devices.strategy import repeat_exactly
from components.trainer.features.beam_pass import BeamPass
from components.trainer.features.data import Split, image_size, names_by_index, read_split, take_sample
from components.trainer.features.training_inputs import TrainingInputs, gather_inputs, make_pass

progress = logging.getLogger("graft.progress")


class Prepared(NamedTuple):
    """The examples, the network, and what it makes of them.

    Attributes:
        train: the train split, in the order of its files.
        evaluation: the eval split, or a sample of it, in the order of its files.
        transform: the transform graph.
        classes: names, in the order of their index.
        size: of the images that the backbone takes, height and width in pixels.
        backbone: frozen.
        inputs: features of both, in the order of their content.
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

    def without_values(self) -> Prepared:
        """Gives a copy without the features' values: enough for export and record."""
        return self._replace(inputs=self.inputs.without_values())


def prepare_training(
    options: TrainerOptions,
    strategy: tf.distribute.Strategy,
    given: tuple[list[str], list[str], str],
    features_dir: str,
    beam_args: Sequence[str] = (),
    sample: int | None = None,
) -> Prepared:
    """Seeds the process, reads the splits, and computes the features that are not kept yet.

    Args:
        options: of the Trainer.
        strategy: the replicas.
        given: patterns of the train split's records and of the eval split's, and the folder of the transform graph.
        features_dir: the feature store; empty: nothing is kept.
        beam_args: of Beam, for `trainer.feature_pass: beam`.
        sample: eval images that are enough, of which features are computed; None: all.

    Raises:
        InputError: Beam's workers are to compute features, and there is no store for them.
    """
    if options.feature_pass == "beam" and not features_dir:
        raise InputError(
            "trainer.feature_pass: beam: expected a folder of kept features (features_dir), where Beam's workers leave "
            "them; there is none.\nGive one, or set trainer.feature_pass: local."
        )
    train_files, eval_files, transform_output = given
    keras.utils.set_random_seed(options.seed)
    if options.deterministic and tf.config.get_visible_devices("GPU"):
        repeat_exactly()  # on a CPU the ops used here repeat anyway, and tf.data would lose its parallel calls
    transform = tft.TFTransformOutput(transform_output)
    size = image_size(transform)
    progress.info("looking up %s at %d x %d", options.backbone, *size)
    known = AnswerCache(features_dir)
    with ThreadPoolExecutor(1) as pool:  # records are read while the network is built
        reading = pool.submit(lambda: (read_split(train_files), take_sample(read_split(eval_files), sample)))
        backbone = freeze(options, size, known)
        train, evaluation = reading.result()
    exact = make_pass(strategy, backbone, transform, options)
    if options.feature_pass == "beam":
        exact = replace(exact, elsewhere=BeamPass(beam_args))
    inputs = gather_inputs(exact, backbone.facts, options, (train, evaluation), known)
    return Prepared(train, evaluation, transform, names_by_index(train), size, backbone, inputs, known)
