"""Digests of files and of saved models, local or remote; TensorFlow is only loaded for remote ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CHUNK = 1 << 20


def digest_path(path: str | Path) -> str:
    """sha256 of a file, or of a folder of files, as hex digits."""
    return digest_folder(str(path)) if _is_folder(str(path)) else digest_of(path)


def digest_of(path: str | Path, algorithm: str = "sha256") -> str:
    """Digest of a file's content, as hex digits; reads in pieces, so that size does not matter."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with _open(str(path)) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digest_folder(path: str) -> str:
    """sha256 over the names and contents of all files below a folder, in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(os.path.join(folder, name) for folder, _, names in _walk(path) for name in names):
        digest.update(f"{os.path.relpath(file, path)}\0{digest_of(file)}\n".encode())
    return digest.hexdigest()


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile


def _is_folder(path: str) -> bool:
    return bool(_gfile().isdir(path)) if "://" in path else os.path.isdir(path)


def _walk(path: str) -> Iterable[Any]:
    return _gfile().walk(path) if "://" in path else os.walk(path)


def _open(path: str) -> Any:
    return _gfile().GFile(path, "rb") if "://" in path else open(path, "rb")
