"""Real image files made by the tests."""

import base64
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

HEIF = (
    "0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<0004fZDn*}000000000XXk=`10000000000aA{+700000000000000000000B57=IV*mgE07O"
    "6l0RRC200001p#T8@00000002(_001LtX>Mi!000000RR916=`l}WdZ;I000310BCk&F#rGn01j|zbZr0t000010002}X>f9I0002pX>en20"
    "001XXm(>m0RwOV0058x000009`FGC{rLC*01pFT0096PKmiN^|NjGU00093kN^M!000939=ZZRVE_RDDnbDP18@KU0|1Z!00RI30{|YNAb|y"
    "z>g1-mxCm%4AOHXZ10VnZ0{|gn00967L;=Bbz=;3=025<xY;ta6Y<K_x01W^JfB*mh6lrsCWdHyG00000KmY&$KmY&$C}V74Z~y=RKmY&$0R"
    "R91FaQ7m0RR91000000{{R2@Bjb+0ssI25O8UDX#fBK00RgJ2mk;87-?{AVE_OC000000RRC7fdT^sga7~lS8ZfrbN~PVODF-a6M*$6fj|G?"
    "Nk{*&?s$F$gE2q-<baRorRV>c2=1T}23{k<u%m7CDTx8zBE|R&Qvk!KHj5(dTCCk7xjDN4ZAq+g3de@H"
)
SUFFIXES = {"jpeg": ".jpg", "png": ".png", "gif": ".gif", "bmp": ".bmp"}


def noise(height: int = 16, width: int = 20, seed: int = 0, low: int = 0, high: int = 256) -> np.ndarray:
    """uint8 [height, width, 3] in low..high-1, the same for the same seed."""
    return np.random.default_rng(seed).integers(low, high, (height, width, 3), dtype=np.uint8)


def scene(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """uint8 [height, width, 3] of soft blobs: it keeps its perceptual hash when it is encoded again."""
    blobs = Image.fromarray(noise(9, 12, seed))
    return np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC))


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
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, data: bytes) -> bytes:
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


def smooth(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """uint8 [height, width, 3]: soft shapes, as in a photograph; the same for the same seed at any size."""
    waves = np.random.default_rng(seed).uniform(-3, 3, (6, 3, 3))
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j][..., np.newaxis]
    total = sum(np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in waves)
    return np.clip(127 + 40 * total, 0, 255).astype(np.uint8)


def oriented(picture: np.ndarray, form: str, orientation: int, **options) -> bytes:
    """An image file with an EXIF orientation (1..8) and the pixels as given."""
    if form == "tiff":
        return encode(picture, form, tiffinfo={0x112: orientation}, **options)
    exif = Image.Exif()
    exif[0x112] = orientation
    return encode(picture, form, exif=exif, **options)


def tagged(picture: np.ndarray, form: str, orientation: int, **options) -> bytes:
    """An image file that shows the picture when it is turned as its EXIF orientation (1..8) says."""
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270} | {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        7: Image.Transpose.TRANSVERSE,
    }
    stored = Image.fromarray(picture)
    stored = stored.transpose(undo[orientation]) if orientation > 1 else stored
    return oriented(np.asarray(stored), form, orientation, **options)


def several(form: str, frames: int = 2) -> bytes:
    """A file of several frames or pages, in any format that has them."""
    first, *others = (Image.fromarray(noise(16, 20, seed)) for seed in range(frames))
    buffer = io.BytesIO()
    first.save(buffer, form, save_all=True, append_images=others)
    return buffer.getvalue()


def with_jpeg_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG (baseline or progressive) with another size in its header."""
    place = max(jpeg.find(b"\xff\xc0\0"), jpeg.find(b"\xff\xc2\0"))
    return jpeg[: place + 5] + struct.pack(">HH", height, width) + jpeg[place + 9 :]


def heif() -> bytes:
    """A HEIC of 64 x 48 pixels, its left half red (200, 30, 40) and its right half blue (20, 60, 220).

    Made with pillow_heif 1.8.1, quality 50: no encoder is among the dependencies.
    """
    return base64.b85decode(HEIF)


def many_scans(width: int, height: int, scans: int) -> bytes:
    """A grey, progressive JPEG, whole and without a fault, each of whose scans goes over all blocks (T.81, annex G).

    The first scan has a bit for each block; each further one is some bytes that say that nothing changes.
    """
    blocks = left = -(-width // 8) * -(-height // 8)
    runs = ""
    while left:
        category = min(left.bit_length() - 1, 14)
        run = min(left, 2 ** (category + 1) - 1)
        runs += f"{category:04b}" + (f"{run - 2**category:0{category}b}" if category else "")
        left -= run
    tables = (
        _segment(0xDB, b"\0" + b"\1" * 64),
        _segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"),
        _segment(0xC4, b"\0" + bytes([1, *bytes(15)]) + b"\0"),  # one code: as bright as the block before
        _segment(0xC4, b"\x10" + bytes([0, 0, 0, 15, *bytes(12)]) + bytes(length << 4 for length in range(15))),
    )
    first = _segment(0xDA, b"\1\1\0\0\0\0") + _packed("0" * blocks)
    further = _segment(0xDA, b"\1\1\0\1\x3f\0") + _packed(runs)
    return b"\xff\xd8" + b"".join(tables) + first + further * (scans - 1) + b"\xff\xd9"


def with_segments(jpeg: bytes, count: int, data: bytes = b"", marker: int = 0xFE) -> bytes:
    """The same JPEG with so many more segments in its header."""
    return jpeg[:2] + _segment(marker, data) * count + jpeg[2:]


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _packed(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def with_chunks(png: bytes, count: int, kind: bytes = b"prVt", data: bytes = b"") -> bytes:
    """The same PNG with so many more chunks after its header."""
    return png[:33] + chunk(kind, data) * count + png[33:]


def many_frames(count: int, side: int = 1000) -> bytes:
    """A GIF of black frames, each a few kilobytes for `side` x `side` pixels."""
    gif = encode(np.zeros([side, side, 3], np.uint8), "gif")
    start = gif.index(b"\x2c", 13)
    return gif[:-1] + gif[start:-1] * (count - 1) + b";"


def run_lengths(runs: int, side: int = 1000) -> bytes:
    """A BMP of so many runs of one pixel, in rows of `side` x `side`."""
    data = (b"\1\1" * side + b"\0\0") * (runs // side) + b"\0\1"
    head = struct.pack("<IIiiHHIIIIII", 0, 40, side, side, 1, 8, 1, len(data), 0, 0, 256, 0)[4:]
    return b"BM" + struct.pack("<IHHI", 1078 + len(data), 0, 0, 1078) + head + bytes(1024) + data


def greedy_directory(count: int, size: int) -> bytes:
    """A TIFF or EXIF directory whose entries each name the whole block of `size` bytes as their value."""
    entries = b"".join(struct.pack("<HHII", 40_000 + index, 7, size - 8, 8) for index in range(count))
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + bytes(4)
    return block + bytes(size - len(block))
