"""Gathers the features that the head learns from: of the images and of their views, kept or computed, in one order."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from components.options.trainer import TrainerOptions
from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.backbones.frozen import Facts, Frozen
from components.trainer.backbones.precision import build_half
from components.trainer.backbones.table import package_facts
from components.trainer.devices.strategy import feature_batch_size
from components.trainer.devices.tf_config import is_chief
from components.trainer.features.augment import Augmentation, FreshViews, View, describe_cost
from components.trainer.features.data import Split, content_order, image_size, in_content_order, join_splits, take_rows
from components.trainer.features.feature_pass import FeaturePass, Features, augmented_features, gather_features
from components.trainer.features.folding import Folded, LazyBackbone, fold_backbone
from components.trainer.features.shared_arrays import reorder
from components.trainer.features.store import FeatureStore
from components.trainer.features.store_key import describe_key, recall_transform_digest


@dataclass(frozen=True)
class TrainingInputs:
    """Features that the head learns from, and where they came from.

    Attributes:
        learned: the train split in the order of its content, once for each kept view.
        values: float32 [n, d], features of `learned`; or views that are new in each epoch.
        evaluation: the eval split, or a sample of it, in the order of its content.
        everyone: train split, then eval split, each in the order of its content.
        found: the features of `everyone`; `values` is a part of them where there are no views.
        views: of the train split, one after the other.
        cost: what augmentation costs, in words; empty without it.
        keys: of the store, below which the features of `everyone` are kept; none where nothing is kept.
    """

    learned: Split
    values: np.ndarray | FreshViews
    evaluation: Split
    everyone: Split
    found: Features
    views: list[Features]
    cost: str
    keys: list[str]

    def without_values(self) -> TrainingInputs:
        """Gives a copy without the values, which take the memory: enough for a report."""
        views = [view.without_values() for view in self.views]
        return replace(self, values=np.zeros([0, 0], np.float32), found=self.found.without_values(), views=views)


def make_pass(
    strategy: tf.distribute.Strategy, backbone: Frozen, transform: Any, options: TrainerOptions
) -> FeaturePass:
    """Makes the pass through a backbone, which is built and folded when the first image needs it."""

    def fold() -> Folded:
        built = backbone.built
        return fold_backbone(built.model, built.scaling, options.pooling, options.averaged_views)

    forward = LazyBackbone(backbone.facts.feature_width(options.pooling), fold)
    batch_size = options.feature_batch_size or feature_batch_size(strategy)
    return FeaturePass(strategy, forward, transform, batch_size)


def gather_inputs(
    exact: FeaturePass, backbone: Facts, options: TrainerOptions, splits: tuple[Split, Split], answers: AnswerCache
) -> TrainingInputs:
    """Gathers the features of both splits and of the views that the options ask for.

    Args:
        exact: the pass in float32: what is evaluated, and learned from unless the options say otherwise.
        backbone: whose pass it is.
        options: of the Trainer.
        splits: train and eval, in the order of their files.
        answers: kept beside the features, in the folder of the store; an empty root keeps nothing.
    """
    train, evaluation = splits
    feature_pass = in_precision(exact, options)
    store_of = make_stores(answers, options, backbone, exact.transform)
    everyone = join_splits(train, evaluation)
    if feature_pass is exact:  # one pass over both
        found = gather_features(exact, everyone, store_of(None))
    else:
        of_train = gather_features(feature_pass, train, store_of(None))
        found = join_features(of_train, gather_features(exact, evaluation, store_of(None, "float32")))
    fixed, fresh = choose_views(options)
    views = [gather_features(feature_pass, train, store_of(view), view) for view in fixed]
    rate = found.computed / found.seconds if found.computed else 0.0
    cost = describe_cost(len(train), len(fixed), options.epochs, rate) if fixed or fresh else ""
    tiled = in_content_order(*tile_views(train, found.values[: len(train)], views)) if views else None
    ordered, evaluation, found = put_in_order(train, evaluation, found)
    learned, values = tiled or (ordered, found.values[: len(train)])
    inputs = refresh_views(feature_pass, train, values, fresh) if fresh else values
    everyone = join_splits(ordered, evaluation)
    stores = [store_of(None)] if feature_pass is exact else [store_of(None), store_of(None, "float32")]
    keys = [store.key for store in stores if store]
    return TrainingInputs(learned, inputs, evaluation, everyone, found, views, cost, keys)


def put_in_order(train: Split, evaluation: Split, found: Features) -> tuple[Split, Split, Features]:
    """Puts both splits and their features, train first, each into the order of its content; in place for the values."""
    orders = content_order(train), content_order(evaluation)
    parts = slice(0, len(train)), slice(len(train), None)
    for part, order in zip(parts, orders, strict=True):
        reorder(found.values[part], order)
    kept = np.concatenate([found.kept[part][order] for part, order in zip(parts, orders, strict=True)])
    return take_rows(train, orders[0]), take_rows(evaluation, orders[1]), replace(found, kept=kept)


def in_precision(exact: FeaturePass, options: TrainerOptions) -> FeaturePass:
    """Gives the pass in the precision of the options: with a network of its own, or `exact` itself for float32."""
    if options.precision == "float32":
        return exact

    def fold() -> Folded:
        built = build_half(options, image_size(exact.transform))
        return fold_backbone(built.model, built.scaling, options.pooling, options.averaged_views)

    return replace(exact, forward=LazyBackbone(exact.forward.width, fold))


def join_features(train: Features, evaluation: Features) -> Features:
    """Joins the features of the train split and of the eval split."""
    return Features(
        np.concatenate([train.values, evaluation.values]),
        np.concatenate([train.kept, evaluation.kept]),
        train.computed + evaluation.computed,
        train.seconds + evaluation.seconds,
    )


def make_stores(
    answers: AnswerCache, options: TrainerOptions, backbone: Facts, transform: Any
) -> Callable[..., FeatureStore | None]:
    """Makes a function that gives the store of a view (None: the plain image) in a precision; None without a folder."""
    if not answers.root:
        return lambda view, precision="": None
    facts: dict[str, Any] = {
        "backbone": options.backbone,
        "backbone_args": options.backbone_args,
        "scaling": backbone.scaling,
        "pooling": options.pooling,
        "image_size": list(image_size(transform)),
    }
    if options.averaged_views > 1:  # what was kept before there was the option stays of use
        facts["averaged_views"] = options.averaged_views
    facts |= package_facts(options.backbone)
    transform_sha256 = recall_transform_digest(transform, answers)

    def store_of(view: View | None, precision: str = options.precision) -> FeatureStore:
        passed = {**facts, "precision": precision}
        key = describe_key(backbone.digest, passed, transform_sha256, view.facts() if view else None)
        return FeatureStore(answers.root, key, options.feature_dtype, writable=is_chief())

    return store_of


def choose_views(options: TrainerOptions) -> tuple[list[View], Callable[[int], View] | None]:
    """Lists the fixed views of each train image, or gives a function from an epoch (from 0) to its fresh view."""
    wish = options.augment
    augmentation = Augmentation(wish.flip, wish.rotation, wish.zoom, wish.brightness, wish.contrast)
    if not augmentation.changes_anything:
        return [], None
    if not wish.views:
        return [], lambda epoch: View(augmentation, options.seed, epoch + 1)
    return [View(augmentation, options.seed, number + 1) for number in range(wish.views)], None


def refresh_views(
    feature_pass: FeaturePass, train: Split, plain: np.ndarray, fresh: Callable[[int], View]
) -> FreshViews:
    """Makes features of a new view of each image in each epoch, in the order of their content; nothing is kept."""

    def refresh(epoch: int) -> np.ndarray:
        return in_content_order(train, augmented_features(feature_pass, train, fresh(epoch)))[1]

    return FreshViews(plain, refresh, json.dumps(fresh(0).facts(), sort_keys=True))


def tile_views(train: Split, values: np.ndarray, views: list[Features]) -> tuple[Split, np.ndarray]:
    """Repeats the train split once for each view behind the plain images, and joins all features in that order."""
    if not views:
        return train, values
    tiled = train
    for _ in views:
        tiled = join_splits(tiled, train)
    return tiled, np.concatenate([values, *(view.values for view in views)])
