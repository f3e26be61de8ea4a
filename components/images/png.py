"""What of a PNG decides its pixels, and whether all of it is there (PNG specification, third edition).

Decoders differ in what stops them: a wrong checksum in a comment, a long profile. What TensorFlow's libpng passes by is
passed by here; what holds pixels must be whole: its chunks with their checksums, the zlib stream with its own, and as
many bytes in it as the header's size asks for.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from components.images.findings import TRUNCATED, UNDECODABLE, ImageLimits, Rejection, check_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER, PALETTE, ROWS, END = b"IHDR", b"PLTE", b"IDAT", b"IEND"
FOR_PIXELS = (HEADER, PALETTE, b"tRNS", ROWS, END)
ABOUT = (b"eXIf", b"acTL")  # how a picture is turned, and of how many frames it is the first
TEXTS_ABOUT = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
REMARKS = (b"pHYs", b"tIME", b"tEXt", b"sRGB", b"gAMA", b"cHRM")  # which no decoder here heeds
PALETTE_COLOURS, LARGEST_WINDOW = 3, 1 << 15  # of the header's kinds; bytes that zlib looks back
PLAIN_SIDE, PLAIN_CHUNK = 1 << 14, 1 << 20  # px, bytes; libpng has limits far above
SAMPLES_A_PIXEL = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # a pixel, by colour type
PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # x, y, steps
UNPACKED_AT_ONCE = 1 << 20


class Chunk(NamedTuple):
    """One part of a PNG; `whole` is the chunk with its length and checksum."""

    kind: bytes
    data: memoryview
    whole: memoryview
    is_intact: bool


def read_chunks(content: bytes) -> Iterator[Chunk]:
    """Yields the chunks of a PNG up to its end.

    Raises:
        Rejection: `truncated`, the file ends before; `undecodable`, something that is no chunk.
    """
    view, place, kind = memoryview(content), len(SIGNATURE), b""
    while kind != END:
        if place + 8 > len(view):
            raise Rejection(TRUNCATED, "the file ends before the chunk IEND")
        length, kind = int.from_bytes(view[place : place + 4], "big"), bytes(view[place + 4 : place + 8])
        if not kind.isalpha():
            raise Rejection(UNDECODABLE, f"{kind!r} at byte {place + 4:,} names no chunk")
        end = place + 12 + length
        if end > len(view):
            raise Rejection(TRUNCATED, f"the file ends within the chunk {kind.decode()}")
        checksum = zlib.crc32(view[place + 4 : end - 4])
        yield Chunk(
            kind, view[place + 8 : end - 4], view[place:end], checksum == int.from_bytes(view[end - 4 : end], "big")
        )
        place = end


def check_scanlines(content: bytes, limits: ImageLimits) -> bool:
    """Reads all that decides the pixels once, and keeps nothing of it.

    Returns:
        Whether the file is plain: TensorFlow's libpng then sees the colours that Pillow does, as stored.

    Raises:
        Rejection: the size is out of the limits, something critical is missing or damaged, or the rows end early.
    """
    rows, expected, unpacker, chunks = 0, 0, zlib.decompressobj(), list[Chunk]()
    for index, chunk in enumerate(read_chunks(content)):
        is_critical = chunk.kind[:1].isupper()
        if is_critical and not chunk.is_intact:
            raise Rejection(UNDECODABLE, f"the checksum of the chunk {chunk.kind.decode()} is wrong")
        if (index == 0) != (chunk.kind == HEADER) or (is_critical and chunk.kind not in FOR_PIXELS):
            raise Rejection(UNDECODABLE, f"no chunk {chunk.kind.decode()} may stand there")
        if chunk.kind == HEADER:
            expected = _count_bytes(chunk.data, limits)
        if chunk.kind == ROWS and rows <= expected:
            rows += _unpack(unpacker, chunk.data, expected - rows)
        chunks.append(chunk)
    if rows < expected:
        raise Rejection(TRUNCATED, f"{rows:,} of {expected:,} bytes of rows are there")
    if rows == expected and not unpacker.eof:
        raise Rejection(TRUNCATED, "the rows end without their checksum")
    return rows == expected and not unpacker.unused_data and _is_plain(chunks, rows)


def _is_plain(chunks: list[Chunk], rows: int) -> bool:
    """Whether nothing is in a PNG that decoders may take in different ways: see "Plain PNGs" in decisions.md.

    Args:
        chunks: all of them; what is critical is intact.
        rows: bytes of unpacked rows, which are as many as they should be.
    """
    head, *middle, end = chunks
    kinds = [chunk.kind for chunk in middle if chunk.kind not in REMARKS]
    places = [index for index, chunk in enumerate(middle) if chunk.kind == ROWS]
    stream = next(chunk.data for chunk in middle if chunk.kind == ROWS)
    return (
        max(int.from_bytes(head.data[:4], "big"), int.from_bytes(head.data[4:8], "big")) <= PLAIN_SIDE
        and head.data[8] == 8
        and head.data[9] != PALETTE_COLOURS
        and head.data[10:] == bytes(3)  # neither interlaced nor packed or filtered in an unknown way
        and set(kinds) == {ROWS}
        and places[-1] - places[0] == len(places) - 1
        and all(chunk.is_intact and len(chunk.data) <= PLAIN_CHUNK for chunk in middle)
        and not len(end.data)
        and len(stream) > 0
        and min(rows, LARGEST_WINDOW) <= 1 << (stream[0] >> 4) + 8  # libpng keeps to the declared window
    )


def _count_bytes(header: memoryview, limits: ImageLimits) -> int:
    """Counts the bytes of all rows of a header's picture, each with its filter's byte."""
    if len(header) != 13 or header[9] not in SAMPLES_A_PIXEL or header[12] > 1:
        raise Rejection(UNDECODABLE, "the header is broken")
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    check_size(height, width, limits)
    bits = header[8] * SAMPLES_A_PIXEL[header[9]]
    passes = PASSES if header[12] else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def _unpack(unpacker: zlib._Decompress, packed: memoryview, missing: int) -> int:
    """Counts the bytes in a part of the zlib stream; stops soon after the missing number."""
    count, rest = 0, bytes(packed)
    try:
        while rest and count <= missing:
            count += len(unpacker.decompress(rest, UNPACKED_AT_ONCE))
            rest = unpacker.unconsumed_tail
    except zlib.error as error:
        raise Rejection(UNDECODABLE, f"the zlib stream of the rows is broken: {error}") from None
    return count


def keep_pixels(content: bytes, with_facts: bool) -> bytes:
    """Makes a PNG of the intact chunks that decide the pixels; if asked for, with facts about it first.

    Raises:
        Rejection: see `read_chunks`.
    """
    pixels, facts = list[memoryview](), list[memoryview]()
    for chunk in read_chunks(content):
        if not chunk.is_intact:
            continue
        if chunk.kind in FOR_PIXELS:
            pixels.append(chunk.whole)
        elif with_facts and (chunk.kind in ABOUT or bytes(chunk.data[:30]).startswith(TEXTS_ABOUT)):
            facts.append(chunk.whole)
    return b"".join((SIGNATURE, *pixels[:1], *facts, *pixels[1:]))
