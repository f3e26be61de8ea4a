"""Is this file an image that TensorFlow decodes to the right pixels? Each case is a real file."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pillow

from components import features
from components.example_gen import images
from components.example_gen.images import REASONS, Image, Rejected, inspect_image, is_ignorable, read_file, sniff_format
from tests import pictures

LIMIT = 10_000_000
PICTURE = pictures.noise(16, 20)

WHOLE = {
    "jpeg": (pictures.encode(PICTURE, "jpeg"), "jpeg", 3),
    "grey jpeg": (pictures.encode(PICTURE, "jpeg", "L"), "jpeg", 1),
    "cmyk jpeg": (pictures.encode(PICTURE, "jpeg", "CMYK"), "jpeg", 4),
    "progressive jpeg": (pictures.encode(PICTURE, "jpeg", progressive=True), "jpeg", 3),
    "png": (pictures.encode(PICTURE), "png", 3),
    "png with alpha": (pictures.encode(PICTURE, "png", "RGBA"), "png", 4),
    "grey png": (pictures.encode(PICTURE, "png", "L"), "png", 1),
    "grey png with alpha": (pictures.encode(PICTURE, "png", "LA"), "png", 2),
    "palette png": (pictures.encode(PICTURE, "png", "P"), "png", 1),
    "1-bit png": (pictures.encode(PICTURE, "png", "1"), "png", 1),
    "16-bit png": (pictures.encode(PICTURE, "png", "I;16"), "png", 1),
    "gif": (pictures.encode(PICTURE, "gif"), "gif", 1),
    "animation": (pictures.animation(), "gif", 1),
    "bmp": (pictures.encode(PICTURE, "bmp"), "bmp", 3),
    "grey bmp": (pictures.encode(PICTURE, "bmp", "L"), "bmp", 1),
}
BROKEN = {
    "nothing": (b"", images.EMPTY),
    "half a jpeg": (pictures.encode(PICTURE, "jpeg")[:-150], images.TRUNCATED),
    "half a png": (pictures.encode(PICTURE)[:400], images.TRUNCATED),
    "half a gif": (pictures.encode(PICTURE, "gif")[:900], images.TRUNCATED),
    "half a bmp": (pictures.encode(PICTURE, "bmp")[:400], images.TRUNCATED),
    "a jpeg's first bytes": (b"\xff\xd8\xff\xe0" + b"no header follows" * 3, images.UNDECODABLE),
    "a png's first bytes": (b"\x89PNG\r\n\x1a\n" + bytes(40), images.UNDECODABLE),
    "a wrong checksum": (pictures.break_checksum(pictures.encode(PICTURE)), images.UNDECODABLE),
    "1-bit bmp": (pictures.encode(PICTURE, "bmp", "1"), images.UNDECODABLE),
    "text": (b"<html>404 Not Found</html>", images.NOT_AN_IMAGE),
    "webp": (pictures.encode(PICTURE, "webp"), images.UNSUPPORTED_FORMAT),
    "tiff": (pictures.encode(PICTURE, "tiff"), images.UNSUPPORTED_FORMAT),
    "many pixels": (pictures.png_of_size(LIMIT, 2), images.TOO_LARGE),
    "a pixel bomb": (pictures.png_of_size(60_000, 60_000), images.TOO_LARGE),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_image_is_taken_with_its_size_and_channels(kind):
    content, form, channels = WHOLE[kind]
    assert inspect_image(content, LIMIT) == Image(form, height=16, width=20, channels=channels)


@pytest.mark.parametrize("kind", WHOLE)
def test_tensorflow_sees_the_pixels_that_pillow_sees(kind):
    content, _, _ = WHOLE[kind]
    seen = tf.io.decode_image(content, channels=3, expand_animations=False).numpy().astype(int)
    expected = Pillow.open(io.BytesIO(content))
    if kind == "16-bit png":
        expected = Pillow.fromarray((np.asarray(expected) >> 8).astype(np.uint8))
    assert np.abs(seen - np.asarray(expected.convert("RGB"))).max() <= (4 if "jpeg" in kind else 0)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_rejected_with_its_reason(kind):
    content, reason = BROKEN[kind]
    found = inspect_image(content, LIMIT)
    assert isinstance(found, Rejected), found
    assert found.reason == reason, found
    assert 0 < len(found.detail) <= 250
    assert "\n" not in found.detail


def test_every_reason_is_met_by_a_real_file(tmp_path):
    met = {reason for _, reason in BROKEN.values()} | {read_file(str(tmp_path)).reason}
    assert met == set(REASONS)


def test_colours_of_a_palette_bmp_are_not_taken_for_greys():
    content = pictures.encode(PICTURE, "bmp", "P")
    found = inspect_image(content, LIMIT)
    if isinstance(found, Image):
        seen = tf.io.decode_image(content, channels=3, expand_animations=False).numpy().astype(int)
        expected = np.asarray(Pillow.open(io.BytesIO(content)).convert("RGB"))
        assert np.abs(seen - expected).max() == 0
    else:
        assert found.reason in REASONS


def test_the_pixel_limit_is_inclusive_and_read_from_the_header():
    whole = pictures.encode(PICTURE)
    assert inspect_image(whole, 16 * 20) == Image("png", 16, 20, 3)
    assert inspect_image(whole, 16 * 20 - 1) == Rejected(images.TOO_LARGE, "20 x 16 pixels, limit 319")
    assert inspect_image(pictures.png_of_size(5000, 5000), LIMIT).detail == "5000 x 5000 pixels, limit 10,000,000"


@pytest.mark.parametrize("form", features.FORMATS)
def test_the_format_is_told_by_the_content(form):
    assert sniff_format(pictures.encode(PICTURE, form)) == form


def test_the_suffix_does_not_count(tmp_path):
    for name in ("photo.jpg", "PHOTO.JPG", "photo", "photo.txt"):
        path = pictures.write(tmp_path / name, pictures.encode(PICTURE))
        content = read_file(str(path))
        assert not is_ignorable(name, content)
        assert inspect_image(content, LIMIT) == Image("png", 16, 20, 3)


@pytest.mark.parametrize(
    ("name", "content", "ignorable"),
    [
        ("labels.txt", b"cat\ndog\n", True),
        ("photo.JPG", b"<html>", False),
        ("photo.jpeg", b"", False),
        ("archive.zip", b"PK\x03\x04", True),
        ("archive.zip", b"\x89PNG\r\n\x1a\n", False),
        ("noname", b"text", True),
        ("scan.tif", b"text", False),
    ],
)
def test_only_what_claims_nothing_is_a_side_car(name, content, ignorable):
    assert is_ignorable(name, content) is ignorable


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".avif"])
def test_pictures_of_phones_are_not_passed_over_in_silence(suffix):
    content = b"\x00\x00\x00\x18ftyp" + (b"avif" if suffix == ".avif" else b"heic") + bytes(40)
    assert not is_ignorable("photo" + suffix, content)
    assert inspect_image(content, LIMIT).reason in (images.UNSUPPORTED_FORMAT, images.NOT_AN_IMAGE)


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    os.symlink(tmp_path / "gone", tmp_path / "broken.jpg")
    assert read_file(str(tmp_path / "broken.jpg")) == Rejected(images.UNREADABLE, "No such file or directory")
    assert read_file(str(tmp_path)) == Rejected(images.UNREADABLE, "Is a directory")
