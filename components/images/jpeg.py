"""Whole or not: one strict, scaled decode of a JPEG by libjpeg-turbo, in which every warning counts.

libjpeg fills what it cannot read with grey and only warns; TensorFlow and Pillow pass most of that by. simplejpeg
makes the warnings errors. Scaling happens in the DCT: all entropy coded data is still read, so damage shows.

What no decoder can tell: flipped bits that are valid codes again, and a progressive JPEG that ends between two scans,
which has all its rows, less sharp.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from components.images.findings import (
    EXTRANEOUS_BYTES,
    TRUNCATED,
    UNDECODABLE,
    ImageLimits,
    Picture,
    Rejection,
    check_size,
    turn_picture,
)
from components.images.orientation import read_orientation
from components.images.tensorflow_pixels import decode_with_tensorflow

COLOUR_CHANNELS = {"Gray": 1, "YCbCr": 3, "RGB": 3}  # simplejpeg's names; CMYK and YCCK need Pillow for their colours
THUMBNAIL_SIDE = 64  # px; the shorter side of a thumbnail is at least that long, where the picture's is
MAX_PIXELS_A_BYTE = 512  # a block of 8 x 8 takes a Huffman code, of one bit at least
MAX_STRAY_SHARE = 0.2  # of the file; where more is left over after the last row, the header lies about the size
HARMLESS = re.compile(r"extraneous bytes before|JFIF revision|ICC marker")
STRAY = re.compile(r"(\d+) extraneous bytes before marker 0xd9")

FOR_ALL = re.compile(rb"\xff[\xc0-\xc2]\0")  # baseline, extended, progressive, with Huffman codes
SOS, FILL, END = 0xDA, 0xFF, b"\xff\xd9"
METADATA = {0xFE, *range(0xE0, 0xF0)} - {0xEE}  # comments, application segments; Adobe's tells the colour space
WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD8)}  # a stuffed zero, TEM and RST0..7


def decode_with_libjpeg(content: bytes, limits: ImageLimits) -> Picture | None:
    """Decodes the luma of a JPEG with one or three components; None where Pillow must look at it.

    Raises:
        Rejection: the file is cut, damaged, too large or too small.
    """
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content, strict=False)
    except (ValueError, KeyError):
        return None  # a broken header, or a subsampling that libjpeg-turbo's own interface does not know
    check_size(height, width, limits)
    if height * width > MAX_PIXELS_A_BYTE * len(content):  # before libjpeg makes room for them
        raise Rejection(TRUNCATED, f"{width} x {height} pixels cannot be in {len(content):,} bytes")
    flags: tuple[str, ...] = ()
    if not FOR_ALL.search(_split(content)[0]):  # arithmetic coding, lossless: TensorFlow must be asked
        return None
    if colours not in COLOUR_CHANNELS:
        read_strictly(content, "CMYK")
        return None
    try:
        luma = read_strictly(content, "GRAY")
    except Rejection as rejection:
        if not HARMLESS.search(rejection.detail):
            raise
        luma = _forgive(content, rejection.detail, (height, width))
        flags += (EXTRANEOUS_BYTES,) if "extraneous" in rejection.detail else ()
    picture = Picture(height, width, COLOUR_CHANNELS[colours], luma[..., 0], flags)
    return turn_picture(picture, read_orientation(content), limits)


def read_strictly(content: bytes, colours: str) -> np.ndarray:
    """Decodes a thumbnail, uint8 [h, w, channels], and refuses damage.

    Raises:
        Rejection: libjpeg warns of anything.
    """
    import simplejpeg

    try:
        return simplejpeg.decode_jpeg(
            content, colours, min_height=THUMBNAIL_SIDE, min_width=THUMBNAIL_SIDE, min_factor=1
        )
    except (ValueError, KeyError) as error:
        cut = "premature end" in str(error).lower() or END not in content
        raise Rejection(TRUNCATED if cut else UNDECODABLE, f"libjpeg: {error}") from None


def _forgive(content: bytes, warning: str, size: tuple[int, int]) -> np.ndarray:
    """The thumbnail of a JPEG about which libjpeg gave a harmless warning; a Rejection if that is not all.

    A warning may hide another one, so what it is about is taken out (application segments, stray bytes between
    segments or before the end marker) and the rest must decode without any. Bytes left over between the scans or
    before a restart marker are never forgiven: there, the decoder lost its way. TensorFlow has the last word.
    """
    header, scans = _split(content)
    stray = STRAY.search(warning)
    if stray and int(stray[1]) <= MAX_STRAY_SHARE * len(content):
        end = scans.find(END)
        scans = scans[: end - int(stray[1])] + scans[end:]
    luma = read_strictly(header + scans, "GRAY")
    pixels = decode_with_tensorflow(content)
    if isinstance(pixels, str) or pixels.shape[:2] != size:
        raise Rejection(UNDECODABLE, f"{warning}; TensorFlow: {pixels if isinstance(pixels, str) else 'other size'}")
    return luma


def ends_early(content: bytes, decode: Callable[[bytes], np.ndarray]) -> bool:
    """Tells whether a JPEG has its end marker before its last row, for JPEGs that `decode_with_libjpeg` does not take.

    What stands between the last row and the end marker does not matter to a whole picture; one that ends early
    would take it for rows.

    Args:
        content: a JPEG that decodes.
        decode: from a file to its pixels, [height, width, channels].
    """
    _, scans = _split(content)
    end = scans.find(END)
    padded = content[: len(content) - len(scans)] + scans[:end] + bytes(range(1, 255)) + scans[end:]
    return not np.array_equal(decode(content), decode(padded))


def _split(content: bytes) -> tuple[bytes, bytes]:
    """The header without metadata and stray bytes, and all from the first scan on (ITU-T T.81, annex B)."""
    kept, place = [content[:2]], 2
    while (place := content.find(b"\xff", place)) >= 0 and place + 4 <= len(content):
        marker = content[place + 1]
        if marker == SOS:
            return b"".join(kept), content[place:]
        if marker == FILL:
            place += 1
            continue
        length = 0 if marker in WITHOUT_LENGTH else int.from_bytes(content[place + 2 : place + 4], "big")
        if length and marker not in METADATA:
            kept.append(content[place : place + 2 + length])
        place += 2 + length
    return content, b""
