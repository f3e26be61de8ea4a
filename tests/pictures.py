"""Real image files made by the tests."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SUFFIXES = {"jpeg": ".jpg", "png": ".png", "gif": ".gif", "bmp": ".bmp"}


def noise(height: int = 16, width: int = 20, seed: int = 0, low: int = 0, high: int = 256) -> np.ndarray:
    """uint8 [height, width, 3] in low..high-1, the same for the same seed."""
    return np.random.default_rng(seed).integers(low, high, (height, width, 3), dtype=np.uint8)


def encode(picture: np.ndarray, form: str = "png", mode: str = "RGB", **options) -> bytes:
    """An image file's bytes; `mode` is one of Pillow's."""
    if mode == "I;16":
        image = Image.fromarray(picture[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(picture).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def animation(frames: int = 3, height: int = 16, width: int = 20) -> bytes:
    """A GIF whose frames differ in every pixel's neighbourhood."""
    first, *others = (Image.fromarray(noise(height, width, seed)).convert("P") for seed in range(frames))
    buffer = io.BytesIO()
    first.save(buffer, "gif", save_all=True, append_images=others)
    return buffer.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header promises any size; there are hardly any pixels behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(bytes(64)))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def break_checksum(png: bytes) -> bytes:
    """The same PNG with one wrong bit in the checksum of its pixels."""
    start = png.index(b"IDAT")
    end = start + 4 + struct.unpack(">I", png[start - 4 : start])[0]
    return png[:end] + bytes([png[end] ^ 1]) + png[end + 1 :]


def write(path: Path, content: bytes) -> Path:
    """Writes a file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_tree(root: Path, counts: dict[str, int], form: str = "png") -> Path:
    """A folder with `counts[name]` different pictures below each name, such as `cats` or `train/cats`."""
    for place, (name, count) in enumerate(counts.items()):
        for index in range(count):
            write(root / name / f"{index:03d}{SUFFIXES[form]}", encode(noise(seed=1000 * place + index), form))
    return root
