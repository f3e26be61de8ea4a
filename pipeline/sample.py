"""The embedded sample: scikit-learn's handwritten digits as a folder of PNG files, one sub-folder a class.

1,797 images of 8 x 8 pixels from the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from components.errors import InputError

PREFIX = "sample:"
SAMPLES: dict[str, tuple[int, ...]] = {"digits": (5, 6, 7, 8, 9), "digits-0-4": (0, 1, 2, 3, 4)}
GREY_STEP = 255 / 16  # scikit-learn's pixels are 0..16


def is_sample(path: str) -> bool:
    """Whether a data path names an embedded sample."""
    return path.startswith(PREFIX)


def check_sample(path: str) -> str:
    """The name of a sample.

    Raises:
        InputError: there is no sample of that name.
    """
    name = path.removeprefix(PREFIX)
    if name not in SAMPLES:
        raise InputError(
            f"data.path: there is no sample '{name}'; known: {', '.join(PREFIX + known for known in SAMPLES)}."
        )
    return name


def write_sample(path: str, folder: Path) -> Path:
    """Writes a sample's images, unless they are there.

    Args:
        path: `sample:digits`.
        folder: the sample gets a sub-folder of its own in it.

    Returns:
        A folder with one sub-folder a class.

    Raises:
        InputError: there is no sample of that name.
    """
    name = check_sample(path)
    target = folder / name
    if not target.is_dir():
        # A folder, not a file: it is filled beside its place and renamed.
        partial = folder / f".partial-{name}-{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        _write_digits(partial, SAMPLES[name])
        os.rename(partial, target)
    return target


def _write_digits(folder: Path, digits: tuple[int, ...]) -> None:
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    bunch = load_digits()
    for index, (picture, digit) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        if digit in digits:
            place = folder / str(digit)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.round(picture * GREY_STEP).astype(np.uint8)).save(place / f"{index:04d}.png")
