"""A team's own trunk as backbone: a `.keras` file or a SavedModel folder, from images to feature maps or vectors.

What Keras and TensorFlow say of a model that does not serve is put into the user's words; nothing is guessed. A model
whose classification top is still on gives vectors as wide as its classes, and is taken as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import InputError, first_line
from components.files.digests import digest_path
from components.files.paths import is_remote
from components.trainer.backbones.family import Backbone, License, PublishedWeights, Scaling

if TYPE_CHECKING:
    import keras

ROWS: dict[str, Backbone] = {}
LICENSES: dict[str, License] = {}
ARE_PATHS = True
ARE_PROVEN = False
PACKAGES: tuple[str, ...] = ()
KEEPS_PRECISION = True
SCALES_INSIDE = False

ENDPOINTS = ("serving_default", "serve")  # the first that a SavedModel has; `Model.export` writes both
WANTED = "float32 [batch, h, w, 3] to float32 [batch, h, w, d] or [batch, d]"


def holds(name: str) -> bool:
    """Whether a name is a path: a file of a known kind, or with a slash, or a folder here that holds a SavedModel."""
    is_file = name.lower().endswith((".keras", ".onnx"))
    return "/" in name or "\\" in name or is_file or (Path(name) / "saved_model.pb").is_file()


def path_in(name: str) -> str:
    """The name itself: it is a path."""
    return name


def locate(name: str) -> str:
    """The name itself: nothing is to be fetched."""
    return name


def digest(path: str) -> str:
    """sha256 of the file, or of the folder over all its files."""
    return digest_path(path)


def describe(name: str) -> dict[str, str]:
    """The name of the file or folder; no more is known."""
    return {"source": Path(name).name}


def check(name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> None:
    """Refuses a path where nothing is, an ONNX file, and arguments.

    Raises:
        InputError: says what is missing or too much.
    """
    if name.lower().endswith(".onnx"):
        raise InputError(
            f"trainer.backbone: expected a .keras file or a SavedModel folder, got the ONNX file {name}: none of the "
            "converters to TensorFlow gave right answers (docs/decisions.md).\nOf networks of Transformers and timm "
            "KerasHub reads the weights themselves: keras_hub.models.Backbone.from_preset('hf://OWNER/NAME')"
            ".save_to_preset(FOLDER), then trainer.backbone: keras_hub:FOLDER.\nBuild others in Keras, and save them."
        )
    if not is_remote(name) and not Path(name).exists():
        raise InputError(
            f"trainer.backbone: expected a row of the table, a .keras file or a SavedModel; there is no {name}.\n"
            "Relative paths in a configuration file are meant from its folder, those of --set from where you stand."
        )
    if arguments:
        raise InputError(
            f"trainer.backbone_args: a saved model takes none, got {', '.join(arguments)} for {name}.\nLeave them "
            "out: the model is built already."
        )


def scaling_of(name: str) -> Scaling:
    """Pixels in 0..255, until the configuration says otherwise."""
    return "inside"


def find_weights(name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> PublishedWeights:
    """Refuses: nobody publishes weights of a saved model.

    Raises:
        InputError: always.
    """
    raise InputError(
        f"trainer.backbone: the saved model {name} brings its own weights; there is nothing to fetch.\n"
        "Copy it to the other machine as it is."
    )


def build(name: str, image_size: tuple[int, int], arguments: dict[str, Any], weights: str | None) -> keras.Model:
    """A saved model as a Keras model with fixed shapes.

    Args:
        name: path of a `.keras` file (read in safe mode: no code in it is run) or a SavedModel folder.
        image_size: height and width in pixels that it will get.
        arguments: none.
        weights: it brings its own.

    Returns:
        A model from float32 [batch, height, width, 3] to feature maps float32 [batch, h, w, d] or vectors
        float32 [batch, d]; a SavedModel's layers are one layer of it, which runs its endpoint `serving_default`, or
        `serve` where there is no such, or the only one that there is.

    Raises:
        InputError: it cannot be read, wants other input, or gives something else.
    """
    import tensorflow as tf

    loaded = _load_folder(name, image_size) if tf.io.gfile.isdir(name) else _load_keras_file(name, image_size)
    return _with_fixed_shapes(loaded, name, image_size)


def _load_keras_file(path: str, image_size: tuple[int, int]) -> keras.Model:
    import keras

    if not path.endswith(".keras"):
        raise InputError(
            f"trainer.backbone: expected a .keras file or a SavedModel folder, got {path}.\n"
            "Save the model with model.save('trunk.keras') or model.export('trunk')."
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise InputError(
            f"trainer.backbone: {path} cannot be read as a Keras model: {first_line(error)}\n"
            "Expected a model of Keras' own layers only, without Lambda layers: build it of those, and save it again. "
            "docs/user-guide.md, 'A backbone is a program', says why."
        ) from error
    inputs = [(tuple(tensor.shape), str(tensor.dtype)) for tensor in getattr(model, "inputs", None) or []]
    if inputs:
        _check_inputs(path, inputs, image_size)
    return model


def _load_folder(path: str, image_size: tuple[int, int]) -> keras.layers.Layer:
    import keras
    import tensorflow as tf

    try:
        signatures = tf.saved_model.load(path).signatures
    except Exception as error:
        raise InputError(
            f"trainer.backbone: {path} cannot be read as a SavedModel: {first_line(error)}\n"
            "Expected a folder with saved_model.pb and variables/, as model.export('trunk') writes it."
        ) from error
    name = _choose_endpoint(path, list(signatures))
    inputs = list(signatures[name].structured_input_signature[1].values())
    _check_inputs(path, [(tuple(spec.shape), spec.dtype.name) for spec in inputs], image_size)
    outputs = list(signatures[name].structured_outputs)
    if len(outputs) != 1:
        raise InputError(
            f"trainer.backbone: expected one output of endpoint '{name}' of {path}, got {len(outputs)}: "
            f"{', '.join(sorted(outputs))}.\nExport a model that gives the feature maps alone."
        )
    endpoint = keras.layers.TFSMLayer(path, call_endpoint=name, trainable=False, name="saved_model")
    pixels = keras.Input((*image_size, 3), name="pixels")
    answer = endpoint(pixels)
    return keras.Model(pixels, answer[outputs[0]] if isinstance(answer, dict) else answer, name="trunk")


def _choose_endpoint(path: str, names: Sequence[str]) -> str:
    found = [name for name in ENDPOINTS if name in names] or (list(names) if len(names) == 1 else [])
    if not found:
        raise InputError(
            f"trainer.backbone: expected an endpoint {' or '.join(ENDPOINTS)} in {path}, found "
            f"{', '.join(names) or 'none'}.\nExport it with model.export('trunk'), or pass signatures= to "
            "tf.saved_model.save."
        )
    return found[0]


def _check_inputs(path: str, inputs: list[tuple[tuple[int | None, ...], str]], image_size: tuple[int, int]) -> None:
    described = "; ".join(f"{dtype} {_words(shape)}" for shape, dtype in inputs)
    if len(inputs) != 1 or len(inputs[0][0]) != 4 or inputs[0][0][3] not in (None, 3) or inputs[0][1] != "float32":
        raise InputError(
            f"trainer.backbone: expected a model from {WANTED}; {path} takes {described}.\n"
            "Save a model that takes a batch of RGB images."
        )
    batch, height, width, _ = inputs[0][0]
    if batch is not None:
        raise InputError(
            f"trainer.backbone: expected a model for batches of any size; {path} takes {described}.\n"
            "Save it with None as the first side of its input."
        )
    if height not in (None, image_size[0]) or width not in (None, image_size[1]):
        raise InputError(
            f"transform.image_size: the backbone {path} takes {height or 'any'} x {width or 'any'} pixels, got "
            f"{image_size[0]} x {image_size[1]}.\n"
            f"Set transform.image_size: [{height or image_size[0]}, {width or image_size[1]}]."
        )


def _with_fixed_shapes(loaded: Any, path: str, image_size: tuple[int, int]) -> keras.Model:
    """The model itself where its shapes are those wanted, else one around it; tried on two black images."""
    import keras
    import numpy as np

    try:
        answer = loaded(np.zeros([2, *image_size, 3], np.float32), training=False)
    except Exception as error:
        raise InputError(
            f"trainer.backbone: {path} does not run on images of {image_size[0]} x {image_size[1]}: "
            f"{first_line(error)}\nExpected a model from {WANTED}."
        ) from error
    if not hasattr(answer, "shape") or len(answer.shape) not in (2, 4) or answer.shape[0] != 2:
        given = _words(tuple(answer.shape)) if hasattr(answer, "shape") else type(answer).__name__
        raise InputError(
            f"trainer.backbone: expected a model from {WANTED}; {path} gives {given} for two images.\n"
            "Save it up to its last feature map, or up to its pooling."
        )
    shape, dtype = tuple(int(side) for side in answer.shape[1:]), keras.backend.standardize_dtype(answer.dtype)
    is_whole = getattr(loaded, "inputs", None) and (loaded.input_shape, loaded.output_shape) == (
        (None, *image_size, 3),
        (None, *shape),
    )
    if is_whole and dtype == "float32":
        return loaded
    pixels = keras.Input((*image_size, 3), name="pixels")
    outputs = keras.layers.Reshape(shape, dtype="float32", name="features")(loaded(pixels))
    return keras.Model(pixels, outputs, name="trunk")


def _words(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('any' if side is None else str(side) for side in shape)}]"
