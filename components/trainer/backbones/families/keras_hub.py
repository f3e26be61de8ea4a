"""Presets of KerasHub, by name or in a folder: transformers become grids of features, as convolutions give them.

A preset scales its pixels inside, as its image converter says; what it is, `components/trainer/backbones/presets.py`
reads. KerasHub (extra `kerashub`) is imported only where a preset is fetched or built.
"""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import InputError, did_you_mean, first_line
from components.trainer.backbones.family import Backbone, License, PublishedWeights, Scaling
from components.trainer.backbones.presets import CONFIG, CONVERTER, KINDS, WEIGHTS, Preset, digest_preset, read_preset

if TYPE_CHECKING:
    import keras

ROWS: dict[str, Backbone] = {}
LICENSES: dict[str, License] = {}
ARE_PATHS = True
ARE_PROVEN = False
PACKAGES: tuple[str, ...] = ("keras-hub",)
KEEPS_PRECISION = False
SCALES_INSIDE = True

PREFIX = "keras_hub:"
KAGGLE, HUGGING_FACE = "kaggle://", "hf://"

progress = logging.getLogger("graft.progress")


def holds(name: str) -> bool:
    """Whether a name begins with `keras_hub:`."""
    return name.startswith(PREFIX)


def path_in(name: str) -> str:
    """The folder behind the prefix: what has a slash and is no address; empty for a name."""
    preset = name.removeprefix(PREFIX)
    return preset if ("/" in preset or "\\" in preset) and "://" not in preset else ""


def check(name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> None:
    """Refuses a preset without KerasHub, arguments, and a folder that is none or does not fit the images.

    Raises:
        InputError: says what is missing or too much.
    """
    preset = name.removeprefix(PREFIX)
    if arguments:
        raise InputError(
            f"trainer.backbone_args: a preset takes none, got {', '.join(arguments)} for {name}.\n"
            "Leave them out: the preset says what its network is."
        )
    if not preset or ("://" in preset and not preset.startswith((KAGGLE, HUGGING_FACE))):
        raise InputError(
            f"trainer.backbone: expected {PREFIX}NAME, {PREFIX}FOLDER, {PREFIX}{KAGGLE}... or "
            f"{PREFIX}{HUGGING_FACE}..., got '{name}'.\n"
            "Copy a preset that lies elsewhere to this machine, and name its folder."
        )
    if find_spec("keras_hub") is None:
        raise InputError(
            f"trainer.backbone: {name} needs the package keras-hub, which is not installed here.\n"
            "Install it beside Graft: pip install keras-hub (the extra kerashub of Graft's own package)."
        )
    if path_in(name):
        read_preset(path_in(name)).check_size(image_size)


def scaling_of(name: str) -> Scaling:
    """Pixels in 0..255: the network scales them itself."""
    return "inside"


def find_weights(name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> PublishedWeights:
    """Refuses: a preset brings its weights, and KerasHub has its own cache of them.

    Raises:
        InputError: always; says how a preset gets to a machine without internet.
    """
    raise InputError(
        f"trainer.backbone: the preset {name} brings its own weights; there is nothing to fetch.\n"
        "For a machine without internet: on another, "
        "keras_hub.models.Backbone.from_preset(NAME).save_to_preset(FOLDER); "
        f"copy FOLDER, and set trainer.backbone: {PREFIX}FOLDER."
    )


def locate(name: str) -> str:
    """The folder of a preset; one that is named is fetched into the cache of Kaggle or Hugging Face.

    Raises:
        InputError: there is none of that name, or it cannot be fetched.
    """
    if path_in(name):
        return path_in(name)
    preset = name.removeprefix(PREFIX)
    handle = preset if "://" in preset else str(_published(preset)["kaggle_handle"])
    progress.info("looking for the preset %s", preset)
    try:
        return _fetch(handle)
    except Exception as error:
        raise InputError(
            f"trainer.backbone: the preset {preset} could not be had from {handle}: {first_line(error)}\n"
            "On a machine with internet write it into a folder: "
            f"keras_hub.models.Backbone.from_preset('{preset}').save_to_preset(FOLDER);\n"
            f"copy FOLDER here, and set trainer.backbone: {PREFIX}FOLDER (with a slash: ./FOLDER)."
        ) from error


def digest(path: str) -> str:
    """sha256 over the files of the preset that the network is built from."""
    return digest_preset(path)


def describe(name: str) -> dict[str, str]:
    """Where the weights are from: of a preset that KerasHub knows by name with the licence of its first publisher."""
    if path_in(name):
        return {"source": Path(path_in(name)).name}
    preset = name.removeprefix(PREFIX)
    if "://" in preset:
        return {"source": name, "url": _page_of(preset), "license": "", "terms": ""}
    kind = next(kind for kind, presets in _presets().items() if preset in presets)
    is_first = preset.startswith(kind.lower())  # not one that others trained, such as medsiglip_900m_448
    known, url = KINDS[kind].license if is_first else License(), _page_of(str(_published(preset)["kaggle_handle"]))
    return {"source": name, "url": url, "license": known.name, "terms": known.terms}


def build(name: str, image_size: tuple[int, int], arguments: dict[str, Any], weights: str | None) -> keras.Model:
    """The network of a preset.

    Args:
        name: as `trainer.backbone` has it.
        image_size: height and width in pixels.
        arguments: none.
        weights: the folder of the preset, from `locate`.

    Returns:
        A model from pixels float32 [batch, height, width, 3] in 0..255 to maps [batch, h, w, d]; of a transformer with
        its `class_token`, float32 [batch, d].

    Raises:
        InputError: the preset cannot be read, does not take such images, or gives no maps.
    """
    preset = read_preset(weights or locate(name))
    preset.check_size(image_size)
    try:
        return _build(preset, image_size)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"trainer.backbone: the preset {preset.folder} cannot be built for images of {image_size[0]} x "
            f"{image_size[1]} by the KerasHub that is installed: {first_line(error)}\n"
            "Set another transform.image_size, or write the preset anew with this KerasHub (save_to_preset)."
        ) from error


def _build(preset: Preset, image_size: tuple[int, int]) -> keras.Model:
    import keras
    import keras_hub

    from components.trainer.backbones.families.keras_applications import unfold_depthwise
    from components.trainer.backbones.grid import tokens_to_maps  # loads Keras

    kind, shape = preset.kind, (*image_size, 3)
    sized = {kind.size: shape} if kind.size else {}
    backbone = keras_hub.models.Backbone.from_preset(preset.folder, **sized)
    part = getattr(backbone, kind.encoder) if kind.encoder else backbone
    given = getattr(part, kind.grid).output if kind.grid else _last_stage(part.outputs)
    places = image_size[0] // preset.patch[0], image_size[1] // preset.patch[1]
    if kind.vector:  # KerasHub says one token too many of SigLIP's, up to 0.32
        tokens = keras.ops.reshape(given, (-1, places[0] * places[1], given.shape[-1]))
        given = [tokens, getattr(part, kind.vector).output]
    network = keras.Model(part.inputs[0], given, name="preset")
    unfold_depthwise(network)
    pixels = keras.Input(shape, name="pixels")
    whole = keras.Model(pixels, network(_scale(preset, pixels)), name="trunk")
    if not kind.tokens:
        return _checked(whole, preset)
    return tokens_to_maps(whole, image_size, places, preset.extra)


def _scale(preset: Preset, pixels: Any) -> Any:
    """Scales pixels in 0..255 as the preset's image converter does, or as its kind's row says, in float32."""
    import keras
    import keras_hub

    factor, offset = preset.kind.pixels
    if os.path.isfile(os.path.join(preset.folder, CONVERTER)):
        converter = keras_hub.layers.ImageConverter.from_preset(preset.folder)
        factor, offset = (1.0 if converter.scale is None else converter.scale), (converter.offset or 0.0)
    return keras.layers.Rescaling(factor, offset, dtype="float32", name="scaled")(pixels)


def _last_stage(outputs: list[Any]) -> Any:
    """The smallest of several feature maps, of equals the widest: what the last stage gives."""
    return min(outputs, key=lambda maps: (maps.shape[1], -maps.shape[-1]))


def _checked(model: keras.Model, preset: Preset) -> keras.Model:
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:] or 0 in shape[1:]:
        raise InputError(
            f"trainer.backbone: expected feature maps [batch, h, w, d] of {preset.folder}, it gives {shape}.\n"
            "Set a larger transform.image_size."
        )
    return model


def _fetch(handle: str) -> str:
    """Brings the files of a preset into the cache of where it is published, unless they are there; their folder."""
    files = [CONFIG, CONVERTER, WEIGHTS]
    if handle.startswith(HUGGING_FACE):
        import huggingface_hub

        return str(huggingface_hub.snapshot_download(handle.removeprefix(HUGGING_FACE), allow_patterns=files))
    import kagglehub

    return str(kagglehub.model_download(handle.removeprefix(KAGGLE)))


def _presets() -> dict[str, dict[str, Any]]:
    """Presets that KerasHub knows by name, of each kind that it has."""
    import keras_hub

    classes = {kind: getattr(keras_hub.models, f"{kind}Backbone", None) for kind in KINDS}
    return {kind: found.presets for kind, found in classes.items() if found is not None}


def _published(preset: str) -> dict[str, Any]:
    named = {name: facts for presets in _presets().values() for name, facts in presets.items()}
    if preset not in named:
        raise InputError(
            f"trainer.backbone: KerasHub has no preset '{preset}' of a kind that Graft knows."
            f"{did_you_mean(preset, list(named))}\nKinds: {', '.join(_presets())}; their presets are listed at "
            f"keras.io/keras_hub/presets. A folder is named with a slash: {PREFIX}./{preset}."
        )
    return dict(named[preset])


def _page_of(handle: str) -> str:
    if handle.startswith(HUGGING_FACE):
        return f"https://huggingface.co/{handle.removeprefix(HUGGING_FACE)}"
    return f"https://www.kaggle.com/models/{handle.removeprefix(KAGGLE)}"
