"""Is this file an image that TensorFlow decodes to the right pixels? Pure functions over bytes.

The format is told by the content, never by the file's suffix. A file that is no whole image is rejected with one
reason of `REASONS`; its source is never touched.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import PurePath

from components import features
from components.example_gen.sources import IMAGE_SUFFIXES

EMPTY = "empty"
TRUNCATED = "truncated"
UNDECODABLE = "undecodable"
NOT_AN_IMAGE = "not_an_image"
UNSUPPORTED_FORMAT = "unsupported_format"
TOO_LARGE = "too_large"
UNREADABLE = "unreadable"

REASONS = {
    EMPTY: "the file has no bytes",
    TRUNCATED: "the image ends before its last row",
    UNDECODABLE: "the format is known, the content is broken",
    NOT_AN_IMAGE: "the suffix says image, the content does not",
    UNSUPPORTED_FORMAT: "an image, of a format that TensorFlow does not decode",
    TOO_LARGE: "more pixels than data.max_pixels",
    UNREADABLE: "the file could not be read",
}

SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
)
OTHER_SIGNATURES = ((b"II*\0", "tiff"), (b"MM\0*", "tiff"))
HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}  # what phones write


@dataclass(frozen=True)
class Image:
    """A usable image: format (of `features.FORMATS`), size in pixels and channels, as stored."""

    format: str
    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class Rejected:
    """Why a file is no usable image: a key of `REASONS`, and a detail for the reader."""

    reason: str
    detail: str


def sniff_format(content: bytes) -> str | None:
    """The image format by the first bytes, None if it is no known one."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS:
        return "heif"
    return next((name for magic, name in SIGNATURES + OTHER_SIGNATURES if content.startswith(magic)), None)


def is_ignorable(name: str, content: bytes) -> bool:
    """Whether a file is a side-car: neither its suffix nor its content claims to be an image."""
    return sniff_format(content) is None and PurePath(name).suffix.lower() not in IMAGE_SUFFIXES


def inspect_image(content: bytes, max_pixels: int) -> Image | Rejected:
    """Decodes an image once, to know that it is whole.

    Args:
        content: the file.
        max_pixels: limit on height x width, checked from the header before anything is decoded.
    """
    if not content:
        return Rejected(EMPTY, "0 bytes")
    found = sniff_format(content)
    if found is None:
        return Rejected(NOT_AN_IMAGE, f"starts with {content[:8]!r}")
    if found not in features.FORMATS:
        return Rejected(UNSUPPORTED_FORMAT, found)
    return _decode(content, found, max_pixels)


def _decode(content: bytes, found: str, max_pixels: int) -> Image | Rejected:
    """Pillow tells a truncated image from a broken one; TensorFlow, which must decode it later, has the last word."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        picture = Pillow.open(io.BytesIO(content), formats=[found.upper()])
        width, height = picture.size
        if width * height > max_pixels:
            return Rejected(TOO_LARGE, f"{width} x {height} pixels, limit {max_pixels:,}")
        channels, mode = len(picture.getbands()), picture.mode
        if found == "jpeg":
            picture.draft("L", (max(1, width // 8), max(1, height // 8)))  # entropy decoding only: 4 times faster
        picture.load()
    except Pillow.DecompressionBombError as error:
        return Rejected(TOO_LARGE, _one_line(error))
    except (UnidentifiedImageError, SyntaxError, ValueError) as error:
        return Rejected(UNDECODABLE, _one_line(error))
    except OSError as error:
        cut = "truncat" in str(error) or "not enough" in str(error)
        return Rejected(TRUNCATED if cut else UNDECODABLE, _one_line(error))
    except Exception as error:  # noqa: BLE001  a decoder may raise anything on broken bytes; none may end a run
        return Rejected(UNDECODABLE, f"{type(error).__name__}: {_one_line(error)}")
    if found == "bmp" and mode == "P":
        return Rejected(UNSUPPORTED_FORMAT, "BMP with a palette: TensorFlow takes its indices for greys")
    problem = _tensorflow_problem(content)
    return Rejected(UNDECODABLE, problem) if problem else Image(found, height, width, channels)


def _tensorflow_problem(content: bytes) -> str:
    """What TensorFlow's own decoder says of an image; empty if it takes it."""
    import tensorflow as tf

    try:
        with tf.device("/cpu:0"):
            tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.OpError as error:
        return f"TensorFlow: {_one_line(error)}"
    return ""


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def read_file(path: str) -> bytes | Rejected:
    """The file's bytes, or why they cannot be had."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        return Rejected(UNREADABLE, os.strerror(error.errno) if error.errno else str(error))
