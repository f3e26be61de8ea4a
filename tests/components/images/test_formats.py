"""Every format that people have is read, or named with a way out; what is read has all its rows."""

import hashlib
import io
import struct

import numpy as np
import pytest
from PIL import Image as Pillow

from components.contract import features
from components.images import findings, formats
from components.images.convert import encode_for_tensorflow
from components.images.findings import ImageLimits
from components.images.formats import is_ignorable, sniff_format
from components.images.inspection import inspect_image
from components.images.tensorflow_pixels import decode_with_tensorflow
from tests import kinds, pictures

LIMITS = ImageLimits(max_pixels=1_000_000, min_side=8, max_bytes=10_000_000)
PICTURE = pictures.smooth(70, 96)
WHOLE = kinds.whole_files(PICTURE)
NAMED = {
    "Canon raw": b"II*\0\x10\0\0\0CR\x02\0",
    "Fujifilm raw": b"FUJIFILMCCD-RAW 0201",
    "Olympus raw": b"IIRO\x08\0\0\0",
    "Panasonic raw": b"IIU\0\x18\0\0\0",
    "Sigma raw": b"FOVb\0\0\2\0",
    "Minolta raw": b"\0MRM\0\0\0\0",
    "PAM": b"P7\nWIDTH 4\n",
    "PFM": b"PF\n4 4\n-1.0\n",
    "JPEG XL": b"\xff\x0a\xfa\x7f\x01",
    "JPEG XR": b"II\xbc\x01\x20\0\0\0",
    "DICOM": bytes(128) + b"DICM\2\0\0\0",
    "SVG": b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "PDF": b"%PDF-1.7\n",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "Windows metafile": b"\xd7\xcd\xc6\x9a\0\0",
    "DjVu": b"AT&TFORM\0\0",
    "icon": b"\0\0\1\0\2\0\x10\x10\0\0\1\0\x20\0",
    "Apple icon": b"icns\0\0\1\0",
    "large Photoshop document": b"8BPS\0\2\0\0",
    "GIMP": b"gimp xcf file\0",
    "OpenEXR": b"\x76\x2f\x31\x01\2\0\0\0",
    "Radiance HDR": b"#?RADIANCE\n",
    "FITS": b"SIMPLE  =                    T",
    "DirectDraw texture": b"DDS \x7c\0\0\0",
    "Khronos texture": b"\xabKTX 11\xbb\r\n\x1a\n",
    "BPG": b"BPG\xfb\0\0",
    "FLIF": b"FLIF1\0",
    "MNG": b"\x8aMNG\r\n\x1a\n",
    "X bitmap": b"#define icon_width 16\n",
    "multi-page PCX": b"\xb1\x68\xde\x3a\0\0",
}


def inspect(content: bytes, name: str = "photo", limits: ImageLimits = LIMITS) -> findings.Inspection:
    return inspect_image(name, content, limits)


def seen(content: bytes, name: str = "photo") -> np.ndarray:
    """What training sees of a file that must be taken."""
    found = inspect(content, name)
    assert (found.reason, found.detail) == ("", "")
    encoded, form = encode_for_tensorflow(content, found)
    assert form in features.FORMATS
    pixels = decode_with_tensorflow(encoded)
    assert not isinstance(pixels, str), pixels
    return pixels


@pytest.mark.parametrize("kind", WHOLE)
def test_every_kind_is_read_to_the_picture_that_it_was_made_of(kind):
    found = inspect(WHOLE[kind])
    form = kind.split()[-1]
    assert (found.format, sniff_format(WHOLE[kind][: formats.HEAD])) == (form, form)
    assert ("converted" in found.flags) >= (form not in features.FORMATS)
    pixels = seen(WHOLE[kind])
    if form != "heif" and kind not in ("run-length bmp", "turned jpeg", "turned png", "turned webp"):
        small = np.asarray(Pillow.fromarray(pixels).convert("L").resize((12, 9), Pillow.Resampling.BOX), int)
        wanted = PICTURE[..., :1].repeat(3, 2) if kind.startswith(("16-bit", "12-bit")) else PICTURE
        large = Pillow.fromarray(wanted).convert("L").resize((12, 9), Pillow.Resampling.BOX)
        assert np.abs(small - np.asarray(large, int)).mean() < 12


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_anywhere_is_rejected_or_has_all_its_rows(kind):
    content, whole = WHOLE[kind], seen(WHOLE[kind])
    for end in {*(len(content) * part // 16 for part in range(16)), *range(len(content) - 8, len(content))}:
        found = inspect(content[:end])
        is_last_digit = kind == "text ppm" and end >= len(content) - 4
        if not found.reason and not is_last_digit:
            np.testing.assert_array_equal(seen(content[:end]), whole, f"cut at {end:,} of {len(content):,}")


@pytest.mark.parametrize("kind", NAMED)
def test_a_format_that_is_not_read_is_named_with_a_way_out(kind):
    found = inspect(NAMED[kind])
    assert (found.reason, found.detail) == (findings.UNDECODABLE, f"{kind}: {formats.WAYS_OUT[kind]}")
    assert not is_ignorable("any.thing", NAMED[kind])
    assert found.sha256 == hashlib.sha256(NAMED[kind]).hexdigest()


@pytest.mark.parametrize("suffix", [s for s, form in formats.SUFFIX_FORMATS.items() if form in formats.WAYS_OUT])
def test_a_suffix_is_enough_to_name_a_format_that_is_not_read(suffix):
    for content in (b"no known start", pictures.encode(PICTURE, "tiff")):  # most cameras' raws are TIFFs
        found = inspect(content, f"DSC_0001{suffix.upper()}")
        assert (found.reason, found.detail.split(":")[0]) == (findings.UNDECODABLE, formats.SUFFIX_FORMATS[suffix])
        assert not is_ignorable(f"photo{suffix}", content)
    assert inspect(pictures.encode(PICTURE), f"photo{suffix}").flags == ("wrong_suffix",)
    assert inspect(b"", f"photo{suffix}").reason == findings.EMPTY


def test_every_way_out_fits_the_ledger_and_no_suffix_means_two_formats():
    suffixes = [suffix for row in formats.IMAGE_FORMATS for suffix in row.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)
    assert max(len(f"{name}: {way_out}") for name, way_out in formats.WAYS_OUT.items()) < findings.DETAIL_LENGTH
    assert set(features.FORMATS) <= {row.name for row in formats.IMAGE_FORMATS if not row.way_out}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", b"# Photos\n\nP5 of them are blurred. BMP files were removed.\n"),
        ("labels.csv", b"path,label\n1.jpg,cat\n"),
        ("notes.txt", b"P1 is the first patient\n"),
        ("boxes.xml", b'<?xml version="1.0"?>\n<annotation><size/></annotation>'),
        ("page.html", b"<!DOCTYPE html>\n<html><body><svg></svg></body></html>"),
        ("meta.json", b'{"width": 4}'),
        ("code.h", b"#define WIDTH 4\n"),
        ("array.npy", b"\x93NUMPY\x01\0v\0{'descr': '<f4'}" + bytes(100)),
        ("movie.mp4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(100)),
        ("font.ttf", b"\0\1\0\0\0\x0f\0\x80\0\3\0\x70" + bytes(100)),
        ("zeros.bin", bytes(2000)),
        ("ones.bin", b"\xff" * 2000),
        ("archive.zip", b"PK\x03\x04" + bytes(100)),
        ("data.pkl", b"\x80\x04\x95" + bytes(100)),
        ("data.gz", b"\x1f\x8b\x08\0\0\0\0\0" + bytes(100)),
    ],
)
def test_what_lies_beside_images_is_no_image(name, content):
    assert sniff_format(content) is None
    assert is_ignorable(name, content)


def test_random_bytes_are_no_image():
    random = np.random.default_rng(0)
    found = [sniff_format(random.bytes(64)) for _ in range(20_000)]
    assert sum(form is not None for form in found) <= 4  # the two bytes of BMP and of JPEG XL


def test_documents_make_no_class():
    assert not {".pdf", ".svg", ".eps", ".djvu"} & formats.IMAGE_SUFFIXES
    assert {".jpg", ".cr2", ".dcm", ".ppm", ".jp2", ".psd", ".ico"} <= formats.IMAGE_SUFFIXES


def test_a_targa_may_tell_the_depth_of_a_map_that_is_not_there():
    odd = bytearray(WHOLE["tga"])
    odd[7] = 24
    np.testing.assert_array_equal(seen(bytes(odd)), PICTURE)


def test_a_cameras_raw_file_is_not_taken_for_its_thumbnail():
    buffer = io.BytesIO()
    Pillow.fromarray(PICTURE).save(buffer, "tiff", tiffinfo={254: 1})
    found = inspect(buffer.getvalue())
    assert (found.reason, found.detail) == (findings.UNDECODABLE, f"camera raw: {formats.RAW}")


def test_a_photoshop_file_without_its_flattened_picture_is_named():
    found = inspect(kinds.photoshop(PICTURE, is_flattened=False))
    assert (found.reason, found.detail) == (
        findings.UNDECODABLE,
        "saved without its flattened picture: an editor's file of layers; export it as PNG",
    )


def test_sixteen_and_twelve_bits_of_a_graymap_are_kept():
    for kind in ("16-bit ppm", "12-bit ppm"):
        assert np.abs(seen(WHOLE[kind])[..., 0].astype(int) - PICTURE[..., 0]).max() <= 1


TIGHT = ImageLimits(max_pixels=60_000, min_side=8, max_bytes=10_000_000)


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("text ppm", "characters that are read one by one, limit 6,000"),
        ("12-bit ppm", "6,720 values that are read one by one, limit 6,000"),
        ("qoi", "6,720 pixels that are read one by one, limit 6,000"),
    ],
)
def test_what_python_decodes_may_have_a_tenth_of_the_pixels(kind, detail):
    found = inspect(WHOLE[kind], limits=TIGHT)
    assert found.reason == findings.TOO_LARGE
    assert found.detail.endswith(detail)
    for other in ("ppm", "pbm ppm", "16-bit ppm"):
        assert inspect(WHOLE[other], limits=TIGHT).reason == ""


def test_the_size_in_the_codestream_counts_and_not_that_of_the_box_around_it():
    content = bytearray(WHOLE["jp2 jpeg2000"])
    struct.pack_into(">II", content, content.index(b"\xff\x4f\xff\x51") + 8, 60_000, 60_000)
    assert inspect(bytes(content)).detail == "60000 x 60000 pixels, limit 1,000,000"
    tiles = bytearray(WHOLE["codestream jpeg2000"])
    struct.pack_into(">II", tiles, 24, 1, 1)
    assert inspect(bytes(tiles)).detail.startswith("6,720 tiles in ")


def test_a_codestream_without_its_last_tiles_is_cut_though_it_is_closed():
    content = bytearray(WHOLE["lossy jpeg2000"])
    content[-60:] = b"\xff\xd9"
    last = content.rindex(b"\xff\x90\0\x0a")
    struct.pack_into(">I", content, last + 6, 0)
    struct.pack_into(">I", content, content.index(b"jp2c") - 4, 0)
    first_only = bytes(content[:last]) + b"\xff\xd9"
    assert inspect(first_only).reason == findings.TRUNCATED
    assert inspect(first_only).detail.endswith("of 4 tiles are there")


def short_strip(content: bytes, share: float) -> bytes:
    """The same TIFF with a shorter last strip, by its own count, and zeros where its end was."""
    with Pillow.open(io.BytesIO(content)) as picture:
        tags = picture.tag_v2
        offset, count, field = tags[273][-1], tags[279][-1], tags._offset
    (entries,) = struct.unpack_from("<H", content, field)
    shorter = bytearray(content)
    for place in range(field + 2, field + 2 + 12 * entries, 12):
        tag, kind, number = struct.unpack_from("<HHI", content, place)
        if tag == 279:
            assert number == 1
            struct.pack_into("<I" if kind == 4 else "<H", shorter, place + 8, int(count * share))
    shorter[offset + int(count * share) : offset + count] = bytes(count - int(count * share))
    return bytes(shorter)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["jpeg", "group3", "group4", "tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma"])
def test_a_tiff_whose_strip_is_short_is_rejected_though_all_its_counts_fit(kind, share, capfd):
    found = inspect(short_strip(WHOLE[f"{kind} tiff"], share))
    assert found.reason in (findings.TRUNCATED, findings.UNDECODABLE)
    capfd.readouterr()  # libtiff speaks


def test_a_palette_that_is_cut_off_is_missed():
    found = inspect(WHOLE["palette pcx"][:-700] + bytes(10))
    assert (found.reason, found.detail) == (findings.TRUNCATED, "the palette behind the last row is missing")


def test_what_cannot_be_written_as_a_png_is_rejected_and_not_met_later(monkeypatch):
    from components.images import convert

    monkeypatch.setattr(convert, "_write_png", lambda picture, level: b"\x89PNG\r\n\x1a\n")
    found = inspect(WHOLE["webp"])
    assert found.reason == findings.UNDECODABLE
    assert found.detail.startswith("cannot be written as a PNG: TensorFlow: ")

    def fail(picture, level):
        raise MemoryError

    monkeypatch.setattr(convert, "_write_png", fail)
    assert inspect(WHOLE["webp"]).detail == "cannot be written as a PNG: Pillow: MemoryError:"


def test_a_large_picture_is_proved_by_its_corner_and_a_long_one_as_a_whole(monkeypatch):
    from components.images import convert

    sizes, write = [], convert._write_png
    monkeypatch.setattr(
        convert, "_write_png", lambda picture, level: sizes.append(picture.size) or write(picture, level)
    )
    large, long = pictures.smooth(300, 400), np.zeros([8, 17_000, 3], np.uint8)
    assert inspect(pictures.encode(large, "webp")).reason == ""
    assert inspect(pictures.encode(long, "tiff")).reason == ""
    assert sizes == [(256, 256), (17_000, 8)]
