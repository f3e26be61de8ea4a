"""Draws the class activation map of an image as colour over its picture."""

from __future__ import annotations

import io

import numpy as np

from components.images.crop import crop_window
from components.images.orientation import is_transposed, read_orientation, turn

LONGEST_SIDE = 1024  # px of an overlay
# Dark to bright, and readable in grey and by the colour-blind: stops of matplotlib's inferno.
STOPS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float32)
STRONGEST = 0.65  # opacity where the evidence is 1


def colour(activation: np.ndarray) -> np.ndarray:
    """Colours float [h, w] in 0..1: float32 [h, w, 3] in 0..255."""
    places = np.linspace(0.0, 1.0, len(STOPS))
    return np.stack([np.interp(activation, places, STOPS[:, channel]) for channel in range(3)], axis=-1)


def draw_overlay(
    content: bytes,
    activation: np.ndarray,
    crop: tuple[int, int] | None = None,
    upright: bool = True,
    longest: int = LONGEST_SIDE,
) -> np.ndarray:
    """Lays an activation map over its picture: the stronger the evidence, the less of the picture shows through.

    Args:
        content: JPEG, PNG, GIF or BMP that was checked.
        activation: float32 [h, w], 0..1; it covers what the model sees of the picture, stretched to it.
        crop: height and width of the model's images, where it sees only the middle window of their aspect ratio;
            around that the picture stays as it is. None: the model sees all.
        upright: whether the model turns JPEGs by their orientation; else they stay as stored.
        longest: px, of the longer side at most.

    Returns:
        uint8 [height, width, 3], as the model sees it.
    """
    stored, pixels = read_small(content, upright, longest)
    seen = seen_part(stored, pixels.shape[:2], crop)
    pixels[seen] = blend(pixels[seen], activation)
    return pixels


def read_small(content: bytes, upright: bool, longest: int) -> tuple[tuple[int, int], np.ndarray]:
    """Reads a picture at a small size; arguments are as in `draw_overlay`.

    Returns:
        Height and width of the whole picture in px, turned upright; and uint8 [height, width, 3].
    """
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(content)) as opened:
        orientation = read_orientation(content) if upright else 1
        width, height = opened.size[::-1] if is_transposed(orientation) else opened.size
        opened.draft("RGB", (longest, longest))  # JPEGs: decoded at a fraction of their size
        picture = opened.convert("RGB")
    picture.thumbnail((longest, longest))
    return (height, width), np.array(turn(np.asarray(picture), orientation))


def seen_part(stored: tuple[int, int], shown: tuple[int, ...], crop: tuple[int, int] | None) -> tuple[slice, slice]:
    """Finds rows and columns that the model sees of a picture; heights and widths in px.

    Args:
        stored: of the picture in its file, turned upright, where the window is cut.
        shown: of the picture as it is drawn, perhaps smaller; the window is at least 1 x 1 there, too.
        crop: as in `draw_overlay`.
    """
    if crop is None:
        return slice(0, shown[0]), slice(0, shown[1])
    top, left, height, width = crop_window(*stored, crop)
    return _scale(top, height, shown[0] / stored[0]), _scale(left, width, shown[1] / stored[1])


def _scale(start: int, length: int, scale: float) -> slice:
    first = int(start * scale)
    return slice(first, max(first + 1, round((start + length) * scale)))


def blend(pixels: np.ndarray, activation: np.ndarray) -> np.ndarray:
    """Blends uint8 [height, width, 3] with an activation, float [h, w] in 0..1, as colour over all of it."""
    from PIL import Image as Pillow

    size = (pixels.shape[1], pixels.shape[0])
    smooth = Pillow.fromarray(activation.astype(np.float32)).resize(size, Pillow.Resampling.BICUBIC)
    strength = np.clip(np.asarray(smooth), 0.0, 1.0)
    opacity = (STRONGEST * strength)[..., np.newaxis]
    return np.asarray((pixels * (1 - opacity) + colour(strength) * opacity).round(), np.uint8)
