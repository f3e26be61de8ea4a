"""A module of Graft in a process of its own: who starts it keeps its signals, streams, threads and memory as they are.

The parent writes one line of JSON to the child's standard input and keeps that open: where the parent dies, the input
ends, and the child ends itself. What the child prints is handed on as it comes; its answer is a file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import components
from components.errors import Damaged, InputError
from pipeline.process.signals import GRACE_SECONDS
from pipeline.process.troubles import Trouble

ANSWER = "answer"  # key of a request: the file that the child writes its answer to
# What a notebook's kernel tells libraries of its own output, which the child's is not.
OF_THE_KERNEL = ("FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
ERRORS: dict[str, type[Exception]] = {kind.__name__: kind for kind in (InputError, Damaged, Trouble)}


def run_apart(module: str, request: dict[str, Any], say: Callable[[str], object]) -> dict[str, Any]:
    """Runs a module, such as `pipeline.child`, in a process of its own, and waits for its answer.

    Args:
        module: calls `answer_request` of its own with what it is asked.
        request: is JSON.
        say: is called with each line that the child prints.

    Raises:
        InputError, Damaged, Trouble: as the child raised it; a `Trouble` also where the child died, or failed inside.
        KeyboardInterrupt: this process was interrupted; the child was, too, and has ended.
    """
    with tempfile.TemporaryDirectory(prefix="graft-") as folder, open(Path(folder, "stderr"), "w+b") as errors:
        answer = Path(folder, "answer.json")
        child = _start(module, errors)
        try:
            _talk(child, {**request, ANSWER: str(answer)}, say)
            code = child.wait()
        finally:
            _end(child)
        content = json.loads(answer.read_text("utf-8")) if answer.is_file() else _explain_death(code, errors)
    if "error" in content:
        raise ERRORS.get(content["error"], Trouble)(content["text"])
    return dict(content)


def _start(module: str, errors: IO[bytes]) -> subprocess.Popen[str]:
    code = str(Path(components.__file__).parent.parent)
    environment = {name: value for name, value in os.environ.items() if name not in OF_THE_KERNEL}
    environment["PYTHONPATH"] = os.pathsep.join([code, *filter(None, [environment.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
        errors="replace",
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,  # Ctrl-C reaches it once, from here: a second one would not let it end in order
    )


def _talk(child: subprocess.Popen[str], request: dict[str, Any], say: Callable[[str], object]) -> None:
    if child.stdin is None or child.stdout is None:
        return
    with suppress(BrokenPipeError):  # it died at once: its exit code says more
        child.stdin.write(json.dumps(request) + "\n")
        child.stdin.flush()
    for line in child.stdout:
        say(line.rstrip("\n"))


def _end(child: subprocess.Popen[str]) -> None:
    """Ends a child that has not ended: in order, as Ctrl-C does, and after a while with all that it started."""
    try:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_SECONDS + 5)
    finally:
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        for stream in (child.stdin, child.stdout):
            if stream:
                with suppress(OSError):
                    stream.close()


def _explain_death(code: int, errors: IO[bytes]) -> dict[str, Any]:
    """What can be said of a child that left no answer."""
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    if code in (128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGHUP):
        return {"error": "Trouble", "text": f"the run was ended by {signal.Signals(code - 128).name}"}
    died = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    memory = "; the machine may have run out of memory" if code == -signal.SIGKILL else ""
    said = f"\nIts last words: {lines[-1]}" if lines else ""
    return {"error": "Trouble", "text": f"the run's process {died}{memory}{said}"}
