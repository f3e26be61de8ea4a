"""Files that are neither large nor broken, and would keep a decoder busy for minutes or fill the memory."""

import io
import shutil
import struct

import pytest
from PIL import Image

from components.example_gen import scan
from components.images import cost, findings
from components.images.findings import ImageLimits
from components.images.formats import sniff_format
from components.images.inspection import inspect_image
from pipeline.predict.reading import check_image
from tests import pictures

LIMITS = ImageLimits(max_pixels=1_000_000, min_side=8, max_bytes=10_000_000)
PICTURE = pictures.noise(16, 20)
JPEG, PNG = pictures.encode(PICTURE, "jpeg"), pictures.encode(PICTURE)
EXIF = b"Exif\0\0" + bytes(20)


def progressive(**options) -> bytes:
    return pictures.encode(pictures.smooth(), "jpeg", progressive=True, **options)


def hidden_end() -> bytes:
    """Hundreds of scans behind a comment that holds an end marker."""
    content = pictures.many_scans(64, 64, 300)
    scan = content.index(b"\xff\xda", content.index(b"\xff\xda") + 1)
    return content[:scan] + b"\xff\xfe\0\6\xff\xd9\xff\xd9" + content[scan:]


def greedy_tiff() -> bytes:
    """A TIFF of one page, the further entries of whose directory share 500 kB."""
    tiff = pictures.encode(PICTURE, "tiff")
    start = int.from_bytes(tiff[4:8], "little")
    count = int.from_bytes(tiff[start : start + 2], "little")
    extra = b"".join(struct.pack("<HHII", 40_000 + index, 7, 500_000, 8) for index in range(1000))
    directory = struct.pack("<H", count + 1000) + tiff[start + 2 : start + 2 + 12 * count] + extra + bytes(4)
    return tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:] + directory + bytes(500_000)


COSTLY = {
    "thousands of scans": (pictures.many_scans(64, 64, 5000), "more than 100 scans over 64 x 64 pixels"),
    "too many scans for the size": (pictures.many_scans(1000, 1000, 21), "more than 20 scans over 1000 x 1000 pixels"),
    "scans behind an end that is none": (hidden_end(), "more than 100 scans over 64 x 64 pixels"),
    "scans with fill bytes": (
        pictures.many_scans(64, 64, 300).replace(b"\xff\xda", b"\xff\xff\xff\xda"),
        "more than 100 scans over 64 x 64 pixels",
    ),
    "comments": (pictures.with_segments(JPEG, 3000), "more than 1,100 parts in 12,8"),
    "exif": (pictures.with_segments(JPEG, 17, EXIF, 0xE1), "more than 16 segments of EXIF"),
    "chunks": (pictures.with_chunks(PNG, 3000), "more than 1,289 parts in 37,"),
    "empty pixels": (pictures.with_chunks(PNG, 3000, b"IDAT"), "more than 1,289 parts in 37,"),
    "frames": (pictures.many_frames(10), "frames of more than 8,000,000 pixels in all"),
    "runs": (pictures.run_lengths(60_000), "run lengths of 121,200 bytes, limit 100,000"),
    "a greedy tiff": (greedy_tiff(), "entries of a TIFF or EXIF directory that are longer than the file"),
}


@pytest.mark.parametrize("kind", COSTLY)
def test_what_would_cost_too_much_is_refused_before_a_decoder_sees_it(kind, monkeypatch):
    content, detail = COSTLY[kind]
    if kind != "a greedy tiff":
        for decoder in ("decode_with_libjpeg", "decode_with_pillow"):
            monkeypatch.setattr(f"components.images.inspection.{decoder}", None)
    found = inspect_image("x", content, LIMITS)
    assert (found.reason, found.detail[: len(detail)]) == (findings.TOO_LARGE, detail)
    assert check_image("x", content, LIMITS).error.startswith(f"too_large: {detail}")  # predict and serve


@pytest.mark.parametrize(
    "content",
    [
        progressive(),
        progressive(subsampling=0, quality=95),
        pictures.many_scans(64, 64, 100),
        pictures.many_scans(1000, 1000, 20),
        pictures.encode(pictures.smooth(), "jpeg", restart_marker_blocks=1),
        JPEG + b"\xff\xda" * 500,  # a film behind the picture, as telephones write it
        pictures.with_segments(JPEG, 300, b"\xff\xda" * 100, 0xE2),  # a profile or a preview in the header
        pictures.with_segments(JPEG, 2, EXIF, 0xE1),
        pictures.with_chunks(PNG, 500, b"tEXt", b"a\0b"),
        pictures.animation(20),
        pictures.run_lengths(400, 20),
    ],
    ids=range(11),
)
def test_ordinary_files_pass(content):
    assert inspect_image("x", content, LIMITS).reason == ""


def test_exif_that_fills_the_memory_says_nothing():
    exif = pictures.greedy_directory(4000, 60_000)
    for content in (
        pictures.with_segments(JPEG, 1, b"Exif\0\0" + exif, 0xE1),
        pictures.with_chunks(PNG, 1, b"eXIf", exif),
        pictures.encode(PICTURE, "webp", exif=exif),
    ):
        found = inspect_image("x", content, LIMITS)
        assert (found.reason, found.flags) in {("", ("wrong_suffix",)), ("", ("converted",)), ("", ())}


def test_a_directory_is_read_once_and_a_half_and_no_more():
    cost.limit_directories()
    with pytest.raises(findings.Rejection, match="longer than the file"):
        Image.Exif().load(b"Exif\0\0" + pictures.greedy_directory(4000, 60_000))
    orientation = pictures.oriented(PICTURE, "tiff", 6)
    assert Image.open(io.BytesIO(orientation)).getexif()[0x112] == 6


def test_pages_of_a_tiff_are_counted_to_a_limit():
    assert inspect_image("x", pictures.several("tiff", 120), LIMITS).detail == "100 pages"


@pytest.mark.parametrize("content", [JPEG, PNG, pictures.animation(), pictures.run_lengths(9, 3), b"", b"\xff"])
def test_cut_anywhere_the_walk_ends(content):
    for length in range(len(content)):
        cost.check_cost(content[:length], sniff_format(content) or "", LIMITS)


def test_what_was_inspected_by_other_rules_is_inspected_again(tmp_path, monkeypatch):
    before = scan.digest_inspector(LIMITS)
    shutil.copytree(scan.ROOM, tmp_path / "images")
    pictures.write(tmp_path / "images" / "cost.py", b"MAX_SCANS = 1000")
    monkeypatch.setattr(scan, "ROOM", tmp_path / "images")
    assert scan.digest_inspector(LIMITS) != before
