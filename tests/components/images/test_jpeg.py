"""Cut, damaged and odd JPEGs: libjpeg only warns of most, TensorFlow takes most; each is told by its text."""

import pytest

from components.images import findings, jpeg
from components.images.findings import ImageLimits
from components.images.inspection import inspect_image
from tests import pictures

LIMITS = ImageLimits(max_pixels=1_000_000, min_side=8, max_bytes=1_000_000)
PICTURE = pictures.noise(16, 20)
PHOTO = pictures.smooth()
JPEG = pictures.encode(PHOTO, "jpeg")
SMALL_JPEG = pictures.encode(PICTURE, "jpeg")
END = b"\xff\xd9"
EARLY = "libjpeg: Corrupt JPEG data: premature end of data segment"


def inspect(content):
    return inspect_image("photo.jpg", content, LIMITS)


def early_end(share: float, **options) -> bytes:
    """A JPEG that was cut and closed with an end marker: TensorFlow fills the rest with grey, and takes it."""
    content = pictures.encode(PHOTO, "jpeg", **options)
    return content[: int(len(content) * share)] + END


def stray(count: int, marker: bytes = END) -> bytes:
    """A JPEG with so many bytes that belong to nothing before a marker."""
    place = JPEG.rindex(marker)
    return JPEG[:place] + b"x" * count + JPEG[place:]


def odd_sampling(jpeg: bytes) -> bytes:
    """The JPEG as if its luma had 1 x 4 samples a block, which libjpeg-turbo's interface has no name for."""
    place = jpeg.index(b"\xff\xc0") + 11
    return jpeg[:place] + b"\x14" + jpeg[place + 1 :]


def bad_codes() -> bytes:
    """A JPEG whose first table has more Huffman codes than there can be."""
    place = JPEG.index(b"\xff\xc4") + 5
    return JPEG[:place] + bytes([255] * 16) + JPEG[place + 16 :]


BROKEN = {
    "half a jpeg": (JPEG[: len(JPEG) // 2], findings.TRUNCATED, "libjpeg: Premature end of JPEG file"),
    "a closed half": (early_end(0.6), findings.TRUNCATED, EARLY),
    "a closed half, progressive": (early_end(0.9, progressive=True), findings.TRUNCATED, EARLY),
    "a closed half, CMYK": (
        pictures.encode(PHOTO, "jpeg", "CMYK")[:2000] + END,
        findings.TRUNCATED,
        EARLY,
    ),
    "a closed half, odd": (
        odd_sampling(early_end(0.6)),
        findings.TRUNCATED,
        "the end marker stands before the last row",
    ),
    "a jpeg's first bytes": (JPEG[:100], findings.TRUNCATED, "Pillow: Truncated File Read"),
    "a jpeg of noise": (b"\xff\xd8\xff\xe0\0\2" + bytes(90), findings.TRUNCATED, "Pillow: the header is broken"),
    "a jpeg that claims more": (
        pictures.with_jpeg_size(SMALL_JPEG, 10_000, 100),
        findings.TRUNCATED,
        f"10000 x 100 pixels cannot be in {len(SMALL_JPEG):,} bytes",
    ),
    "a jpeg that claims less": (
        pictures.with_jpeg_size(JPEG, 128, 16),
        findings.UNDECODABLE,
        "libjpeg: Corrupt JPEG data: 1429 extraneous bytes before marker 0xd9",
    ),
    "a jpeg of bad codes": (bad_codes(), findings.UNDECODABLE, "Pillow: broken data stream when reading image file"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_jpeg_is_rejected_with_its_reason(kind):
    content, reason, detail = BROKEN[kind]
    found = inspect(content)
    assert (found.reason, found.detail) == (reason, detail)


@pytest.mark.parametrize("count", [30, 400])
def test_stray_bytes_around_the_picture_are_forgiven_and_flagged(count):
    plain = inspect(JPEG)
    for marker in (END, b"\xff\xdb", b"\xff\xc0", b"\xff\xda"):
        found = inspect(stray(count, marker))
        assert (found.reason, found.detail, found.flags) == ("", "", ("extraneous_bytes",))
        assert (found.brightness, found.picture_hash) == (plain.brightness, plain.picture_hash)


def test_stray_bytes_do_not_hide_other_damage():
    cut = JPEG[: len(JPEG) * 3 // 4] + b"\xff\xd9"
    both = cut.replace(b"\xff\xdb", b"stray\xff\xdb", 1)
    assert (inspect(both).reason, inspect(both).detail) == (findings.TRUNCATED, EARLY)
    restarts = pictures.encode(PHOTO, "jpeg", restart_marker_rows=1)
    place = restarts.index(b"\xff\xd0")
    found = inspect(restarts[:place] + b"lost" + restarts[place:])
    assert found.reason == findings.UNDECODABLE
    assert found.detail == "libjpeg: Corrupt JPEG data: 4 extraneous bytes before marker 0xd0"


def test_a_sampling_without_a_name_is_no_damage():
    found = inspect(odd_sampling(JPEG))
    assert (found.reason, found.height, found.width, found.channels) == ("", 96, 128, 3)


def test_an_odd_jfif_version_is_no_damage():
    content = JPEG.replace(b"JFIF\0\1\1", b"JFIF\0\0\0")
    assert content != JPEG
    assert (inspect(content).reason, inspect(content).flags) == ("", ())
    assert inspect(content[:-400] + END).detail == EARLY


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
def test_a_cut_jpeg_is_never_taken(options):
    content = pictures.encode(PHOTO, "jpeg", **options)
    for length in range(4, len(content), 5):
        assert inspect(content[:length]).reason == findings.TRUNCATED, length
    assert inspect(content[:-1]).reason == findings.TRUNCATED


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}], ids=str)
def test_a_cut_jpeg_that_was_given_an_end_marker_is_never_taken(options):
    content = pictures.encode(PHOTO, "jpeg", **options)
    for length in range(content.index(b"\xff\xda") + 14, len(content) - 12, 5):
        assert inspect(content[:length] + END).reason in (findings.TRUNCATED, findings.UNDECODABLE), length


def test_a_cut_progressive_jpeg_with_an_end_marker_is_taken_between_two_scans_only():
    content = pictures.encode(PHOTO, "jpeg", progressive=True)
    first = content.index(b"\xff\xda") + 14
    taken = [n for n in range(first, len(content) - 2) if not inspect(content[:n] + END).reason]
    assert len(taken) <= 4 * content.count(b"\xff\xda")
    assert all({0xC4, 0xDA, 0xD9} & set(content[n : n + 4]) for n in taken)


def test_fill_bytes_between_segments_are_no_damage():
    filled = JPEG.replace(b"\xff\xdb", b"\xff\xff\xff\xdb")
    assert (inspect(filled).reason, inspect(filled).flags) == ("", ())
    both = filled.replace(b"\xff\xc0", b"stray\0\xff\0\xff\xc0")
    assert (inspect(both).reason, inspect(both).flags) == ("", ("extraneous_bytes",))


def test_tensorflow_has_the_last_word_on_stray_bytes(monkeypatch):
    monkeypatch.setattr(jpeg, "decode_with_tensorflow", lambda content: "no such colours")
    found = inspect(stray(30))  # the decoder had read four of them ahead
    assert found.reason == findings.UNDECODABLE
    assert found.detail.endswith("26 extraneous bytes before marker 0xd9; TensorFlow: no such colours")


def test_broken_exif_says_nothing_about_the_picture():
    content = pictures.oriented(PHOTO, "jpeg", 6)
    place = content.index(b"Exif\0\0") + 6
    broken = content[:place] + b"MM\0*\0\0\xff\xff" + content[place + 8 :]
    assert inspect(content).flags == ("rotated",)
    assert (inspect(broken).reason, inspect(broken).flags) == ("", ())
