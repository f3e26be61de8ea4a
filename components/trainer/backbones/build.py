"""From the name of a backbone to a frozen network with its weights, through the family that holds the name."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Literal

import keras
import tensorflow as tf

from components.files.digests import digest_of
from components.options.trainer import Pooling
from components.trainer.backbones.downloads import cache_folder, check_pin, fetch_published
from components.trainer.backbones.family import Scaling, ScalingOption
from components.trainer.backbones.grid import shape_of, take_class_token
from components.trainer.backbones.table import check_request, check_weights, choose_scaling, find_bringer, find_family
from components.trainer.backbones.weights import IMAGENET_DEVIATIONS_RGB, check_weights_file

IMAGENET_MEANS_BGR = (103.939, 116.779, 123.68)
IMAGENET_MEANS_RGB = (0.485, 0.456, 0.406)


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights of a backbone come from.

    Attributes:
        path: a weights file, the saved model itself, or the folder of a preset; None: Keras' initial values.
        sha256: of that file; of a folder over its files; None where there is none.
    """

    path: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class BuiltBackbone:
    """A frozen backbone, ready to be folded.

    Attributes:
        model: from scaled pixels float32 [batch, height, width, 3] to `shape`; no layer is trainable.
        scaling: what `scale_pixels` must do to pixels in 0..255 first.
        digest: 64 hex digits over its variables; for a saved model over its files.
        shape: of its output without the batch: (h, w, d) for feature maps, (d,) for vectors.
        weights_file: the file that the weights came from; None where there is none.
        weights_sha256: of that file; of a folder over its files; None where there is none.
    """

    model: keras.Model
    scaling: Scaling
    digest: str
    shape: tuple[int, ...]
    weights_file: str | None = None
    weights_sha256: str | None = None

    @property
    def output(self) -> Literal["maps", "vector"]:
        """Whether its output still has places (to be pooled) or is one vector an image."""
        return "maps" if len(self.shape) == 3 else "vector"

    @property
    def width(self) -> int:
        """Channels of its output."""
        return self.shape[-1]


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
    if scaling == "0..1":
        return pixels / 255.0
    if scaling == "torch":
        return (pixels / 255.0 - tf.constant(IMAGENET_MEANS_RGB)) / tf.constant(IMAGENET_DEVIATIONS_RGB)
    if scaling == "caffe":
        return tf.reverse(pixels, axis=[-1]) - tf.constant(IMAGENET_MEANS_BGR)
    return pixels


def make_backbone(
    name: str,
    image_size: tuple[int, int],
    arguments: dict[str, Any],
    weights: str,
    scaling: ScalingOption = "auto",
    weights_sha256: str | None = None,
    pooling: Pooling = "avg",
) -> BuiltBackbone:
    """Builds the frozen backbone without its top, with its weights.

    Args:
        name: as `trainer.backbone` has it.
        image_size: height and width in pixels.
        arguments: further constructor arguments, such as `{"alpha": 0.35}`; none for a saved model.
        weights: `imagenet`, `none`, or a `.h5`, `.weights.h5` or `.keras` file; a saved model brings its own.
        scaling: of the pixels; `auto`: the row's, and `inside` for a saved model.
        weights_sha256: what the weights file (or the saved model) must have; None: anything.
        pooling: `cls` and `cls+avg` take the class token, see `take_class_token`.

    Raises:
        InputError: the weights cannot be fetched or read, do not fit, or are not those that were pinned.
    """
    source = find_source(name, image_size, arguments, weights, weights_sha256)
    return build_from(source, name, image_size, arguments, scaling, pooling)


def find_source(
    name: str, image_size: tuple[int, int], arguments: dict[str, Any], weights: str, pin: str | None = None
) -> WeightsSource:
    """Finds the file that a backbone starts from, and fetches it where it must be; no network is built.

    Args:
        name: as in `make_backbone`, as are the others.
        image_size: height and width in pixels.
        arguments: of the constructor.
        weights: `imagenet`, `none` or a file.
        pin: the sha256 that the file must have; None: any.

    Raises:
        InputError: the request is not possible, the file cannot be had, or it is not the one that was pinned.
    """
    check_request(name, image_size, arguments)
    check_weights(name, weights, pin)
    if own := find_bringer(name):
        place = own.locate(name)
        source = WeightsSource(place, own.digest(place))
    elif weights == "none":
        return WeightsSource()
    else:
        file = _weights_file(name, image_size, arguments, weights)
        source = WeightsSource(file, digest_of(file))
    check_pin(str(source.path), str(source.sha256), pin)
    return source


def build_from(
    source: WeightsSource,
    name: str,
    image_size: tuple[int, int],
    arguments: dict[str, Any],
    scaling: ScalingOption,
    pooling: Pooling = "avg",
) -> BuiltBackbone:
    """Builds the frozen network with the weights of a source, see `make_backbone`.

    Raises:
        InputError: the weights cannot be read, or do not fit; or there is no class token to pool.
    """
    family = find_family(name)
    model = take_class_token(family.build(name, image_size, arguments, source.path), name, pooling)
    model.trainable = False
    digest = str(source.sha256) if family.ARE_PATHS else digest_weights(model)
    chosen = choose_scaling(name, scaling)
    return BuiltBackbone(model, chosen, digest, shape_of(model), source.path, source.sha256)


def digest_weights(model: keras.Model) -> str:
    """sha256 over the names, shapes and values of a model's variables, in the order of its layers.

    Counters that Keras puts behind names (`variable_18`) depend on what the process built before, and are left out.
    """
    digest = hashlib.sha256()
    for variable in model.weights:
        value = variable.numpy()
        name = re.sub(r"_\d+(?=/|$)", "", variable.path.split("/", 1)[-1])
        digest.update(f"{name}{value.shape}{value.dtype}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _weights_file(name: str, image_size: tuple[int, int], arguments: dict[str, Any], weights: str) -> str:
    if weights == "imagenet":
        return str(fetch_published(find_family(name).find_weights(name, image_size, arguments), cache_folder()))
    check_weights_file(weights)
    return weights
