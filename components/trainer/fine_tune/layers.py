"""The backbone's weights that the second stage trains, and whether their training can be repeated exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.errors import InputError, did_you_mean
from components.options.trainer import FineTuneOptions, Pooling
from components.trainer.backbones.build import BuiltBackbone, scale_pixels
from components.trainer.backbones.family import Scaling
from components.trainer.backbones.precision import leaves
from components.trainer.features.folding import pool

SHOWN = 10  # layer names in an error


@dataclass(frozen=True)
class Trunk:
    """A backbone of which some weights are given with each call; its own variables are read, never written.

    Nothing then depends on where the variables were made: replicas get the same tensors, and weights that turn out
    to be no better need not be undone.

    Attributes:
        model: from scaled pixels to feature maps or vectors.
        scaling: of its pixels.
        pooling: of its feature maps.
        variables: that are given with each call.
        half: the same backbone in half precision, which computes while the weights learn; this one measures and is
            kept. None: this one computes then, too.
    """

    model: keras.Model
    scaling: Scaling
    pooling: Pooling
    variables: list[Any]
    half: Trunk | None = None

    @cached_property
    def sizes(self) -> list[int]:
        """Counts the numbers in each variable."""
        return [int(np.prod(variable.shape)) for variable in self.variables]

    def read(self) -> np.ndarray:
        """Reads the variables' values, one after the other: float64 [p], which holds every float32 exactly."""
        return np.concatenate([variable.numpy().ravel() for variable in self.variables]).astype(np.float64)

    def write(self, params: np.ndarray) -> None:
        """Writes what `read` gives into the variables, rounded to their type."""
        for variable, part in zip(self.variables, np.split(params, np.cumsum(self.sizes)[:-1]), strict=True):
            variable.assign(part.reshape(variable.shape).astype(variable.dtype))

    def features(self, params: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
        """Computes pooled features float32 [batch, d] under given weights.

        Args:
            params: float64 [p], in the order of `read`.
            pixels: float32 [batch, height, width, 3] in 0..255.
        """
        parts = [
            tf.cast(tf.reshape(part, variable.shape), variable.dtype)
            for part, variable in zip(tf.split(params, self.sizes), self.variables, strict=True)
        ]
        with keras.StatelessScope(state_mapping=list(zip(self.variables, parts, strict=True))):
            maps = self.model(scale_pixels(pixels, self.scaling), training=False)  # batch norms: inference mode
        return pool(tf.cast(maps, tf.float32), self.pooling)


def unfreeze(
    backbone: BuiltBackbone, pooling: Pooling, wish: FineTuneOptions, half: BuiltBackbone | None = None
) -> Trunk:
    """Chooses the weights that the options ask to train, none of a batch norm, and wraps the backbone around them.

    Args:
        backbone: in float32.
        pooling: of its feature maps.
        wish: which layers.
        half: the same in half precision, to learn with; None: it learns in float32.

    Raises:
        InputError: a SavedModel, an unknown layer, or layers without a weight that could be trained.
    """
    layers = choose_layers(backbone.model, wish)
    variables = list({id(variable): variable for layer in layers for variable in _weights_of(layer)}.values())
    if not variables:
        raise InputError(
            f"trainer.fine_tune: expected layers with weights to train; the last {len(layers)} of the backbone "
            f"({_last(layers)}) have none, and batch norms stay as they are.\nSet a larger trainer.fine_tune.layers."
        )
    learner = unfreeze(half, pooling, wish) if half else None
    return Trunk(backbone.model, backbone.scaling, pooling, variables, learner)


def choose_layers(model: keras.Model, wish: FineTuneOptions) -> list[keras.layers.Layer]:
    """Chooses the last layers, or the named layer and all after it, in the order of the model.

    Raises:
        InputError: a SavedModel, or no layer has that name.
    """
    layers = [block for layer in leaves(model) for block in _blocks_of(layer)]
    if any(isinstance(layer, keras.layers.TFSMLayer) for layer in layers):
        raise InputError(
            "trainer.fine_tune: expected a backbone made of Keras layers; this one is a SavedModel, which has none.\n"
            "Save it as a file, model.save('trunk.keras'), or leave trainer.fine_tune out."
        )
    if wish.from_layer is None:
        return layers[-wish.layers :]
    names = [layer.name for layer in layers]
    if wish.from_layer not in names:
        raise InputError(
            f"trainer.fine_tune.from_layer: expected a layer of the backbone, got '{wish.from_layer}'."
            f"{did_you_mean(wish.from_layer, names)}\nIts {len(layers)} layers end with {_last(layers)}."
        )
    return layers[names.index(wish.from_layer) :]


def why_not_repeatable(strategy: tf.distribute.Strategy, layers: list[keras.layers.Layer], deterministic: bool) -> str:
    """Says why training these layers twice may give other bits; empty where it gives the same.

    Args:
        strategy: the replicas.
        layers: that are trained.
        deterministic: as `trainer.deterministic`.
    """
    if not any("GPU" in device.upper() for device in strategy.extended.worker_devices):
        return ""
    if not deterministic:
        return "trainer.deterministic is false"
    depthwise = [layer.name for layer in layers if _is_depthwise(layer)]
    if not depthwise:
        return ""
    return (
        f"on a GPU the gradient of depthwise convolutions ({len(depthwise)}, such as {depthwise[0]}) has no exact form"
    )


def _blocks_of(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Lists the blocks of a layer that is a stack of them, as a transformer's encoder is; else the layer itself."""
    inner = list(layer._flatten_layers(include_self=False, recursive=False))  # no public way leads there
    kinds = [type(block) for block in inner if not type(block).__module__.startswith("keras.")]
    is_stack = len(kinds) > len(set(kinds)) and len(layer.weights) == sum(len(block.weights) for block in inner)
    return inner if is_stack else [layer]


def _weights_of(layer: keras.layers.Layer) -> list[Any]:
    """Lists the weights that a layer would train if it were not frozen; it is left frozen."""
    norms = [part for part in layer._flatten_layers() if isinstance(part, keras.layers.BatchNormalization)]
    fixed = {id(weight) for norm in norms for weight in norm.weights}
    was, layer.trainable = layer.trainable, True
    try:
        return [weight for weight in layer.trainable_weights if id(weight) not in fixed]
    finally:
        layer.trainable = was


def _is_depthwise(layer: keras.layers.Layer) -> bool:
    kinds = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    return any(isinstance(part, kinds) or getattr(part, "groups", 1) > 1 for part in layer._flatten_layers())


def _last(layers: list[keras.layers.Layer]) -> str:
    return ", ".join(layer.name for layer in layers[-SHOWN:])
