"""The Trainer's `run_fn`: it reads as the list of its steps."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from components import features
from components.options import TrainerOptions
from components.trainer.augment import Augmentation, View
from components.trainer.build import BuiltBackbone, make_backbone
from components.trainer.checkpoints import remove_checkpoints
from components.trainer.data import Split, class_names, image_size, in_content_order, join_splits, read_split
from components.trainer.devices import describe_devices, make_strategy, repeat_exactly
from components.trainer.features import FeaturePass, Features, fold_backbone, gather_features
from components.trainer.head import Head, train_head
from components.trainer.keys import describe_key, digest_transform
from components.trainer.proof import check_parity, parity_limit, sample_rows
from components.trainer.signatures import ServedModel, export_model
from components.trainer.store import FeatureStore
from components.trainer.workers import is_chief

progress = logging.getLogger("graft.progress")


def run_fn(fn_args: FnArgs) -> None:
    """Grafts a head onto the frozen backbone and exports the whole.

    Args:
        fn_args: of TFX; `custom_config` holds `options`, a `TrainerOptions` as JSON, and the folders
            `features_dir` and `checkpoint_dir`, each of which may be empty: then nothing is kept.
    """
    options = TrainerOptions.from_json(fn_args.custom_config["options"])
    strategy = make_strategy(options.devices)  # before TensorFlow is first used: several workers must meet
    keras.utils.set_random_seed(options.seed)
    if options.deterministic and tf.config.get_visible_devices("GPU"):
        repeat_exactly()  # on a CPU the ops used here repeat anyway, and tf.data would lose its parallel calls
    transform = tft.TFTransformOutput(fn_args.transform_output)
    train, evaluation = read_split(fn_args.train_files), read_split(fn_args.eval_files)
    classes = class_names(train)

    size = image_size(transform)
    progress.info("building %s at %d x %d", options.backbone, *size)
    backbone = make_backbone(
        *(options.backbone, size, options.backbone_args, options.weights),
        *(options.backbone_scaling, options.weights_sha256),
    )
    feature_pass = FeaturePass(
        strategy,
        fold_backbone(backbone.model, backbone.scaling, options.pooling),
        transform,
        options.feature_batch_size,
    )
    store_of = stores(fn_args.custom_config.get("features_dir", ""), options, size, backbone, transform)
    everyone = join_splits(train, evaluation)
    found = gather_features(feature_pass, everyone, store_of(None))
    views = gather_views(feature_pass, train, options, store_of)

    learned, values = in_content_order(*tile_views(train, found.values[: len(train)], views))
    checkpoints = fn_args.custom_config.get("checkpoint_dir", "")
    head = train_head(strategy, values, learned, len(classes), options, fn_args.model_run_dir, checkpoints)
    if not is_chief():
        return

    progress.info("exporting")
    facts = describe_model(options, size, classes, backbone, head)
    served = ServedModel(backbone, options.pooling, head, transform, classes)
    export_model(served, fn_args.serving_model_dir, facts)
    sample = sample_rows(found.kept)
    limit = parity_limit(feature_dtype=options.feature_dtype)
    parity = check_parity(
        found.values, everyone, sample, lambda images: served.embed(images)[features.OUTPUT_FEATURES], limit
    )
    if checkpoints:
        remove_checkpoints(checkpoints)

    ordered, eval_values = in_content_order(evaluation, found.values[len(train) :])
    probabilities = head.probabilities(eval_values)
    rates = describe_features(strategy, everyone, found, views, parity)
    record_run(fn_args.model_run_dir, head, rates, ordered, probabilities)
    accuracy = float((probabilities.argmax(axis=1) == ordered.labels).mean())
    words = [found.describe(), describe_devices(strategy, options.batch_size)]
    words += [f"{len(head.history['loss'])} epochs", f"eval accuracy {accuracy:.3f}"]
    progress.info("; ".join(words), extra={"done": True})


def stores(
    folder: str, options: TrainerOptions, size: tuple[int, int], backbone: BuiltBackbone, transform: Any
) -> Callable[[View | None], FeatureStore | None]:
    """Gives the store of a view (None: the plain image); without a folder there is none.

    Args:
        folder: `features/` of the working directory; may be empty.
        options: of the Trainer.
        size: of the images, pixels.
        backbone: whose features they are.
        transform: the `TFTransformOutput` that makes the pixels.
    """
    if not folder:
        return lambda view: None
    facts = {
        "backbone": options.backbone,
        "backbone_args": options.backbone_args,
        "scaling": backbone.scaling,
        "pooling": options.pooling,
        "image_size": list(size),
    }
    transform_sha256 = digest_transform(transform)

    def store_of(view: View | None) -> FeatureStore:
        key = describe_key(backbone.digest, facts, transform_sha256, view.facts() if view else None)
        return FeatureStore(folder, key, options.feature_dtype, writable=is_chief())

    return store_of


def gather_views(
    feature_pass: FeaturePass,
    train: Split,
    options: TrainerOptions,
    store_of: Callable[[View | None], FeatureStore | None],
) -> list[Features]:
    """Features of the fixed views of each train image; none where nothing is augmented."""
    wish = options.augment
    augmentation = Augmentation(wish.flip, wish.rotation, wish.zoom, wish.brightness, wish.contrast)
    if not augmentation.changes_anything:
        return []
    chosen = [View(augmentation, options.seed, number + 1) for number in range(wish.views)]
    return [gather_features(feature_pass, train, store_of(view), view) for view in chosen]


def tile_views(train: Split, values: np.ndarray, views: list[Features]) -> tuple[Split, np.ndarray]:
    """The train split once for the plain images and once for each view, and all features in that order."""
    tiled = train
    for _ in views:
        tiled = join_splits(tiled, train)
    return tiled, np.concatenate([values, *(view.values for view in views)])


def describe_model(
    options: TrainerOptions, size: tuple[int, int], classes: list[str], backbone: BuiltBackbone, head: Head
) -> dict[str, Any]:
    """What the model is made of, for the export's `assets/graft.json`."""
    return {
        "classes": classes,
        "backbone": options.backbone,
        "backbone_args": options.backbone_args,
        "backbone_sha256": backbone.digest,
        "weights_file_sha256": backbone.weights_sha256,
        "scaling": backbone.scaling,
        "pooling": options.pooling if backbone.output == "maps" else None,
        "image_size": list(size),
        "feature_map": [int(side) for side in backbone.shape],
        "feature_width": int(head.layers[0][0].shape[0]),
        "hidden_units": options.hidden_units,
        "head_sha256": head.digest(),
        "weights_sha256": hashlib.sha256(f"{backbone.digest}{head.digest()}".encode()).hexdigest(),
        "seed": options.seed,
    }


def describe_features(
    strategy: tf.distribute.Strategy, split: Split, found: Features, views: list[Features], parity: float
) -> dict[str, Any]:
    """Counts and rates of the feature pass, for the record."""
    computed = found.computed + sum(view.computed for view in views)
    seconds = found.seconds + sum(view.seconds for view in views)
    return {
        "replicas": strategy.num_replicas_in_sync,
        "images": len(split),
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
