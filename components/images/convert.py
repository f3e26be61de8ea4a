"""Pixels as Pillow reads them, as TensorFlow reads them, and a PNG where the two differ.

Pillow's pixels are the reference: RGB, what is transparent laid on a colour, 16 bits by their high byte (of as many
bits as the picture uses, see `depth.py`), turned upright where the orientation tag says so.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from components.images import formats
from components.images.depth import to_eight_bits
from components.images.findings import (
    ALPHA,
    ALPHA_ON_BLACK,
    ANIMATED,
    ANIMATED_UNSUPPORTED,
    CONVERTED,
    ON_ALPHA,
    ROTATED,
    SCALED,
    TRUNCATED,
    UNDECODABLE,
    ImageLimits,
    Inspection,
    Picture,
    Rejection,
    check_size,
    turn_picture,
)
from components.images.jpeg import ends_early
from components.images.jpeg2000 import check_tiles
from components.images.orientation import read_orientation, turn
from components.images.pillow import as_mode, explain_failure, is_cut, load_as_stored, open_as_stored, read_tag
from components.images.png import check_scanlines
from components.images.tensorflow_pixels import (
    agrees_with_pillow,
    are_equal,
    decode_with_tensorflow,
    refuse_where_postponed,
)
from components.images.tiff import check_strips, check_tiff_kind

if TYPE_CHECKING:
    from PIL.Image import Image

PNG_LEVEL = 1  # photographs: a quarter of the default level's time, 8 % more bytes
PROVED_SIDE, ORDINARY_SIDE = 256, 1 << 14  # px; decoders have limits far above the latter
MOST_PAGES = 100  # of a TIFF that are counted; Pillow's own count takes the square of their number
PSD_VERSION = 1057  # the resource that says, in its fifth byte, whether the flattened picture is real
PCX_PALETTE = 0x0C  # the byte before it, 769 before the end of a file of 256 colours
WITHOUT_PIXELS = ("I", "F")  # 32 bits a pixel, of any range
THUMBNAIL_SIDE, MAX_REDUCTION = 64, 8  # as for JPEGs, so that a copy in another format looks alike
BACKGROUNDS = {ALPHA: (255, 255, 255, 255), ALPHA_ON_BLACK: (0, 0, 0, 255)}


def encode_for_tensorflow(content: bytes, inspection: Inspection) -> tuple[bytes, str]:
    """Encodes an image for `image/encoded`: its bytes, and their format, one of `features.FORMATS`.

    The file itself; where TensorFlow would get it wrong (flag `converted`), a PNG of the reference pixels, grey or RGB
    with 8 bits. Metadata stays behind.

    Args:
        content: a file that was not rejected: then this was done before, by `decode_with_pillow`.
        inspection: what `images.inspect_image` said of it.
    """
    from PIL import Image as Pillow

    if CONVERTED not in inspection.flags:
        return content, inspection.format
    form = inspection.format
    with open_as_stored(content, form) as picture:
        loaded, orientation = _load_with_orientation(picture, content, form)
    plain = _lay_on(to_eight_bits(loaded, content, form)[0], inspection.flags)
    if ROTATED in inspection.flags:
        plain = Pillow.fromarray(np.ascontiguousarray(turn(np.asarray(plain), orientation)))
    return _write_png(plain, PNG_LEVEL), "png"


def _write_png(plain: Image, level: int) -> bytes:
    plain.info = {}  # or Pillow writes transparency, gamma and profiles, which change what decoders see
    buffer = io.BytesIO()
    plain.save(buffer, "png", compress_level=level)
    return buffer.getvalue()


def decode_with_pillow(content: bytes, form: str, limits: ImageLimits) -> Picture:
    """Decodes an image strictly with Pillow, and holds TensorFlow's pixels against Pillow's.

    What is to be converted is converted here once, and TensorFlow must see the same pixels in it: nothing that is
    accepted fails when it is written. Of a GIF or an APNG, the first frame or default image counts; a later one may
    be cut.

    Raises:
        Rejection: the file is cut, damaged, too large, too small, or has pixels that mean nothing.
    """
    try:
        is_plain = _check_whole(content, form, limits)
        if not is_plain:
            refuse_where_postponed()
        with open_as_stored(content, form) as picture:
            flags = _check_header(picture, form, limits)
            loaded, orientation = _load_with_orientation(picture, content, form)
            if form == "tiff":
                check_strips(content, picture.tag_v2)  # type: ignore[attr-defined]
            check_size(loaded.height, loaded.width, limits)  # of some formats the header is not the last word
    except Rejection:
        raise
    except Exception as error:  # noqa: BLE001  Pillow's decoders raise anything on broken bytes
        reason = TRUNCATED if is_cut(content, form, error) else UNDECODABLE
        raise Rejection(reason, explain_failure(error)) from None
    eight, is_scaled = to_eight_bits(loaded, content, form)
    flags |= ({SCALED} if is_scaled else set()) | ({ON_ALPHA[limits.alpha]} if _is_clear(eight) else set())
    plain = _lay_on(eight, flags)
    if form == "jpeg" and ends_early(content, _decode_jpeg):
        raise Rejection(TRUNCATED, "the end marker stands before the last row")
    is_tagged = orientation != 1 and limits.upright and form != "jpeg"  # JPEGs are turned in the transform graph
    is_as_stored = is_plain and flags.isdisjoint(BACKGROUNDS)
    if is_tagged or not (is_as_stored or agrees_with_pillow(content, form, plain)):
        refuse_where_postponed()
        _prove_conversion(plain)
        flags |= {CONVERTED}
    channels = len(loaded.getbands())
    stored = Picture(loaded.height, loaded.width, channels, _luma(plain), tuple(flags))
    return turn_picture(stored, orientation, limits)


def _check_whole(content: bytes, form: str, limits: ImageLimits) -> bool:
    """Refuses cut content that Pillow would accept; tells whether the content is a plain PNG."""
    if form == "png":
        return check_scanlines(content, limits)
    if form == "jpeg2000":
        check_tiles(content)
    if form == "pcx" and content[3] == 8 and content[65] == 1 and content[-769] != PCX_PALETTE:
        raise Rejection(TRUNCATED, "the palette behind the last row is missing")
    return False


def _prove_conversion(plain: Image) -> None:
    """Refuses a picture of which no PNG can be made in which TensorFlow sees its pixels.

    That depends on mode and size, so a corner is proof enough where the size is nothing out of the ordinary.
    """
    side = PROVED_SIDE if max(plain.size) <= ORDINARY_SIDE else max(plain.size)
    width, height = (min(side, length) for length in plain.size)
    try:
        corner = plain.crop((0, 0, width, height))
        seen = decode_with_tensorflow(_write_png(corner, level=0))
    except Exception as error:  # noqa: BLE001  whatever it is, it would end a run later
        raise Rejection(UNDECODABLE, f"cannot be written as a PNG: {explain_failure(error)}") from None
    if isinstance(seen, str) or not are_equal(seen, np.asarray(as_mode(corner, "RGB"))):
        problem = seen.rpartition("}} ")[2] if isinstance(seen, str) else "other pixels"
        raise Rejection(UNDECODABLE, f"cannot be written as a PNG: TensorFlow: {problem}")


def _decode_jpeg(content: bytes) -> np.ndarray:
    with open_as_stored(content, "jpeg") as picture:
        return np.asarray(load_as_stored(picture).convert("RGB"))


def _check_header(picture: Image, form: str, limits: ImageLimits) -> set[str]:
    """Refuses by the header alone, before a pixel is decoded; the flags otherwise."""
    width, height = picture.size
    check_size(height, width, limits)
    frames = _count_frames(picture, form)
    if frames > 1 and form in ("webp", "avif", "tiff"):
        raise Rejection(ANIMATED_UNSUPPORTED, f"{frames} {'pages' if form == 'tiff' else 'frames'}")
    if form == "tiff":
        check_tiff_kind(picture.tag_v2)  # type: ignore[attr-defined]
    if form == "psd" and not _is_flattened(picture):
        raise Rejection(UNDECODABLE, f"saved without its flattened picture: {formats.LAYERS}")
    if picture.mode in WITHOUT_PIXELS and form != "ppm":
        raise Rejection(UNDECODABLE, f"32 bits a pixel (Pillow's mode {picture.mode}): no way to tell black from white")
    return {ANIMATED} if frames > 1 else set()


def _is_flattened(picture: Image) -> bool:
    """Whether a PSD's picture is real; without "Maximize Compatibility", Photoshop saves a white one."""
    resources = picture.resources  # type: ignore[attr-defined]
    return all(data[4:5] != b"\0" for number, _, data in resources if number == PSD_VERSION)


def _count_frames(picture: Image, form: str) -> int:
    """Counts the pictures; of a GIF up to 2, of a TIFF up to `MOST_PAGES`."""
    if form in ("jpeg", "heif", "psd"):  # a PSD's first picture is the flattened one
        return 1
    if form == "gif":
        return 1 + picture.is_animated  # type: ignore[attr-defined]
    if form != "tiff":
        return getattr(picture, "n_frames", 1)
    for page in range(1, MOST_PAGES):
        try:
            picture.seek(page)
        except EOFError:
            return page
    return MOST_PAGES


def _load_with_orientation(picture: Image, content: bytes, form: str) -> tuple[Image, int]:
    """All pixels as stored, and the orientation that is left to apply, 1..8.

    A JPEG is turned by the transform graph, so its rule counts; HEIF's own rotation is part of its decoding.
    """
    if form == "jpeg":
        return load_as_stored(picture), read_orientation(content)
    if form == "tiff":  # loaded, Pillow's picture is turned and has no tag any more
        orientation = read_tag(picture)
        return load_as_stored(picture), orientation
    loaded = load_as_stored(picture)
    return loaded, read_tag(picture)  # of a PNG, the tag may stand behind the pixels


def _is_clear(picture: Image) -> bool:
    """Whether something shows through a picture."""
    if not picture.has_transparency_data or picture.mode == "RGBX":
        return False
    return bool(np.asarray(picture.convert("RGBA").getchannel("A")).min() < 0xFF)


def _lay_on(picture: Image, flags: Iterable[str]) -> Image:
    """A picture of 8 bits a value, grey or RGB, on what the flag about its alpha says; without one, alpha is lost."""
    from PIL import Image as Pillow

    for colour in (BACKGROUNDS[flag] for flag in flags if flag in BACKGROUNDS):
        laid = Pillow.alpha_composite(Pillow.new("RGBA", picture.size, colour), picture.convert("RGBA"))
        return laid.convert("L" if picture.mode == "LA" else "RGB")
    if picture.mode == "LAB":
        return _lab_to_rgb(picture)
    if picture.mode in ("P", "PA"):  # or Pillow warns that transparency will be lost
        picture = picture.convert("RGBA")
    return as_mode(picture, "L" if picture.mode in ("1", "L", "LA") else "RGB")


def _lab_to_rgb(picture: Image) -> Image:
    from PIL import ImageCms

    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.applyTransform(picture, ImageCms.buildTransform(*profiles, "LAB", "RGB"))  # type: ignore[return-value]


def _luma(plain: Image) -> np.ndarray:
    """The luma of a thumbnail, uint8 [h, w]."""
    grey = as_mode(plain, "L")
    return np.asarray(grey.reduce(max(1, min(min(grey.size) // THUMBNAIL_SIDE, MAX_REDUCTION))))
