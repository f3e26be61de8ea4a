"""The Trainer's `run_fn`: it reads as the list of its steps."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import logging
import os
import time
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.contract import features
from components.exports.table import load_forms
from components.options.trainer import TrainerOptions, tuned_values, with_values
from components.trainer.backbones.frozen import Facts, Frozen
from components.trainer.backbones.table import describe_weights, package_facts
from components.trainer.devices.hardware import describe_hardware
from components.trainer.devices.strategy import describe_devices, make_strategy
from components.trainer.devices.tf_config import is_chief
from components.trainer.devices.worker_pool import with_workers
from components.trainer.export.proof import (
    PROOF_BATCH,
    check_outliers,
    check_parity,
    open_export,
    parity_limit,
    sample_rows,
)
from components.trainer.export.write import Graft, export
from components.trainer.features.data import Split, in_content_order, read_images, spread_rows, take_rows
from components.trainer.features.feature_pass import Features, gather_features, gather_rows
from components.trainer.features.training_inputs import make_pass
from components.trainer.fine_tune.stage import FineTuned, fine_tune, held_out_after
from components.trainer.heads.calibration import Calibration, calibrate, cool_by
from components.trainer.heads.head import Head, hold_out, train_head
from components.trainer.outliers.typicality import Typicality, choose_rows
from components.trainer.prepare import prepare_training
from components.trainer.training.checkpoints import remove_checkpoints

progress = logging.getLogger("graft.progress")


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
    started, options = time.monotonic(), TrainerOptions.from_json(fn_args.custom_config["options"])
    found_by_search = tuned_values(fn_args.hyperparameters)
    options = with_values(options, found_by_search)
    strategy = make_strategy(options.devices)  # before TensorFlow is first used: several workers must meet
    given = (fn_args.train_files, fn_args.eval_files, fn_args.transform_output)
    train, evaluation, transform, classes, size, backbone, inputs, known = prepare_training(
        *(options, strategy, *given, fn_args.custom_config.get("features_dir", "")),
        fn_args.custom_config.get("beam_args", ()),
    )
    checkpoints = fn_args.custom_config.get("checkpoint_dir", "")
    head = train_head(
        strategy, inputs.values, inputs.learned, len(classes), options, fn_args.model_run_dir, checkpoints
    )
    tuned = None
    proven, found = inputs.everyone, inputs.found
    ordered, eval_values = inputs.evaluation, found.values[len(train) :]
    in_bank = choose_rows(take_rows(inputs.everyone, np.arange(len(train))), found.values.shape[1])
    bank, of_bank = found.values[in_bank], inputs.everyone.labels[in_bank]
    if options.fine_tune.asked_for:
        tuned = fine_tune(strategy, backbone.built, head, train, transform, options, checkpoints, fn_args.model_run_dir)
        backbone, head = Frozen.of(tuned.backbone), tuned.head
        if tuned.kept:  # what is kept in the store is of the backbone as it was
            tuned_pass = make_pass(strategy, backbone, transform, options)
            proven, found = evaluation, gather_features(tuned_pass, evaluation)
            ordered, eval_values = in_content_order(evaluation, found.values)
            in_bank = choose_rows(train, found.values.shape[1])
            bank, of_bank = gather_rows(tuned_pass, train, in_bank), train.labels[in_bank]
    calibration = Calibration(reason="trainer.calibrate: false")
    if options.calibrate and tuned and tuned.kept:
        answers = held_out_after(make_pass(strategy, backbone, transform, options), train, options.held_out, head)
        head, calibration = cool_by(strategy, head, answers)
    elif options.calibrate:
        head, calibration = calibrate(strategy, head, inputs.values, inputs.learned, options)
    if not is_chief():
        return

    probabilities = head.probabilities(eval_values)
    max_refused = fn_args.custom_config.get("max_refused", features.MAX_REFUSED)
    typicality = Typicality.of(bank, of_bank, eval_values, max_refused)
    sample = take_sample(proven, found)
    inputs = inputs.without_values()  # the most that a run holds, and the export needs room, too
    del found, eval_values, bank
    gc.collect()
    progress.info("exporting")
    crops = bool(fn_args.custom_config.get("crop_to_aspect_ratio", False))
    facts = describe_model(options, size, classes, backbone.facts, head)
    facts |= {"tuned": found_by_search, features.CROP_FACT: crops, features.OUTLIERS_FACT: typicality.facts()}
    facts |= {features.TEMPERATURE_FACT: calibration.temperature}
    facts |= {name: fn_args.custom_config.get(name, default) for name, default in features.READING_FACTS.items()}
    code = "" if tuned and tuned.kept else fn_args.custom_config.get("source_fingerprint", "")
    parts = Graft(backbone, options.pooling, head, transform, typicality)
    export(parts, fn_args.serving_model_dir, facts, known, code)
    for form in load_forms(fn_args.custom_config.get("exports", ())):
        progress.info("converting for %s", form.TITLE)
        form.write(fn_args.serving_model_dir, lambda count: read_images(train, spread_rows(train, count)))
    parity = prove(fn_args.serving_model_dir, *sample, options, typicality)
    if checkpoints:
        remove_checkpoints(checkpoints)

    rates = describe_features(strategy, len(inputs.everyone), inputs.found, inputs.views, parity)
    to_learn_from = int((~hold_out(inputs.learned, options.held_out)).sum())
    rates |= {"learned": to_learn_from}
    rates |= {"deterministic": options.deterministic and (tuned is None or tuned.deterministic)}
    rates |= {"l2": head.l2, "calibration": calibration.facts()} | (describe_stage(tuned) if tuned else {})
    # A second stage that was kept has another backbone; its features are nowhere.
    rates |= {"feature_keys": [] if tuned and tuned.kept else inputs.keys}
    rates |= {"seconds": round(time.monotonic() - started, 3), "machine": describe_hardware()}
    record_run(fn_args.model_run_dir, head, rates, ordered, probabilities)
    accuracy = float((probabilities.argmax(axis=1) == ordered.labels).mean())
    batch = min(options.batch_size, to_learn_from)
    words = [inputs.found.describe(), describe_devices(strategy, batch), inputs.cost]
    words += [f"{len(head.history['loss'])} epochs, L2 {head.l2:.2g}", tuned.describe() if tuned else ""]
    words += [calibration.describe(), f"eval accuracy {accuracy:.3f}"]
    progress.info("; ".join(word for word in words if word), extra={"done": True})


def take_sample(split: Split, found: Features) -> tuple[Split, np.ndarray]:
    """Takes some images of the split, and their features float32 [k, d], which the export is held against."""
    rows = sample_rows(found.kept)
    return take_rows(split, rows), found.values[rows]


def prove(path: str, sample: Split, values: np.ndarray, options: TrainerOptions, typicality: Typicality) -> float:
    """Compares features that the head learned from with those of the export, on a sample; the largest difference.

    On a few of the same images it compares what the export says of their typicality.

    Raises:
        RuntimeError: they are not the same.
    """
    limit = parity_limit(options.precision, options.feature_dtype)
    with open_export(path) as ask:
        embed = lambda images: ask(features.EMBED, images)[features.OUTPUT_FEATURES]  # noqa: E731
        parity = check_parity(values, sample, np.arange(len(values)), embed, limit)
        few = sample_rows(np.ones(len(values), bool), PROOF_BATCH)
        check_outliers(typicality, np.array(read_images(sample, few), object), ask)
    return parity


def describe_model(
    options: TrainerOptions, size: tuple[int, int], classes: list[str], backbone: Facts, head: Head
) -> dict[str, Any]:
    """Describes what the model is made of, for the export's `assets/graft.json`."""
    return {
        "classes": classes,
        "backbone": options.backbone,
        "backbone_args": options.backbone_args,
        "backbone_sha256": backbone.digest,
        "weights": describe_weights(options.backbone, size, options.backbone_args, options.weights),
        "weights_file_sha256": backbone.weights_sha256,
        "scaling": backbone.scaling,
        "pooling": options.pooling if backbone.has_maps or options.pooling == "cls" else None,
        "averaged_views": options.averaged_views,
        "image_size": list(size),
        "feature_map": [int(side) for side in backbone.shape],
        "feature_width": int(head.layers[0][0].shape[0]),
        "hidden_units": options.hidden_units,
        "head_sha256": head.digest(),
        "weights_sha256": hashlib.sha256(f"{backbone.digest}{head.digest()}".encode()).hexdigest(),
        "seed": options.seed,
        **package_facts(options.backbone),
    }


def describe_stage(tuned: FineTuned) -> dict[str, Any]:
    """Describes the second stage, for the record."""
    return {
        "fine_tune": {
            "kept": tuned.kept,
            "before": tuned.before,
            "after": tuned.after,
            "history": tuned.history,
            "why_not_deterministic": tuned.reason or None,
        }
    }


def describe_features(
    strategy: tf.distribute.Strategy, images: int, found: Features, views: list[Features], parity: float
) -> dict[str, Any]:
    """Describes counts and rates of the feature pass, for the record."""
    computed = found.computed + sum(view.computed for view in views)
    seconds = found.seconds + sum(view.seconds for view in views)
    return {
        "replicas": strategy.num_replicas_in_sync,
        "images": images,
        "views": len(views),
        "features_computed": computed,
        "features_kept": int(found.kept.sum()) + sum(int(view.kept.sum()) for view in views),
        "feature_seconds": round(seconds, 3),
        "images_per_second": round(computed / seconds, 1) if computed else None,
        "parity": parity,
    }


def record_run(model_run_dir: str, head: Head, rates: dict[str, Any], split: Split, probabilities: np.ndarray) -> None:
    """Writes the learning curve, the rates, and what the training path answers for every eval image."""
    tf.io.gfile.makedirs(model_run_dir)
    with tf.io.gfile.GFile(os.path.join(model_run_dir, features.HISTORY_FILE), "w") as file:
        file.write(json.dumps({"head": head.history, **rates}, indent=2))
    buffer = io.BytesIO()
    np.savez(buffer, sha256=split.sha256.astype("S64"), labels=split.labels, probabilities=probabilities)
    with tf.io.gfile.GFile(os.path.join(model_run_dir, features.PREDICTIONS_FILE), "wb") as file:
        file.write(buffer.getvalue())
