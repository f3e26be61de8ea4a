"""The kind that a family of backbones is: the names that each module in `families/` defines, and what rows have.

Scaling turns pixels in 0..255 (RGB, float32) into what a network expects:

- `-1..1`: x / 127.5 - 1,
- `0..1`: x / 255,
- `torch`: x / 255, then ImageNet means and deviations,
- `caffe`: BGR order, ImageNet channel means subtracted, no division,
- `inside`: nothing, the network's first layers do it.

A family's module is imported where a configuration is checked, so TensorFlow and Keras are imported inside of its
functions only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from components.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import keras

Scaling = Literal["-1..1", "0..1", "torch", "caffe", "inside"]
ScalingOption = Literal["auto", "-1..1", "0..1", "torch", "caffe", "inside"]


@dataclass(frozen=True)
class PublishedWeights:
    """A weights file that somebody publishes.

    Attributes:
        name: its name in the cache.
        url: where it is.
        digest: what the publisher says of its content, md5 (32 hex digits) or sha256 (64); empty: nothing.
        package: the distribution that brings the file, wherever it lies in there; it is never downloaded then. Empty:
            none does.
    """

    name: str
    url: str
    digest: str
    package: str = ""


@dataclass(frozen=True)
class License:
    """The licence of weights that somebody publishes.

    Attributes:
        name: as the Hugging Face Hub calls it; empty: the publisher says nothing.
        terms: who says so, and of which weights; empty where nobody does.
    """

    name: str = ""
    terms: str = ""


@dataclass(frozen=True)
class Backbone:
    """A network that a family offers by name: one row.

    Attributes:
        name: as `trainer.backbone` has it.
        scaling: what its weights expect of their input, see above.
        width: channels of its output with the default arguments.
        url: of its ImageNet weights; `{variant}` and `{side}` stand for what `variants` and `sides` say.
        digest: of that file, as in `PublishedWeights`; that of a variant stands in `variants`.
        default_size: the side in pixels that the weights were trained with.
        smallest_size: the smallest side that the network takes without its top.
        arguments: constructor arguments that a configuration may set, with their default.
        variants: values of the arguments that have weights: how they stand in the URL, and the digest of the file.
        sides: sides of square images that have weights of their own; others take those of `default_size`.
        cached_as: name of the file in the cache, where it is not the URL's.
    """

    name: str
    scaling: Scaling
    width: int
    url: str = ""
    digest: str = ""
    default_size: int = 224
    smallest_size: int = 32
    arguments: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[tuple[Any, ...], tuple[str, str]] = field(default_factory=dict)
    sides: tuple[int, ...] = ()
    cached_as: str = ""


class Family(Protocol):
    """What each module of a family defines.

    Attributes:
        ROWS: its networks by name; empty for a family of paths.
        LICENSES: of the weights that `find_weights` names, by the network's name; those of which nobody says it are
            left out.
        ARE_PATHS: whether its names are paths or presets that bring their own weights: it is a `Bringer`, too.
        ARE_PROVEN: whether tests export each of its networks, so that no run needs to try it.
        PACKAGES: distributions beside Keras and TensorFlow whose version decides what its networks compute.
    """

    ROWS: dict[str, Backbone]
    LICENSES: dict[str, License]
    ARE_PATHS: bool
    ARE_PROVEN: bool
    PACKAGES: tuple[str, ...]

    def holds(self, name: str) -> bool:
        """Whether a value of `trainer.backbone` is for this family."""

    def check(self, name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> None:
        """Refuses a request that the family cannot serve, before TensorFlow is imported.

        Raises:
            InputError: says what is asked for, what there is, and the fix.
        """

    def scaling_of(self, name: str) -> Scaling:
        """What the network expects of its pixels, unless the configuration says otherwise."""

    def find_weights(self, name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> PublishedWeights:
        """The file behind `trainer.weights: imagenet`.

        Raises:
            InputError: there is none for these arguments.
        """

    def build(
        self, name: str, image_size: tuple[int, int], arguments: dict[str, Any], weights: str | None
    ) -> keras.Model:
        """The network without its top, with the weights of a file; None: initial values.

        Returns:
            A model from scaled pixels float32 [batch, height, width, 3] to feature maps [batch, h, w, d] or vectors
            [batch, d]. Tokens become maps by `grid.tokens_to_maps`.

        Raises:
            InputError: the file cannot be read, or does not fit.
        """


class Bringer(Family, Protocol):
    """What a family defines besides whose names bring their own weights.

    Attributes:
        KEEPS_PRECISION: whether its networks compute as they were saved, whatever policy they are built under.
        SCALES_INSIDE: whether its networks scale pixels themselves, so that no configuration may say otherwise.
    """

    KEEPS_PRECISION: bool
    SCALES_INSIDE: bool

    def path_in(self, name: str) -> str:
        """The path that a name holds, at its end; empty where it holds none."""

    def locate(self, name: str) -> str:
        """The file or folder behind a name, fetched where it must be.

        Raises:
            InputError: it cannot be had.
        """

    def digest(self, path: str) -> str:
        """sha256 of what `locate` found, as hex digits."""

    def describe(self, name: str) -> dict[str, str]:
        """What is known of where the weights are from, as `table.describe_weights` gives it."""


def check_row(row: Backbone, image_size: tuple[int, int], arguments: dict[str, Any]) -> None:
    """Refuses images that are too small for a row, and arguments that it has not.

    Raises:
        InputError: names what is allowed.
    """
    if min(image_size) < row.smallest_size:
        raise InputError(
            f"transform.image_size: {row.name} takes images of at least {row.smallest_size} x {row.smallest_size} "
            f"pixels, got {image_size[0]} x {image_size[1]}.\nUse {row.smallest_size} or more ({row.default_size} is "
            "what its weights were trained with)."
        )
    for argument, value in arguments.items():
        if argument not in row.arguments:
            allowed = ", ".join(row.arguments) or "none"
            raise InputError(
                f"trainer.backbone_args: {row.name} has no argument '{argument}'; allowed: {allowed}."
                f"{did_you_mean(argument, list(row.arguments))}"
            )
        _check_argument(row.name, argument, row.arguments[argument], value)


def weights_of_row(
    row: Backbone, publisher: str, image_size: tuple[int, int], arguments: dict[str, Any]
) -> PublishedWeights:
    """The published file that fits a row with these arguments and images of this size.

    Raises:
        InputError: there is none; names the arguments that have weights.
    """
    variant, digest = "", row.digest
    if row.variants:
        asked = tuple({**row.arguments, **arguments}[name] for name in row.arguments)
        if asked not in row.variants:
            has = "; ".join(
                ", ".join(f"{k} {v}" for k, v in zip(row.arguments, key, strict=True)) for key in row.variants
            )
            raise InputError(
                f"trainer.backbone_args: {publisher} publishes no ImageNet weights of {row.name} with {arguments}: it "
                f"has those of {has}.\nUse other arguments, or name a file: trainer.weights."
            )
        variant, digest = row.variants[asked]
    side = image_size[0] if image_size[0] == image_size[1] and image_size[0] in row.sides else row.default_size
    url = row.url.format(variant=variant, side=side)
    return PublishedWeights(row.cached_as or url.rpartition("/")[2], url, digest)


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
