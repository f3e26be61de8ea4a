"""Pixels of an image as TensorFlow reads them, or a refusal in a process that does without TensorFlow."""

from __future__ import annotations

import numpy as np

from components.images.findings import POSTPONED, Rejection

_is_postponed = False


def postpone_tensorflow() -> None:
    """From now on, this process inspects without TensorFlow: what needs it is rejected as `POSTPONED`, for another."""
    global _is_postponed
    _is_postponed = True


def refuse_where_postponed() -> None:
    """Raises a Rejection as `POSTPONED` after `postpone_tensorflow`."""
    if _is_postponed:
        raise Rejection(POSTPONED, "TensorFlow is to say what it sees, in another process")


def decode_with_tensorflow(content: bytes) -> np.ndarray | str:
    """TensorFlow's pixels, uint8 [height, width, 3], as the transform graph will see them; or what it complains of."""
    refuse_where_postponed()
    import tensorflow as tf

    try:
        with tf.device("/cpu:0"):
            return tf.io.decode_image(content, channels=3, expand_animations=False).numpy()
    except tf.errors.OpError as error:
        return error.message
