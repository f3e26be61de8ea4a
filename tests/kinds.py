"""One whole file of every format and kind that is read, made of one picture; and files of formats that are named."""

import struct
import zlib

import numpy as np
from PIL import Image

from tests import pictures


def whole_files(picture: np.ndarray) -> dict[str, bytes]:
    """Files that must be taken, by a name whose last word is the format's."""
    encode, deep = pictures.encode, picture[..., 0].astype(int)
    files = {
        "jpeg": encode(picture, "jpeg"),
        "grey jpeg": encode(picture, "jpeg", "L"),
        "cmyk jpeg": encode(picture, "jpeg", "CMYK"),
        "progressive jpeg": encode(picture, "jpeg", progressive=True),
        "restarting jpeg": encode(picture, "jpeg", restart_marker_rows=1),
        "turned jpeg": pictures.oriented(picture, "jpeg", 6),
        "multi-picture jpeg": encode(picture, "mpo", save_all=True, append_images=[Image.fromarray(picture)]),
        "png": encode(picture),
        "alpha png": encode(picture, "png", "RGBA"),
        "grey png": encode(picture, "png", "L"),
        "palette png": encode(picture, "png", "P"),
        "16-bit png": encode(picture, "png", "I;16"),
        "1-bit png": encode(picture, "png", "1"),
        "turned png": pictures.oriented(picture, "png", 6),
        "interlaced png": interlaced_png(picture),
        "gif": encode(picture, "gif", interlace=0),
        "interlaced gif": encode(picture, "gif", interlace=1),
        "bmp": encode(picture, "bmp"),
        "palette bmp": encode(picture, "bmp", "P"),
        "run-length bmp": pictures.run_lengths(32 * 32, 32),
        "webp": encode(picture, "webp"),
        "lossless webp": encode(picture, "webp", lossless=True),
        "turned webp": pictures.oriented(picture, "webp", 6),
        "avif": encode(picture, "avif"),
        "heif": pictures.heif(),
        "jp2 jpeg2000": encode(picture, "jpeg2000"),
        "codestream jpeg2000": encode(picture, "jpeg2000", no_jp2=True),
        "lossy jpeg2000": encode(picture, "jpeg2000", irreversible=True, quality_layers=[20], tile_size=(64, 64)),
        "ppm": encode(picture, "ppm"),
        "pgm ppm": encode(picture, "ppm", "L"),
        "pbm ppm": encode(picture, "ppm", "1"),
        "text ppm": text_pnm(picture),
        "16-bit ppm": b"P5\n%d %d\n65535\n" % deep.shape[::-1] + (deep * 257).astype(">u2").tobytes(),
        "12-bit ppm": b"P5\n# deep\n%d %d 4095\n" % deep.shape[::-1] + (deep * 16).astype(">u2").tobytes(),
        "qoi": encode(picture, "qoi"),
        "pcx": encode(picture, "pcx"),
        "palette pcx": encode(picture, "pcx", "P"),
        "1-bit pcx": encode(picture, "pcx", "1"),
        "sgi": encode(picture, "sgi"),
        "grey sgi": encode(picture, "sgi", "L"),
        "sun": sun_raster(picture),
        "dib": encode(picture, "dib"),
        "tga": encode(picture, "tga"),
        "run-length tga": encode(picture, "tga", rle=True),
        "grey tga": encode(picture, "tga", "L"),
        "palette tga": encode(picture, "tga", "P"),
        "alpha tga": encode(picture, "tga", "RGBA"),
        "psd": photoshop(picture),
        "packed psd": photoshop(picture, packed=True),
    }
    for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma"):
        files[f"{name} tiff"] = encode(picture, "tiff", compression=None if name == "raw" else name)
    files["16-bit tiff"] = encode(picture, "tiff", "I;16")
    files |= {f"{name} tiff": encode(picture, "tiff", "1", compression=name) for name in ("group3", "group4")}
    return files


def interlaced_png(picture: np.ndarray) -> bytes:
    """A PNG in the seven passes of Adam7, which Pillow does not write."""
    height, width, _ = picture.shape
    starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in starts for row in picture[y::dy, x::dx] if row.size)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(pictures.chunk(*part) for part in parts)


def text_pnm(picture: np.ndarray) -> bytes:
    """A PPM in decimal digits."""
    height, width, _ = picture.shape
    return b"P3 # by hand\n%d %d 255\n" % (width, height) + " ".join(map(str, picture.ravel())).encode() + b"\n"


def sun_raster(picture: np.ndarray) -> bytes:
    """A Sun raster file of 24 bits a pixel, blue first."""
    height, width, _ = picture.shape
    rows = b"".join(row[:, ::-1].tobytes() + bytes(width * 3 % 2) for row in picture)
    return struct.pack(">8I", 0x59A66A95, width, height, 24, len(rows), 1, 0, 0) + rows


def photoshop(picture: np.ndarray, packed: bool = False, is_flattened: bool = True) -> bytes:
    """A PSD without layers; `is_flattened`: whether it claims that its picture is real."""
    height, width, _ = picture.shape
    version = struct.pack(">I?I", 1, is_flattened, 0)
    resource = b"8BIM" + struct.pack(">HHI", 1057, 0, len(version)) + version + bytes(len(version) % 2)
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, height, width, 8, 3) + bytes(4)
    head += struct.pack(">I", len(resource)) + resource + bytes(4)
    planes = [row.tobytes() for plane in np.moveaxis(picture, 2, 0) for row in plane]
    if not packed:
        return head + b"\0\0" + b"".join(planes)
    rows = [b"".join(bytes([len(part) - 1]) + part for part in _parts(row, 128)) for row in planes]
    return head + b"\0\1" + b"".join(struct.pack(">H", len(row)) for row in rows) + b"".join(rows)


def _parts(row: bytes, size: int) -> list[bytes]:
    return [row[start : start + size] for start in range(0, len(row), size)]
