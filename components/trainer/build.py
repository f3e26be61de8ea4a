"""From a row of the table to a frozen network with its weights."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import h5py
import keras
import tensorflow as tf

from components.errors import InputError
from components.trainer.backbones import Scaling, check_request, find_backbone

IMAGENET_MEANS_BGR = (103.939, 116.779, 123.68)
IMAGENET_MEANS_RGB = (0.485, 0.456, 0.406)
IMAGENET_DEVIATIONS_RGB = (0.229, 0.224, 0.225)


def scale_pixels(pixels: tf.Tensor, scaling: Scaling) -> tf.Tensor:
    """Turns pixels in 0..255 into what the backbone was trained on.

    Args:
        pixels: float32 [batch, height, width, 3], RGB, 0..255.
        scaling: of the backbone's row.

    Returns:
        float32 of the same shape.
    """
    if scaling == "-1..1":
        return pixels / 127.5 - 1.0
    if scaling == "torch":
        return (pixels / 255.0 - tf.constant(IMAGENET_MEANS_RGB)) / tf.constant(IMAGENET_DEVIATIONS_RGB)
    if scaling == "caffe":
        return tf.reverse(pixels, axis=[-1]) - tf.constant(IMAGENET_MEANS_BGR)
    return pixels


def build_backbone(
    name: str, image_size: tuple[int, int], arguments: dict[str, Any], weights: str
) -> tuple[keras.Model, str]:
    """The frozen backbone without its top, and the sha256 over its weights.

    Args:
        name: a row of the table.
        image_size: height and width in pixels.
        arguments: further constructor arguments, such as `{"alpha": 0.35}`.
        weights: `imagenet`, `none`, or a `.h5`, `.weights.h5` or `.keras` file.

    Returns:
        A model from scaled pixels float32 [batch, height, width, 3] to feature maps float32 [batch, h, w, d],
        all layers frozen; and 64 hex digits over its variables.

    Raises:
        InputError: the weights cannot be fetched, read, or do not fit.
    """
    check_request(name, image_size, arguments)
    constructor = getattr(keras.applications, find_backbone(name).constructor)
    fixed = {"include_top": False, "input_shape": (*image_size, 3), **arguments}
    if weights == "imagenet":
        model = _build_with_imagenet(name, constructor, fixed)
    else:
        model = constructor(weights=None, **fixed)
        if weights != "none":
            load_weights_file(model, name, weights)
    model.trainable = False
    return model, digest_weights(model)


def digest_weights(model: keras.Model) -> str:
    """sha256 over the names, shapes and values of a model's variables, in the order of its layers."""
    digest = hashlib.sha256()
    for variable in model.weights:
        value = variable.numpy()
        digest.update(f"{variable.path.split('/', 1)[-1]}{value.shape}{value.dtype}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _build_with_imagenet(name: str, constructor: Any, fixed: dict[str, Any]) -> keras.Model:
    try:
        return constructor(weights="imagenet", **fixed)
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"trainer.weights: the ImageNet weights of {name} could not be had: {first}\n"
            "Either let this machine reach Keras' download site once (the file is then kept in ~/.keras/models), or "
            "copy the file there from a machine that has it,\nor give its path: --set trainer.weights=PATH."
        ) from error


def load_weights_file(model: keras.Model, name: str, path: str) -> None:
    """Loads a weights file into a backbone.

    Raises:
        InputError: no such file, not a weights file, or weights of another network; names the first layer that
            does not fit with both shapes.
    """
    if not Path(path).is_file():
        raise InputError(f"trainer.weights: expected a weights file, 'imagenet' or 'none'; there is no file {path}.")
    try:
        if path.endswith(".keras"):
            model.set_weights(keras.saving.load_model(path, compile=False).get_weights())
        else:
            model.load_weights(path)
    except Exception as error:
        misfit = find_misfit(model, path)
        detail = misfit or f"Keras could not read it: {(str(error).strip().splitlines() or ['?'])[0]}"
        raise InputError(
            f"trainer.weights: {path} does not fit {name}.\n{detail}\n"
            "Use the weights of this backbone with the same trainer.backbone_args (MobileNet: alpha), without top."
        ) from error


StoredLayer = tuple[str, list[tuple[int, ...]]]


def find_misfit(model: keras.Model, path: str) -> str | None:
    """The first layer whose weights in a file differ from the model's, in words; None if none is found.

    Reads `.keras` and both HDF5 layouts of Keras: the legacy one (layers in the order of `layer_names`) and
    `.weights.h5` (layers under their name, or under their class with a counter).
    """
    layers = [layer for layer in model.layers if layer.weights]
    if path.endswith(".keras"):
        saved = _saved_layers(path, len(layers))
        return _compare(layers, saved) if saved else f"It is no Keras file ({Path(path).stat().st_size:,} bytes)."
    try:
        with h5py.File(path, "r") as file:
            legacy = "layer_names" in file.attrs
            stored = _legacy_layers(file, len(layers)) if legacy else _named_layers(file, model)
    except OSError:
        return f"It is no HDF5 file ({Path(path).stat().st_size:,} bytes)."
    return _compare(layers, stored)


def _compare(layers: list[keras.layers.Layer], stored: list[StoredLayer]) -> str | None:
    for index, (layer, (found_name, found)) in enumerate(zip(layers, stored, strict=True)):
        expected = [tuple(weight.shape) for weight in layer.weights]
        if sorted(expected) != sorted(found):
            return (
                f"Layer {index + 1} of {len(layers)}, '{layer.name}': expected shapes {_words(expected)}; "
                f"found {_words(found)} in {found_name}."
            )
    return None


def _words(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(str(tuple(int(side) for side in shape)) for shape in shapes) or "nothing"


def _legacy_layers(file: Any, count: int) -> list[StoredLayer]:
    names = [name.decode() if isinstance(name, bytes) else name for name in file.attrs["layer_names"]]
    shapes = [
        (f"'{name}'", [file[name][weight].shape for weight in file[name].attrs["weight_names"]]) for name in names
    ]
    return _padded([(name, found) for name, found in shapes if found], count)


def _saved_layers(path: str, count: int) -> list[StoredLayer] | None:
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception:  # noqa: BLE001  Keras raises what it likes for a file that it cannot read
        return None
    layers = [layer for layer in model.layers if layer.weights]
    return _padded([(f"'{layer.name}'", [tuple(weight.shape) for weight in layer.weights]) for layer in layers], count)


def _padded(stored: list[StoredLayer], count: int) -> list[StoredLayer]:
    return (stored + [("the file, which ends before", [])] * count)[:count]


def _named_layers(file: Any, model: keras.Model) -> list[StoredLayer]:
    groups, counts, stored = file.get("layers", {}), dict[str, int](), list[StoredLayer]()
    for layer in model.layers:
        by_class = _snake_case(type(layer).__name__)
        count = counts.get(by_class, 0)
        counts[by_class] = count + 1
        if not layer.weights:
            continue
        name = layer.name if layer.name in groups else f"{by_class}_{count}" if count else by_class
        variables = groups[name]["vars"] if name in groups and "vars" in groups[name] else {}
        stored.append((f"'layers/{name}'", [variables[key].shape for key in sorted(variables, key=int)]))
    return stored


def _snake_case(name: str) -> str:
    """A class's name as Keras writes it into `.weights.h5`: `Conv2D` is `conv2d`."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()
