"""The one decode-and-resize of the tree, as the `preprocessing_fn` of TFX's Transform.

Training, evaluation and every serving signature run the graph that this function traces, so there is nothing that
could differ between them. It has no analyzer: Transform therefore makes no pass over the data.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from components import features
from components.options import TransformOptions


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Raw features to what the Trainer reads.

    Args:
        inputs: of `features.py`, shape [batch, 1] each: the encoded image and the label index are used.
        custom_config: `options`, a `TransformOptions` as JSON.

    Returns:
        `pixels` float32 [batch, height, width, 3] in 0..255, and `target` int64 [batch].
    """
    options = TransformOptions.from_json(custom_config["options"])
    return {
        features.PIXELS: decode_and_resize(tf.reshape(inputs[features.IMAGE], [-1]), options),
        features.TARGET: tf.reshape(inputs[features.LABEL], [-1]),
    }


def decode_and_resize(encoded: tf.Tensor, options: TransformOptions) -> tf.Tensor:
    """Encoded images of any size to one batch of pixels.

    The first frame of a GIF, the stored orientation (EXIF is not applied), alpha dropped, grey repeated to RGB. The
    aspect ratio is not kept, and there is no anti-aliasing, as in `keras.utils.image_dataset_from_directory`.

    Args:
        encoded: string [batch], JPEG, PNG, GIF or BMP.
        options: the target size and the interpolation.

    Returns:
        float32 [batch, height, width, 3] in 0..255.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs on bytes that are no such image.
    """
    height, width = options.image_size

    def decode_one(image: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
        return tf.cast(tf.image.resize(pixels, (height, width), method=options.resize), tf.float32)

    spec = tf.TensorSpec([height, width, 3], tf.float32)
    pixels = tf.map_fn(decode_one, encoded, fn_output_signature=spec)
    if options.resize == "bicubic":  # it overshoots at edges
        pixels = tf.clip_by_value(pixels, 0.0, 255.0)
    return tf.ensure_shape(pixels, [None, height, width, 3])
