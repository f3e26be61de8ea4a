"""Pictures of 16 bits a value that use fewer of them: 12 bits of a camera or scanner in a file for 16 look black.

Decoders, TensorFlow's among them, take the high byte of 16 bits. So does this, of as many bits as a picture uses: what
the file says (PNG's `sBIT`), else the fewest of `DEPTHS` that hold its largest value. Colours of 16 bits in JPEG 2000
and PPM stay as Pillow reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from components.images.pillow import load_as_stored, open_as_stored

if TYPE_CHECKING:
    from PIL.Image import Image

DEPTHS = (8, 10, 12, 14, 16)  # bits; what cameras and scanners have
FULL_VALUE = 1 << 6  # a high byte of as much takes more than 14 bits
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by the number of channels; alpha is the last of an even number
BITS_A_SAMPLE = 258  # TIFF's tag
OTHER_BYTE = {";16L": ";16B", ";16B": ";16L", ";16N": ";16B"}  # raw modes of the high byte, and of the low one


def to_eight_bits(picture: Image, content: bytes, form: str) -> tuple[Image, bool]:
    """Converts a loaded picture to 8 bits a value, and tells whether its values were stretched.

    Args:
        picture: as Pillow loads it: greys of 16 bits, colours by their high byte already.
        content: its file.
        form: of the file, as `sniff_format` says.
    """
    from PIL import Image as Pillow

    values = _values_of(picture, content, form)
    if values is None:
        return picture, False
    colours, alpha = np.split(values, [1 if values.shape[2] < 3 else 3], axis=2)
    bits = _bits_of(colours, _significant_bits(content) if form == "png" else 16)
    parts = [colours >> (bits - 8), alpha >> (8 if alpha.size and alpha.max() >> bits else bits - 8)]
    eight = np.concatenate(parts, axis=2).astype(np.uint8)
    found = Pillow.fromarray(eight[..., 0] if eight.shape[2] == 1 else eight, MODES[eight.shape[2]])
    return found, bits < 16


def _values_of(picture: Image, content: bytes, form: str) -> np.ndarray | None:
    """Values of 16 bits, uint16 [height, width, channels]; None where 8 bits of each are all there is or matters."""
    if picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.uint16)
        clear = picture.info.get("transparency")
        if not isinstance(clear, int):
            return values[..., np.newaxis]
        return np.stack([values, np.where(values == clear, np.uint16(0), np.uint16(0xFFFF))], axis=2)
    is_deep_png = form == "png" and content[24:25] == b"\x10"  # the header's bit depth
    if not (is_deep_png or form == "tiff") or picture.mode not in MODES.values() or _largest(picture) >= FULL_VALUE:
        return None
    return _read_png(content) if is_deep_png else _read_tiff(content, picture)


def _largest(picture: Image) -> int:
    """The largest value of a colour."""
    values = np.asarray(picture)
    return int(values.max() if values.ndim == 2 else values[..., : (1 if values.shape[2] == 2 else 3)].max())


def _read_png(content: bytes) -> np.ndarray | None:
    import tensorflow as tf

    try:
        with tf.device("/cpu:0"):
            return tf.io.decode_png(content, dtype=tf.uint16).numpy()
    except tf.errors.OpError:
        return None


def _read_tiff(content: bytes, high: Image) -> np.ndarray | None:
    """The high bytes are there; the low ones come of reading the file once more in the other order of bytes."""
    with open_as_stored(content, "tiff") as opened:
        low: Any = opened
        if set(low.tag_v2.get(BITS_A_SAMPLE, ())) != {16}:
            return None
        low.tile = [tile._replace(args=_swap(tile.args)) for tile in low.tile]
        lower = np.asarray(load_as_stored(low))
    return np.asarray(high).astype(np.uint16) << 8 | lower


def _swap(args: Any) -> Any:
    """A tile's arguments with the raw mode of the other byte; it is the first of them, or all."""
    mode, rest = (args, None) if isinstance(args, str) else (args[0], args[1:])
    other = mode[:-4] + OTHER_BYTE[mode[-4:]]
    return other if rest is None else (other, *rest)


def _bits_of(values: np.ndarray, significant: int) -> int:
    """So many bits are used, 8 to 16; as the file says, unless it stretched its values to all 16, as PNG wants it."""
    largest = int(values.max())
    if 8 <= significant < 16 and not largest >> significant:
        is_stretched = not (values & ((1 << 16 - significant) - 1)).any()
        return 16 if is_stretched else significant
    return next(bits for bits in DEPTHS if not largest >> bits) if largest else 16


def _significant_bits(content: bytes) -> int:
    """The most bits that a channel has by the `sBIT` chunk, which stands before the pixels; 16 without one."""
    place = 8
    while place + 8 <= len(content):
        length, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        if kind == b"sBIT":
            return max(content[place + 8 : place + 8 + min(length, 3)], default=16)
        if kind == b"IDAT":
            return 16
        place += 12 + length
    return 16
