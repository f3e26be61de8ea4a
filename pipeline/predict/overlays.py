"""Writes activation overlays into a folder, one file an image."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from components.images.overlay import draw_overlay

if TYPE_CHECKING:
    from pipeline.predict.reading import Image

QUALITY = 90


def overlay_name(name: str) -> str:
    """Makes the file name of an image's overlay: its stem, and a digest of its path, so that no two collide."""
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in PurePath(name).stem)
    return f"{stem[:80]}-{digest}.jpg"


class Overlays:
    """Writes overlays into a folder, a batch at a time."""

    def __init__(
        self, folder: Path, pool: ThreadPoolExecutor, crop: tuple[int, int] | None = None, upright: bool = True
    ) -> None:
        """Makes the folder; `crop` and `upright` are as in `draw_overlay`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._pool = pool
        self._crop, self._upright = crop, upright

    def write(self, images: list[Image], activations: np.ndarray) -> list[str]:
        """Writes one file an image; gives their paths."""
        return list(self._pool.map(self._write, images, activations))

    def _write(self, image: Image, activation: Any) -> str:
        from PIL import Image as Pillow

        path = self._folder / overlay_name(image.name)
        Pillow.fromarray(draw_overlay(image.content, activation, self._crop, self._upright)).save(path, quality=QUALITY)
        return str(path)
