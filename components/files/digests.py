"""Digests of files and of folders, local or remote; TensorFlow is only loaded for remote ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

CHUNK = 1 << 20
CONTENT = "content_sha256"  # custom property of an artifact: `digest_folder` of when it was made


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
    """sha256 over the names and contents of all files below a folder; the same for every copy of it."""
    return combine(digest_files(path))


def digest_files(path: str, digest: Callable[[str], str] = digest_of) -> dict[str, str]:
    """sha256 of every file below a folder, by its path below it; none where there is no folder.

    The empty objects that stand for folders in a bucket are no files.

    Args:
        path: of the folder.
        digest: of a file, by its path.
    """
    files = (os.path.join(folder, name) for folder, _, names in _walk(path) for name in names if name.strip("/"))
    return {os.path.relpath(file, path): digest(file) for file in files}


def combine(files: Mapping[str, str]) -> str:
    """sha256 over the names and digests of files, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{files[name]}\n".encode(errors="surrogateescape"))
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
