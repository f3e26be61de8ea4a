"""Reads a file to what the model takes: checked and converted exactly as ingest does it for training."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from components.errors import first_line
from components.example_gen.scan import limits_of
from components.images import findings, formats, inspection
from components.images.convert import encode_for_tensorflow
from components.options.data import DataOptions
from components.registry.find import reading_of
from components.sources.content.streams import Unreadable
from components.sources.listing import Source
from components.sources.table import read_source

DEFAULT_LIMITS = limits_of(DataOptions(min_side=1))  # read as by default
_one_at_a_time = threading.Lock()  # Pillow's limits, which the check lifts, are of the whole process


@dataclass(frozen=True)
class Image:
    """An image, or why there is none.

    Attributes:
        name: as it was given.
        content: the encoded image that the model takes; empty with an error.
        error: `reason: detail`, the reason a key of `images.REASONS`.
        pixels: of the picture; 0 with an error.
        flags: keys of `images.FLAGS`: what was done to it, or is odd about it.
        sha256: of the file, hex; empty with an error.
        picture_hash: perceptual hash; empty where it would mean nothing.
    """

    name: str
    content: bytes = b""
    error: str = ""
    pixels: int = 0
    flags: tuple[str, ...] = ()
    sha256: str = ""
    picture_hash: str = ""


def check_image(name: str, content: bytes, limits: findings.ImageLimits = DEFAULT_LIMITS) -> Image:
    """Inspects an encoded image and converts what TensorFlow would get wrong. Never raises; safe in threads."""
    if formats.sniff_format(content) == "jpeg":
        return _check(name, content, limits)
    with _one_at_a_time:
        return _check(name, content, limits)


def _check(name: str, content: bytes, limits: findings.ImageLimits) -> Image:
    found = inspection.inspect_image(name, content, limits)
    if found.reason:
        return Image(name, error=f"{found.reason}: {found.detail}")
    try:
        encoded, _ = encode_for_tensorflow(content, found)
    except Exception as error:  # noqa: BLE001  one image, out of memory for one, takes no other's answer down
        return Image(name, error=f"{findings.UNDECODABLE}: {first_line(error)}")
    pixels = found.height * found.width
    return Image(name, encoded, "", pixels, found.flags, found.sha256, found.picture_hash)


def limits_for(model: Path) -> findings.ImageLimits:
    """Returns the limits of images for a model, read as the pictures that it learned from."""
    reading = reading_of(model)
    return replace(DEFAULT_LIMITS, upright=reading["orientation"] == "apply", alpha=reading["alpha"])


def read_image(path: str, limits: findings.ImageLimits = DEFAULT_LIMITS) -> Image:
    """Reads and checks one local file."""
    return check_source(Source(path, "", path), limits)


def check_source(source: Source, limits: findings.ImageLimits = DEFAULT_LIMITS) -> Image:
    """Reads and checks one source: a file, a member of an archive, or a record."""
    if source.problem:
        return Image(source.name, error=f"unreadable: {source.problem}")
    try:
        content = read_source(source, limits.max_bytes)
    except Unreadable as error:
        return Image(source.name, error=f"unreadable: {error}")
    return check_image(source.name, content, limits)


def read_ahead(
    pool: ThreadPoolExecutor, paths: Iterable[str], ahead: int, limits: findings.ImageLimits = DEFAULT_LIMITS
) -> Iterator[Image]:
    """Yields images in the order of their paths, while up to `ahead` more are being read."""
    waiting: deque[Future[Image]] = deque()
    rest = iter(paths)
    while True:
        waiting.extend(pool.submit(read_image, path, limits) for path in islice(rest, ahead + 1 - len(waiting)))
        if not waiting:
            return
        yield waiting.popleft().result()
