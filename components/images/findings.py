"""The results of inspecting one image file: reasons that reject it, flags that it carries, and its facts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from components.contract.limits import FLAT
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
EXCLUDED = "excluded"
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
    EXCLUDED: "a person left it out: data.corrections",
}
CONVERTED = "converted"
ROTATED = "rotated"
ORIENTATION_IGNORED = "orientation_ignored"
ALPHA = "alpha"
ALPHA_ON_BLACK = "alpha_on_black"
ALPHA_IGNORED = "alpha_ignored"
SCALED = "scaled"
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
DETAIL_LENGTH = 200
BLANK = 16  # of luma; a flat picture that is as near to black or white shows nothing, where another may show its colour


@dataclass(frozen=True, slots=True)
class Inspection:
    """The facts of one file. Of a rejected one `reason` is set, and of its picture at most the format is known.

    Attributes:
        sha256: 64 lower-case hex digits, of the file.
        bytes: length of the file.
        format: of the file, a name in `formats.FORMATS`.
        height: pixels, of the upright picture, unless `data.orientation` is `ignore`.
        width: pixels, of the same picture.
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
    """Limits of an image, pixels of its picture, px of its shorter side, bytes of its file; and how it is read.

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
        self.detail = shorten_detail(detail)


def shorten_detail(text: str) -> str:
    """Shortens a text to one printable line of at most `DETAIL_LENGTH` characters: decoders quote what they find."""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return line if len(line) <= DETAIL_LENGTH else line[: DETAIL_LENGTH - 3] + "..."


def is_blank(flags: tuple[str, ...], brightness: float) -> bool:
    """Tells whether a picture is black or white all over."""
    return FLAT in flags and not BLANK <= brightness <= 255 - BLANK


def turn_picture(picture: Picture, orientation: int, limits: ImageLimits) -> Picture:
    """Turns a picture as `limits.upright` asks, with the flag for it where the orientation tag asks for a turn."""
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
