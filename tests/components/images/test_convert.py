"""TensorFlow sees the pixels that Pillow sees, in every format and mode: as they are, or by way of a PNG."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pillow

from components.contract import features
from components.images.convert import encode_for_tensorflow
from components.images.findings import ImageLimits
from components.images.formats import sniff_format
from components.images.inspection import inspect_image
from tests import pictures

LIMITS = ImageLimits(max_pixels=1_000_000, min_side=8, max_bytes=1_000_000)
PICTURE = pictures.noise(16, 20)


def convert(content: bytes) -> tuple[bytes, str]:
    found = inspect_image("photo", content, LIMITS)
    assert found.reason == "", found
    encoded, form = encode_for_tensorflow(content, found)
    assert form in features.FORMATS
    assert sniff_format(encoded) == form
    assert encoded is content or "converted" in found.flags
    return encoded, form


def seen(content: bytes) -> np.ndarray:
    return tf.io.decode_image(convert(content)[0], channels=3, expand_animations=False).numpy()


def reference(content: bytes) -> np.ndarray:
    """On white; a 16-bit grey by its high byte."""
    picture = Pillow.open(io.BytesIO(content))
    if picture.mode.startswith("I;16"):
        values, clear = np.asarray(picture), picture.info.get("transparency", -1)
        return np.repeat(np.where(values == clear, 255, values >> 8).astype(np.uint8)[..., np.newaxis], 3, axis=2)
    plain = picture.convert("RGBA")
    return np.asarray(Pillow.alpha_composite(Pillow.new("RGBA", plain.size, "white"), plain).convert("RGB"))


def big_endian_16_bit() -> bytes:
    buffer = io.BytesIO()
    grey = PICTURE[..., 0].astype(">u2") * 257
    Pillow.frombytes("I;16B", (20, 16), grey.tobytes()).save(buffer, "tiff")
    return buffer.getvalue()


def run_length_bmp() -> bytes:
    """A BMP of 8 bits a pixel, run-length encoded (BI_RLE8): 16 rows of a run of 20."""
    plain = pictures.encode(PICTURE, "bmp", "P")
    rows = b"".join(bytes([20, row * 9, 0, 0]) for row in range(16)) + b"\0\1"
    header = bytearray(plain[:-320])
    header[2:6] = (len(header) + len(rows)).to_bytes(4, "little")
    header[30:34] = (1).to_bytes(4, "little")
    header[34:38] = len(rows).to_bytes(4, "little")
    return bytes(header) + rows


def partial_gif() -> bytes:
    """A GIF whose frame leaves a border of its canvas free."""
    plain = bytearray(pictures.encode(PICTURE, "gif"))
    plain[6:10] = (30).to_bytes(2, "little") + (24).to_bytes(2, "little")
    return bytes(plain)


EXACT = {
    f"{form} {mode}": pictures.encode(PICTURE, form, mode)
    for form, modes in {
        "png": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
        "gif": ("P", "L", "RGBA"),
        "bmp": ("RGB", "RGBA", "L", "P", "1"),
        "webp": ("RGB", "RGBA"),
        "tiff": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"),
        "avif": ("RGB", "RGBA", "L"),
    }.items()
    for mode in modes
} | {
    "png with a transparent colour": pictures.encode(PICTURE, "png", transparency=tuple(PICTURE[0, 0].tolist())),
    "palette png with a transparent colour": pictures.encode(PICTURE, "png", "P", transparency=3),
    "grey png with a transparent shade": pictures.encode(PICTURE, "png", "L", transparency=3),
    "16-bit png with a transparent shade": pictures.encode(PICTURE, "png", "I;16", transparency=257),
    "palette gif with a transparent colour": pictures.encode(PICTURE, "gif", "P", transparency=3),
    "interlaced gif": pictures.encode(PICTURE, "gif", interlace=1),
    "partial gif": partial_gif(),
    "animated gif": pictures.animation(),
    "animated png": pictures.several("png"),
    "run-length bmp": run_length_bmp(),
    "lossless webp": pictures.encode(PICTURE, "webp", "RGBA", lossless=True),
    "lzw tiff": pictures.encode(PICTURE, "tiff", compression="tiff_lzw"),
    "jpeg tiff": pictures.encode(PICTURE, "tiff", "YCbCr", compression="jpeg"),
    "fax tiff": pictures.encode(PICTURE, "tiff", "1", compression="group4"),
    "big-endian 16-bit tiff": big_endian_16_bit(),
}
GREY = ("tiff L", "tiff LA", "tiff 1", "tiff I;16", "big-endian 16-bit tiff")
KEPT = dict.fromkeys(GREY, "L") | dict.fromkeys(("tiff RGBA", "tiff P", "tiff CMYK"), "RGB")


@pytest.mark.parametrize("kind", EXACT)
def test_tensorflow_sees_the_pixels_that_pillow_sees(kind):
    np.testing.assert_array_equal(seen(EXACT[kind]), reference(EXACT[kind]))


@pytest.mark.parametrize("kind", KEPT)
def test_grey_stays_grey_in_the_conversion(kind):
    encoded, form = convert(EXACT[kind])
    assert form == "png"
    assert Pillow.open(io.BytesIO(encoded)).mode == KEPT[kind]


def test_cielab_goes_through_srgb():
    colours = {(255, 0, 0): (138, 81, 70), (255, 255, 255): (255, 0, 0), (119, 119, 119): (128, 0, 0)}  # a, b: signed
    for rgb, lab in colours.items():
        buffer = io.BytesIO()
        Pillow.fromarray(np.full((16, 20, 3), lab, np.uint8), "LAB").save(buffer, "tiff")
        assert np.abs(seen(buffer.getvalue()).astype(int) - rgb).max() <= 12, rgb


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_kept_and_nearly_the_same(mode, progressive):
    content = pictures.encode(PICTURE, "jpeg", mode, progressive=progressive)
    assert convert(content) == (content, "jpeg")
    assert np.abs(seen(content).astype(int) - reference(content)).max() <= 5  # two libjpegs round differently


def test_a_picture_of_a_phone_is_converted():
    pixels = seen(pictures.heif()).astype(int)
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels[:, :30] - (200, 30, 40)).max() <= 8
    assert np.abs(pixels[:, 34:] - (20, 60, 220)).max() <= 8


@pytest.mark.parametrize("kind", ["palette png", "webp", "tiff"])
def test_the_same_file_gives_the_same_bytes_without_metadata(kind):
    form = kind.split()[-1]
    content = pictures.oriented(pictures.smooth(), form, 3)
    first, _ = convert(content)
    assert convert(content)[0] == first
    if form != "png":
        assert not Pillow.open(io.BytesIO(first)).info
