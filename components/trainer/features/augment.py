"""Random views of an image, the same ones whenever they are asked for.

A view's random numbers are the sha256 of (seed, image, view number): neither batch, order, replicas nor TensorFlow's
generators change what view k of an image looks like, so its features can be kept like those of the plain image.
Fixed views (`views: N`) are kept under a key each and cost N backbone passes over each image, once. Fresh views cost
one pass an epoch: the view number is then the epoch, and nothing is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf

DRAWS = 8  # 32 bits each: one sha256
WHITE = 255.0


@dataclass(frozen=True)
class FreshViews:
    """Features of which each epoch gets others.

    Attributes:
        plain: of the images themselves, float32 [n, d].
        refresh: from an epoch, counted from 0, to the features of that epoch's views, float32 [n, d].
        facts: what tells these views from others, for checkpoints.
    """

    plain: np.ndarray
    refresh: Callable[[int], np.ndarray]
    facts: str = ""


@dataclass(frozen=True)
class Augmentation:
    """How far a view may be from the image.

    Attributes:
        flip: mirrored left to right with probability 1/2, or also top to bottom.
        rotation: largest angle to either side, degrees.
        zoom: largest share of either side that is cut away (0.2: a crop of at least 0.8 x 0.8, anywhere), 0..1.
        brightness: largest change of all pixels to either side, as a share of white, 0..1.
        contrast: largest change of the distance to the image's mean to either side, as a share, 0..1.
    """

    flip: Literal["none", "horizontal", "both"] = "none"
    rotation: float = 0.0
    zoom: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    @property
    def changes_anything(self) -> bool:
        """Whether a view can differ from its image."""
        return self != Augmentation()


@dataclass(frozen=True)
class View:
    """One view of every image; `number` counts from 1, 0 is the plain image."""

    augmentation: Augmentation
    seed: int
    number: int

    def facts(self) -> dict[str, Any]:
        """Lists the settings of the view, for the key of the store."""
        return {**asdict(self.augmentation), "seed": self.seed, "number": self.number}

    def draws(self, digests: np.ndarray) -> np.ndarray:
        """Draws the random numbers of some images.

        Args:
            digests: S32 [n], raw sha256 of the images.

        Returns:
            float32 [n, 8] in 0..1 (1 excluded).
        """
        prefix = f"{self.seed}/{self.number}/".encode()
        sums = b"".join(hashlib.sha256(prefix + bytes(digest).ljust(32, b"\0")).digest() for digest in digests)
        bits = np.frombuffer(sums, "<u4").reshape(len(digests), DRAWS)
        return (bits >> 8).astype(np.float32) * np.float32(2.0**-24)  # 24 bits: exact in float32, and never 1


def augment_pixels(pixels: tf.Tensor, draws: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Mirrors, turns, crops and recolours each image on its own.

    One bilinear resampling does all of the geometry; outside of the image its edge is reflected.

    Args:
        pixels: float32 [batch, height, width, 3] in 0..255.
        draws: float32 [batch, 8] in 0..1, of `View.draws`.
        augmentation: how far.

    Returns:
        float32 [batch, height, width, 3] in 0..255.
    """
    if augmentation.flip != "none" or augmentation.rotation or augmentation.zoom:
        shape = tf.shape(pixels)
        pixels = tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels,
            transforms=view_transforms(draws, augmentation, shape[1], shape[2]),
            output_shape=shape[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="REFLECT",
        )
    return _recolour(pixels, draws, augmentation)


def view_transforms(draws: tf.Tensor, augmentation: Augmentation, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Computes the maps from places in a view to its image: float32 [batch, 8], projective matrices without the last 1.

    Args:
        draws: float32 [batch, 8] in 0..1.
        augmentation: how far.
        height: of the images, pixels.
        width: of the images, pixels.
    """
    one = tf.ones_like(draws[:, 0])
    mirror_x = tf.where(draws[:, 0] < 0.5, -one, one) if augmentation.flip != "none" else one
    mirror_y = tf.where(draws[:, 1] < 0.5, -one, one) if augmentation.flip == "both" else one
    angle = (draws[:, 2] * 2 - 1) * (augmentation.rotation * np.pi / 180)
    scale = 1 - draws[:, 3] * augmentation.zoom
    middle_x, middle_y = tf.cast(width - 1, tf.float32) / 2, tf.cast(height - 1, tf.float32) / 2
    # A crop of `scale` can lie anywhere in the image: its middle moves by what is cut away, half to either side.
    to_x = middle_x + (draws[:, 4] * 2 - 1) * (1 - scale) * middle_x
    to_y = middle_y + (draws[:, 5] * 2 - 1) * (1 - scale) * middle_y
    a, b = scale * tf.cos(angle) * mirror_x, -scale * tf.sin(angle) * mirror_y
    c, d = scale * tf.sin(angle) * mirror_x, scale * tf.cos(angle) * mirror_y
    shift_x, shift_y = to_x - a * middle_x - b * middle_y, to_y - c * middle_x - d * middle_y
    zero = tf.zeros_like(one)
    return tf.stack([a, b, shift_x, c, d, shift_y, zero, zero], axis=1)


def _recolour(pixels: tf.Tensor, draws: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    if augmentation.contrast:
        factor = 1 + (draws[:, 7] * 2 - 1) * augmentation.contrast
        mean = tf.reduce_mean(pixels, axis=[1, 2, 3], keepdims=True)
        pixels = mean + (pixels - mean) * factor[:, None, None, None]
    if augmentation.brightness:
        pixels += ((draws[:, 6] * 2 - 1) * augmentation.brightness * WHITE)[:, None, None, None]
    if augmentation.contrast or augmentation.brightness:
        pixels = tf.clip_by_value(pixels, 0.0, WHITE)
    return pixels


def describe_cost(images: int, views: int, epochs: int, images_per_second: float = 0.0) -> str:
    """Describes the cost of augmentation in backbone passes and seconds, for the output.

    Args:
        images: in the train split.
        views: fixed views an image; 0: fresh ones each epoch.
        epochs: of the head.
        images_per_second: of the backbone; 0: not known, since everything came from the store.
    """
    passes = images * (views or epochs)
    each = f"{views} kept views" if views else f"fresh views in {epochs} epochs"
    keeps = "once, then from the store" if views else "in every run"
    time = f", about {passes / images_per_second:,.0f} s" if images_per_second else ""
    return f"augmentation: {images:,} images x {each} = {passes:,} backbone passes{time}, {keeps}"
