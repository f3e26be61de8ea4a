"""The feature store: features that were computed once are kept, by the content of the image they belong to.

    features/<key>/key.json                          what the key stands for
    features/<key>/<time>-<random>-<crc32c>.parquet  a pack: features of up to 32 MB of vectors, see `packs.py`
    features/<key>/<sha256>-<crc32c>.parquet         one that may be written twice, by workers that are tried again
    features/<key>/<...>.parquet.used                when the pack was last read, in seconds since 1970
    features/<key>/<...>.parquet.bad                 a pack that was damaged; nothing reads it

The key is a digest over all that decides a feature but the image: weights, scaling, pooling, size, transform graph,
augmentation and view, precision, library versions. Packs are only ever added, under names of their own, and appear by
renaming a complete file: two writers do not disturb each other, and a killed one leaves nothing that is read later.
Whatever is missing or damaged is computed again, so packs may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.errors import InputError, first_line
from components.files.paths import exists, list_names, make_folder, read_bytes, remove, rename, write_atomically
from components.trainer.features.packs import BadPack, FeatureDtype, Pack, PackEncoder, checksum_of
from components.trainer.features.shared_arrays import aligned_zeros

progress = logging.getLogger("graft.progress")

PACK_BYTES = 32_000_000  # of vectors: large enough for object stores, small enough to be read and written at once
PACK_SECONDS = 60.0  # a killed run loses no more than this, or a pack
KEY_FILE = "key.json"
PACK, USED, BAD = ".parquet", ".used", ".bad"
OLD_PACK = ".pack"  # a form that Graft wrote before Parquet; nothing reads it, and `graft features prune` removes it
EXPORT = ".export"  # what `export_cache.py` keeps beside them


def digest_key(ingredients: dict[str, Any]) -> str:
    """Digests all that decides a feature but the image: 64 hex digits; the order of the entries does not matter."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class FeatureStore:
    """One key's part of the store.

    Attributes:
        root: `features/` of the working directory, local or remote.
        ingredients: what the key is a digest of; JSON values.
        dtype: of the vectors on disk. It is part of the key, so both may lie side by side.
        writable: False for workers that are not the chief: they read, and compute what is missing.
    """

    root: str
    ingredients: dict[str, Any]
    dtype: FeatureDtype = "float32"
    writable: bool = True
    folder: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", os.path.join(self.root, digest_key(self.facts)))

    @property
    def facts(self) -> dict[str, Any]:
        """Gives all that the key is a digest of."""
        return {**self.ingredients, "dtype": self.dtype, "packs": 2}  # the number stays: another is another key

    @property
    def key(self) -> str:
        """Gives the name of the key's folder."""
        return os.path.basename(self.folder)

    def read(self, digests: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads the features of some images, pack by pack; those in a damaged pack count as missing, which is said.

        Args:
            digests: S32 [n], raw sha256 of the images.
            width: values a vector.

        Returns:
            float32 [n, width], and bool [n]: which of them were found; the others' rows are zeros.
        """
        values, found = aligned_zeros(len(digests), width), np.zeros(len(digests), bool)
        order = np.argsort(digests, kind="stable")
        for name in list_names(self.folder, PACK):
            path = os.path.join(self.folder, name)
            try:
                pack = Pack(read_bytes(path), name.removesuffix(PACK).rpartition("-")[2])
                if pack.width != width:
                    raise BadPack(f"expected {width} values an image, found {pack.width}")
                hits = pack.find(digests[order])
                hits[found[order]] = -1
                rows, places = order[hits >= 0], hits[hits >= 0]
                if len(rows):
                    values[rows] = pack.vectors()[places]
                    found[rows] = True
                    self._touch(path)
            except BadPack as error:
                progress.info("kept features: %s is damaged (%s), its images are computed again", name, error)
                self._set_aside(path)
            except OSError as error:  # deleted by someone meanwhile, or not readable: computed again
                progress.info("kept features: %s cannot be read (%s)", name, first_line(error))
        if old := list_names(self.folder, OLD_PACK):
            text = "kept features: %d packs of an earlier Graft are not read; graft features prune removes them"
            progress.info(text, len(old))
        return values, found

    @contextmanager
    def writing(self) -> Iterator[PackWriter]:
        """Gives a writer of packs; features that were added before an error stay kept.

        Raises:
            InputError: the folder cannot be written, or the disk is full.
        """
        writer = PackWriter(self)
        if self.writable:
            with _explained(self.folder):
                make_folder(self.folder)
                write_atomically(os.path.join(self.folder, KEY_FILE), json.dumps(self.facts, indent=2, sort_keys=True))
        try:
            yield writer
        except BaseException:
            with suppress(InputError):  # the first error is the one to tell
                writer.flush()
            raise
        writer.flush()

    def keep(self, digests: np.ndarray, values: np.ndarray, by_content: bool = False) -> None:
        """Writes one pack.

        Args:
            digests: S32 [n].
            values: float [n, d].
            by_content: name the pack after its content, so that the same vectors make one pack, however often they
                are kept; else it has a name of its own.

        Raises:
            InputError: the folder cannot be written, or the disk is full.
        """
        writer = PackWriter(self, by_content=by_content)
        writer.add(digests, values)
        writer.flush()

    def publish(self, content: bytes, by_content: bool) -> None:
        """Writes a pack, the bytes of its file, under a name as in `keep`; raises likewise."""
        own = hashlib.sha256(content).hexdigest() if by_content else f"{time.time_ns():020d}-{uuid.uuid4().hex}"
        name = f"{own}-{checksum_of(content)}{PACK}"
        with _explained(self.folder):
            make_folder(self.folder)  # someone may have pruned it
            write_atomically(os.path.join(self.folder, name), content)

    def _touch(self, path: str) -> None:
        """Notes the time of a pack's last use beside it; a store that can only be read is of use without."""
        if self.writable:
            with suppress(OSError):
                write_atomically(path + USED, f"{time.time():.0f}")

    def _set_aside(self, path: str) -> None:
        if self.writable:
            with suppress(OSError):
                rename(path, path + BAD)
                remove(path + USED)


def read_kept(root: str, key: str, digests: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads features by the name of their key, for who has no network to make the key from.

    Args:
        root: the store.
        key: 64 hex digits, the name of a folder in it; nothing is found where it is not there.
        digests: S32 [n], raw sha256 of the images.
        width: values a vector.

    Returns:
        As `FeatureStore.read`.
    """
    path = os.path.join(root, key, KEY_FILE)
    if not exists(path):
        return aligned_zeros(len(digests), width), np.zeros(len(digests), bool)
    facts = json.loads(read_bytes(path))
    ingredients = {name: value for name, value in facts.items() if name not in ("dtype", "packs")}
    return FeatureStore(root, ingredients, facts["dtype"], writable=False).read(digests, width)


@dataclass
class PackWriter:
    """Packs vectors as they come, until they fill a pack; held are packed bytes, and few vectors."""

    store: FeatureStore
    pack_bytes: int = PACK_BYTES
    pack_seconds: float = PACK_SECONDS
    by_content: bool = False

    def __post_init__(self) -> None:
        self._encoder: PackEncoder | None = None
        self._bytes, self._since = 0, time.monotonic()

    def add(self, digests: np.ndarray, values: np.ndarray) -> None:
        """Takes digests, S32 [n], and vectors, float32 [n, d]; writes a pack when it is full, or old enough.

        Raises:
            InputError: the folder cannot be written, or the disk is full.
        """
        if not self.store.writable or not len(digests):
            return
        self._encoder = self._encoder or PackEncoder(values.shape[1])
        self._encoder.add(digests, values.astype(self.store.dtype, copy=False))
        self._bytes += values.nbytes
        if self._bytes >= self.pack_bytes or time.monotonic() - self._since >= self.pack_seconds:
            self.flush()

    def flush(self) -> None:
        """Writes the collected vectors as a pack."""
        encoder, self._encoder, self._bytes = self._encoder, None, 0
        if encoder:
            self.store.publish(encoder.finish(), self.by_content)
        self._since = time.monotonic()


@contextmanager
def _explained(folder: str) -> Iterator[None]:
    """Says what to do where kept features cannot be written.

    Raises:
        InputError: for any error of the file system.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"features: expected to write kept features into {folder}, got: {first_line(error)}.\n"
            "Nothing half-written is trusted. Make room (graft features prune WORKDIR) or the folder writable, and "
            "start the run again: it continues with what is complete."
        ) from error
