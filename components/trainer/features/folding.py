"""From pixels to features: views of an image through a frozen backbone that is folded to constants, then pooled.

The views of an image become one by the mean of their feature maps, each laid where its part of the image is.

Ten of them are the ten crops of Krizhevsky et al. (2012, "ImageNet Classification with Deep Convolutional Neural
Networks", section 4.1), with the whole image in place of the middle crop. Here features are averaged, not answers, so
that the head learns from what it will be given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from components.options.trainer import Pooling
from components.trainer.backbones.build import scale_pixels
from components.trainer.backbones.table import Scaling

CROP = 0.8  # of a side; chosen by cross-validation, docs/decisions.md


@dataclass(frozen=True)
class Window:
    """A part of an image, in shares of its sides, maybe mirrored left to right."""

    top: float = 0.0
    left: float = 0.0
    side: float = 1.0
    mirrored: bool = False


def windows(views: int) -> list[Window]:
    """Lists the windows of a number of views: the image; its mirror image; the crops of its four corners and theirs.

    Raises:
        ValueError: another number.
    """
    rest = 1.0 - CROP
    corners = [Window(top, left, CROP) for top in (0.0, rest) for left in (0.0, rest)]
    plain = {1: [Window()], 2: [Window()], 10: [Window(), *corners]}
    if views not in plain:
        raise ValueError(f"expected 1, 2 or 10 views, got {views}")
    mirrored = [Window(part.top, part.left, part.side, mirrored=True) for part in plain[views]]
    return plain[views] + (mirrored if views > 1 else [])


def cut(pixels: tf.Tensor, window: Window) -> tf.Tensor:
    """Cuts a window out of each image, resized to the image: float32 [batch, height, width, 3], bilinear."""
    height, width = (int(side) for side in pixels.shape[1:3])
    rows, columns = max(1, round(height * window.side)), max(1, round(width * window.side))
    top, left = round(height * window.top), round(width * window.left)
    part = pixels
    if window.side < 1.0:
        top, left = min(top, height - rows), min(left, width - columns)
        part = tf.image.resize(pixels[:, top : top + rows, left : left + columns], (height, width))
    return tf.reverse(part, [2]) if window.mirrored else part


def spread(places: int, start: float, side: float) -> np.ndarray:
    """Computes how a row of places in a window lies on the row of the whole image: float32 [places, places].

    Column j says which share of the window's place j falls on each place of the image; it sums to 1, so that sums and
    means over places stay what they are.

    Args:
        places: along one side.
        start: of the window, a share of the side.
        side: of the window, a share of the side.
    """
    edges = np.arange(places + 1)
    begins = start * places + side * edges[:-1]
    over = np.minimum(edges[1:, None], begins + side) - np.maximum(edges[:-1, None], begins)
    shares = np.clip(over, 0.0, None) / side
    return (shares / shares.sum(axis=0)).astype(np.float32)


def lay(maps: tf.Tensor, window: Window) -> tf.Tensor:
    """Lays a window's feature maps [batch, h, w, d] on the places of the whole image; vectors [batch, d] stay."""
    if len(maps.shape) == 2:
        return maps
    if window.mirrored:
        maps = tf.reverse(maps, [2])
    if window.side == 1.0:
        return maps
    height, width = (int(side) for side in maps.shape[1:3])
    down, across = spread(height, window.top, window.side), spread(width, window.left, window.side)
    return tf.einsum("yi,bijd,xj->byxd", down, maps, across)


def average_views(
    call: Callable[[tf.Tensor], tf.Tensor],
    pixels: tf.Tensor,
    views: int,
    shape: tuple[int, ...],
    at_once: bool = False,
) -> tf.Tensor:
    """Averages the backbone's outputs over some views of each image.

    Args:
        call: float32 [batch, height, width, 3] to [batch, *shape].
        pixels: float32 [batch, height, width, 3] in 0..255.
        views: of `windows`.
        shape: (h, w, d) of feature maps, (d,) of vectors.
        at_once: all views in one batch, instead of one after the other in a loop, which keeps memory that of one view.

    Returns:
        float32 [batch, *shape]: the mean over its places is that over the places of all views.
    """
    if views == 1:
        return tf.cast(call(pixels), tf.float32)
    parts = windows(views)
    cuts = [cut(pixels, window) for window in parts]
    if at_once:
        found = tf.split(tf.cast(call(tf.concat(cuts, axis=0)), tf.float32), views)
    else:
        spec = tf.TensorSpec([None, *shape], tf.float32)
        one = lambda view: tf.cast(call(view), tf.float32)  # noqa: E731
        found = tf.unstack(tf.map_fn(one, tf.stack(cuts), fn_output_signature=spec, parallel_iterations=1))
    return tf.add_n([lay(maps, window) for maps, window in zip(found, parts, strict=True)]) / float(views)


def pool(maps: tf.Tensor, pooling: Pooling = "avg") -> tf.Tensor:
    """Pools feature maps over all their places (Lin et al., 2013, arXiv:1312.4400).

    Args:
        maps: float [batch, h, w, d]; vectors [batch, d] are passed through, there is nothing to pool.
        pooling: the mean, the largest, or both, one after the other; `cls+avg` is the mean of maps that hold the class
            token beside the places (`grid.take_class_token`).

    Returns:
        [batch, d], or [batch, 2 d] for `both`.
    """
    if len(maps.shape) == 2:
        return maps
    mean, largest = tf.reduce_mean, tf.reduce_max
    rows = {"avg": [mean], "cls+avg": [mean], "max": [largest], "both": [mean, largest]}[pooling]
    return tf.concat([reduce(maps, axis=[1, 2]) for reduce in rows], axis=-1)


@dataclass(frozen=True)
class Folded:
    """A backbone without variables: pixels float32 [batch, height, width, 3] in 0..255 to float32 [batch, width]."""

    function: Callable[[tf.Tensor], list[tf.Tensor]]
    width: int

    def __call__(self, pixels: tf.Tensor) -> tf.Tensor:
        """Scales, runs the backbone and pools."""
        return self.function(pixels)[0]

    def ready(self) -> Folded:
        """Gives itself: it is folded already, unlike a `LazyBackbone`."""
        return self

    def frozen(self) -> FrozenGraph:
        """Serializes the graph with its constants, for `load_folded` in another process."""
        function: Any = self.function  # a ConcreteFunction, of `fold_backbone` or `load_folded`
        ends = function.inputs[0].name, function.outputs[0].name
        return FrozenGraph(function.graph.as_graph_def().SerializeToString(), *ends)


class FrozenGraph(NamedTuple):
    """A folded backbone as bytes.

    Attributes:
        content: a serialized GraphDef.
        pixels: name of the tensor that it takes.
        features: name of the tensor that it gives.
    """

    content: bytes
    pixels: str
    features: str


def load_folded(graph: FrozenGraph, width: int) -> Folded:
    """Loads what `Folded.frozen` serialized; it computes the same values, bit for bit, on the same processor.

    Args:
        graph: of `Folded.frozen`.
        width: values a feature.
    """
    definition = tf.compat.v1.GraphDef.FromString(graph.content)
    imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
    return Folded(imported.prune([graph.pixels], [graph.features]), width)


@dataclass(frozen=True)
class LazyBackbone:
    """A folded backbone that is made when the first image needs it: where all features are kept, it never is."""

    width: int
    make: Callable[[], Folded]

    @cached_property
    def _made(self) -> Folded:
        return self.make()

    def ready(self) -> Folded:
        """Gives the folded backbone; the first call folds it."""
        return self._made


def fold_backbone(backbone: keras.Model, scaling: Scaling, pooling: Pooling = "avg", views: int = 1) -> Folded:
    """Freezes a backbone literally: its variables become constants of the graph.

    TensorFlow can then fuse batch normalisation into the convolutions, which is 1.3 to 1.7 times faster on a CPU.
    Feature maps in half precision are pooled in float32. `views` of each image are averaged.
    """

    # Without AutoGraph, which takes a quarter of a second and leaves what Keras calls as it is.
    @tf.function(input_signature=[tf.TensorSpec([None, *backbone.input_shape[1:]], tf.float32)], autograph=False)
    def forward(pixels: tf.Tensor) -> tf.Tensor:
        call = lambda view: backbone(scale_pixels(view, scaling), training=False)  # noqa: E731
        return pool(average_views(call, pixels, views, backbone.output_shape[1:]), pooling)

    folded = convert_variables_to_constants_v2(forward.get_concrete_function())
    return Folded(folded, int(folded.structured_outputs[0].shape[-1]))
