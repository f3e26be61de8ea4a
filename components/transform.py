"""The one decode-and-resize of the tree, as the `preprocessing_fn` of TFX's Transform.

Training, evaluation and every serving signature run the graph that this function traces, so there is nothing that
could differ between them. It has no analyzer: Transform therefore makes no pass over the data.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from components.contract import features
from components.images.crop import crop_window
from components.images.orientation import orientations_of, turn_tensor
from components.options.data import TransformOptions


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Turns raw features into what the Trainer reads.

    Args:
        inputs: of `features.py`, shape [batch, 1] each: the encoded image and the label index are used.
        custom_config: `options`, a `TransformOptions` as JSON; and `orientation`, as `data.orientation` has it.

    Returns:
        `pixels` float32 [batch, height, width, 3] in 0..255, and `target` int64 [batch].
    """
    options = TransformOptions.from_json(custom_config["options"])
    upright = custom_config.get("orientation", "apply") == "apply"
    return {
        features.PIXELS: decode_and_resize(tf.reshape(inputs[features.IMAGE], [-1]), options, upright),
        features.TARGET: tf.reshape(inputs[features.LABEL], [-1]),
    }


def decode_and_resize(encoded: tf.Tensor, options: TransformOptions, upright: bool = True) -> tf.Tensor:
    """Decodes and resizes images of any size to one batch of pixels.

    The first frame of a GIF, JPEGs turned by their EXIF orientation, alpha dropped, grey repeated to RGB. As in
    `keras.utils.image_dataset_from_directory`, there is no anti-aliasing, and the image is stretched to the target
    size, or, with `crop_to_aspect_ratio`, its middle is.

    Args:
        encoded: string [batch], JPEG, PNG, GIF or BMP.
        options: the target size, the interpolation, and whether to crop before.
        upright: whether JPEGs are turned; else they stay as stored.

    Returns:
        float32 [batch, height, width, 3] in 0..255.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs on bytes that are no such image.
    """
    height, width = options.image_size

    def decode_one(image_and_orientation: tuple[tf.Tensor, ...]) -> tf.Tensor:
        image, *orientation = image_and_orientation
        pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
        if orientation:
            pixels = turn_tensor(pixels, orientation[0])
        if options.crop_to_aspect_ratio:
            pixels = crop_middle(pixels, options.image_size)
        return tf.cast(tf.image.resize(pixels, (height, width), method=options.resize), tf.float32)

    spec = tf.TensorSpec([height, width, 3], tf.float32)
    images = (encoded, orientations_of(encoded)) if upright else (encoded,)
    pixels = tf.map_fn(decode_one, images, fn_output_signature=spec)
    if options.resize == "bicubic":  # it overshoots at edges
        pixels = tf.clip_by_value(pixels, 0.0, 255.0)
    return tf.ensure_shape(pixels, [None, height, width, 3])


def crop_middle(pixels: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Cuts out the largest centred window with the aspect ratio of a size.

    Args:
        pixels: [h, w, 3] of any size and type.
        size: height and width of the target.

    Returns:
        [h', w', 3] of the same type, `h'` <= `h`, `w'` <= `w`.
    """
    shape = tf.shape(pixels, out_type=tf.int64)
    top, left, height, width = crop_window(shape[0], shape[1], size, tf.minimum, tf.maximum)
    return pixels[top : top + height, left : left + width]
