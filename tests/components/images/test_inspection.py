"""Is this file a whole image? Each case is a real file; each reason is met with its exact text."""

import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest

from components.images import findings, inspection
from components.images.findings import FLAGS, ON_ALPHA, REASONS, ImageLimits, Inspection
from components.images.formats import is_ignorable, sniff_format
from components.images.inspection import inspect_image
from tests import pictures

LIMITS = ImageLimits(max_pixels=1_000_000, min_side=8, max_bytes=1_000_000)
PICTURE = pictures.noise(16, 20)
PHOTO = pictures.smooth()
JPEG = pictures.encode(PHOTO, "jpeg")


def inspect(content, name="photo", limits=LIMITS):
    return inspect_image(name, content, limits)


def distance(one: str, other: str) -> int:
    return bin(int(one, 16) ^ int(other, 16)).count("1")


WHOLE = {
    "jpeg": (pictures.encode(PICTURE, "jpeg"), "jpeg", 3, ()),
    "grey jpeg": (pictures.encode(PICTURE, "jpeg", "L"), "jpeg", 1, ()),
    "rgb jpeg": (pictures.encode(PICTURE, "jpeg", keep_rgb=True), "jpeg", 3, ()),
    "cmyk jpeg": (pictures.encode(PICTURE, "jpeg", "CMYK"), "jpeg", 4, ()),
    "progressive jpeg": (pictures.encode(PICTURE, "jpeg", progressive=True), "jpeg", 3, ()),
    "jpeg with restarts": (pictures.encode(PICTURE, "jpeg", restart_marker_rows=1), "jpeg", 3, ()),
    "jpeg with bytes behind it": (pictures.encode(PICTURE, "jpeg") + b"trailing" * 9, "jpeg", 3, ()),
    "jpeg of several pictures": (pictures.several("mpo"), "jpeg", 3, ()),
    "png": (pictures.encode(PICTURE), "png", 3, ()),
    "png with alpha": (pictures.encode(PICTURE, "png", "RGBA"), "png", 4, ()),
    "grey png": (pictures.encode(PICTURE, "png", "L"), "png", 1, ()),
    "grey png with alpha": (pictures.encode(PICTURE, "png", "LA"), "png", 2, ()),
    "palette png": (pictures.encode(PICTURE, "png", "P"), "png", 1, ()),
    "1-bit png": (pictures.encode(PICTURE, "png", "1"), "png", 1, ()),
    "16-bit png": (pictures.encode(PICTURE, "png", "I;16"), "png", 1, ()),
    "animated png": (pictures.several("png"), "png", 3, ("animated",)),
    "gif": (pictures.encode(PICTURE, "gif"), "gif", 1, ()),
    "animated gif": (pictures.animation(), "gif", 1, ("animated",)),
    "bmp": (pictures.encode(PICTURE, "bmp"), "bmp", 3, ()),
    "grey bmp": (pictures.encode(PICTURE, "bmp", "L"), "bmp", 1, ()),
    "palette bmp": (pictures.encode(PICTURE, "bmp", "P"), "bmp", 1, ("converted",)),
    "1-bit bmp": (pictures.encode(PICTURE, "bmp", "1"), "bmp", 1, ("converted",)),
    "webp": (pictures.encode(PICTURE, "webp"), "webp", 3, ("converted",)),
    "tiff": (pictures.encode(PICTURE, "tiff"), "tiff", 3, ("converted",)),
    "big tiff": (pictures.encode(PICTURE, "tiff", big_tiff=True), "tiff", 3, ("converted",)),
    "avif": (pictures.encode(PICTURE, "avif"), "avif", 3, ("converted",)),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_image_is_taken_with_its_size_channels_and_flags(kind):
    content, form, channels, flags = WHOLE[kind]
    found = inspect(content)
    assert (found.reason, found.detail) == ("", "")
    assert (found.format, found.height, found.width, found.channels, found.flags) == (form, 16, 20, channels, flags)
    assert (found.sha256, found.bytes) == (hashlib.sha256(content).hexdigest(), len(content))


def test_a_picture_of_a_phone_is_taken():
    found = inspect(pictures.heif(), "IMG_1.HEIC")
    assert (found.format, found.height, found.width, found.channels) == ("heif", 48, 64, 3)
    assert found.flags == ("converted",)


def lying(form: str, place: int, layout: str) -> bytes:
    content = bytearray(pictures.encode(PICTURE, form))
    struct.pack_into(layout, content, place, 900, 900)
    return bytes(content)


CUT = "Pillow: image file is truncated"
NO_EXTENT = (
    "Pillow: ValueError: Invalid input: Unexpected end of file: "
    "Extent in iloc box references data outside of file bounds (points to file position 417)"
)
NO_DEPTH = "32 bits a pixel (Pillow's mode {}): no way to tell black from white"
REJECTED = {
    "nothing": (b"", findings.EMPTY, "0 bytes"),
    "half a jpeg": (JPEG[: len(JPEG) // 2], findings.TRUNCATED, "libjpeg: Premature end of JPEG file"),
    "half a png": (pictures.encode(PICTURE)[:400], findings.TRUNCATED, "the file ends within the chunk IDAT"),
    "a png's first bytes": (pictures.encode(PICTURE)[:30], findings.TRUNCATED, "the file ends within the chunk IHDR"),
    "half a gif": (pictures.encode(PICTURE, "gif")[:900], findings.TRUNCATED, CUT + " (108 bytes not processed)"),
    "half a bmp": (pictures.encode(PICTURE, "bmp")[:400], findings.TRUNCATED, CUT + " (46 bytes not processed)"),
    "half a webp": (
        pictures.encode(PICTURE, "webp")[:200],
        findings.TRUNCATED,
        "Pillow: could not create decoder object",
    ),
    "half a tiff": (pictures.encode(PICTURE, "tiff")[:500], findings.TRUNCATED, CUT + " (0 bytes not processed)"),
    "half an avif": (
        pictures.encode(PICTURE, "avif")[:-200],
        findings.TRUNCATED,
        "Pillow: Failed to decode frame 0: Truncated data",
    ),
    "half a heif": (pictures.heif()[:-50], findings.TRUNCATED, NO_EXTENT),
    "a png that claims more": (
        pictures.png_of_size(900, 900),
        findings.TRUNCATED,
        "64 of 2,430,900 bytes of rows are there",
    ),
    "a bmp that claims more": (lying("bmp", 18, "<ii"), findings.TRUNCATED, CUT + " (960 bytes not processed)"),
    "a wrong checksum": (
        pictures.break_checksum(pictures.encode(PICTURE)),
        findings.UNDECODABLE,
        "the checksum of the chunk IDAT is wrong",
    ),
    "a png of zeros": (
        b"\x89PNG\r\n\x1a\n" + bytes(40) + b"IEND",
        findings.UNDECODABLE,
        "b'\\x00\\x00\\x00\\x00' at byte 12 names no chunk",
    ),
    "a float tiff": (pictures.encode(PICTURE, "tiff", "F"), findings.UNDECODABLE, NO_DEPTH.format("F")),
    "a 32-bit tiff": (pictures.encode(PICTURE, "tiff", "I"), findings.UNDECODABLE, NO_DEPTH.format("I")),
    "text": (b"<html>404 Not Found</html>", findings.NOT_AN_IMAGE, "starts with b'<html>40'"),
    "many pixels": (pictures.png_of_size(1_000_001, 10), findings.TOO_LARGE, "1000001 x 10 pixels, limit 1,000,000"),
    "a jpeg bomb": (
        pictures.with_jpeg_size(JPEG, 65_000, 65_000),
        findings.TOO_LARGE,
        "65000 x 65000 pixels, limit 1,000,000",
    ),
    "a png bomb": (pictures.png_of_size(60_000, 60_000), findings.TOO_LARGE, "60000 x 60000 pixels, limit 1,000,000"),
    "many bytes": (JPEG + bytes(1_000_000), findings.TOO_LARGE, f"{len(JPEG) + 1_000_000:,} bytes, limit 1,000,000"),
    "a tracking pixel": (
        pictures.encode(pictures.noise(1, 1), "gif"),
        findings.TOO_SMALL,
        "1 x 1 pixels, shortest side allowed 8",
    ),
    "a line": (
        pictures.encode(pictures.noise(7, 90), "jpeg"),
        findings.TOO_SMALL,
        "90 x 7 pixels, shortest side allowed 8",
    ),
    "an animated webp": (pictures.several("webp", 3), findings.ANIMATED_UNSUPPORTED, "3 frames"),
    "an animated avif": (pictures.several("avif"), findings.ANIMATED_UNSUPPORTED, "2 frames"),
    "a tiff of pages": (pictures.several("tiff", 4), findings.ANIMATED_UNSUPPORTED, "4 pages"),
}


@pytest.mark.parametrize("kind", REJECTED)
def test_a_broken_file_is_rejected_with_its_reason(kind):
    content, reason, detail = REJECTED[kind]
    found = inspect(content)
    assert (found.reason, found.detail) == (reason, detail)
    facts = Inspection(hashlib.sha256(content).hexdigest(), len(content), sniff_format(content) or "")
    assert found == Inspection(facts.sha256, facts.bytes, facts.format, reason=reason, detail=detail)


def test_every_reason_that_an_image_can_have_is_met_by_a_real_file():
    elsewhere = {findings.UNREADABLE, findings.DUPLICATE_OF, findings.CONFLICTING_LABEL, findings.UNLABELLED}
    elsewhere.add(findings.EXCLUDED)
    assert {reason for _, reason, _ in REJECTED.values()} == set(REASONS) - elsewhere


def test_limits_are_inclusive():
    whole = pictures.encode(PICTURE)
    assert inspect(whole, limits=ImageLimits(16 * 20, 16, len(whole))).reason == ""
    assert inspect(whole, limits=ImageLimits(16 * 20 - 1, 16, len(whole))).detail == "20 x 16 pixels, limit 319"
    assert inspect(whole, limits=ImageLimits(16 * 20, 17, len(whole))).reason == findings.TOO_SMALL
    assert inspect(whole, limits=ImageLimits(16 * 20, 16, len(whole) - 1)).reason == findings.TOO_LARGE


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("photo.jpg", ("wrong_suffix",)),
        ("PHOTO.JPEG", ("wrong_suffix",)),
        ("photo.png", ()),
        ("photo.PNG", ()),
        ("photo.txt", ()),
        ("photo", ()),
    ],
)
def test_the_content_counts_and_another_formats_suffix_is_flagged(name, flags):
    found = inspect(pictures.encode(PICTURE), name)
    assert (found.format, found.flags) == ("png", flags)


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff", "avif"])
def test_orientation_is_flagged_and_the_size_is_that_of_the_upright_picture(form):
    for orientation, size in ((1, (16, 20)), (3, (16, 20)), (6, (20, 16))):
        content = pictures.oriented(PICTURE, form, orientation)
        found, ignored = inspect(content), inspect(content, limits=replace(LIMITS, upright=False))
        assert ((found.height, found.width), (ignored.height, ignored.width)) == (size, (16, 20))
        assert ("rotated" in found.flags) is ("orientation_ignored" in ignored.flags) is (orientation != 1)
        assert "rotated" not in ignored.flags


@pytest.mark.parametrize(
    ("name", "content", "ignorable"),
    [
        ("labels.txt", b"cat\ndog\n", True),
        ("empty", b"", True),
        ("photo.JPG", b"<html>", False),
        ("photo.jpeg", b"", False),
        ("archive.zip", b"PK\x03\x04", True),
        ("archive.zip", b"\x89PNG\r\n\x1a\n", False),
        ("scan.tif", b"text", False),
        ("photo.heic", b"text", False),
        ("noname", b"\0\0\0\x18ftypheic", False),
    ],
)
def test_only_what_claims_nothing_is_a_side_car(name, content, ignorable):
    assert is_ignorable(name, content) is ignorable


def test_brightness_and_contrast_are_those_of_the_luma():
    grey = np.full((90, 120, 3), 77, np.uint8)
    half = grey.copy()
    half[:, 60:] = 177
    for form in ("jpeg", "png", "webp"):
        assert inspect(pictures.encode(grey, form)).brightness == pytest.approx(77, abs=1)
        assert inspect(pictures.encode(grey, form)).contrast == pytest.approx(0, abs=0.5)
        assert inspect(pictures.encode(half, form)).brightness == pytest.approx(127, abs=1)
        assert inspect(pictures.encode(half, form)).contrast == pytest.approx(50, abs=1.5)


def test_copies_of_a_picture_have_near_hashes_and_other_pictures_far_ones():
    photos = [pictures.smooth(300, 400, seed) for seed in range(4)]
    plain = [inspect(pictures.encode(photo, "jpeg", quality=95)).picture_hash for photo in photos]
    copies = [pictures.encode(photos[0], form) for form in ("png", "bmp", "webp", "tiff")]
    copies += [pictures.encode(photos[0], "jpeg", quality=40), pictures.encode(pictures.smooth(210, 280), "jpeg")]
    assert [len(found) for found in plain] == [64] * 4
    assert max(distance(plain[0], inspect(copy).picture_hash) for copy in copies) <= 20
    assert min(distance(plain[0], other) for other in plain[1:]) > 60


def test_tiny_and_flat_pictures_have_no_hash():
    assert inspect(pictures.encode(pictures.smooth(31, 90), "jpeg")).picture_hash == ""
    assert inspect(pictures.encode(pictures.smooth(32, 90), "jpeg")).picture_hash != ""
    assert inspect(pictures.encode(np.full((90, 90, 3), 200, np.uint8), "jpeg")).picture_hash == ""


def test_whatever_a_decoder_raises_the_file_is_rejected(monkeypatch):
    def fail(*_):
        raise RuntimeError("first\nsecond \x00" + "line " * 99)

    monkeypatch.setattr(inspection, "decode_with_pillow", fail)
    found = inspect(pictures.encode(PICTURE))
    assert found.reason == findings.UNDECODABLE
    assert found.detail.startswith("RuntimeError: first second ?line line")
    assert (len(found.detail), found.detail[-3:]) == (200, "...")


def test_tables_have_a_text_for_each_key():
    assert set(ON_ALPHA.values()) < set(FLAGS)
    assert all(REASONS.values())
    assert all(FLAGS.values())
