"""Weights files of Keras: loading them, and saying in words what does not fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from components.errors import InputError, first_line

IMAGENET_DEVIATIONS_RGB = (0.229, 0.224, 0.225)


def check_weights_file(path: str) -> None:
    """Refuses a path that no file is at.

    Raises:
        InputError: there is none.
    """
    if not Path(path).is_file():
        raise InputError(f"trainer.weights: expected a weights file, 'imagenet' or 'none'; there is no file {path}.")


def load_weights_file(model: keras.Model, name: str, path: str) -> None:
    """Loads a weights file into a backbone.

    Raises:
        InputError: no such file, not a weights file, or weights of another network; names the first layer that
            does not fit with both shapes.
    """
    check_weights_file(path)
    try:
        if path.endswith(".keras"):
            model.set_weights(keras.saving.load_model(path, compile=False).get_weights())
        else:
            model.load_weights(path)
    except Exception as error:
        misfit = find_misfit(model, path)
        detail = misfit or f"Keras could not read it: {first_line(error)}"
        raise InputError(
            f"trainer.weights: {path} does not fit {name}.\n{detail}\n"
            "Use the weights of this backbone with the same trainer.backbone_args (MobileNet: alpha), without top."
        ) from error
    settle_normalization(model)


def settle_normalization(model: keras.Model) -> None:
    """Lets normalisation layers inside the network use the statistics that were just loaded, and rights EfficientNet's.

    Keras' files of EfficientNet v1 hold the deviations where the variances belong. The network that Keras builds for
    `imagenet` has one more layer that makes up for it, the one that it builds for a file has not
    (https://github.com/tensorflow/tensorflow/issues/49930). Squared, they are right in either.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            if np.allclose(layer.adapt_variance, IMAGENET_DEVIATIONS_RGB, atol=1e-4):
                layer.adapt_variance.assign(layer.adapt_variance**2)
            layer.finalize_state()


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
