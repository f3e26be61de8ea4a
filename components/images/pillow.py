"""Images as Pillow reads them, one format at a time, with all pixels as they are stored; and why it fails."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from components.images.cost import limit_directories
from components.images.png import keep_pixels

if TYPE_CHECKING:
    from PIL.Image import Image


CUT_WORDS = ("truncat", "not enough", "eof", "end of file", "unexpected end", "requires a buffer", "too short")


@contextmanager
def open_as_stored(content: bytes, form: str) -> Iterator[Image]:
    """Opens an image with Pillow's decoder of that one format, without Pillow's own limits and warnings.

    Both are global to the process: work in processes, not in threads.
    """
    from PIL import Image as Pillow

    limit_directories()
    if form == "heif":
        _register_heif()
    limit = Pillow.MAX_IMAGE_PIXELS
    Pillow.MAX_IMAGE_PIXELS = None  # `check_size` has its own
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(content, form) as picture:
                yield picture
    finally:
        Pillow.MAX_IMAGE_PIXELS = limit


def _open(content: bytes, form: str) -> Image:
    """Opens an image; of a PNG, Pillow sees only the chunks that count, since it stops at broken others."""
    from PIL import Image as Pillow

    if form != "png":
        return Pillow.open(io.BytesIO(content), formats=[form.upper()])
    try:
        return Pillow.open(io.BytesIO(keep_pixels(content, with_facts=True)), formats=["PNG"])
    except (OSError, SyntaxError, ValueError):
        return Pillow.open(io.BytesIO(keep_pixels(content, with_facts=False)), formats=["PNG"])


@cache
def _register_heif() -> None:
    import pi_heif

    pi_heif.register_heif_opener()


def read_tag(picture: Image) -> int:
    """Reads the orientation tag of EXIF, 1..8, in whatever way a format holds it."""
    from PIL import ExifTags
    from PIL.Image import Image as AnyImage

    try:  # a PNG's own `getexif` loads its pixels first, and what is wrong with them would be lost here
        found = AnyImage.getexif(picture).get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001  broken metadata says nothing about the picture
        return 1
    return found if found in range(1, 9) else 1


def load_as_stored(picture: Image) -> Image:
    """Loads all pixels as stored: Pillow turns a TIFF by its orientation tag, which is undone."""
    from PIL.Image import Transpose

    undo = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_90,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_270,
    }
    turned = read_tag(picture) if picture.format == "TIFF" else 1
    picture.load()
    if picture.format == "PPM" and picture.mode == "I":  # 0..65535, whatever the file's own maximum is
        return _narrow(picture)
    return picture.transpose(undo[turned]) if turned in undo else picture


def _narrow(picture: Image) -> Image:
    """16 bits a pixel in Pillow's mode for them."""
    from PIL import Image as Pillow

    return Pillow.fromarray(np.asarray(picture).astype(np.uint16))


def as_mode(picture: Image, mode: str) -> Image:
    """Converts a picture to a mode of Pillow's, without the copy that it makes where there is nothing to convert."""
    return picture if picture.mode == mode else picture.convert(mode)


def explain_failure(error: Exception) -> str:
    """Says why Pillow failed, on a line for the ledger."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):  # its text holds an address in memory
        return "Pillow: the header is broken"
    return (
        f"Pillow: {error}" if isinstance(error, OSError | SyntaxError) else f"Pillow: {type(error).__name__}: {error}"
    )


def is_cut(content: bytes, form: str, error: Exception) -> bool:
    """Tells whether a file that Pillow failed at lacks its end, by Pillow's words or by the file's own structure."""
    if any(word in str(error).lower() for word in CUT_WORDS):
        return True
    size = len(content)
    if form == "jpeg":
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda") or b"\xff\xda" not in content
    if form == "png":
        return b"IEND" not in content
    if form == "gif":
        return not content.rstrip(b"\0").endswith(b";")
    if form == "bmp":
        return int.from_bytes(content[2:6], "little") > size
    if form == "webp":
        return int.from_bytes(content[4:8], "little") + 8 > size
    return form != "tiff" and _ends_within_a_box(content)


def _ends_within_a_box(content: bytes) -> bool:
    """Whether the last box of an ISO base media file (ISO/IEC 14496-12) is cut."""
    place = 0
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if length < 8:  # to the end of the file, or of 64 bits
            return False
        place += length
    return place != len(content)
