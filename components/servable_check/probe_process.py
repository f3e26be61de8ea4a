"""Fresh, isolated interpreters that run probes: with nothing of Graft, and no settings of Python from the environment.

A run on one machine starts the next one when the Trainer begins to work: an interpreter loads TensorFlow in two
seconds, which pass while the Trainer leaves a processor idle. It is the same fresh interpreter either way, and it
ends when nobody asks: its standard input closes with the process that started it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROBE = Path(__file__).with_name("probe.py")
WAIT = "--wait"

_prepared: list[subprocess.Popen[str]] = []  # at most one


def run_probe(request: dict[str, Any], timeout: int, probe: Path = PROBE) -> tuple[dict[str, Any] | None, str]:
    """Runs a probe in a fresh, isolated interpreter; gives its answer, or None and why there is none.

    A probe that dies on an odd input has said on which, as `trying`.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "request.json"), Path(folder, "answer.json")
        asked.write_text(json.dumps(request), "utf-8")
        process = take_probe() if probe == PROBE else start_probe(probe)
        try:
            errors = ask_probe(process, asked, answered, timeout)
        except subprocess.TimeoutExpired:
            return None, f"the export did not answer within gates.servability.timeout_seconds ({timeout} s)"
        answer = json.loads(answered.read_text("utf-8")) if answered.is_file() else None
        if process.returncode:
            logging.error("The probe said:\n%s", errors)
        if answer is None or (process.returncode and "trying" not in answer):
            last = (errors.strip().splitlines() or ["no message"])[-1]
            return None, f"the export does not work in a fresh process (exit code {process.returncode}): {last[:300]}"
        return answer, ""


def start_probe(probe: Path = PROBE) -> subprocess.Popen[str]:
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


def ask_probe(process: subprocess.Popen[str], request: Path, answer: Path, timeout: float) -> str:
    """Gives the process the paths of request and answer, waits for its end, and gives its standard error.

    Raises:
        subprocess.TimeoutExpired: the process did not end in `timeout` seconds; it is dead then.
    """
    try:
        _, errors = process.communicate(json.dumps([str(request), str(answer)]) + "\n", timeout=timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return errors


def prepare_probe() -> None:
    """Starts the process that `take_probe` gives, if there is none yet."""
    if not _prepared:
        _prepared.append(start_probe())


def take_probe() -> subprocess.Popen[str]:
    """Gives the process that was prepared, if it is still alive, or a new one."""
    prepared = _prepared.pop() if _prepared else None
    return prepared if prepared and prepared.poll() is None else start_probe()


def dismiss_probe() -> None:
    """Ends the process that was prepared and not taken."""
    while _prepared:
        process = _prepared.pop()
        process.kill()
        process.communicate()
