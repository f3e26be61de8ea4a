"""Runs a command and measures it from outside: wall and CPU time, memory of all its processes, bytes it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

INTERVAL = 0.2  # seconds between two looks at the memory


@dataclass(frozen=True)
class Figures:
    """What one command took.

    Attributes:
        wall: seconds from start to end.
        cpu: seconds of all its processes, user and system.
        peak_largest: bytes, resident, of its largest process.
        peak_all: bytes of all its processes together, shared pages counted once (PSS).
        output: what it wrote to standard output.
    """

    wall: float
    cpu: float
    peak_largest: int
    peak_all: int
    output: str


def run_measured(command: list[str], cwd: Path) -> Figures:
    """Runs a command to its end.

    Raises:
        RuntimeError: it did not end with exit code 0; the message has its last lines.
    """
    environment = {**os.environ, "PYTHONPATH": str(cwd), "COLUMNS": "200", "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = time.monotonic()
    before = os.times()
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watch = Watch(process.pid)
    output, errors = process.communicate()
    watch.stop()
    after = os.times()
    if process.returncode:
        tail = "\n".join((output + errors).strip().splitlines()[-15:])
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}:\n{tail}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Figures(time.monotonic() - started, cpu, watch.largest, watch.together, output)


class Watch:
    """Looks at the memory of a process and all its descendants until it is stopped."""

    def __init__(self, pid: int) -> None:
        self.largest = self.together = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, args=(pid,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Looks no more."""
        self._ended.set()
        self._thread.join()

    def _look_on(self, pid: int) -> None:
        while not self._ended.wait(INTERVAL):
            try:
                root = psutil.Process(pid)
                sizes = [size for child in [root, *root.children(recursive=True)] if (size := memory_of(child))]
            except psutil.NoSuchProcess:
                return
            if sizes:
                self.largest = max(self.largest, *(resident for resident, _ in sizes))
                self.together = max(self.together, sum(share for _, share in sizes))


def memory_of(process: psutil.Process) -> tuple[int, int] | None:
    """Resident bytes, and bytes with shared pages divided among those who share them; None: it is gone."""
    try:
        found = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
        return None
    return found.rss, getattr(found, "pss", found.rss)


def bytes_below(folder: Path) -> int:
    """Bytes of all files below a folder; a file under two names counts once."""
    seen = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            entry = path.stat()
            seen[entry.st_dev, entry.st_ino] = entry.st_size
    return sum(seen.values())


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this repository."""
    return [sys.executable, "-m", module, *arguments]
