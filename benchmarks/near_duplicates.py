"""Which distance between PDQ hashes tells copies from other pictures? The study behind docs/near-duplicates.md.

    python benchmarks/near_duplicates.py --data photos --limit 500

Each picture is re-encoded, resized, cropped, ...; the distance of each such copy's hash to the original's is taken as
ImageExampleGen would take it. Then all pairs of different files are compared: the nearest are listed, to be
looked at. Prints Markdown; the second part takes all pictures, whatever the limit.
"""

from __future__ import annotations

import argparse
import io
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from components.example_gen.split import hamming
from components.images.findings import ImageLimits
from components.images.formats import IMAGE_SUFFIXES
from components.images.inspection import inspect_image
from components.options.data import DataOptions

THRESHOLDS = (0, 8, 12, 15, 19, 23, 31, 47, 63)
QUALITY = 90  # of the JPEGs that variants are saved as, where it is not the quality that varies
OPTIONS = DataOptions()
LIMITS = ImageLimits(OPTIONS.max_pixels, OPTIONS.min_side, OPTIONS.max_file_megabytes << 20)
NO_HASH = -1
MOST_PAIRS = 50  # that are listed


def save(picture: Image.Image, form: str = "JPEG", quality: int = QUALITY) -> bytes:
    """The picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, form, quality=quality)
    return buffer.getvalue()


def scale(picture: Image.Image, factor: float) -> bytes:
    """Both sides times `factor`."""
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return save(picture.resize((width, height), Image.Resampling.LANCZOS))


def crop(picture: Image.Image, share: float) -> bytes:
    """Without `share` of each side's length, half of it at each edge."""
    width, height = picture.size
    left, top = round(width * share / 2), round(height * share / 2)
    return save(picture.crop((left, top, width - left, height - top)))


def cut_edge(picture: Image.Image, share: float) -> bytes:
    """Without the lowest `share` of the rows, as where a caption was cut off."""
    width, height = picture.size
    return save(picture.crop((0, 0, width, height - round(height * share))))


def enhance(picture: Image.Image, kind: Callable[[Image.Image], ImageEnhance._Enhance], factor: float) -> bytes:
    """Pillow's brightness or contrast, 1.0 being the original's."""
    return save(kind(picture).enhance(factor))


def watermark(picture: Image.Image) -> bytes:
    """White text with a black outline in the lower right corner, a fifteenth of the height."""
    marked, size = picture.copy(), max(8, picture.height // 15)
    place = (picture.width - size // 2, picture.height - size // 2)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(marked).text(
        place, "© photo.example", "white", font, anchor="rs", stroke_width=size // 12, stroke_fill="black"
    )
    return save(marked)


def paste(picture: Image.Image, share: float) -> bytes:
    """With a small mirrored copy of itself on `share` of its area, right of the middle: not the same picture."""
    width, height = (max(1, round(side * share**0.5)) for side in picture.size)
    changed = picture.copy()
    small = picture.resize((width, height)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    changed.paste(small, (picture.width // 2, picture.height // 3))
    return save(changed)


VARIANTS: dict[str, Callable[[Image.Image], bytes]] = {
    **{f"JPEG, quality {quality}": partial(save, quality=quality) for quality in (95, 75, 50, 30)},
    "PNG": partial(save, form="PNG"),
    **{f"resized to {factor:.0%}": partial(scale, factor=factor) for factor in (0.75, 0.5, 0.25)},
    **{
        f"brightness {factor - 1:+.0%}": partial(enhance, kind=ImageEnhance.Brightness, factor=factor)
        for factor in (1.1, 0.9)
    },
    **{
        f"contrast {factor - 1:+.0%}": partial(enhance, kind=ImageEnhance.Contrast, factor=factor)
        for factor in (1.2, 0.8)
    },
    "grey": lambda picture: save(picture.convert("L")),
    "small watermark": watermark,
    **{f"cropped by {share:.0%}": partial(crop, share=share) for share in (0.02, 0.05, 0.1)},
    "lowest 5% cut off": partial(cut_edge, share=0.05),
    **{f"other content on {share:.0%}": partial(paste, share=share) for share in (0.04, 0.16)},
    "mirrored": lambda picture: save(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "rotated by 90°": lambda picture: save(picture.transpose(Image.Transpose.ROTATE_90)),
}


def main() -> None:
    """Prints both tables and the list of pairs."""
    arguments = parse_arguments()
    if arguments.speed:
        measure_speed(arguments.speed)
        return
    names = sorted(path for path in Path(arguments.data).rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not names:
        raise SystemExit(f"expected a folder with images, found none in {arguments.data}")
    count = min(arguments.limit or len(names), len(names))
    chosen = [names[index] for index in np.linspace(0, len(names) - 1, count).astype(int)]
    with ProcessPoolExecutor(arguments.processes) as pool:
        measured = list(show_progress(pool.map(measure_copies, chosen, chunksize=4), len(chosen), "copies"))
        hashes = list(show_progress(pool.map(hash_file, names, chunksize=16), len(names), "hashes"))
    print_copies(np.array([row for row in measured if row is not None]).reshape(-1, len(VARIANTS)), len(chosen))
    print_pairs([name.relative_to(arguments.data).as_posix() for name in names], hashes)
    if arguments.digits:
        print_pairs(*hash_digits())


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", help="folder with images, in any depth")
    what.add_argument("--speed", type=int, metavar="N", help="instead: the search among N random hashes")
    parser.add_argument("--limit", type=int, default=0, help="make copies of so many pictures only; default: all")
    parser.add_argument("--digits", action="store_true", help="pairs of scikit-learn's digits, too: the hard case")
    parser.add_argument("--processes", type=int, help="default: one a processor")
    return parser.parse_args()


def show_progress(results: Iterator, total: int, what: str) -> Iterator:
    """The results, counted on standard error."""
    for number, result in enumerate(results, start=1):
        if number % 100 == 0 or number == total:
            print(f"{what}: {number:,} of {total:,}", file=sys.stderr)
        yield result


def measure_speed(count: int) -> None:
    """Time and memory of the search among random hashes, of which 1 % have a planted neighbour at each distance."""
    for distance in (15, 23, 31):
        random = np.random.default_rng(1)
        words = random.integers(0, 2**64, (count, hamming.WORDS), np.uint64)
        planted = count // 100
        flips = np.packbits(random.permuted(np.tile(np.arange(256) < distance, (planted, 1)), axis=1), axis=1)
        words[count - planted :] = words[:planted] ^ flips.view(np.uint64)
        hamming.connect_near(words[:2], distance)  # loads scipy
        start = time.monotonic()
        found = count - len(np.unique(hamming.connect_near(words, distance)))
        seconds, peak = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(f"| {count:,} | {distance} | {seconds:.1f} s | peak {peak} MB | {found:,} of {planted:,} found |")


def hash_file(path: Path) -> str:
    """The file's PDQ hash as ImageExampleGen takes it; empty: none."""
    return inspect_image(path.name, path.read_bytes(), LIMITS).picture_hash


def hash_digits() -> tuple[list[str], list[str]]:
    """Names and hashes of 1,797 handwritten digits of 8 x 8 pixels, enlarged to 64 x 64: alike, and all different."""
    from sklearn.datasets import load_digits

    names, hashes = [], []
    for index, (pixels, digit) in enumerate(zip(*load_digits(return_X_y=True), strict=True)):
        picture = Image.fromarray((pixels.reshape(8, 8) * 15).astype(np.uint8))
        names.append(f"digits/{digit}/{index:04d}")
        hashes.append(inspect_image("", save(picture.resize((64, 64)), "PNG"), LIMITS).picture_hash)
    return names, hashes


def measure_copies(path: Path) -> list[int] | None:
    """Distance of each variant to its original, `NO_HASH` where it has no hash; None: the original has none."""
    original = hash_file(path)
    if not original:
        return None
    with Image.open(path) as file:
        picture = file.convert("RGB")
    hashes = [inspect_image("", make(picture), LIMITS).picture_hash for make in VARIANTS.values()]
    words = hamming.pack_hex([original, *(text or original for text in hashes)])
    bits = hamming.distances(words, np.zeros(len(hashes), int), np.arange(1, len(words)))
    return [int(count) if text else NO_HASH for text, count in zip(hashes, bits, strict=True)]


def print_copies(measured: np.ndarray, chosen: int) -> None:
    """One row a variant: the distances, and the share of copies found at each threshold."""
    print(f"Copies of {len(measured):,} pictures ({chosen - len(measured)} more have no hash)\n")
    print("| copy | no hash | median | 90 % | 95 % | max | " + " | ".join(f"<= {bits}" for bits in THRESHOLDS) + " |")
    print("| --- |" + " ---: |" * (5 + len(THRESHOLDS)))
    for name, column in zip(VARIANTS, measured.T, strict=True):
        known = column[column != NO_HASH]
        spread = [f"{value:.0f}" for value in np.percentile(known, [50, 90, 95, 100])] if len(known) else ["-"] * 4
        found = [f"{100 * np.mean((column >= 0) & (column <= bits)):.1f}" for bits in THRESHOLDS]
        print("| " + " | ".join([name, str(len(column) - len(known)), *spread, *found]) + " |")


def print_pairs(names: list[str], hashes: list[str]) -> None:
    """How many pairs of different files are within each threshold, and which."""
    known = [name for name, text in zip(names, hashes, strict=True) if text]
    words = hamming.pack_hex([text for text in hashes if text])
    pairs = []
    for row, name in enumerate(known):
        distances = hamming.distances(words, np.array([row]), np.arange(row + 1, len(known)))
        near = np.flatnonzero(distances <= THRESHOLDS[-1])
        pairs += [(int(distances[place]), name, known[row + 1 + place]) for place in near]
    pairs.sort()
    print(
        f"\nAll {len(known) * (len(known) - 1) // 2:,} pairs of {len(known):,} files with a hash (of {len(names):,})\n"
    )
    print("| distance | pairs within |\n| ---: | ---: |")
    for bits in THRESHOLDS:
        print(f"| {bits} | {sum(pair[0] <= bits for pair in pairs)} |")
    print("\n| distance | one | other |\n| ---: | --- | --- |")
    for bits, one, other in pairs[:MOST_PAIRS]:
        print(f"| {bits} | {one} | {other} |")


if __name__ == "__main__":
    main()
