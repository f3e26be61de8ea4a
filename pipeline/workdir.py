"""The working directory: where everything of a pipeline lies, and who may write into it."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from components.errors import InputError

LOCK = ".lock"  # held by the run that is under way
ATTEMPTS, ATTEMPT_SECONDS = 3, 0.05  # to take the lock
RESERVE = ".reserve"  # in a run's folder until its summary is written: room for it on a disk that fills up
RESERVED = 1 << 16  # bytes


@dataclass(frozen=True)
class Workdir:
    """`metadata.sqlite`, `artifacts/`, `serving/<version>/` and `runs/<run id>/` below one folder."""

    root: Path

    @property
    def serving(self) -> Path:
        """The versions that were pushed; all else can be deleted without hurting a served model."""
        return self.root / "serving"

    @property
    def metadata(self) -> Path:
        """ML Metadata's database: what was executed, and with what result."""
        return self.root / "metadata.sqlite"

    @property
    def memory(self) -> Path:
        """What is known of the data's files, and which side of the split each image is on."""
        return self.root / "data.sqlite"

    @property
    def runs(self) -> Path:
        """A folder a run: `config.yaml`, `summary.json`, `log.txt`."""
        return self.root / "runs"

    def create(self) -> None:
        """Makes the folder.

        Raises:
            InputError: it cannot be made or written.
        """
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".write-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"--workdir: cannot write into {self.root}: {error.strerror}.\n"
                "Choose a folder that you may write, or change its permissions."
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One run at a time; the system frees the lock when its holder dies.

        Raises:
            InputError: another run holds it; says which.
        """
        with open(self.root / LOCK, "a+", encoding="utf-8") as lock:
            if not _taken(lock):
                lock.seek(0)
                raise InputError(
                    f"--workdir: another run is using {self.root} ({lock.read().strip() or 'unknown'}).\n"
                    "Wait until it is done, or use another --workdir."
                )
            lock.truncate(0)
            lock.write(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
            lock.flush()
            yield

    def holder(self) -> str:
        """Says who holds the lock: a process and since when; empty: nobody does, or the file system has no locks.

        Needs no more than the right to read; asks by a shared lock that is given back at once.
        """
        try:
            with open(self.root / LOCK, encoding="utf-8") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return lock.read().strip() or "unknown"
        except OSError:
            pass
        return ""

    def new_run(self) -> Path:
        """Makes the folder of a new run and points `runs/latest` at it."""
        run = self.runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        run.mkdir()
        (run / RESERVE).write_bytes(bytes(RESERVED))
        # A symbolic link is replaced by renaming another one over it; `write_atomically` writes files only.
        pointer = self.runs / f".latest-{os.getpid()}"
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(run.name)
        os.replace(pointer, self.runs / "latest")
        return run


def _taken(lock: IO[str]) -> bool:
    """Takes the lock; asks a few times, since `holder` has it for a moment."""
    for attempt in range(ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if attempt + 1 < ATTEMPTS:
                time.sleep(ATTEMPT_SECONDS)
    return False
