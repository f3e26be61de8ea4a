"""The table of backbones: to add one, add a row. `build.py` makes them; nothing here needs TensorFlow.

Each row names a constructor of `keras.applications`, the scaling its weights were trained with, and the smallest
input it takes. Scaling turns pixels in 0..255 (RGB, float32) into what the network expects:

- `-1..1`: x / 127.5 - 1 (the MobileNet and Inception families, ResNet v2),
- `torch`: x / 255, then ImageNet means and deviations (DenseNet),
- `caffe`: BGR order, ImageNet channel means subtracted, no division (ResNet v1, VGG),
- `inside`: nothing, the network's first layers do it (EfficientNet, ConvNeXt, MobileNetV3, RegNet).

Source: the `preprocess_input` of each `keras.applications` module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from components.errors import InputError, did_you_mean

Scaling = Literal["-1..1", "torch", "caffe", "inside"]


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


BACKBONES: dict[str, Backbone] = {
    "MobileNet": Backbone("MobileNet", "-1..1", 1024, arguments={"alpha": 1.0}),
    "MobileNetV2": Backbone("MobileNetV2", "-1..1", 1280, arguments={"alpha": 1.0}),
    "MobileNetV3Small": Backbone("MobileNetV3Small", "inside", 576, arguments={"alpha": 1.0, "minimalistic": False}),
    "MobileNetV3Large": Backbone("MobileNetV3Large", "inside", 960, arguments={"alpha": 1.0, "minimalistic": False}),
    "ResNet50": Backbone("ResNet50", "caffe", 2048),
    "ResNet50V2": Backbone("ResNet50V2", "-1..1", 2048),
    "VGG16": Backbone("VGG16", "caffe", 512),
    "DenseNet121": Backbone("DenseNet121", "torch", 1024),
    "InceptionV3": Backbone("InceptionV3", "-1..1", 2048, default_size=299, smallest_size=75),
    "Xception": Backbone("Xception", "-1..1", 2048, default_size=299, smallest_size=71),
    "EfficientNetB0": Backbone("EfficientNetB0", "inside", 1280),
    "EfficientNetV2B0": Backbone("EfficientNetV2B0", "inside", 1280),
    "ConvNeXtTiny": Backbone("ConvNeXtTiny", "inside", 768),
}


def find_backbone(name: str) -> Backbone:
    """The row of that name.

    Raises:
        InputError: there is none; the message lists the table.
    """
    if name not in BACKBONES:
        raise InputError(
            f"trainer.backbone: expected one of the table, got '{name}'.{did_you_mean(name, list(BACKBONES))}\n"
            f"The table: {', '.join(BACKBONES)}."
        )
    return BACKBONES[name]


def check_request(name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> None:
    """Refuses what the backbone cannot take, before anything is imported or read.

    Raises:
        InputError: unknown backbone or argument, or an image smaller than the backbone allows.
    """
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


def _check_argument(name: str, argument: str, default: Any, value: Any) -> None:
    is_flag = isinstance(default, bool)
    fits = isinstance(value, bool) if is_flag else isinstance(value, (int, float)) and value is not True and value > 0
    if not fits:
        expected = "true or false" if is_flag else "a number above 0"
        raise InputError(
            f"trainer.backbone_args.{argument}: {name} expects {expected}, got {value!r}; the default is {default!r}."
        )
