"""More images than there are: random crops of the given ones, flipped and recoloured, each a file of its own."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png")
SMALLEST_CROP = 0.6  # of a side
QUALITY = 88


def list_pictures(data: Path) -> list[Path]:
    """All images below a folder, sorted."""
    return sorted(path for path in data.rglob("*") if path.suffix.lower() in SUFFIXES)


def write_pictures(data: Path, target: Path, count: int, seed: int = 1) -> None:
    """Writes `count` images in the folders that the given ones stand in, so that splits and classes stay.

    The first round are the images themselves; each later one is a variant of each. Fewer than there are: an even part.
    """
    originals = list_pictures(data)
    if not originals:
        raise SystemExit(f"--data: expected a folder with images, found none in {data}.")
    random.Random(seed).shuffle(originals)
    jobs = [(original, data, target, number) for number, original in number_pictures(originals, count)]
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(write_picture, jobs, chunksize=64):
            pass


def number_pictures(originals: list[Path], count: int) -> Iterator[tuple[int, Path]]:
    """Rounds over the originals until there are enough."""
    for index in range(count):
        yield index // len(originals), originals[index % len(originals)]


def write_picture(job: tuple[Path, Path, Path, int]) -> None:
    """Writes one image: the original in round 0, else a variant of its own."""
    original, data, target, number = job
    place = target / original.relative_to(data).parent
    place.mkdir(parents=True, exist_ok=True)
    content = original.read_bytes() if number == 0 else vary(original.read_bytes(), f"{original.name}/{number}")
    suffix = original.suffix if number == 0 else ".jpg"
    (place / f"{original.stem}-{number}{suffix}").write_bytes(content)


def vary(content: bytes, seed: str) -> bytes:
    """A random crop of an image, maybe flipped, in other colours, as JPEG."""
    from PIL import Image, ImageEnhance, ImageOps

    draw = random.Random(seed)
    with Image.open(io.BytesIO(content)) as opened:
        picture = opened.convert("RGB")
    share = draw.uniform(SMALLEST_CROP, 0.95)
    width, height = max(8, round(picture.width * share)), max(8, round(picture.height * share))
    left, top = draw.randint(0, picture.width - width), draw.randint(0, picture.height - height)
    picture = picture.crop((left, top, left + width, top + height))
    if draw.random() < 0.5:
        picture = ImageOps.mirror(picture)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast):
        picture = enhance(picture).enhance(draw.uniform(0.7, 1.3))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
