"""Failures that the machine is to blame for, in words: what happened, and the way out."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from components.errors import InputError, first_line

FULL, READ_ONLY = "no space is left on a disk", "a file system is read-only"
AGAIN = "The same command then continues from what is complete."
# Errors of the system, and what libraries say that do not hand them on.
WORDS = {
    FULL: (errno.ENOSPC, errno.EDQUOT, r"no space left on device|disk quota exceeded|database or disk is full"),
    READ_ONLY: (errno.EROFS, errno.EROFS, r"read-only file system|readonly database"),
}
WAYS_OUT = {
    FULL: f"Make room there, or give a --workdir or a TMPDIR on another disk. {AGAIN}",
    READ_ONLY: f"Give a --workdir and a TMPDIR that can be written. {AGAIN}",
}


class Trouble(RuntimeError):
    """A failure whose text is written for the user: a few lines (exit code 1)."""


def find_trouble(error: BaseException) -> Trouble | None:
    """The failure in words, where it is one of the known kinds, whatever error it became on its way; else None.

    An error with words of its own keeps them; it is a failure (exit code 1) only where a full disk is behind it.
    """
    for cause in (cause for cause in _causes(error) if not isinstance(cause, InputError)):
        for what, (number, other, words) in WORDS.items():
            is_system = isinstance(cause, OSError) and cause.errno in (number, other)
            if is_system or re.search(words, str(cause), re.IGNORECASE):
                if isinstance(error, InputError):
                    return Trouble(str(error)) if what == FULL else None
                return Trouble(f"{what}: {_place(cause)}.\n{WAYS_OUT[what]}")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _place(error: BaseException) -> str:
    """Where it happened, as far as the error says."""
    found = re.search(r"(?<![\w/])/[^\s;:,'\"]+", str(error))
    name = getattr(error, "filename", None) or (found and found[0])
    return os.fsdecode(name) if name else first_line(error).partition(" query:")[0][:200]
