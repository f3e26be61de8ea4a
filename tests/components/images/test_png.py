"""A PNG is as good as its pixels: all of them, whatever its comments are like."""

import random
import struct
import zlib

import numpy as np
import pytest

from components.images import findings
from components.images.convert import encode_for_tensorflow
from components.images.findings import ImageLimits, Rejection
from components.images.inspection import inspect_image
from components.images.pillow import open_as_stored
from components.images.png import PASSES, SAMPLES_A_PIXEL, check_scanlines
from components.images.tensorflow_pixels import decode_with_tensorflow
from tests import kinds, mutants, pictures

LIMITS = ImageLimits(max_pixels=1_000_000, min_side=8, max_bytes=100_000_000)
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


def inspect(content: bytes) -> findings.Inspection:
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
        findings.UNDECODABLE,
        "the zlib stream of the",
    ),
    "no stream at all": (png(rows=b"no zlib"), findings.UNDECODABLE, "the zlib stream of the rows is broken"),
    "an empty stream": (png(rows=b""), findings.TRUNCATED, "0 of 7,240 bytes of rows are there"),
    "a stream that ends early": (
        png(rows=zlib.compress(ROWS[:3000])),
        findings.TRUNCATED,
        "3,000 of 7,240 bytes of rows are there",
    ),
    "half a stream": (png(rows=zlib.compress(ROWS)[:2000]), findings.TRUNCATED, "of 7,240 bytes of rows are there"),
    "a stream without its checksum": (
        png(rows=zlib.compress(ROWS)[:-4]),
        findings.TRUNCATED,
        "the rows end without their checksum",
    ),
    "a stream with a wrong checksum": (
        png(rows=zlib.compress(ROWS)[:-1] + b"?"),
        findings.UNDECODABLE,
        "the zlib stream of the rows is broken: Error -3 while decompressing data: incorrect data check",
    ),
    "a wrong checksum of the header": (
        damage(png(), b"IHDR"),
        findings.UNDECODABLE,
        "the checksum of the chunk IHDR",
    ),
    "a wrong checksum of the rows": (damage(png(), b"IDAT"), findings.UNDECODABLE, "the checksum of the chunk IDAT"),
    "a wrong checksum of the end": (damage(png(), b"IEND"), findings.UNDECODABLE, "the checksum of the chunk IEND"),
    "no end": (png()[:-12], findings.TRUNCATED, "the file ends before the chunk IEND"),
    "a foreign critical chunk": (png((b"CgBI", b"\0\0\0\0")), findings.UNDECODABLE, "no chunk CgBI may stand there"),
    "two headers": (png((b"IHDR", HEADER)), findings.UNDECODABLE, "no chunk IHDR may stand there"),
    "an unknown kind of colour": (
        b"\x89PNG\r\n\x1a\n" + pictures.chunk(b"IHDR", HEADER[:9] + b"\5" + HEADER[10:]) + png()[33:],
        findings.UNDECODABLE,
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
        1 + -(-len(range(x, width, dx)) * bits * SAMPLES_A_PIXEL[colour] // 8)
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
    assert inspect(build(sum(lengths) - 1)).reason == findings.TRUNCATED
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


WHOLE = {name: content for name, content in kinds.whole_files(pictures.smooth(24, 20)).items() if name.endswith("png")}
WHOLE["grey alpha png"] = pictures.encode(pictures.smooth(24, 20), "png", "LA")
PLAIN = {"png", "grey png", "alpha png", "grey alpha png"}


def is_plain(content: bytes) -> bool:
    try:
        return content.startswith(WHOLE["png"][:8]) and check_scanlines(content, LIMITS)
    except Rejection:
        return False


def assert_seen_alike(content: bytes) -> None:
    """TensorFlow sees what Pillow does, transparent or not."""
    with open_as_stored(content, "png") as picture:
        bands = [np.asarray(band) for band in picture.split()]
    colours = np.stack(bands[: 1 if len(bands) < 3 else 3], axis=2)
    seen = decode_with_tensorflow(content)
    assert not isinstance(seen, str), seen
    np.testing.assert_array_equal(seen, np.broadcast_to(colours, seen.shape))


@pytest.mark.parametrize("kind", WHOLE)
def test_plain_are_those_of_eight_bits_in_one_pass_without_a_palette(kind):
    assert is_plain(WHOLE[kind]) == (kind in PLAIN)


def test_whatever_happened_to_a_plain_png_tensorflow_sees_the_same():
    ways = (*mutants.BLIND, *[mutants.edit_chunks, mutants.edit_rows] * 10)
    plain = 0
    for number in range(1200):
        dice = random.Random(number)
        content = dice.choice(ways)(WHOLE[dice.choice(sorted(PLAIN))], dice)
        if is_plain(content) and inspect(content).reason == "":
            plain += 1
            assert_seen_alike(content)
    assert plain > 100  # else the mutations are too strong to show anything


FILTERED = b"".join(bytes([index % 5]) + row.tobytes() for index, row in enumerate(PICTURE))


@pytest.mark.parametrize("window", range(9, 16))
def test_a_window_that_is_smaller_than_the_rows_is_not_plain(window):
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    honest = packer.compress(FILTERED) + packer.flush()
    assert is_plain(png(rows=honest)) == (1 << window >= len(FILTERED))
    lying = bytearray(zlib.compress(FILTERED, 9))
    lying[0] = (window - 8) << 4 | 8
    lying[1] += -int.from_bytes(lying[:2], "big") % 31
    content = png(rows=bytes(lying))
    if is_plain(content):
        assert_seen_alike(content)


@pytest.mark.parametrize(
    ("kind", "content"),
    {
        "transparent by colour": png((b"tRNS", bytes(6))),
        "with a palette that is not needed": png((b"PLTE", bytes(768))),
        "with a profile": png((b"iCCP", b"sRGB\0\0" + zlib.compress(b"x"))),
        "with a broken remark": damage(png((b"tEXt", b"a\0b")), b"tEXt"),
        "with too many rows": png(rows=zlib.compress(ROWS + bytes(9))),
        "with bytes behind the stream": png(rows=zlib.compress(ROWS) + b"?"),
        "with a chunk behind the stream": png((b"IDAT", b"?"), before=False),
        "with rows in two places": png(
            (b"tEXt", b"a\0b"), (b"IDAT", zlib.compress(ROWS)[9:]), rows=zlib.compress(ROWS)[:9], before=False
        ),
        "filtered in an unknown way": png()[:8]
        + pictures.chunk(b"IHDR", HEADER[:11] + b"\1" + HEADER[12:])
        + png()[33:],
    }.items(),
)
def test_what_is_out_of_the_ordinary_is_asked_of_tensorflow(kind, content):
    assert not is_plain(content), kind


@pytest.mark.parametrize("remark", ["tEXt", "pHYs", "tIME", "gAMA", "cHRM", "sRGB"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "behind"])
def test_remarks_leave_a_png_plain_whatever_they_say(remark, before):
    for data in (b"", b"\0", b"\xff" * 9, bytes(32), b"x" * 100_000):
        content = png((remark.encode(), data), (remark.encode(), data), before=before)
        assert is_plain(content)
        assert_seen_alike(content)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_plain_pngs_do_not_ask_tensorflow(monkeypatch, name):
    monkeypatch.setattr("components.images.convert.agrees_with_pillow", None)
    assert inspect_image("a.png", WHOLE[name], LIMITS).reason == ""
