"""The format of an image, told by the first bytes of its content, and by its suffix where content says too little."""

from __future__ import annotations

from pathlib import PurePath

from components.images import formats

SUFFIX_FORMATS = formats.SUFFIXES
IMAGE_SUFFIXES = frozenset(suffix for suffix, form in SUFFIX_FORMATS.items() if form not in formats.DOCUMENTS)
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}


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
