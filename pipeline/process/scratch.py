"""Temporary files: all of a process, its libraries' and those of the processes that it starts, are in one folder.

It is gone when the process ends. One that was killed leaves it behind, for the next command to remove: a lock, which
the system frees with its holder, tells it from the folder of a process that is alive.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "graft-scratch-"

_own: tuple[str, int] | None = None  # this process' folder and its lock


@contextmanager
def own_folder() -> Iterator[None]:
    """Meanwhile the temporary folder is one of this process; leftovers of dead ones go first.

    Where none can be made, things stay as they are: most commands need none, and the others say so.
    """
    global _own
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    with suppress(OSError):
        place = tempfile.gettempdir()
        remove_leftovers(Path(place))
        _own = make_locked(place)
        tempfile.tempdir = os.environ["TMPDIR"] = _own[0]
    try:
        yield
    finally:
        tempfile.tempdir = before[0]
        if before[1] is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = before[1]
        remove_own()


def remove_own() -> None:
    """Removes the folder of this process, if it has one."""
    global _own
    own, _own = _own, None
    if own:
        shutil.rmtree(own[0], ignore_errors=True)
        os.close(own[1])


def make_locked(place: str) -> tuple[str, int]:
    """Makes a folder and locks it; gives its path and the descriptor that holds the lock.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=place)
        lock = _lock(folder)
        if lock is not None:
            if os.path.isdir(folder):  # nobody took it for a leftover in between
                return folder, lock
            os.close(lock)


def _lock(folder: str) -> int | None:
    """A descriptor that holds the folder's lock; None where another process has it. A file system may have no locks."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        pass
    return descriptor


def remove_leftovers(place: Path) -> None:
    """Removes what processes of this user left that are dead; what cannot be told stays."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.getuid():
                _remove_if_dead(folder)


def _remove_if_dead(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
