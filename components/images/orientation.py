"""Turns pictures upright: one rule for the EXIF orientation of a JPEG, over bytes and in a graph.

`read_orientation` is for ingest, overlays and whatever else has a file; `orientations_of` does the same with operations
of TensorFlow, so that a served model turns what cameras write without help. The rule is that of browsers (EXIF 2.32,
4.6): the first `Exif` segment before the first scan counts, of that the first orientation entry of its first directory,
a SHORT of 1..8. Whatever else is there, or broken: 1, the picture as stored.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

MOST_SEGMENTS = 100  # before the one with EXIF; cameras write it first, or behind JFIF's
MOST_ENTRIES = 256  # of its first directory; cameras write some 20
TAG, SHORT = 0x0112, 3
EXIF = b"Exif\0\0"
SOI, FILL = b"\xff\xd8", 0xFF
EXIF_HEAD = 4 + len(EXIF)  # marker, length, and what tells EXIF from XMP
APP1 = b"\xff\xe1\0\0" + EXIF
IS_LENGTH = [place in (2, 3) for place in range(EXIF_HEAD)]
BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
# How far the next marker is from a marker: so many bytes, and the length where a segment has one (ITU-T T.81, B.1.1.3).
# A stuffed zero, SOI, EOI and SOS end the walk; fill bytes, TEM and RST0..7 have no length.
OWN_BYTES = tuple(0 if marker in (0x00, 0xD8, 0xD9, 0xDA) else 1 if marker == FILL else 2 for marker in range(256))
HAS_LENGTH = tuple(int(own == 2 and marker not in (1, *range(0xD0, 0xD8))) for marker, own in enumerate(OWN_BYTES))

TRANSPOSED = (5, 6, 7, 8)  # stored rows are upright columns; then, of what came out,
MIRRORED = (2, 3, 6, 7)  # left and right are to be exchanged,
UPSIDE_DOWN = (3, 4, 7, 8)  # and top and bottom


def read_orientation(content: bytes) -> int:
    """Reads the orientation of a JPEG from its EXIF, 1..8 (TIFF 6.0: 1 is upright); 1 for any other file."""
    exif = _find_exif(content)
    if exif[:4] not in BYTE_ORDERS:
        return 1
    order = BYTE_ORDERS[exif[:4]]
    place = struct.unpack(f"{order}I", exif[4:8].ljust(4, b"\0"))[0]
    count = struct.unpack(f"{order}H", exif[place : place + 2].ljust(2, b"\0"))[0]
    for number in range(min(count, MOST_ENTRIES)):
        start = place + 2 + 12 * number
        entry = exif[start : start + 12].ljust(12, b"\0")
        tag, kind, values, value = struct.unpack(f"{order}HHIH", entry[:10])
        if tag == TAG:
            return value if (kind, values) == (SHORT, 1) and 1 <= value <= 8 else 1
    return 1


def _find_exif(content: bytes) -> bytes:
    """Finds the content after `Exif` in the first such segment of a JPEG; empty where there is none."""
    place = 2 if content.startswith(SOI) else len(content)
    for _ in range(MOST_SEGMENTS):
        head = content[place : place + EXIF_HEAD].ljust(EXIF_HEAD, b"\0")
        marker, length = head[1], int.from_bytes(head[2:4], "big")
        if head[0] != FILL or not OWN_BYTES[marker]:
            break
        if head[:2] + head[4:] == APP1[:2] + EXIF:
            return content[place + EXIF_HEAD : place + 2 + length]
        place += OWN_BYTES[marker] + HAS_LENGTH[marker] * length
    return b""


def is_transposed(orientation: int) -> bool:
    """Tells whether an orientation, 1..8, makes height and width change places."""
    return orientation in TRANSPOSED


def turn(pixels: Any, orientation: int) -> Any:
    """Turns an array [height, width, ...] as stored upright; a view of the same bytes."""
    if orientation in TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in UPSIDE_DOWN else 1
    columns = -1 if orientation in MIRRORED else 1
    return pixels[::rows, ::columns]


def orientations_of(encoded: tf.Tensor) -> tf.Tensor:
    """Reads the orientation of each image in a graph, as `read_orientation` does.

    Args:
        encoded: string [batch], image files of any format.

    Returns:
        int64 [batch], 1..8.
    """
    import tensorflow as tf

    start, end = _find_exifs(encoded)
    found = tf.cond(
        tf.reduce_any(start < end),
        lambda: _read_directories(encoded, start, end),
        lambda: tf.ones_like(start),
    )
    return tf.ensure_shape(found, encoded.shape)


def _find_exifs(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds begin and end of the TIFF within EXIF, int64 [batch] each; both are equal where there is none."""
    import tensorflow as tf

    lengths = tf.cast(tf.strings.length(encoded), tf.int64)

    def step(place: tf.Tensor, start: tf.Tensor, end: tf.Tensor, walking: tf.Tensor) -> tuple[tf.Tensor, ...]:
        head = _bytes_at(encoded, place, EXIF_HEAD, lengths)
        own, has_length = tf.unstack(tf.gather(tf.constant([OWN_BYTES, HAS_LENGTH], tf.int64), head[:, 1], axis=1))
        length = head[:, 2] * 256 + head[:, 3]
        walking &= (head[:, 0] == FILL) & (own > 0)
        found = walking & tf.reduce_all((head == list(APP1)) | tf.constant(IS_LENGTH), axis=1)
        end = tf.where(found, tf.minimum(place + 2 + length, lengths), end)
        start = tf.where(found, tf.minimum(place + EXIF_HEAD, end), start)
        return place + own + has_length * length, start, end, walking & ~found

    nowhere = tf.zeros_like(lengths)
    is_jpeg = tf.reduce_all(_bytes_at(encoded, nowhere, 2, lengths) == list(SOI), axis=1)
    _, start, end, _ = tf.while_loop(
        lambda *state: tf.reduce_any(state[3]),
        step,
        (nowhere + 2, nowhere, nowhere, is_jpeg),
        maximum_iterations=MOST_SEGMENTS,
    )
    return start, end


def _read_directories(encoded: tf.Tensor, start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """The orientation in each TIFF directory between two places, int64 [batch]."""
    import tensorflow as tf

    header = _bytes_at(encoded, start, 8, end)
    little, big = (tf.reduce_all(header[:, :4] == list(mark), axis=1) for mark in BYTE_ORDERS)
    place = start + _join(_join(header[:, 4:], big), big, 65536)[:, 0]
    count = _join(_bytes_at(encoded, place, 2, end), big)[:, 0]
    table = _bytes_at(encoded, place + 2, MOST_ENTRIES * 12, end)
    words = tf.reshape(_join(table, big), [-1, MOST_ENTRIES, 6])
    tags = tf.where(tf.range(MOST_ENTRIES, dtype=tf.int64) < count[:, tf.newaxis], words[:, :, 0], 0)
    entry = tf.gather(words, tf.argmax(tags == TAG, axis=1), batch_dims=1)
    values, value = _join(entry[:, 2:4], big, 65536)[:, 0], entry[:, 4]
    is_sound = (little | big) & tf.reduce_any(tags == TAG, axis=1) & (entry[:, 1] == SHORT) & (values == 1)
    return tf.where(is_sound & (value >= 1) & (value <= 8), value, 1)


def _bytes_at(encoded: tf.Tensor, place: tf.Tensor, count: int, end: tf.Tensor) -> tf.Tensor:
    """Some bytes of each string, int64 [batch, count]; zeros from `end` on."""
    import tensorflow as tf

    place = tf.minimum(place, end)
    found = tf.strings.substr(encoded, place, tf.minimum(tf.constant(count, tf.int64), end - place))
    return tf.cast(tf.io.decode_raw(found, tf.uint8, fixed_length=count), tf.int64)


def _join(digits: tf.Tensor, big: tf.Tensor, base: int = 256) -> tf.Tensor:
    """Each two digits to a number: int64 [batch, 2 n] to [batch, n]; `big` [batch]: the first is the higher one."""
    import tensorflow as tf

    first, second = digits[:, 0::2], digits[:, 1::2]
    return tf.where(big[:, tf.newaxis], first * base + second, second * base + first)


def turn_tensor(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns pixels [height, width, channels] as stored upright, in a graph, as `turn` does."""
    import tensorflow as tf

    def turned() -> tf.Tensor:
        is_across, *is_reversed = (
            tf.reduce_any(orientation == list(kind)) for kind in (TRANSPOSED, UPSIDE_DOWN, MIRRORED)
        )
        upright = tf.cond(is_across, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
        return tf.reverse(upright, tf.where(is_reversed)[:, 0])

    return tf.ensure_shape(tf.cond(orientation == 1, lambda: pixels, turned), [None, None, pixels.shape[-1]])
