"""Inspects one encoded image: is it whole, and what does TensorFlow make of it? Pure functions over bytes.

The format is told by the content, never by the file's suffix. A file that is no whole image is rejected with one
reason of `REASONS`; its source is never touched. `jpeg.py` looks at JPEGs, `convert.py` at everything else.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import PurePath

from components.contract.limits import FLAT
from components.images import formats
from components.images.convert import decode_with_pillow
from components.images.cost import check_cost
from components.images.findings import (
    EMPTY,
    NOT_AN_IMAGE,
    TOO_LARGE,
    UNDECODABLE,
    WRONG_SUFFIX,
    ImageLimits,
    Inspection,
    Picture,
    Rejection,
    shorten_detail,
)
from components.images.formats import SUFFIX_FORMATS, find_format
from components.images.jpeg import decode_with_libjpeg

MIN_HASHED_SIDE = 32  # px; below it, different icons look alike to the hash
MIN_HASH_QUALITY = 50  # of 0..100; PDQ's authors advise to discard hashes below it
HASH_SIDE = 64  # px; what PDQ itself reduces a picture to
FLAT_BELOW = 1.0  # standard deviation of a thumbnail's luma, of 255: noise of a scanner or of JPEG has less


def inspect_image(name: str, content: bytes, limits: ImageLimits) -> Inspection:
    """Decodes an image once: makes sure that it is whole, and measures it.

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
        return replace(facts, reason=UNDECODABLE, detail=shorten_detail(f"{type(error).__name__}: {error}"))
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
