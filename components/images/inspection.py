"""Is this file a whole image, and what does TensorFlow make of it? Pure functions over bytes.

The format is told by the content, never by the file's suffix. A file that is no whole image is rejected with one
reason of `REASONS`; its source is never touched. `jpeg.py` looks at JPEGs, `convert.py` at everything else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from components.images import formats
from components.images.orientation import is_transposed, turn

if TYPE_CHECKING:
    import numpy as np

EMPTY = "empty"
TRUNCATED = "truncated"
UNDECODABLE = "undecodable"
NOT_AN_IMAGE = "not_an_image"
TOO_LARGE = "too_large"
TOO_SMALL = "too_small"
UNREADABLE = "unreadable"
ANIMATED_UNSUPPORTED = "animated_unsupported"
DUPLICATE_OF = "duplicate_of"
CONFLICTING_LABEL = "conflicting_label"
UNLABELLED = "unlabelled"

POSTPONED = "postponed"  # no reason that anyone sees: another process is to inspect the file

REASONS = {
    EMPTY: "the file has no bytes",
    TRUNCATED: "the image ends before its last row",
    UNDECODABLE: "the format is known, the content is broken or of a kind that no decoder here takes",
    NOT_AN_IMAGE: "the suffix, a row or a record says image, the content does not",
    TOO_LARGE: "more pixels than data.max_pixels, bytes than data.max_file_megabytes, or scans, frames or parts",
    TOO_SMALL: "a side shorter than data.min_side",
    UNREADABLE: "the file could not be read",
    ANIMATED_UNSUPPORTED: "several pictures in one WebP, AVIF or TIFF: which one is meant?",
    DUPLICATE_OF: "an exact copy of another file of the same class",
    CONFLICTING_LABEL: "the same picture stands under two classes",
    UNLABELLED: "its row gives no class, or several",
}

CONVERTED = "converted"
ROTATED = "rotated"
ORIENTATION_IGNORED = "orientation_ignored"
ALPHA = "alpha"
ALPHA_ON_BLACK = "alpha_on_black"
ALPHA_IGNORED = "alpha_ignored"
SCALED = "scaled"
FLAT = "flat"
ANIMATED = "animated"
WRONG_SUFFIX = "wrong_suffix"
EXTRANEOUS_BYTES = "extraneous_bytes"

FLAGS = {
    CONVERTED: "stored as a PNG of the right pixels, which TensorFlow would not see in the file; larger, no loss",
    ROTATED: "turned upright, as its orientation tag asks; no loss",
    ORIENTATION_IGNORED: "its orientation tag asks to turn it, data.orientation says no: learned and judged as stored",
    ALPHA: "transparent pixels: the picture is laid on white, as in serving (data.alpha)",
    ALPHA_ON_BLACK: "transparent pixels: the picture is laid on black, as in serving (data.alpha)",
    ALPHA_IGNORED: "transparent pixels, taken as if they were not: what no viewer shows may appear (data.alpha)",
    SCALED: "16 bits a value, of which the picture uses fewer: stretched, since it would be nearly black",
    FLAT: "one colour all over: no more can be learned from it; black or white ones count for data.max_flat_fraction",
    ANIMATED: "several frames, of which the first is taken; the others are lost",
    WRONG_SUFFIX: "the suffix is that of another image format; costs nothing, the content counts",
    EXTRANEOUS_BYTES: "a JPEG with stray bytes that belong to no part of the picture; costs nothing",
}
ON_ALPHA = {"white": ALPHA, "black": ALPHA_ON_BLACK, "ignore": ALPHA_IGNORED}  # what `data.alpha` leads to

SUFFIX_FORMATS = formats.SUFFIXES
IMAGE_SUFFIXES = frozenset(suffix for suffix, form in SUFFIX_FORMATS.items() if form not in formats.DOCUMENTS)
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}

DETAIL_LENGTH = 200
MIN_HASHED_SIDE = 32  # px; below it, different icons look alike to the hash
MIN_HASH_QUALITY = 50  # of 0..100; PDQ's authors advise to discard hashes below it
HASH_SIDE = 64  # px; what PDQ itself reduces a picture to
FLAT_BELOW = 1.0  # standard deviation of a thumbnail's luma, of 255: noise of a scanner or of JPEG has less
BLANK = 16  # of luma; a flat picture that is as near to black or white shows nothing, where another may show its colour


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of one file. Rejected: `reason` is set, and of the picture only `format`, where it is known.

    Attributes:
        sha256: 64 lower-case hex digits, of the file.
        bytes: length of the file.
        format: of the file: jpeg png gif bmp webp tiff heif avif.
        height: pixels, of the upright picture, unless `data.orientation` is `ignore`.
        width: pixels, likewise.
        format: of the file, a name in `formats.FORMATS`.
        height: pixels, as stored (orientation tags are not applied).
        width: pixels, as stored.
        channels: 1 to 4, as stored; a palette counts as one.
        brightness: mean luma of a thumbnail, 0..255.
        contrast: standard deviation of luma of a thumbnail, 0..127.5.
        picture_hash: PDQ hash, 64 hex digits; empty for tiny and flat pictures.
        flags: keys of `FLAGS`, sorted.
        reason: a key of `REASONS`; empty: the image is usable.
        detail: one line for the reader, at most 200 characters.
    """

    sha256: str = ""
    bytes: int = 0
    format: str = ""
    height: int = 0
    width: int = 0
    channels: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    picture_hash: str = ""
    flags: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is too much or too little: pixels of a picture, px of its shorter side, bytes of its file; and its reading.

    Attributes:
        upright: whether pictures are turned by their orientation tag.
        alpha: as `data.alpha`: what shows through transparent pixels.
    """

    max_pixels: int
    min_side: int
    max_bytes: int
    upright: bool = True
    alpha: str = "white"


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole picture: size, channels as stored, uint8 luma [h, w] of a thumbnail, and flags."""

    height: int
    width: int
    channels: int
    luma: np.ndarray
    flags: tuple[str, ...] = ()


class Rejection(Exception):
    """A file is no usable image: a key of `REASONS`, and a detail for the reader."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = _one_line(detail)


def _one_line(text: str) -> str:
    """Printable, on one line, of at most `DETAIL_LENGTH` characters: decoders quote what they find."""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return line if len(line) <= DETAIL_LENGTH else line[: DETAIL_LENGTH - 3] + "..."


def sniff_format(content: bytes) -> str | None:
    """The image format by the first `formats.HEAD` bytes, a name in `formats.FORMATS`; None if it is no known one."""
    head = content[: formats.HEAD]
    if head[4:8] == b"ftyp" and (brand := _sniff_brand(head)):
        return brand
    if formats.SVG.match(head):
        return "SVG"
    return next((name for pattern, name in formats.PATTERNS if pattern.match(head)), None)


def find_format(name: str, content: bytes) -> str:
    """The format by content; of what is only named, also by suffix, where content says nothing or TIFF. Or empty."""
    found, suffix = sniff_format(content) or "", PurePath(name).suffix.lower()
    by_suffix = SUFFIX_FORMATS.get(suffix, "")
    if found == "tiff" and by_suffix in formats.WAYS_OUT:
        return by_suffix
    return found or (by_suffix if by_suffix in formats.WAYS_OUT else "")


def _sniff_brand(content: bytes) -> str | None:
    """HEIF or AVIF by the brands in the `ftyp` box (ISO/IEC 23008-12): the major one, a version, compatible ones."""
    end = min(int.from_bytes(content[:4], "big"), 256)
    brands = {content[place : place + 4] for place in (8, *range(16, end, 4))}
    if brands & AVIF_BRANDS and content[8:12] in AVIF_BRANDS | {b"mif1", b"msf1"}:
        return "avif"
    return "heif" if content[8:12] in HEIF_BRANDS else None


def is_ignorable(name: str, content: bytes) -> bool:
    """Whether a file is a side-car: neither its suffix nor its content claims to be an image, readable or not."""
    return PurePath(name).suffix.lower() not in SUFFIX_FORMATS and sniff_format(content) is None


def inspect_image(name: str, content: bytes, limits: ImageLimits) -> Inspection:
    """Decodes an image once, to know that it is whole and what it looks like.

    Never raises: bytes that are no usable image come back with their reason.

    Args:
        name: of the file; only its suffix counts, for the flag `wrong_suffix`, and where the content says too little.
        content: the file.
        limits: checked from the header, before anything is decoded.
    """
    form = find_format(name, content)
    facts = Inspection(hashlib.sha256(content).hexdigest(), len(content), form)
    try:
        picture = _decode(content, form, limits)
    except Rejection as rejection:
        return replace(facts, reason=rejection.reason, detail=rejection.detail)
    except Exception as error:  # noqa: BLE001  a decoder may raise anything on broken bytes; none may end a run
        return replace(facts, reason=UNDECODABLE, detail=_one_line(f"{type(error).__name__}: {error}"))
    suffix = PurePath(name).suffix.lower()
    wrong = SUFFIX_FORMATS.get(suffix, form) != form
    contrast = float(picture.luma.std())
    more = {name for name, is_so in ((WRONG_SUFFIX, wrong), (FLAT, contrast < FLAT_BELOW)) if is_so}
    return replace(
        facts,
        height=picture.height,
        width=picture.width,
        channels=picture.channels,
        brightness=round(float(picture.luma.mean()), 2),
        contrast=round(contrast, 2),
        picture_hash=_hash_picture(picture),
        flags=tuple(sorted({*picture.flags, *more})),
    )


def _decode(content: bytes, form: str, limits: ImageLimits) -> Picture:
    from components.images.convert import decode_with_pillow
    from components.images.cost import check_cost
    from components.images.jpeg import decode_with_libjpeg

    if not content:
        raise Rejection(EMPTY, "0 bytes")
    if len(content) > limits.max_bytes:
        raise Rejection(TOO_LARGE, f"{len(content):,} bytes, limit {limits.max_bytes:,}")
    if not form:
        raise Rejection(NOT_AN_IMAGE, f"starts with {content[:8]!r}")
    if form in formats.WAYS_OUT:
        raise Rejection(UNDECODABLE, f"{form}: {formats.WAYS_OUT[form]}")
    check_cost(content, form, limits)
    picture = decode_with_libjpeg(content, limits) if form == "jpeg" else None
    return picture or decode_with_pillow(content, form, limits)


def is_blank(flags: tuple[str, ...], brightness: float) -> bool:
    """Whether a picture is black or white all over."""
    return FLAT in flags and not BLANK <= brightness <= 255 - BLANK


def turn_picture(picture: Picture, orientation: int, limits: ImageLimits) -> Picture:
    """A picture as `limits.upright` wants it, with the flag that says so where its tag asks for a turn."""
    if orientation == 1:
        return picture
    if not limits.upright:
        return replace(picture, flags=(*picture.flags, ORIENTATION_IGNORED))
    size = picture.height, picture.width
    height, width = size[::-1] if is_transposed(orientation) else size
    return Picture(height, width, picture.channels, turn(picture.luma, orientation), (*picture.flags, ROTATED))


def check_size(height: int, width: int, limits: ImageLimits) -> None:
    """Refuses a picture by what its header says.

    Raises:
        Rejection: `too_large` or `too_small`.
    """
    if height * width > limits.max_pixels:
        raise Rejection(TOO_LARGE, f"{width} x {height} pixels, limit {limits.max_pixels:,}")
    if min(height, width) < limits.min_side:
        raise Rejection(TOO_SMALL, f"{width} x {height} pixels, shortest side allowed {limits.min_side}")


def _hash_picture(picture: Picture) -> str:
    """PDQ, a perceptual hash of 256 bits (Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ ...", 2019).

    PDQ thins a picture out to 64 x 64 by itself, but coarsely: scaled with care before, copies of other sizes get
    hashes half as far apart.
    """
    import numpy as np
    import pdqhash
    from PIL import Image

    if min(picture.height, picture.width) < MIN_HASHED_SIDE:
        return ""
    scaled = Image.fromarray(picture.luma).resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BILINEAR)
    grey = np.asarray(scaled)[..., np.newaxis]
    bits, quality = pdqhash.compute(np.broadcast_to(grey, (HASH_SIDE, HASH_SIDE, 3)))
    return np.packbits(bits.astype(np.uint8)).tobytes().hex() if quality >= MIN_HASH_QUALITY else ""
