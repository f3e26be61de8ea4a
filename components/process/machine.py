"""What this machine must offer beside processors and disks."""

from __future__ import annotations

import multiprocessing

from components.errors import InputError, first_line


def semaphore_problem() -> str:
    """Why this machine gives out no semaphores, which lie in /dev/shm on Linux, and what to do; empty: it does."""
    try:
        multiprocessing.get_context("fork").Lock()
    except OSError as error:
        found = error.strerror or first_line(error)
        return (
            f"/dev/shm: expected shared memory that this process may write, found: {found}.\n"
            "Mount it writable and with room (in a container: --shm-size=64m), or remove what fills it."
        )
    return ""


def check_semaphores() -> None:
    """Refuses a machine on which Beam cannot work, before anything is begun.

    Raises:
        InputError: it gives out no semaphores.
    """
    if problem := semaphore_problem():
        raise InputError(problem)
