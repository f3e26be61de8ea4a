"""`graft weights`: fills the cache of ImageNet weights ahead of a run, for machines without internet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.errors import InputError
from components.files.digests import digest_of
from components.trainer.backbones.downloads import CACHE_VARIABLE, cache_folder, check_pin, fetch_published, keep_copy
from components.trainer.backbones.table import find_family
from pipeline.config.configuration import Config


@dataclass(frozen=True)
class Fetched:
    """Weights on this machine: where, how many bytes, and the sha256 that pins them."""

    path: Path
    size: int
    sha256: str

    def describe(self, cache: Path | None) -> list[str]:
        """Lines for the terminal, the last of them for the configuration; `cache` is the folder that was asked for."""
        move = [f"Copy {cache} to the other machine and set {CACHE_VARIABLE} to where it is there."] if cache else []
        return [
            str(self.path),
            f"{self.size:,} bytes, sha256 {self.sha256}",
            *move,
            "To pin these weights, put into the configuration:",
            "trainer:",
            f"  weights_sha256: {self.sha256}",
        ]


def fetch_weights(config: Config, cache: Path | None = None) -> Fetched:
    """Gets the ImageNet weights that a configuration needs, unless they are in the cache.

    Weights that are a file already are only digested.

    Args:
        config: which backbone, at which size; a pin in it is held against what is found.
        cache: the folder to keep them in; None: that of `cache_folder`.

    Raises:
        InputError: the configuration needs no weights, they cannot be had, or are not those that were pinned.
    """
    trainer = config.trainer
    if trainer.weights == "none":
        raise InputError("trainer.weights: 'none' needs no weights; there is nothing to fetch.")
    if trainer.weights == "imagenet":
        published = find_family(trainer.backbone).find_weights(
            trainer.backbone, config.transform.image_size, trainer.backbone_args
        )
        path = fetch_published(published, cache or cache_folder())
        path = keep_copy(path, cache) if cache else path  # what a package brings is not in the cache yet
    else:
        path = Path(trainer.weights)
    sha256 = digest_of(path)
    check_pin(str(path), sha256, getattr(trainer, "weights_sha256", None))
    return Fetched(path, path.stat().st_size, sha256)


@contextmanager
def showing_progress() -> Iterator[None]:
    """Shows on standard error, on one line, how far the download is; nothing where that is no terminal."""
    from rich.console import Console

    logger = logging.getLogger("graft.progress")
    level = logger.level
    with Console(stderr=True).status("looking for the weights") as status:
        handler = logging.Handler()
        handler.emit = lambda record: status.update(record.getMessage())  # type: ignore[method-assign]
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
