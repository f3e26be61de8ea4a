"""A log on the terminal while it is written."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.text import Text

SECONDS_BETWEEN_LOOKS = 0.2


@contextmanager
def log_shown(log: Path, console: Console) -> Iterator[None]:
    """Meanwhile shows what is added to a log, whoever writes it: Python, C++ or a process that was started."""
    ended, start = threading.Event(), os.path.getsize(log)

    def follow() -> None:
        with open(log, encoding="utf-8", errors="backslashreplace") as file, suppress(OSError, ValueError):
            file.seek(start)
            rest = ""
            while True:
                is_last = ended.wait(SECONDS_BETWEEN_LOOKS)
                rest += file.read()
                *lines, rest = rest.split("\n")
                for line in [*lines, rest] if is_last and rest else lines:
                    console.print(Text(f"    {line}", "dim"), soft_wrap=True)
                if is_last:
                    return

    thread = threading.Thread(target=follow, name="graft-log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        ended.set()
        thread.join()
