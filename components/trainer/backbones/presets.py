"""Presets of KerasHub: which kinds of networks are known, where a preset lies, and what it says of itself.

A preset is a folder: `config.json` (class and sizes), `model.weights.h5` (or shards of it), and for most an
`image_converter.json`, which says how pixels are scaled. Only KerasHub's own form is read; nothing here imports it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from components.errors import InputError, did_you_mean
from components.files.digests import combine, digest_of
from components.trainer.backbones.family import License

CONFIG, CONVERTER = "config.json", "image_converter.json"
WEIGHTS = "model*.weights.*"  # one file, or shards and what lists them
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's means and deviations
Values = float | tuple[float, ...]
TORCH: tuple[Values, Values] = (
    tuple(1 / (255 * deviation) for deviation in IMAGENET[1]),
    tuple(-mean / deviation for mean, deviation in zip(*IMAGENET, strict=True)),
)
UNSAID = License()
AROUND_ZERO: tuple[Values, Values] = (1 / 127.5, -1.0)  # -1..1


@dataclass(frozen=True)
class Kind:
    """A kind of network of KerasHub: one row.

    Attributes:
        name: of its class, without "Backbone".
        pixels: factor and what is added then, each one number or one a channel, for pixels in 0..255, where a preset
            has no image converter.
        tokens: whether it gives tokens; else feature maps.
        extra: tokens before those of the places: so many, and as many as these entries of its sizes say.
        vector: the layer that sums the image up, where no token does.
        grid: the layer that gives the tokens, where the network's last does not.
        encoder: its part that sees images, where it has others.
        size: the argument that takes height, width and channels; empty: images are as large as the preset says.
        is_square: whether images must be.
        license: of the weights as they were first published; empty: they are from several.
    """

    name: str
    pixels: tuple[Values, Values] = TORCH
    tokens: bool = False
    extra: tuple[int, tuple[str, ...]] = (0, ())
    vector: str = ""
    grid: str = ""
    encoder: str = ""
    size: str = "image_shape"
    is_square: bool = False
    license: License = UNSAID


_KINDS = (
    Kind("CSPNet"),
    Kind("DeiT", tokens=True, extra=(2, ()), size=""),  # the class token, and that of distillation
    Kind("DenseNet"),
    Kind(
        *("DINOV2", TORCH, True, (1, ("num_register_tokens",))),
        is_square=True,
        license=License("apache-2.0", "says Meta, of those of github.com/facebookresearch/dinov2"),
    ),
    Kind(
        *("DINOV3", TORCH, True, (1, ("num_register_tokens",))),
        is_square=True,  # of others KerasHub miscounts the tokens, up to 0.32
        license=License("other", "Meta's DINOv3 License, of those of github.com/facebookresearch/dinov3"),
    ),
    Kind("EfficientNet", size="input_shape"),
    Kind("HGNetV2"),
    Kind("MiT"),
    Kind("MobileNet"),
    Kind("ResNet"),
    Kind(
        *("SigLIP", AROUND_ZERO, True),
        vector="head",
        grid="post_layer_norm",
        encoder="vision_encoder",
        size="",
        is_square=True,
        license=License("apache-2.0", "says Google, of those of github.com/google-research/big_vision"),
    ),
    Kind("VGG"),
    Kind(
        *("ViT", AROUND_ZERO, True, (0, ("use_class_token",))),
        size="",
        license=License("apache-2.0", "says Google, of those of github.com/google-research/vision_transformer"),
    ),
    Kind("Xception", AROUND_ZERO),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}


@dataclass(frozen=True)
class Preset:
    """A preset on this machine.

    Attributes:
        folder: its path.
        kind: of its network.
        sizes: arguments of the network's part that sees images.
    """

    folder: str
    kind: Kind
    sizes: Mapping[str, Any]

    @cached_property
    def side(self) -> tuple[int, int] | None:
        """Height and width in pixels that it takes; None: any, as far as patches fit."""
        shape = self.sizes.get("image_shape")
        return (int(shape[0]), int(shape[1])) if not self.kind.size and shape else None

    @cached_property
    def patch(self) -> tuple[int, int]:
        """Height and width in pixels that become one token."""
        given = self.sizes.get("patch_size", 1)
        sides = given if isinstance(given, (list, tuple)) else (given, given)
        return int(sides[0]), int(sides[1])

    @cached_property
    def extra(self) -> int:
        """Tokens before those of the places."""
        count, entries = self.kind.extra
        return count + sum(int(self.sizes.get(entry, 0)) for entry in entries)

    def check_size(self, image_size: tuple[int, int]) -> None:
        """Refuses images that the network cannot take, or of which it would leave out the edge.

        Raises:
            InputError: names the nearest sizes that it takes.
        """
        got = f"got {image_size[0]} x {image_size[1]}"
        if self.side and self.side != image_size:
            raise InputError(
                f"transform.image_size: the preset {self.folder} takes {self.side[0]} x {self.side[1]} pixels, as many "
                f"as its {self.kind.name} has learned positions for; {got}.\n"
                f"Set transform.image_size: [{self.side[0]}, {self.side[1]}]."
            )
        if self.kind.is_square and image_size[0] != image_size[1]:
            raise InputError(
                f"transform.image_size: {self.kind.name} takes square images, {got}.\n"
                f"Set transform.image_size: {max(image_size)}."
            )
        if (
            self.side is None
            and self.kind.tokens
            and any(side % patch for side, patch in zip(image_size, self.patch, strict=True))
        ):
            raise InputError(
                f"transform.image_size: the preset {self.folder} sees patches of {self.patch[0]} x {self.patch[1]} "
                f"pixels, which must divide the sides; {got}.\nSet transform.image_size: {self._nearest(image_size)}."
            )

    def _nearest(self, image_size: tuple[int, int]) -> str:
        """The next smaller and the next larger size of whole patches, in words."""
        pairs = list(zip(image_size, self.patch, strict=True))
        larger = [-(-side // patch) * patch for side, patch in pairs]
        smaller = [side // patch * patch for side, patch in pairs]
        return " or ".join(str(sides) for sides in (smaller, larger) if min(sides) > 0)


def read_preset(folder: str) -> Preset:
    """Reads what a preset's folder says of its network.

    Raises:
        InputError: it is no preset, one of another form, of a kind without a row, or without weights.
    """
    config = _read_config(folder)
    kind = KINDS.get(str(config.get("class_name", "")).removesuffix("Backbone"))
    if kind is None:
        raise InputError(
            f"trainer.backbone: expected a preset of one of the kinds {', '.join(KINDS)}; {folder} is of "
            f"{config.get('class_name') or 'another library'}.{_advise(config)}"
        )
    if not list(Path(folder).glob(WEIGHTS)):
        raise InputError(
            f"trainer.backbone: the preset {folder} has no weights: expected model.weights.h5 beside {CONFIG}.\n"
            "Copy the whole folder, or write it anew with save_to_preset."
        )
    sizes = config.get("config")
    if not isinstance(sizes, dict) or (kind.encoder and kind.encoder not in sizes):
        raise InputError(
            f"trainer.backbone: {os.path.join(folder, CONFIG)} does not say the sizes of its network.\n"
            "Write the preset anew with save_to_preset."
        )
    return Preset(folder, kind, sizes[kind.encoder]["config"] if kind.encoder else sizes)


def digest_preset(folder: str) -> str:
    """sha256 over the files of a preset that a network is built from: the same for every copy, as hex digits."""
    found = [path for path in (Path(folder, CONFIG), Path(folder, CONVERTER)) if path.is_file()]
    return combine({path.name: digest_of(path) for path in [*found, *Path(folder).glob(WEIGHTS)]})


def _read_config(folder: str) -> dict[str, Any]:
    path = os.path.join(folder, CONFIG)
    if not os.path.isfile(path):
        found = "it has no config.json" if os.path.isdir(folder) else "there is no such folder"
        raise InputError(
            f"trainer.backbone: expected the folder of a KerasHub preset at {folder}: {found}.\n"
            "Write one with backbone.save_to_preset(FOLDER); relative paths in a configuration file are meant from its "
            "folder, those of --set from where you stand."
        )
    try:
        content = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"trainer.backbone: {path} cannot be read as JSON: {error}\nCopy the preset again.") from error
    return content if isinstance(content, dict) else {}


def _advise(config: dict[str, Any]) -> str:
    if "model_type" in config or "architecture" in config:
        return (
            "\nIt is in the form of Transformers or timm: write it in KerasHub's with "
            "keras_hub.models.Backbone.from_preset(FOLDER).save_to_preset(OTHER), and name OTHER."
        )
    known = str(config.get("class_name", "")).removesuffix("Backbone")
    return f"{did_you_mean(known, list(KINDS))}\nAny Keras network can be given as a .keras file instead."
