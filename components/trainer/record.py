"""What a Trainer records: what the model is made of, rates, learning curves, and answers of the training path."""

from __future__ import annotations

import hashlib
import io
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from components.contract import features
from components.options.trainer import TrainerOptions
from components.trainer.backbones.frozen import Facts
from components.trainer.backbones.table import describe_weights, package_facts
from components.trainer.features.data import Split
from components.trainer.features.feature_pass import Features
from components.trainer.fine_tune.stage import FineTuned
from components.trainer.heads.head import Head


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


def write_record(
    model_run_dir: str, head: Head, rates: dict[str, Any], split: Split, probabilities: np.ndarray
) -> None:
    """Writes the learning curve, the rates, and what the training path answers for every eval image."""
    tf.io.gfile.makedirs(model_run_dir)
    with tf.io.gfile.GFile(os.path.join(model_run_dir, features.HISTORY_FILE), "w") as file:
        file.write(json.dumps({"head": head.history, **rates}, indent=2))
    buffer = io.BytesIO()
    np.savez(buffer, sha256=split.sha256.astype("S64"), labels=split.labels, probabilities=probabilities)
    with tf.io.gfile.GFile(os.path.join(model_run_dir, features.PREDICTIONS_FILE), "wb") as file:
        file.write(buffer.getvalue())
