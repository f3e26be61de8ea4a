"""Digests of files and of folders, local or remote, and content that is sealed by its own digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from components.files.paths import CHUNK, is_folder, opened, walk_files

CONTENT = "content_sha256"  # custom property of an artifact: `digest_folder` of when it was made


def digest_path(path: str | Path) -> str:
    """sha256 of a file, or of a folder of files, as hex digits."""
    return digest_folder(str(path)) if is_folder(str(path)) else digest_of(path)


def digest_of(path: str | Path, algorithm: str = "sha256") -> str:
    """Digest of a file's content, as hex digits; reads in pieces, so that size does not matter.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with opened(str(path)) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digest_folder(path: str) -> str:
    """sha256 over the names and contents of all files below a folder; the same for every copy of it."""
    return combine(digest_files(path))


def digest_files(path: str, digest: Callable[[str], str] = digest_of) -> dict[str, str]:
    """sha256 of every file below a folder, by its path below it; none where there is no folder.

    Args:
        path: of the folder.
        digest: of a file, by its path.
    """
    return {name: digest(os.path.join(path, name)) for name in walk_files(path)}


def combine(files: Mapping[str, str]) -> str:
    """sha256 over the names and digests of files, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{files[name]}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def seal(content: bytes) -> bytes:
    """Puts a line with its sha256 before the content."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def unseal(sealed: bytes) -> bytes:
    """Gives back the content that was sealed.

    Raises:
        ValueError: the bytes are not those that were sealed.
    """
    digest, _, content = sealed.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("its sha256 is not that of its content")
    return content
