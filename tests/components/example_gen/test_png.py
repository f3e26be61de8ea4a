"""A PNG is as good as its pixels: all of them, whatever its comments are like."""

import struct
import zlib

import numpy as np
import pytest

from components.example_gen import images
from components.example_gen.convert import decode_with_tensorflow, encode_for_tensorflow
from components.example_gen.images import Limits, inspect_image
from components.example_gen.png import PASSES, SAMPLES
from tests import kinds, pictures

LIMITS = Limits(max_pixels=1_000_000, min_side=8, max_bytes=100_000_000)
PICTURE = pictures.smooth(40, 60)
HEADER = struct.pack(">IIBBBBB", 60, 40, 8, 2, 0, 0, 0)
ROWS = b"".join(b"\0" + row.tobytes() for row in PICTURE)
MEGABYTES = bytes(range(256)) * 12_000  # 3 MB


def png(*parts: tuple[bytes, bytes], rows: bytes | None = None, before: bool = True) -> bytes:
    """A PNG with further chunks before or behind its rows, every checksum right."""
    packed = [(b"IDAT", zlib.compress(ROWS) if rows is None else rows)]
    order = [(b"IHDR", HEADER), *parts, *packed] if before else [(b"IHDR", HEADER), *packed, *parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(pictures.chunk(*part) for part in [*order, (b"IEND", b"")])


def damage(content: bytes, kind: bytes) -> bytes:
    """The same PNG with a wrong checksum of its first chunk of a kind."""
    start = content.index(kind)
    end = start + 4 + int.from_bytes(content[start - 4 : start], "big")
    return content[:end] + bytes([content[end] ^ 0xFF]) + content[end + 1 :]


def inspect(content: bytes) -> images.Inspection:
    return inspect_image("photo.png", content, LIMITS)


OTHERS = {
    "a long text": (b"tEXt", b"Comment\0" + MEGABYTES),
    "a long packed text": (b"zTXt", b"Comment\0\0" + zlib.compress(MEGABYTES)),
    "a bomb of a text": (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000))),
    "a long text in UTF-8": (b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(MEGABYTES)),
    "a long XMP packet": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"<x/>" * 800_000),
    "a bomb of an XMP packet": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(50_000_000))),
    "a long profile": (b"iCCP", b"Profile\0\0" + zlib.compress(MEGABYTES)),
    "a profile packed in an unknown way": (b"iCCP", b"Profile\0\7" + bytes(40)),
    "a broken text": (b"zTXt", b"\xff\xff\xff"),
    "short resolutions": (b"pHYs", b"\0"),
    "no gamma": (b"gAMA", b""),
    "a broken EXIF": (b"eXIf", b"II*\0\xff\xff\xff\xff"),
    "an animation of no frames": (b"acTL", bytes(8)),
    "a short animation": (b"acTL", b"\0"),
    "a frame out of order": (b"fcTL", bytes(26)),
    "a chunk of nobody's": (b"abCd", b"\0" * 40),
}


@pytest.mark.parametrize("before", [True, False], ids=["before", "behind"])
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_not_of_the_pixels_stops_nothing(kind, before):
    content = png(OTHERS[kind], before=before)
    for variant in (content, damage(content, OTHERS[kind][0])):
        found = inspect(variant)
        assert (found.reason, found.detail, found.flags) == ("", "", ())
        np.testing.assert_array_equal(decode_with_tensorflow(encode_for_tensorflow(variant, found)[0]), PICTURE)


REJECTED = {
    "a broken stream": (
        png(rows=zlib.compress(ROWS)[:500] + b"\xff" * 900),
        images.UNDECODABLE,
        "the zlib stream of the",
    ),
    "no stream at all": (png(rows=b"no zlib"), images.UNDECODABLE, "the zlib stream of the rows is broken"),
    "an empty stream": (png(rows=b""), images.TRUNCATED, "0 of 7,240 bytes of rows are there"),
    "a stream that ends early": (
        png(rows=zlib.compress(ROWS[:3000])),
        images.TRUNCATED,
        "3,000 of 7,240 bytes of rows are there",
    ),
    "half a stream": (png(rows=zlib.compress(ROWS)[:2000]), images.TRUNCATED, "of 7,240 bytes of rows are there"),
    "a stream without its checksum": (
        png(rows=zlib.compress(ROWS)[:-4]),
        images.TRUNCATED,
        "the rows end without their checksum",
    ),
    "a stream with a wrong checksum": (
        png(rows=zlib.compress(ROWS)[:-1] + b"?"),
        images.UNDECODABLE,
        "the zlib stream of the rows is broken: Error -3 while decompressing data: incorrect data check",
    ),
    "a wrong checksum of the header": (damage(png(), b"IHDR"), images.UNDECODABLE, "the checksum of the chunk IHDR"),
    "a wrong checksum of the rows": (damage(png(), b"IDAT"), images.UNDECODABLE, "the checksum of the chunk IDAT"),
    "a wrong checksum of the end": (damage(png(), b"IEND"), images.UNDECODABLE, "the checksum of the chunk IEND"),
    "no end": (png()[:-12], images.TRUNCATED, "the file ends before the chunk IEND"),
    "a foreign critical chunk": (png((b"CgBI", b"\0\0\0\0")), images.UNDECODABLE, "no chunk CgBI may stand there"),
    "two headers": (png((b"IHDR", HEADER)), images.UNDECODABLE, "no chunk IHDR may stand there"),
    "an unknown kind of colour": (
        b"\x89PNG\r\n\x1a\n" + pictures.chunk(b"IHDR", HEADER[:9] + b"\5" + HEADER[10:]) + png()[33:],
        images.UNDECODABLE,
        "the header is broken",
    ),
}


@pytest.mark.parametrize("kind", REJECTED)
def test_what_is_of_the_pixels_must_be_whole(kind):
    content, reason, detail = REJECTED[kind]
    found = inspect(content)
    assert (found.reason, detail in found.detail) == (reason, True), found.detail


KINDS = [(bits, colour) for bits in (8, 16) for colour in (0, 2, 4, 6)]
KINDS += [(bits, colour) for bits in (1, 2, 4) for colour in (0, 3)] + [(8, 3)]


@pytest.mark.parametrize(("bits", "colour"), KINDS)
@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize("size", [(8, 8), (9, 13)])
def test_a_row_that_is_missing_is_missed_in_every_kind_of_picture(bits, colour, interlaced, size):
    width, height = size
    parts = PASSES if interlaced else ((0, 0, 1, 1),)
    lengths = [
        1 + -(-len(range(x, width, dx)) * bits * SAMPLES[colour] // 8)
        for x, y, dx, dy in parts
        for _ in range(y, height, dy)
        if len(range(x, width, dx))
    ]
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))
    palette = [(b"PLTE", bytes(3 << bits))] if colour == 3 else []

    def build(total: int) -> bytes:
        chunks = [head, *palette, (b"IDAT", zlib.compress(bytes(total))), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(pictures.chunk(*part) for part in chunks)

    assert inspect(build(sum(lengths))).reason == ""
    assert inspect(build(sum(lengths) - 1)).reason == images.TRUNCATED
    assert inspect(build(sum(lengths) + 5)).reason == ""  # what is behind the last row belongs to nothing


def test_rows_in_many_chunks_and_between_comments_are_joined():
    packed = zlib.compress(ROWS)
    rows = [(b"IDAT", packed[start : start + 100]) for start in range(0, len(packed), 100)]
    content = png(*rows, (b"IDAT", b""), rows=b"")
    assert inspect(content).reason == ""


def test_a_bomb_behind_the_rows_is_not_unpacked():
    assert inspect(png(rows=zlib.compress(ROWS + bytes(200_000_000), 9))).reason == ""


@pytest.mark.parametrize("place", ["before", "behind"])
def test_the_orientation_is_found_wherever_it_stands(place):
    exif = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
    found = inspect(png((b"eXIf", exif), before=place == "before"))
    assert "rotated" in found.flags


def test_an_interlaced_png_is_read():
    found = inspect(kinds.interlaced_png(PICTURE))
    assert (found.reason, found.flags) == ("", ())
