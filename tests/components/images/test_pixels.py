"""What the values of a file mean: which way up, how many bits, what shows through, and whether there is anything."""

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pillow

from components.images.convert import encode_for_tensorflow
from components.images.findings import ImageLimits
from components.images.inspection import inspect_image
from tests import pictures

LIMITS = ImageLimits(max_pixels=1_000_000, min_side=8, max_bytes=10_000_000)
PICTURE = pictures.smooth(64, 96)
EXACT = {"png": {}, "webp": {"lossless": True}, "tiff": {}, "lzw tiff": {"compression": "tiff_lzw"}}
CORNERS = np.zeros([16, 24, 3], np.uint8)
CORNERS[2:8, 3:9] = 255


def look(content, limits=LIMITS):
    """The flags, and the pixels that the model will see of a file that its graph does not turn."""
    found = inspect_image("x", content, limits)
    assert not found.reason, found
    encoded, _ = encode_for_tensorflow(content, found)
    return set(found.flags), tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()


def save(array, form="png", **options):
    buffer = io.BytesIO()
    Pillow.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tagged_copy_is_the_upright_picture(kind, orientation):
    content = pictures.tagged(PICTURE, kind.split()[-1], orientation, **EXACT[kind])
    flags, pixels = look(content)
    np.testing.assert_array_equal(pixels, PICTURE)
    assert ("rotated" in flags) == (orientation != 1)
    assert "converted" in flags or (orientation == 1 and kind == "png")
    found, upright = (inspect_image("x", each, LIMITS) for each in (content, save(PICTURE)))
    assert (found.height, found.width) == (64, 96)
    hashes = (int(each.picture_hash, 16) for each in (found, upright))
    assert bin(next(hashes) ^ next(hashes)).count("1") <= 8  # a near-duplicate of the upright copy
    stored, flat = look(content, replace(LIMITS, upright=False))
    assert "rotated" not in stored
    assert ("orientation_ignored" in stored) == (orientation != 1)
    assert np.array_equal(flat, PICTURE) == (orientation == 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tagged_avif_is_the_upright_picture(orientation):
    _, upright = look(pictures.tagged(PICTURE, "avif", 1, quality=90))
    flags, pixels = look(pictures.tagged(PICTURE, "avif", orientation, quality=90))
    assert np.abs(pixels.astype(int) - upright).mean() < 3
    assert ("rotated" in flags) == (orientation != 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_left_to_the_graph_and_its_hash_is_of_the_upright_picture(orientation):
    content = pictures.tagged(PICTURE, "jpeg", orientation)
    found, upright = (inspect_image("x", each, LIMITS) for each in (content, pictures.encode(PICTURE, "jpeg")))
    assert encode_for_tensorflow(content, found) == (content, "jpeg")
    assert found.flags == (("rotated",) if orientation != 1 else ())
    assert (found.height, found.width) == (64, 96)
    assert bin(int(found.picture_hash, 16) ^ int(upright.picture_hash, 16)).count("1") <= 8


def test_a_tag_behind_the_pixels_of_a_png_counts():
    exif = Pillow.Exif()
    exif[0x112] = 3
    plain = save(PICTURE[::-1, ::-1])
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    end = plain.index(b"IEND") - 4
    flags, pixels = look(plain[:end] + chunk + plain[end:])
    assert "rotated" in flags
    np.testing.assert_array_equal(pixels, PICTURE)


def sixteen_bit_png(values, significant=None):
    """A PNG of 16 bits a value, uint16 [height, width, 1 to 4 channels], which no library here writes."""
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [(b"IHDR", header), (b"sBIT", bytes([significant] * channels) if significant else None)]
    parts = [*chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
        if data is not None
    )


def sixteen_bit_tiff(values, order="<", packed=False):
    """A TIFF likewise, of 1, 3 or 4 channels."""
    height, width, channels = values.shape
    data = values.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if packed else data
    tags = {256: width, 257: height, 258: 16, 259: 8 if packed else 1, 262: 1 if channels == 1 else 2, 277: channels}
    tags |= {273: 0, 278: height, 279: len(data), 284: 1} | ({338: 2} if channels == 4 else {})
    start = 8 + 2 + 12 * len(tags) + 4
    depths = struct.pack(f"{order}{channels}H", *[16] * channels)
    tags[273] = start + len(depths)
    body = b""
    for tag, value in sorted(tags.items()):
        count, kind = (channels, 3) if tag == 258 else (1, 4)
        place = (start,) if tag == 258 and channels > 2 else (value,)
        packed_value = struct.pack(f"{order}HH", value, 0) if tag == 258 and channels == 1 else None
        body += struct.pack(f"{order}HHI", tag, kind, count)
        body += packed_value or struct.pack(f"{order}I", *place)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}IH", 8, len(tags)) + body + struct.pack(f"{order}I", 0) + depths + data


WRITERS = {
    "png": sixteen_bit_png,
    "tiff": sixteen_bit_tiff,
    "big-endian tiff": lambda values: sixteen_bit_tiff(values, ">"),
    "packed tiff": lambda values: sixteen_bit_tiff(values, packed=True),
    "packed big-endian tiff": lambda values: sixteen_bit_tiff(values, ">", packed=True),
}
KINDS = [(form, channels) for form in WRITERS for channels in (1, 2, 3, 4) if channels != 2 or form == "png"]


def deep(bits, channels):
    """Values that use so many bits: uint16 [24, 32, channels]; alpha, where there is one, is opaque in 16 bits."""
    values = np.random.default_rng(bits).integers(0, 1 << bits, (24, 32, channels)).astype(np.uint16)
    values[0, 0] = (1 << bits) - 1
    if channels in (2, 4):
        values[..., -1] = 0xFFFF
    return values


@pytest.mark.parametrize(("form", "channels"), KINDS)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_values_of_16_bits_that_use_fewer_are_stretched(form, channels, bits):
    values = deep(bits, channels)
    flags, pixels = look(WRITERS[form](values))
    expected = (values >> (bits - 8)).astype(np.uint8)[..., : 1 if channels < 3 else 3]
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, pixels.shape))
    assert ("scaled" in flags) == (bits < 16)
    assert "alpha" not in flags


def test_what_the_file_says_of_its_bits_comes_first():
    values = deep(10, 1)
    flags, pixels = look(sixteen_bit_png(values, significant=12))
    np.testing.assert_array_equal(pixels[..., 0], values[..., 0] >> 4)
    assert "scaled" in flags


@pytest.mark.parametrize("dark", [False, True])
def test_values_that_were_stretched_to_16_bits_as_png_wants_it_stay(dark):
    values = deep(8 if dark else 12, 1)
    stretched = (values << 4) | (values >> 8)
    flags, pixels = look(sixteen_bit_png(stretched, significant=12))
    np.testing.assert_array_equal(pixels[..., 0], stretched[..., 0] >> 8)
    assert "scaled" not in flags


def test_an_alpha_of_as_few_bits_is_stretched_too():
    values = deep(12, 4)
    values[..., 3] = 4095
    flags, pixels = look(sixteen_bit_png(values))
    np.testing.assert_array_equal(pixels, values[..., :3] >> 4)
    assert "alpha" not in flags


CLEAR = np.dstack([CORNERS * 0, CORNERS[..., 0]])  # black ink that is in alpha alone
INK = {
    "RGBA png": save(CLEAR),
    "LA png": save(np.dstack([CLEAR[..., 0], CLEAR[..., 3]])),
    "RGBA tiff": save(CLEAR, "tiff"),
    "webp": save(CLEAR, "webp", lossless=True, exact=True),
    "avif": save(CLEAR, "avif", quality=100, subsampling="4:4:4"),
    "16-bit png": sixteen_bit_png(CLEAR.astype(np.uint16) * 257),
    "transparent shade": save(CORNERS[..., 0], transparency=0),
}


def palette(form):
    picture = Pillow.fromarray((CLEAR[..., 3] > 0).astype(np.uint8), "P")
    picture.putpalette([9, 9, 9, 0, 0, 0])
    buffer = io.BytesIO()
    picture.save(buffer, form, transparency=0)
    return buffer.getvalue()


INK |= {"palette png": palette("png"), "gif": palette("gif")}


@pytest.mark.parametrize("kind", INK)
def test_transparent_pictures_are_laid_on_white_unless_asked_otherwise(kind):
    expected = 255 - CORNERS if kind != "transparent shade" else np.full_like(CORNERS, 255)
    flags, pixels = look(INK[kind])
    assert np.abs(pixels.astype(int) - expected).max() <= (4 if kind == "avif" else 0)
    assert "alpha" in flags
    flags, pixels = look(INK[kind], replace(LIMITS, alpha="black"))
    assert pixels[:2].max() <= 4
    assert "alpha_on_black" in flags
    flags, _ = look(INK[kind], replace(LIMITS, alpha="ignore"))
    assert "alpha_ignored" in flags


def test_half_transparent_is_half_the_background():
    half = np.dstack([np.full([16, 24, 3], 100, np.uint8), np.full([16, 24], 51, np.uint8)])
    assert np.unique(look(save(half))[1]).tolist() == [224]  # 0.2 * 100 + 0.8 * 255


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_an_opaque_alpha_changes_nothing(form):
    opaque = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    flags, pixels = look(save(opaque, form))
    np.testing.assert_array_equal(pixels, PICTURE)
    assert flags == ({"converted"} if form == "tiff" else set())


def test_turned_and_transparent_at_once():
    stored = Pillow.fromarray(CLEAR).transpose(Pillow.Transpose.ROTATE_90)
    flags, pixels = look(pictures.oriented(np.asarray(stored), "png", 6, mode="RGBA"))
    np.testing.assert_array_equal(pixels, 255 - CORNERS)
    assert flags >= {"alpha", "rotated", "converted"}


SPECKLED = np.full([64, 64, 3], 40, np.uint8) + pictures.noise(64, 64, 3, 0, 30)
FLAT = {
    "black png": save(np.zeros([64, 64, 3], np.uint8)),
    "grey jpeg": save(np.full([64, 64, 3], 128, np.uint8), "jpeg"),
    "nothing but transparency": save(np.zeros([64, 64, 4], np.uint8)),
    "a mask of ones": sixteen_bit_png(np.eye(64, dtype=np.uint16)[..., np.newaxis]),
}
NOT_FLAT = {
    "a dark photograph": save((PICTURE // 12), "jpeg"),
    "a small spot": save(np.pad(CORNERS, [(200, 200), (200, 200), (0, 0)])),
    "noise": save(SPECKLED),
    "12 bits": sixteen_bit_png(deep(12, 1)),
}


@pytest.mark.parametrize("kind", FLAT)
def test_pictures_of_one_colour_are_flagged(kind):
    assert "flat" in inspect_image("x", FLAT[kind], LIMITS).flags


@pytest.mark.parametrize("kind", NOT_FLAT)
def test_dark_or_sparse_pictures_are_not_flat(kind):
    assert "flat" not in inspect_image("x", NOT_FLAT[kind], LIMITS).flags
