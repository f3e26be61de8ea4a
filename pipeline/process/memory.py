"""The memory of a run: what glibc holds on to beyond what is in use. Another C library is left as it is."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

M_ARENA_MAX = -8  # of malloc.h
ARENAS = 2


def few_arenas() -> None:
    """Lets all threads allocate from two places, not sixteen, each of which keeps what it once had: 25 MB less."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def give_back_memory() -> None:
    """Returns to the system what a node has freed: glibc keeps it, 200 MB after the Trainer, and others lack it.

    Networks and their graphs are rings of objects, 100 MB after the Trainer, which only a full collection ends.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
