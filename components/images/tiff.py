"""Are the strips of a TIFF whole, where libtiff would not say? It fills short fax and JPEG strips with white and grey.

Uncompressed, LZW, Deflate, LZMA and PackBits strips that are short are errors to libtiff itself.
"""

from __future__ import annotations

import ctypes
import io
import struct
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

from components.images import formats
from components.images.findings import TRUNCATED, UNDECODABLE, Rejection
from components.images.jpeg import read_strictly

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, SAMPLES = 256, 257, 258, 259, 262, 266, 277
OFFSETS, ROWS, COUNTS, FAX_OPTIONS, TABLES = 273, 278, 279, 292, 347
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
FAX, OLD_JPEG, JPEG = (2, 3, 4), 6, 7  # values of the tag Compression
MOSAIC, REDUCED = {50706, 33421, 33422}, 254  # tags of DNGs and of sensors; bit 0: a picture of reduced size
DIRT, DIRTY_BLOCKS, DIRTY_BYTES = (0x00, 0xFF), (8, 200), 1 << 20
TAILS = bytes(range(1, 255)), b"\xff" * 254  # two things that may follow a strip: rows, for one that is short


def check_tiff_kind(tags: Any) -> None:
    """Refuses TIFFs that would be read as another picture than the one that is meant.

    Args:
        tags: of the first page, as Pillow has them.

    Raises:
        Rejection: a camera's raw file, or JPEG in the way of TIFF 6.0, which no two programs read alike.
    """
    if MOSAIC & set(tags) or tags.get(REDUCED, 0) & 1:
        raise Rejection(UNDECODABLE, f"camera raw: {formats.RAW}")
    if tags.get(COMPRESSION) == OLD_JPEG:
        raise Rejection(UNDECODABLE, f"a TIFF with JPEG of the old kind: {formats.OLD}")


def check_strips(content: bytes, tags: Any) -> None:
    """Reads the strips that libtiff is lenient with once more.

    Args:
        content: a file that Pillow decoded.
        tags: of its first page.

    Raises:
        Rejection: a strip or a tile ends before its last row, or is damaged.
    """
    if tags.get(COMPRESSION) == JPEG:
        tables = bytes(tags.get(TABLES, b""))
        for data, width, rows in _parts(content, tags):
            _check_jpeg(tables[:-2] + data[2:] if tables else data, width, rows)
    elif tags.get(COMPRESSION) in FAX:
        for data, width, rows in _parts(content, tags):
            if len({_read_fax(data + tail, width, rows, tags, dirt) for tail, dirt in product(TAILS, DIRT)}) > 1:
                raise Rejection(TRUNCATED, "a strip ends before its last row")


def _check_jpeg(stream: bytes, width: int, rows: int) -> None:
    import simplejpeg

    found_rows, found_width, _, _ = simplejpeg.decode_jpeg_header(stream, strict=False)
    if found_rows < rows or found_width < width:
        raise Rejection(TRUNCATED, f"a strip of {found_width} x {found_rows} pixels instead of {width} x {rows}")
    read_strictly(stream, "GRAY")


def _parts(content: bytes, tags: Any) -> Iterator[tuple[bytes, int, int]]:
    """Each strip or tile with its width and its number of rows."""
    tiled = TILE_OFFSETS in tags
    width, height = tags[TILE_WIDTH if tiled else WIDTH], tags[HEIGHT]
    step = tags[TILE_HEIGHT] if tiled else min(height, tags.get(ROWS, height))
    offsets, counts = (_several(tags[tag]) for tag in ((TILE_OFFSETS, TILE_COUNTS) if tiled else (OFFSETS, COUNTS)))
    for index, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        yield content[offset : offset + count], width, step if tiled else min(step, height - index * step)


def _several(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _read_fax(data: bytes, width: int, rows: int, tags: Any, dirt: int) -> bytes:
    """The pixels of one strip, from a TIFF of its own; rows that libtiff skips have what was in memory before."""
    from PIL import Image

    values = {WIDTH: width, HEIGHT: rows, BITS: 1, COMPRESSION: tags[COMPRESSION], PHOTOMETRIC: 0, SAMPLES: 1}
    values |= {
        FILL_ORDER: tags.get(FILL_ORDER, 1),
        ROWS: rows,
        COUNTS: len(data),
        FAX_OPTIONS: tags.get(FAX_OPTIONS, 0),
    }
    values[OFFSETS] = 8 + 2 + 12 * (len(values) + 1) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, values[tag]) for tag in sorted(values))
    file = b"II*\0\x08\0\0\0" + struct.pack("<H", len(values)) + entries + bytes(4) + data
    with Image.open(io.BytesIO(file), formats=["TIFF"]) as picture:
        wide = -(-(width + 1) // 32) * 32
        for size in (rows * -(-width // 8), *(wide * times for times in (4, 8, 16, 32))):  # its buffer; its run lengths
            _leave_dirt(size, dirt)
        return picture.tobytes()


def _leave_dirt(size: int, dirt: int) -> None:
    """Makes sure, as far as one can, that this thread's next piece of memory of a size is full of a byte."""
    libc, (fewest, most) = _load_libc(), DIRTY_BLOCKS
    blocks = [libc.malloc(size) for _ in range(max(fewest, min(most, DIRTY_BYTES // size)))]
    for block in blocks:
        if block:
            ctypes.memset(block, dirt, size)
        libc.free(block)


@cache
def _load_libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    return libc
