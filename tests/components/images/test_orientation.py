"""Which way up a JPEG is: the same answer from bytes, in a graph and, of what is in order, by Pillow."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from components.images.orientation import (
    MOST_ENTRIES,
    MOST_SEGMENTS,
    orientations_of,
    read_orientation,
    turn,
    turn_tensor,
)
from components.options.data import TransformOptions
from components.transform import decode_and_resize
from tests import pictures

PICTURE = pictures.smooth(30, 46)
JPEG = pictures.encode(PICTURE, "jpeg")
JFIF = JPEG[2 : 4 + int.from_bytes(JPEG[4:6], "big")]
in_graph = tf.function(orientations_of, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)


def entry(order, tag=0x0112, kind=3, count=1, value=6):
    packed = struct.pack(f"{order}HHI", tag, kind, count)
    return packed + (struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value))


def tiff(order, *entries, offset=8, declared=None, after=b"\0\0\0\0"):
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", offset) + bytes(max(0, offset - 8))
    return head + struct.pack(f"{order}H", len(entries) if declared is None else declared) + b"".join(entries) + after


def segment(content, marker=0xE1):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def exif(content):
    return segment(b"Exif\0\0" + content)


def jpeg(*segments):
    return JPEG[:2] + b"".join(segments) + JPEG[2 + len(JFIF) :]


def answers(content):
    """From the bytes, and in the graph beside other files."""
    return read_orientation(content), *in_graph(tf.constant([b"", content, JPEG])).numpy()[1:2].tolist()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("value", range(1, 9))
def test_all_orientations_in_both_byte_orders(order, value):
    content = jpeg(exif(tiff(order, entry(order, 0x0100, value=1), entry(order, value=value), entry(order, 0x8769))))
    assert answers(content) == (value, value)
    assert Image.open(io.BytesIO(content)).getexif()[0x0112] == value


XMP = segment(b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='8'/> Exif\0\0MM\0*")
THUMBNAIL = tiff("<", entry("<", value=3))[8:]
FOUND = {
    "behind JFIF": (JFIF, exif(tiff("<", entry("<")))),
    "behind XMP that quotes it": (JFIF, XMP, exif(tiff("<", entry("<")))),
    "behind a quoting comment": (segment(exif(tiff("<", entry("<", value=3))), 0xFE), exif(tiff(">", entry(">")))),
    "before MPF and ICC": (exif(tiff(">", entry(">"))), segment(b"MPF\0MM\0*", 0xE2), segment(b"ICC_PROFILE\0", 0xE2)),
    "behind fill bytes and markers without length": (b"\xff\xff\xff", b"\xff\x01\xff\xd0", exif(tiff(">", entry(">")))),
    "another orientation of its thumbnail": (exif(tiff("<", entry("<"), after=struct.pack("<I", 26) + THUMBNAIL)),),
    "a directory far behind": (exif(tiff("<", entry("<"), offset=60_000)),),
    "the first segment of two": (exif(tiff("<", entry("<"))), exif(tiff("<", entry("<", value=3)))),
    "the first entry of two": (exif(tiff("<", entry("<"), entry("<", value=3))),),
    "more entries declared than there are": (exif(tiff("<", entry("<"), declared=0xFFFF)),),
    "no end of the directory": (exif(tiff(">", entry(">"), after=b"")),),
    "as many segments as are looked at": (*[segment(b"x", 0xEB)] * (MOST_SEGMENTS - 1), exif(tiff("<", entry("<")))),
}
UPRIGHT = {
    "no EXIF": (JFIF,),
    "XMP alone": (JFIF, XMP),
    "a LONG": (exif(tiff("<", entry("<", kind=4))),),
    "a LONG, big-endian": (exif(tiff(">", entry(">", kind=4))),),
    "two values": (exif(tiff("<", entry("<", count=2))),),
    "0": (exif(tiff("<", entry("<", value=0))),),
    "9": (exif(tiff("<", entry("<", value=9))),),
    "65535": (exif(tiff(">", entry(">", value=65535))),),
    "no entry": (exif(tiff("<")),),
    "an unknown order of bytes": (exif(b"IM*\0" + tiff("<", entry("<"))[4:]),),
    "orders mixed": (exif(b"II*\0" + tiff(">", entry(">"))[4:]),),
    "a directory outside": (exif(tiff("<", entry("<"))[:4] + b"\xff\xff\xff\xff" + tiff("<", entry("<"))[8:]),),
    "an entry cut at the segment's end": (exif(tiff("<", entry("<"))[:-8]), segment(b"\6\0", 0xFE)),
    "EXIF of no bytes": (exif(b""),),
    "EXIF behind garbage": (b"garbage", exif(tiff("<", entry("<")))),
    "too many segments before it": (*[segment(b"x", 0xEB)] * MOST_SEGMENTS, exif(tiff("<", entry("<")))),
    "too many entries before it": (exif(tiff("<", *[entry("<", 0x0100)] * MOST_ENTRIES, entry("<"))),),
    "another segment's EXIF": (segment(b"Exif\0\0" + tiff("<", entry("<")), 0xED),),
}


@pytest.mark.parametrize("what", FOUND)
def test_it_is_found_wherever_writers_put_it(what):
    assert answers(jpeg(*FOUND[what])) == (6, 6)


@pytest.mark.parametrize("what", UPRIGHT)
def test_what_is_no_orientation_or_broken_leaves_the_picture_as_stored(what):
    assert answers(jpeg(*UPRIGHT[what])) == (1, 1)


@pytest.mark.parametrize("form", ["png", "gif", "bmp", "webp", "tiff"])
def test_other_formats_are_for_the_converter(form):
    content = pictures.encode(PICTURE, form) if form in ("gif", "bmp") else pictures.oriented(PICTURE, form, 6)
    assert answers(content) == (1, 1)


def test_exif_behind_the_first_scan_is_not_looked_for():
    assert answers(JPEG + exif(tiff("<", entry("<")))) == (1, 1)


SEED = jpeg(JFIF, XMP, exif(tiff(">", entry(">", 0x0100), entry(">", value=8), entry(">", 0x8769))))[:260]
edits = st.lists(st.tuples(st.integers(0, 259), st.sampled_from([0, 1, 3, 6, 8, 0x2A, 0xDA, 0xE1, 0xFF])), max_size=4)


@settings(max_examples=60)
@given(st.lists(st.tuples(edits, st.integers(0, 260)), min_size=1, max_size=8))
def test_whatever_is_broken_bytes_and_graph_agree(batch):
    contents = []
    for changes, length in batch:
        content = bytearray(SEED)
        for place, value in changes:
            content[place] = value
        contents.append(bytes(content[:length]))
    assert in_graph(tf.constant(contents)).numpy().tolist() == [read_orientation(content) for content in contents]


def test_an_empty_batch_stays_one():
    assert in_graph(tf.zeros([0], tf.string)).shape == (0,)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_both_turn_as_pillow_does(orientation):
    tagged = Image.fromarray(PICTURE)
    tagged.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(tagged))
    np.testing.assert_array_equal(turn(PICTURE, orientation), expected)
    np.testing.assert_array_equal(turn_tensor(tf.constant(PICTURE), tf.constant(orientation, tf.int64)), expected)


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_transform_graph_sees_a_tagged_jpeg_upright(orientation, crop):
    options = TransformOptions(image_size=(24, 20), crop_to_aspect_ratio=crop)
    picture = pictures.smooth(64, 48)  # whole blocks, or the encoder fills them up on other sides
    copies = [pictures.tagged(picture, "jpeg", each, quality=95, subsampling=0) for each in (1, orientation)]
    upright, turned = decode_and_resize(tf.constant(copies), options).numpy()
    assert np.abs(upright - turned).mean() < 1.0
    stored = decode_and_resize(tf.constant(copies), options, upright=False).numpy()[1]
    assert (np.abs(upright - stored).mean() > 5.0) == (orientation != 1)
