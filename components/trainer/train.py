"""The Trainer's `run_fn`: it reads as the list of its steps."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from threadpoolctl import threadpool_limits

from components.contract import features
from components.exports.table import load_forms
from components.files.paths import exists
from components.options.trainer import TrainerOptions
from components.trainer.backbones.frozen import Facts, Frozen
from components.trainer.devices.hardware import describe_hardware
from components.trainer.devices.strategy import describe_devices, make_strategy
from components.trainer.devices.tf_config import is_chief
from components.trainer.devices.worker_pool import with_workers
from components.trainer.export.export_cache import find_place
from components.trainer.export.proof import (
    answer_images,
    check_outliers,
    check_parity,
    open_export,
    parity_limit,
    sample_rows,
)
from components.trainer.export.write import Graft, export, keep_export
from components.trainer.features.augment import FreshViews
from components.trainer.features.data import Split, in_content_order, read_images, spread_rows, take_rows
from components.trainer.features.feature_pass import FeaturePass, Features, gather_features, gather_rows
from components.trainer.features.training_inputs import make_pass
from components.trainer.fine_tune.stage import FineTuned, fine_tune, held_out_after
from components.trainer.heads.calibration import Calibration, calibrate, cool_by
from components.trainer.heads.epochs import HeadTraining
from components.trainer.heads.head import Head, hold_out, train_head
from components.trainer.outliers.typicality import Typicality, choose_rows
from components.trainer.prepare import Prepared, prepare_training
from components.trainer.record import describe_features, describe_model, describe_stage, write_record
from components.trainer.task import Task
from components.trainer.training.checkpoints import remove_checkpoints

progress = logging.getLogger("graft.progress")

AS_IT_IS = Calibration(reason="trainer.calibrate: false")


@with_workers
def run_fn(fn_args: FnArgs) -> None:
    """Grafts a head onto the frozen backbone and exports the whole.

    Args:
        fn_args: of TFX; `custom_config` holds `options`, a `TrainerOptions` as JSON, the folders `features_dir` and
            `checkpoint_dir`, each of which may be empty: then nothing is kept, `exports`, further forms, and
            `crop_to_aspect_ratio`, what the transform graph does before it resizes, and `max_refused`, the share of
            good images that the model may call outliers, and `beam_args`, of Beam, for `trainer.feature_pass: beam`.
            `hyperparameters` that a search found take the place of the options of the same names.
    """
    started, task = time.monotonic(), Task.of(fn_args)
    strategy = make_strategy(task.options.devices)  # before TensorFlow is first used: several workers must meet
    prepared = prepare_training(task.options, strategy, task.given, task.features_dir, task.beam_args, task.sample)
    with tracing_beside(task, strategy, prepared):
        learned = learn(task, strategy, prepared)
        shown = show_images(task, prepared, learned)
        learned = calibrate_head(task, prepared, learned)
    if not is_chief():
        return
    evidence = judge_images(task, shown, learned.head)
    prepared = prepared.without_values()  # the most that a run holds, and the export needs room, too
    del shown
    gc.collect()
    write_model(task, prepared, learned, evidence.typicality)
    for _ in range(2):  # what TensorFlow holds of a graph goes when the graph has gone, so only the second time
        gc.collect()
    parity = prove(task, evidence)
    if task.checkpoint_dir:
        remove_checkpoints(task.checkpoint_dir)
    rates = describe_run(task, prepared, learned, parity)
    rates |= {"seconds": round(time.monotonic() - started, 3), "machine": describe_hardware()}
    write_record(task.run_dir, learned.head, rates, evidence.answered, evidence.probabilities)
    progress.info(describe_end(task, prepared, learned, evidence), extra={"done": True})


@contextmanager
def tracing_beside(task: Task, strategy: tf.distribute.Strategy, prepared: Prepared) -> Iterator[None]:
    """Traces the export in a thread beside the head's training, and keeps it for `write_model`, where none is kept.

    Not beside a second stage, which has a network of its own, nor beside fresh views, for which another thread must
    not trace the network meanwhile, nor where several replicas or workers are busy with the head.
    """
    options, backbone = task.options, prepared.backbone
    width = backbone.facts.feature_width(options.pooling)
    head = Head.blank(width, options.hidden_units, len(prepared.classes))
    facts = describe_export(task, prepared, head, backbone.facts)
    place = find_place(prepared.transform, facts, prepared.known, task.code)
    fresh = isinstance(prepared.inputs.values, FreshViews)
    if options.fine_tune.asked_for or fresh or strategy.num_replicas_in_sync > 1 or not place or exists(place.path):
        yield
        return
    parts = Graft(backbone, options.pooling, head, prepared.transform, Typicality.blank(width))
    with ThreadPoolExecutor(1) as pool, threadpool_limits(1):  # threads of NumPy would wait for the one that traces
        kept = pool.submit(keep_export, parts, place)
        yield
    kept.result()


@dataclass(frozen=True)
class Learned:
    """What training came to.

    Attributes:
        strategy: the replicas.
        backbone: frozen, or with the weights of the second stage.
        head: that belongs to the backbone.
        stage: what the second stage came to; None: there was none.
        training: of the head alone, for the heads of the calibration, as it holds the features; None: it is over.
        calibration: of the head.
    """

    strategy: tf.distribute.Strategy
    backbone: Frozen
    head: Head
    stage: FineTuned | None
    training: HeadTraining | None = None
    calibration: Calibration = AS_IT_IS

    @property
    def is_tuned(self) -> bool:
        """Whether the backbone is another than that of the kept features."""
        return self.stage is not None and self.stage.kept

    def make_pass(self, transform: tft.TFTransformOutput, options: TrainerOptions) -> FeaturePass:
        """Makes the pass through the backbone that was learned."""
        return make_pass(self.strategy, self.backbone, transform, options)


def learn(task: Task, strategy: tf.distribute.Strategy, prepared: Prepared) -> Learned:
    """Trains the head, and the second stage where one is asked for."""
    options, inputs = task.options, prepared.inputs
    folders = task.run_dir, task.checkpoint_dir
    given = inputs.values, inputs.learned, len(prepared.classes), options
    head, training = train_head(strategy, *given, *folders, prepared.known)
    if not options.fine_tune.asked_for:
        return Learned(strategy, prepared.backbone, head, None, training)
    parts = prepared.backbone.built, head, prepared.train, prepared.transform
    stage = fine_tune(strategy, *parts, options, task.checkpoint_dir, task.run_dir)
    return Learned(strategy, Frozen.of(stage.backbone), stage.head, stage)


@dataclass(frozen=True)
class Shown:
    """Images as the backbone of the export sees them.

    Attributes:
        proven: images that the export can be held against.
        found: their features.
        evaluation: eval images in the order of their content.
        eval_values: float32 [n, d], of them.
        bank: float32 [rows, d], of train images that tell what is usual.
        bank_labels: int64 [rows], their classes.
    """

    proven: Split
    found: Features
    evaluation: Split
    eval_values: np.ndarray
    bank: np.ndarray
    bank_labels: np.ndarray


def show_images(task: Task, prepared: Prepared, learned: Learned) -> Shown:
    """Takes the kept features, or, after a second stage, passes images through the backbone that was learned."""
    train, evaluation, inputs = prepared.train, prepared.evaluation, prepared.inputs
    if not learned.is_tuned:
        everyone, found = inputs.everyone, inputs.found
        in_bank = choose_rows(take_rows(everyone, np.arange(len(train))), found.values.shape[1])
        parts = inputs.evaluation, found.values[len(train) :]
        return Shown(everyone, found, *parts, found.values[in_bank], everyone.labels[in_bank])
    tuned_pass = learned.make_pass(prepared.transform, task.options)
    found = gather_features(tuned_pass, evaluation)
    in_bank = choose_rows(train, found.values.shape[1])
    parts = in_content_order(evaluation, found.values)
    return Shown(evaluation, found, *parts, gather_rows(tuned_pass, train, in_bank), train.labels[in_bank])


def calibrate_head(task: Task, prepared: Prepared, learned: Learned) -> Learned:
    """Puts a temperature into the head, found from train images that it has not learned from."""
    options, inputs = task.options, prepared.inputs
    if not options.calibrate:
        return replace(learned, training=None)
    if learned.is_tuned:
        tuned_pass = learned.make_pass(prepared.transform, options)
        answers = held_out_after(tuned_pass, prepared.train, options.held_out, learned.head)
        cooled = cool_by(learned.strategy, learned.head, answers)
    else:
        given = learned.head, inputs.values, inputs.learned, options
        cooled = calibrate(learned.strategy, *given, learned.training)
    return replace(learned, head=cooled[0], training=None, calibration=cooled[1])


@dataclass(frozen=True)
class Evidence:
    """What the export is held against.

    Attributes:
        answered: eval images in the order of their content.
        probabilities: float32 [n, classes], what the training path answers for them.
        typicality: what tells outliers.
        sample: images of the parity proof.
        sample_values: float32 [k, d], their features.
    """

    answered: Split
    probabilities: np.ndarray
    typicality: Typicality
    sample: Split
    sample_values: np.ndarray


def judge_images(task: Task, shown: Shown, head: Head) -> Evidence:
    """Asks the head about eval images, calibrates what tells outliers, and chooses the images of the proof."""
    typicality = Typicality.of(shown.bank, shown.bank_labels, shown.eval_values, task.max_refused)
    rows = sample_rows(shown.found.kept)
    answers = shown.evaluation, head.probabilities(shown.eval_values)
    return Evidence(*answers, typicality, take_rows(shown.proven, rows), shown.found.values[rows])


def write_model(task: Task, prepared: Prepared, learned: Learned, typicality: Typicality) -> None:
    """Writes the SavedModel, and the further forms that are asked for."""
    progress.info("exporting")
    options, train = task.options, prepared.train
    facts = describe_export(task, prepared, learned.head, learned.backbone.facts)
    facts |= {features.OUTLIERS_FACT: typicality.facts(), features.TEMPERATURE_FACT: learned.calibration.temperature}
    code = "" if learned.is_tuned else task.code
    parts = Graft(learned.backbone, options.pooling, learned.head, prepared.transform, typicality)
    export(parts, task.model_dir, facts, prepared.known, code)
    for form in load_forms(task.exports):
        progress.info("converting for %s", form.TITLE)
        form.write(task.model_dir, lambda count: read_images(train, spread_rows(train, count)))


def describe_export(task: Task, prepared: Prepared, head: Head, backbone: Facts) -> dict[str, Any]:
    """Describes the model and how it reads pictures, for its `assets/graft.json`."""
    return describe_model(task.options, prepared.size, prepared.classes, backbone, head) | task.facts


def prove(task: Task, evidence: Evidence) -> float:
    """Compares features that the head learned from with those of the export, on a sample; the largest difference.

    For the same images it compares what the export says of their typicality.

    Raises:
        RuntimeError: they are not the same.
    """
    sample, values = evidence.sample, evidence.sample_values
    images = np.array(read_images(sample, np.arange(len(values))), object)
    with open_export(task.model_dir) as ask:
        answers = answer_images(ask, images)
    limit = parity_limit(task.options.precision, task.options.feature_dtype)
    parity = check_parity(values, answers[features.OUTPUT_FEATURES], sample.sha256, limit)
    check_outliers(evidence.typicality, answers)
    return parity


def describe_run(task: Task, prepared: Prepared, learned: Learned, parity: float) -> dict[str, Any]:
    """Describes what was computed and what came of it, for the record."""
    inputs, stage = prepared.inputs, learned.stage
    rates = describe_features(learned.strategy, len(inputs.everyone), inputs.found, inputs.views, parity)
    rates |= {"learned": count_learned(task, prepared)}
    rates |= {"deterministic": task.options.deterministic and (stage is None or stage.deterministic)}
    rates |= {"l2": learned.head.l2, "calibration": learned.calibration.facts()}
    rates |= describe_stage(stage) if stage else {}
    # A second stage that was kept has another backbone; its features are nowhere.
    return rates | {"feature_keys": [] if learned.is_tuned else inputs.keys}


def count_learned(task: Task, prepared: Prepared) -> int:
    """Counts the images, copies and views among them, that the head learned from."""
    return int((~hold_out(prepared.inputs.learned, task.options.held_out)).sum())


def describe_end(task: Task, prepared: Prepared, learned: Learned, evidence: Evidence) -> str:
    """Makes the node's closing line."""
    inputs, stage = prepared.inputs, learned.stage
    batch = min(task.options.batch_size, count_learned(task, prepared))
    accuracy = float((evidence.probabilities.argmax(axis=1) == evidence.answered.labels).mean())
    words = [inputs.found.describe(), describe_devices(learned.strategy, batch), inputs.cost]
    words += [
        f"{len(learned.head.history['loss'])} epochs, L2 {learned.head.l2:.2g}",
        stage.describe() if stage else "",
    ]
    sampled = f" of a sample of {len(evidence.answered):,}" if prepared.evaluation.row_of is not None else ""
    words += [learned.calibration.describe(), f"eval accuracy {accuracy:.3f}{sampled}"]
    return "; ".join(word for word in words if word)
