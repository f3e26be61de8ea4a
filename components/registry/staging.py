"""Where a version is written before it has its name: a folder that servers ignore, with a lock that its writer holds.

A writer that dies, or a disk that is full, leaves such a folder behind. The next push removes it; the lock tells it
from one that another process still writes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from components.files.paths import CHUNK, opened, walk_files
from components.registry import pointer

PARTIAL_PREFIX = ".partial-"
LOCK_SUFFIX = ".lock"
# Seconds after which a folder of another machine, whose locks may not reach us, has no writer.
ABANDONED_SECONDS = 86400.0


@contextmanager
def staged(serving: Path) -> Iterator[Path]:
    """Makes a folder beside the versions, gone at the end unless renamed; leftovers of dead writers go first."""
    name = f"{PARTIAL_PREFIX}{uuid.uuid4().hex[:12]}"
    folder, lock_path = serving / name, serving / f"{name}{LOCK_SUFFIX}"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(lock_path.unlink, missing_ok=True)
        with pointer.locked(serving):
            remove_abandoned(serving)
            lock = stack.enter_context(open(lock_path, "w", encoding="utf-8"))
            _try_lock(lock)
            lock.write(socket.gethostname())
            lock.flush()
            folder.mkdir()
        yield folder


def remove_abandoned(serving: Path) -> None:
    """Removes folders of dead writers. The caller holds the directory's lock, so that no writer is about to begin."""
    stems = {entry.name.removesuffix(LOCK_SUFFIX) for entry in serving.glob(f"{PARTIAL_PREFIX}*")}
    for stem in sorted(stems):
        lock_path = serving / f"{stem}{LOCK_SUFFIX}"
        if not _is_being_written(lock_path):
            shutil.rmtree(serving / stem, ignore_errors=True)
            lock_path.unlink(missing_ok=True)
    for leftover in serving.glob(f".{pointer.POINTER_FILE}.*"):
        leftover.unlink(missing_ok=True)


def _is_being_written(lock_path: Path) -> bool:
    try:
        with open(lock_path, "r+", encoding="utf-8") as lock:
            if not _try_lock(lock):
                return True
            foreign = lock.read() not in ("", socket.gethostname())
            return foreign and time.time() - lock_path.stat().st_mtime < ABANDONED_SECONDS
    except FileNotFoundError:
        return False


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system: only the age tells
        return True
    return True


def copy_tree(source: str, target: Path) -> dict[str, str]:
    """Copies a folder, local or remote, and waits until it is on the disk.

    Args:
        source: a path, or a URI of a file system that TensorFlow opens (`gs://`, `s3://`).
        target: a local folder; made where it is missing.

    Returns:
        sha256 of every file as it was read, by its path below the source.

    Raises:
        OSError: a file cannot be read or written.
    """
    return {name: copy_file(os.path.join(source, name), target / name) for name in sorted(walk_files(source))}


def copy_file(source: str, target: Path) -> str:
    """Copies one file, local or remote, and waits until it is on the disk; sha256 of what was read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with opened(source) as reader, open(target, "xb") as writer:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def sync_folders(folder: Path) -> None:
    """Waits until the names of a folder and of all below it are on the disk."""
    for current, _, _ in os.walk(folder):
        pointer.sync_path(Path(current))
