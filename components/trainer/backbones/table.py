"""The table of backbones: to add one, add a row. `build.py` makes them; nothing here needs TensorFlow.

Each row names a constructor of `keras.applications`, the scaling its weights were trained with, and the smallest
input it takes. Scaling turns pixels in 0..255 (RGB, float32) into what the network expects:

- `-1..1`: x / 127.5 - 1 (MobileNet v1 and v2, the Inception family, NASNet, ResNet v2),
- `0..1`: x / 255 (no row; for a model of your own),
- `torch`: x / 255, then ImageNet means and deviations (DenseNet),
- `caffe`: BGR order, ImageNet channel means subtracted, no division (ResNet v1, VGG),
- `inside`: nothing, the network's first layers do it (ConvNeXt, EfficientNet v1 and v2, MobileNetV3).

Source: the `preprocess_input` of each `keras.applications` module, Keras 3.12.

Instead of a row, `trainer.backbone` may name a saved model; `custom.py` reads those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from components.errors import InputError, did_you_mean
from components.files.paths import is_remote

Scaling = Literal["-1..1", "0..1", "torch", "caffe", "inside"]
ScalingOption = Literal["auto", "-1..1", "0..1", "torch", "caffe", "inside"]


@dataclass(frozen=True)
class Backbone:
    """One row.

    Attributes:
        constructor: name in `keras.applications`.
        scaling: what the weights expect of their input, see above.
        width: channels of the last feature map with the default arguments.
        default_size: the side in pixels that the weights were trained with.
        smallest_size: the smallest side that the network takes without its top.
        arguments: constructor arguments that a configuration may set, with their default.
    """

    constructor: str
    scaling: Scaling
    width: int
    default_size: int = 224
    smallest_size: int = 32
    arguments: dict[str, Any] = field(default_factory=dict)


_MOBILE = {"alpha": 1.0, "depth_multiplier": 1}
_MOBILE_V3 = {"alpha": 1.0, "minimalistic": False}

_ROWS = (
    Backbone("ConvNeXtTiny", "inside", 768),
    Backbone("ConvNeXtSmall", "inside", 768),
    Backbone("ConvNeXtBase", "inside", 1024),
    Backbone("ConvNeXtLarge", "inside", 1536),
    Backbone("ConvNeXtXLarge", "inside", 2048),
    Backbone("DenseNet121", "torch", 1024),
    Backbone("DenseNet169", "torch", 1664),
    Backbone("DenseNet201", "torch", 1920),
    Backbone("EfficientNetB0", "inside", 1280),
    Backbone("EfficientNetB1", "inside", 1280, 240),
    Backbone("EfficientNetB2", "inside", 1408, 260),
    Backbone("EfficientNetB3", "inside", 1536, 300),
    Backbone("EfficientNetB4", "inside", 1792, 380),
    Backbone("EfficientNetB5", "inside", 2048, 456),
    Backbone("EfficientNetB6", "inside", 2304, 528),
    Backbone("EfficientNetB7", "inside", 2560, 600),
    Backbone("EfficientNetV2B0", "inside", 1280),
    Backbone("EfficientNetV2B1", "inside", 1280, 240),
    Backbone("EfficientNetV2B2", "inside", 1408, 260),
    Backbone("EfficientNetV2B3", "inside", 1536, 300),
    Backbone("EfficientNetV2S", "inside", 1280, 384),
    Backbone("EfficientNetV2M", "inside", 1280, 480),
    Backbone("EfficientNetV2L", "inside", 1280, 480),
    Backbone("InceptionResNetV2", "-1..1", 1536, 299, smallest_size=75),
    Backbone("InceptionV3", "-1..1", 2048, 299, smallest_size=75),
    Backbone("MobileNet", "-1..1", 1024, arguments=_MOBILE),
    Backbone("MobileNetV2", "-1..1", 1280, arguments={"alpha": 1.0}),
    Backbone("MobileNetV3Large", "inside", 960, arguments=_MOBILE_V3),
    Backbone("MobileNetV3Small", "inside", 576, arguments=_MOBILE_V3),
    Backbone("NASNetLarge", "-1..1", 4032, 331),
    Backbone("NASNetMobile", "-1..1", 1056),
    Backbone("ResNet50", "caffe", 2048),
    Backbone("ResNet101", "caffe", 2048),
    Backbone("ResNet152", "caffe", 2048),
    Backbone("ResNet50V2", "-1..1", 2048),
    Backbone("ResNet101V2", "-1..1", 2048),
    Backbone("ResNet152V2", "-1..1", 2048),
    Backbone("VGG16", "caffe", 512),
    Backbone("VGG19", "caffe", 512),
    Backbone("Xception", "-1..1", 2048, 299, smallest_size=71),
)
BACKBONES: dict[str, Backbone] = {row.constructor: row for row in _ROWS}


def is_saved_model(name: str) -> bool:
    """Whether `trainer.backbone` means a saved model rather than a row: a `.keras` file, or anything with a slash."""
    is_folder = (Path(name) / "saved_model.pb").is_file()
    return name not in BACKBONES and ("/" in name or "\\" in name or name.endswith(".keras") or is_folder)


def find_backbone(name: str) -> Backbone:
    """The row of that name.

    Raises:
        InputError: there is none; the message lists the table.
    """
    if name not in BACKBONES:
        raise InputError(
            f"trainer.backbone: expected one of the table, got '{name}'.{did_you_mean(name, list(BACKBONES))}\n"
            "A model of your own is named by its path: a .keras file or a SavedModel folder, such as ./trunk.keras.\n"
            f"The table: {', '.join(BACKBONES)}."
        )
    return BACKBONES[name]


def check_request(name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> None:
    """Refuses what the backbone cannot take, before anything is imported or read.

    Raises:
        InputError: unknown backbone or argument, no such saved model, or an image smaller than the backbone allows.
    """
    if is_saved_model(name):
        _check_saved(name, arguments)
        return
    row = find_backbone(name)
    if min(image_size) < row.smallest_size:
        raise InputError(
            f"transform.image_size: {name} takes images of at least {row.smallest_size} x {row.smallest_size} pixels, "
            f"got {image_size[0]} x {image_size[1]}.\nUse {row.smallest_size} or more ({row.default_size} is what its "
            "weights were trained with)."
        )
    for argument in arguments:
        if argument not in row.arguments:
            allowed = ", ".join(row.arguments) or "none"
            raise InputError(
                f"trainer.backbone_args: {name} has no argument '{argument}'; allowed: {allowed}."
                f"{did_you_mean(argument, list(row.arguments))}"
            )
        _check_argument(name, argument, row.arguments[argument], arguments[argument])


def check_weights(name: str, weights: str, pin: str | None) -> None:
    """Refuses weights that do not go with a backbone, before anything is imported or read.

    Raises:
        InputError: a saved model with weights of another, or a digest of none.
    """
    if is_saved_model(name):
        if weights != "imagenet":  # the default, which a configuration may leave as it is
            raise InputError(
                f"trainer.weights: the saved model {name} brings its own, got '{weights}'.\nLeave trainer.weights out."
            )
    elif weights == "none" and pin:
        raise InputError("trainer.weights_sha256: weights 'none' have no file to pin.\nLeave it out, or give weights.")


def choose_scaling(name: str, option: ScalingOption) -> Scaling:
    """The scaling of a backbone: what the configuration says; `auto` is the row's, and `inside` for a saved model."""
    if option != "auto":
        return option
    return "inside" if is_saved_model(name) else find_backbone(name).scaling


def _check_saved(path: str, arguments: dict[str, Any]) -> None:
    if not is_remote(path) and not Path(path).exists():
        raise InputError(
            f"trainer.backbone: expected a row of the table, a .keras file or a SavedModel; there is no {path}.\n"
            "Relative paths in a configuration file are meant from its folder, those of --set from where you stand."
        )
    if arguments:
        raise InputError(
            f"trainer.backbone_args: a saved model takes none, got {', '.join(arguments)} for {path}.\nLeave them out: "
            "the model is built already."
        )


def _check_argument(name: str, argument: str, default: Any, value: Any) -> None:
    if isinstance(default, bool):
        fits, expected = isinstance(value, bool), "true or false"
    elif isinstance(default, int):
        fits, expected = isinstance(value, int) and value is not True and value > 0, "a whole number above 0"
    else:
        fits = isinstance(value, (int, float)) and value is not True and value > 0
        expected = "a number above 0"
    if not fits:
        raise InputError(
            f"trainer.backbone_args.{argument}: {name} expects {expected}, got {value!r}; the default is {default!r}."
        )
