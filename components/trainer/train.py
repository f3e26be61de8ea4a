"""The Trainer's `run_fn`: it reads as the list of its steps."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from components import features
from components.options import TrainerOptions
from components.trainer.backbones import find_backbone
from components.trainer.build import build_backbone
from components.trainer.data import Split, class_names, image_size, in_content_order, join_splits, read_split
from components.trainer.devices import make_strategy
from components.trainer.features import compute_features, fold_backbone
from components.trainer.head import Head, train_head
from components.trainer.signatures import ServedModel, export_model

progress = logging.getLogger("graft.progress")


def run_fn(fn_args: FnArgs) -> None:
    """Grafts a head onto the frozen backbone and exports the whole.

    Args:
        fn_args: of TFX; `custom_config["options"]` is a `TrainerOptions` as JSON.
    """
    options = TrainerOptions.from_json(fn_args.custom_config["options"])
    keras.utils.set_random_seed(options.seed)
    strategy = make_strategy(options.devices)
    transform = tft.TFTransformOutput(fn_args.transform_output)
    train, evaluation = read_split(fn_args.train_files), read_split(fn_args.eval_files)
    classes = class_names(train)

    scaling = find_backbone(options.backbone).scaling
    size = image_size(transform)
    progress.info("building %s at %d x %d", options.backbone, *size)
    backbone, backbone_digest = build_backbone(options.backbone, size, options.backbone_args, options.weights)

    start = time.monotonic()
    forward = fold_backbone(backbone, scaling)
    everyone = join_splits(train, evaluation)
    values = compute_features(strategy, forward, everyone, transform, options.feature_batch_size)
    train, train_values = in_content_order(train, values[: len(train)])
    evaluation, eval_values = in_content_order(evaluation, values[len(train) :])
    feature_seconds = time.monotonic() - start

    head = train_head(strategy, train_values, train, len(classes), options, fn_args.model_run_dir)

    progress.info("exporting")
    facts = describe_model(options, size, classes, backbone, backbone_digest, head)
    export_model(ServedModel(backbone, scaling, head, transform, classes), fn_args.serving_model_dir, facts)

    rates = {
        "replicas": strategy.num_replicas_in_sync,
        "images": len(train) + len(evaluation),
        "feature_seconds": round(feature_seconds, 3),
        "images_per_second": round((len(train) + len(evaluation)) / feature_seconds, 1),
    }
    probabilities = head.probabilities(eval_values)
    record_run(fn_args.model_run_dir, head, rates, evaluation, probabilities)
    accuracy = float((probabilities.argmax(axis=1) == evaluation.labels).mean())
    progress.info(describe_run(facts, head, rates, accuracy), extra={"done": True})


def describe_model(
    options: TrainerOptions,
    size: tuple[int, int],
    classes: list[str],
    backbone: keras.Model,
    backbone_digest: str,
    head: Head,
) -> dict[str, Any]:
    """What the model is made of, for the export's `assets/graft.json`."""
    maps = tuple(backbone.output_shape[1:])
    return {
        "classes": classes,
        "backbone": options.backbone,
        "backbone_args": options.backbone_args,
        "backbone_sha256": backbone_digest,
        "image_size": list(size),
        "feature_map": [int(side) for side in maps],
        "feature_width": int(maps[-1]),
        "head_sha256": head.digest(),
        "weights_sha256": hashlib.sha256(f"{backbone_digest}{head.digest()}".encode()).hexdigest(),
        "seed": options.seed,
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


def describe_run(facts: dict[str, Any], head: Head, rates: dict[str, Any], accuracy: float) -> str:
    """One line for the terminal."""
    maps = "x".join(str(side) for side in facts["feature_map"])
    replicas = f" on {rates['replicas']} replicas" if rates["replicas"] > 1 else ""
    return (
        f"{rates['images']:,} images to {maps} features, {rates['images_per_second']:,.0f} images/s{replicas}; "
        f"{len(head.history['loss'])} epochs, eval accuracy {accuracy:.3f}"
    )
