"""Bounds the work of a file's decoder beside its pixels: passes over them, frames, parts; from the bytes alone.

A picture of a few megabytes can keep a decoder busy for minutes without being large or broken. Nothing here decodes:
each walk goes once over the file and ends at the limit.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import cache
from os import SEEK_END
from typing import IO

from components.images.findings import TOO_LARGE, ImageLimits, Rejection, check_size
from components.images.jpeg2000 import read_header

MAX_SCANS = 100  # of a JPEG; encoders write 1 to 20, libtiff stops at as many
FULL_PASSES = 20  # over as many pixels as a picture may have; smaller ones may have more scans, up to `MAX_SCANS`
MAX_FRAME_SHARE = 8  # of a GIF's further frames, in largest pictures: TensorFlow decodes all frames to get the first
FREE_PARTS, BYTES_A_PART = 1000, 128  # segments of a JPEG's header, chunks of a PNG: some, and one for so many bytes
MAX_EXIF = 16  # segments of a JPEG; cameras write one
RLE_PIXELS_A_BYTE = 10  # Pillow reads run lengths in Python
SLOW = 10  # so many pixels that C decodes in the time of one in Python; what Pillow reads in Python may have fewer
PNM_HEAD, PNM_COMMENT, PNM_FIELDS = 4096, re.compile(rb"#[^\r\n]*"), re.compile(rb"(?<=\s)\d{1,10}(?=\s)")
DIRECTORY_READS, SMALL_READS = 2, 1 << 16  # of a TIFF's or EXIF's directory: the file twice, and some

# All markers but the stuffed zero, fill bytes, TEM and the restart markers, which have no length (ITU-T T.81, B.1.1.3).
MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
SOI, EOI, SOS, APP1 = 0xD8, 0xD9, 0xDA, 0xE1
FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG and DAC
GIF_IMAGE, GIF_EXTENSION = 0x2C, 0x21


def check_cost(content: bytes, form: str, limits: ImageLimits) -> None:
    """Refuses a file that is far more work than its pixels are.

    Args:
        content: the file.
        form: its format, as `sniff_format` says.
        limits: read is `max_pixels`.

    Raises:
        Rejection: `too_large`.
    """
    if form in CHECKS:
        CHECKS[form](content, limits)


def _check_jpeg(content: bytes, limits: ImageLimits) -> None:
    height = width = scans = parts = exif = 0
    for marker, start in _segments(content):
        parts = _count_part(parts, content)
        exif += marker == APP1 and content.startswith(b"Exif", start + 2)
        scans += marker == SOS
        if marker in FRAME_HEADERS and not height and start + 7 <= len(content):
            height, width = struct.unpack_from(">HH", content, start + 3)
        if exif > MAX_EXIF:  # Pillow joins them, each time anew
            raise Rejection(TOO_LARGE, f"more than {MAX_EXIF} segments of EXIF")
        allowed = min(MAX_SCANS, max(FULL_PASSES, FULL_PASSES * limits.max_pixels // max(1, height * width)))
        if scans > allowed:
            raise Rejection(TOO_LARGE, f"more than {allowed} scans over {width} x {height} pixels")


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Each marker with a length up to the end of the first image, and where its length stands."""
    place = 2
    while found := MARKER.search(content, place):
        marker, place = found[1][0], found.end()
        if marker in (SOI, EOI):
            return
        yield marker, place
        place += int.from_bytes(content[place : place + 2], "big")


def _check_png(content: bytes, _: ImageLimits) -> None:
    parts, place = 0, 8
    while place + 8 <= len(content):
        parts = _count_part(parts, content)
        place += 12 + int.from_bytes(content[place : place + 4], "big")


def _count_part(parts: int, content: bytes) -> int:
    """Counts one more part; a Rejection where there are too many for the length of the file."""
    if parts >= FREE_PARTS + len(content) // BYTES_A_PART:
        raise Rejection(TOO_LARGE, f"more than {parts:,} parts in {len(content):,} bytes")
    return parts + 1


def _check_gif(content: bytes, limits: ImageLimits) -> None:
    pixels, frames, place = 0, 0, 13 + _colours(content, 10)
    while place + 10 <= len(content) and content[place] in (GIF_IMAGE, GIF_EXTENSION):
        if content[place] == GIF_IMAGE:
            width, height = struct.unpack_from("<HH", content, place + 5)
            pixels += width * height if frames else 0  # the first is held against `max_pixels` by all
            frames += 1
            place += 11 + _colours(content, place + 9)
        else:
            place += 2
        while place < len(content) and content[place]:
            place += 1 + content[place]
        place += 1
        if pixels > MAX_FRAME_SHARE * limits.max_pixels:
            raise Rejection(TOO_LARGE, f"frames of more than {MAX_FRAME_SHARE * limits.max_pixels:,} pixels in all")


def _colours(content: bytes, place: int) -> int:
    """Bytes of the colour table that the flags at a place tell of."""
    flags = content[place] if place < len(content) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _check_bmp(content: bytes, limits: ImageLimits) -> None:
    compression = int.from_bytes(content[30:34], "little")
    if compression in (1, 2) and len(content) > limits.max_pixels // RLE_PIXELS_A_BYTE:
        allowed = limits.max_pixels // RLE_PIXELS_A_BYTE
        raise Rejection(TOO_LARGE, f"run lengths of {len(content):,} bytes, limit {allowed:,}")


class _Metered:
    """A file that gives out hardly more bytes than it has."""

    def __init__(self, file: IO[bytes]) -> None:
        place = file.tell()
        self._left = DIRECTORY_READS * file.seek(0, SEEK_END) + SMALL_READS
        file.seek(place)
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        """As the file's own; a Rejection where entries of a directory share their bytes over and over."""
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise Rejection(TOO_LARGE, "entries of a TIFF or EXIF directory that are longer than the file")
        return content


@cache
def limit_directories() -> None:
    """Bounds what Pillow reads for one directory of a TIFF or of EXIF, in all its plugins.

    65,535 entries may each name the whole file as their value: 2 MB become 60 GB in memory.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

    load = Directory.load

    def load_within_limits(self: Directory, fp: IO[bytes]) -> None:
        load(self, _Metered(fp))  # type: ignore[arg-type]

    Directory.load = load_within_limits  # type: ignore[method-assign]


def _check_jpeg2000(content: bytes, limits: ImageLimits) -> None:
    stream = read_header(content)
    check_size(stream.height, stream.width, limits)
    if stream.tiles > FREE_PARTS + len(content) // BYTES_A_PART:
        raise Rejection(TOO_LARGE, f"{stream.tiles:,} tiles in {len(content):,} bytes")


def _check_ppm(content: bytes, limits: ImageLimits) -> None:
    """Pillow reads text, and shades of which there are not 256 (or, in grey, 65,536), number by number."""
    if content[:2] in (b"P1", b"P2", b"P3"):
        _check_slow(len(content), "characters", limits)
        return
    fields = PNM_FIELDS.findall(PNM_COMMENT.sub(b"", content[:PNM_HEAD]))
    kind, (width, height, top, *_) = content[:2], [*map(int, fields), 0, 0, 0]
    if kind != b"P4" and top != 255 and (kind, top) != (b"P5", 65535):
        _check_slow(width * height * (3 if kind == b"P6" else 1), "values", limits)


def _check_qoi(content: bytes, limits: ImageLimits) -> None:
    width, height = struct.unpack_from(">2I", content, 4)
    check_size(height, width, limits)
    _check_slow(width * height, "pixels", limits)


def _check_slow(count: int, what: str, limits: ImageLimits) -> None:
    """Refuses more than Python gets done in reasonable time."""
    if count > limits.max_pixels // SLOW:
        raise Rejection(TOO_LARGE, f"{count:,} {what} that are read one by one, limit {limits.max_pixels // SLOW:,}")


CHECKS = {"jpeg": _check_jpeg, "png": _check_png, "gif": _check_gif, "bmp": _check_bmp}
CHECKS |= {"jpeg2000": _check_jpeg2000, "ppm": _check_ppm, "qoi": _check_qoi}
