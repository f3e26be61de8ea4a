"""Finds the part of an image that the model sees with `transform.crop_to_aspect_ratio`, in pixels and overlays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def crop_window(
    height: Any,
    width: Any,
    size: tuple[int, int],
    smaller: Callable[[Any, Any], Any] = min,
    larger: Callable[[Any, Any], Any] = max,
) -> tuple[Any, Any, Any, Any]:
    """Finds the largest centred window with an aspect ratio, in px, as `smart_resize` of Keras cuts it.

    Whole numbers throughout: in a graph, Keras divides in float32 and may be off by a pixel above 2^24.

    Args:
        height: of the image, in px: an int, or an int64 scalar tensor.
        width: of the image, likewise.
        size: height and width of the target, whose aspect ratio the window has, as far as whole pixels allow.
        smaller: minimum of two of them; of tensors, TensorFlow's.
        larger: maximum, likewise.

    Returns:
        Top, left, height and width in px, of the kind that was given; the window is at least 1 x 1.
    """
    target_height, target_width = size
    window_height = larger(smaller(height, width * target_height // target_width), 1)
    window_width = larger(smaller(width, height * target_width // target_height), 1)
    return (height - window_height) // 2, (width - window_width) // 2, window_height, window_width
