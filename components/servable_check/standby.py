"""The probe's process, started before there is anything to ask: TensorFlow takes it two seconds to load.

A run on one machine starts it when the Trainer begins to work, which leaves a processor idle for most of its time. It
is the same fresh, isolated interpreter either way, and it ends when nobody asks: its standard input closes with the
process that started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROBE = Path(__file__).with_name("probe.py")
WAIT = "--wait"

_waiting: subprocess.Popen[str] | None = None


def start(probe: Path = PROBE) -> subprocess.Popen[str]:
    """Starts an interpreter that loads what the probe needs, and then waits to be asked."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TF_CONFIG"))}
    return subprocess.Popen(
        [sys.executable, "-I", str(probe), WAIT],
        env=environment,
        cwd=tempfile.gettempdir(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ask(process: subprocess.Popen[str], request: Path, answer: Path, timeout: float) -> str:
    """Gives it the paths of request and answer, and waits for its end; gives what it wrote to standard error.

    Raises:
        subprocess.TimeoutExpired: it did not end in `timeout` seconds; it is dead then.
    """
    try:
        _, errors = process.communicate(json.dumps([str(request), str(answer)]) + "\n", timeout=timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return errors


def prepare() -> None:
    """Starts the one that `take` gives, if there is none yet."""
    global _waiting
    if _waiting is None:
        _waiting = start()


def take() -> subprocess.Popen[str]:
    """The one that was prepared, if it is still alive, or a new one."""
    global _waiting
    prepared, _waiting = _waiting, None
    if prepared is not None and prepared.poll() is None:
        return prepared
    return start()


def dismiss() -> None:
    """Ends the one that was prepared and not taken."""
    global _waiting
    prepared, _waiting = _waiting, None
    if prepared is not None:
        prepared.kill()
        prepared.communicate()
