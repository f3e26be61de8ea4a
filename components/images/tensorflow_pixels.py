"""Pixels of an image as TensorFlow reads them, held against those of Pillow; or a refusal to load TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.contract import features
from components.images.findings import POSTPONED, Rejection
from components.images.pillow import as_mode

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_JPEG_DIFFERENCE = 2.0  # mean over a picture's pixels, 0..255: two libjpegs round differently
COMPARED = 1 << 16  # values at a time
_is_postponed = False


def postpone_tensorflow() -> None:
    """Makes this process inspect without TensorFlow: files that need it are rejected as `POSTPONED`."""
    global _is_postponed
    _is_postponed = True


def refuse_where_postponed() -> None:
    """Raises a Rejection as `POSTPONED` after `postpone_tensorflow`."""
    if _is_postponed:
        raise Rejection(POSTPONED, "TensorFlow is to say what it sees, in another process")


def decode_with_tensorflow(content: bytes) -> np.ndarray | str:
    """Decodes pixels, uint8 [height, width, 3], as the transform graph will; or returns TensorFlow's complaint."""
    refuse_where_postponed()
    import tensorflow as tf

    try:
        with tf.device("/cpu:0"):
            return tf.io.decode_image(content, channels=3, expand_animations=False).numpy()
    except tf.errors.OpError as error:
        return error.message


def agrees_with_pillow(content: bytes, form: str, plain: Image) -> bool:
    """Tells whether TensorFlow sees the pixels that Pillow sees.

    Args:
        content: the file.
        form: its format.
        plain: Pillow's pixels of it, grey or RGB, 8 bits a value.
    """
    if form not in features.FORMATS:
        return False
    seen, pixels = decode_with_tensorflow(content), np.asarray(as_mode(plain, "RGB"))
    if isinstance(seen, str) or seen.shape != pixels.shape:
        return False
    if form == "jpeg":
        rows = zip(seen, pixels, strict=True)
        return float(np.mean([np.abs(a.astype(np.int16) - b).mean() for a, b in rows])) <= MAX_JPEG_DIFFERENCE
    return are_equal(seen, pixels)


def are_equal(seen: np.ndarray, pixels: np.ndarray) -> bool:
    """Tells whether two pictures, uint8 [h, w, 3], are the same; some rows at a time, to save memory."""
    step = max(1, COMPARED // max(1, pixels[:1].size))
    return seen.shape == pixels.shape and all(
        np.array_equal(seen[row : row + step], pixels[row : row + step]) for row in range(0, len(pixels), step)
    )
