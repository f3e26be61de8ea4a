"""Whatever is done to an image file: inspection never raises, and what it takes, TensorFlow decodes to its size."""

import struct

import pytest
import tensorflow as tf
from hypothesis import given, note, settings
from hypothesis import strategies as st

from components.images import findings
from components.images.convert import encode_for_tensorflow
from components.images.findings import FLAGS, REASONS, ImageLimits
from components.images.inspection import inspect_image
from components.images.orientation import read_orientation
from tests import pictures

LIMITS = ImageLimits(max_pixels=100_000, min_side=1, max_bytes=1_000_000)
PICTURE = pictures.noise(9, 13)
PHOTO = pictures.smooth(40, 50)
SEEDS = {
    "jpeg": pictures.encode(PICTURE, "jpeg"),
    "jpeg of a photo": pictures.encode(PHOTO, "jpeg"),
    "grey jpeg": pictures.encode(PICTURE, "jpeg", "L"),
    "cmyk jpeg": pictures.encode(PICTURE, "jpeg", "CMYK"),
    "progressive jpeg": pictures.encode(PHOTO, "jpeg", progressive=True),
    "jpeg with restarts": pictures.encode(PHOTO, "jpeg", restart_marker_rows=1),
    "rotated jpeg": pictures.oriented(PICTURE, "jpeg", 6),
    "png": pictures.encode(PICTURE),
    "palette png": pictures.encode(PICTURE, "png", "P"),
    "16-bit png": pictures.encode(PICTURE, "png", "I;16"),
    "gif": pictures.encode(PICTURE, "gif"),
    "animated gif": pictures.animation(2, 9, 13),
    "bmp": pictures.encode(PICTURE, "bmp"),
    "palette bmp": pictures.encode(PICTURE, "bmp", "P"),
    "webp": pictures.encode(PICTURE, "webp"),
    "lossless webp": pictures.encode(PICTURE, "webp", lossless=True),
    "tiff": pictures.encode(PICTURE, "tiff"),
    "lzw tiff": pictures.encode(PICTURE, "tiff", compression="tiff_lzw"),
    "avif": pictures.encode(PICTURE, "avif"),
    "heif": pictures.heif(),
}
MAGIC = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"",
    b"RIFF\x40\0\0\0WEBP",
]
MAGIC += [b"\0\0\0\x18ftyp" + brand for brand in (b"heic", b"avif", b"mif1")]
RESULTS = set(REASONS) - {findings.UNREADABLE, findings.DUPLICATE_OF, findings.CONFLICTING_LABEL}

places = st.integers(0, 2000)
sizes = st.tuples(st.sampled_from("<>"), st.sampled_from("HI"), st.integers(0, 65535), st.integers(0, 65535))
edits = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["set", "insert", "delete"]), places, st.binary(min_size=1, max_size=8)),
        st.tuples(st.sampled_from(["cut", "close", "splice"]), places, st.just(b"")),
        st.tuples(st.just("flip"), places, st.integers(0, 7).map(lambda bit: bytes([1 << bit]))),
        st.tuples(st.just("set"), st.integers(0, 200), sizes.map(lambda s: struct.pack(f"{s[0]}2{s[1]}", *s[2:]))),
    ),
    min_size=1,
    max_size=3,
)


def mutate(content: bytes, changes) -> bytes:
    """The content after each (what, where, bytes) in turn."""
    for what, where, new in changes:
        place = where % (len(content) + 1)
        before, after = content[:place], content[place:]
        content = {
            "set": before + new + after[len(new) :],
            "insert": before + new + after,
            "delete": before + after[len(new) :],
            "cut": before,
            "close": before + b"\xff\xd9",
            "splice": before + content[place // 2 : place // 2 + 40] + after[40:],
            "flip": before + bytes(a ^ b for a, b in zip(after, new, strict=False)) + after[len(new) :],
        }[what]
    return content


def check(content: bytes) -> None:
    found = inspect_image("photo.jpg", content, LIMITS)
    assert (found.bytes, len(found.sha256)) == (len(content), 64)
    assert set(found.flags) <= set(FLAGS)
    if found.reason:
        assert found.reason in RESULTS
        assert 0 < len(found.detail) <= 200
        assert found.detail.isprintable()
        return
    encoded, _ = encode_for_tensorflow(content, found)
    try:
        pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    except tf.errors.OpError as error:
        raise AssertionError(f"{found} was accepted; TensorFlow: {error.message}; content: {content!r}") from error
    size = found.height, found.width
    if "rotated" in found.flags and "converted" not in found.flags:  # the transform graph turns it
        size = size[::-1] if read_orientation(encoded) >= 5 else size
    assert pixels.shape == (*size, 3), content
    assert found.height * found.width <= LIMITS.max_pixels


@settings(max_examples=200)
@given(edits)
def test_what_is_accepted_can_be_decoded(changes):
    for kind, content in SEEDS.items():
        note(kind)
        check(mutate(content, changes))


@pytest.mark.parametrize("kind", SEEDS)
def test_a_cut_file_is_rejected_or_decodes(kind):
    content = SEEDS[kind]
    for length in {*range(0, len(content), 37), *range(len(content) - 30, len(content))}:
        check(content[:length])


@pytest.mark.parametrize("kind", ["jpeg", "grey jpeg", "progressive jpeg"])
@pytest.mark.parametrize("marker", [0xC0, 0xC4, 0xDA, 0xDD, 0xD0, 0xFE])
def test_a_jpeg_that_ends_in_the_wrong_marker_is_rejected_or_decodes(kind, marker):
    check(SEEDS[kind][:-1] + bytes([marker]))


@settings(max_examples=300)
@given(
    st.sampled_from(MAGIC),
    st.binary(max_size=60),
)
def test_any_bytes_at_all_get_an_answer(magic, rest):
    check(magic + rest)
