"""What every task of ours does with its process: readable logs, errors in words, an exit code, a clean end."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable

from components.errors import Damaged, GateRefused, InputError
from components.process.machine import check_semaphores
from pipeline.kubeflow.task.places import LOCAL_ROOT_VARIABLE, local_root
from pipeline.process.progress import LOGGER, quiet_tensorflow

CLOSING = "Result: "  # at the start of a line; `graft execute` shows it
VERDICT = "verdict.json"  # {gate: what it said}, for `graft execute`; a cluster keeps no outputs of a failed task


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        if record.name == LOGGER and getattr(record, "done", False):
            return CLOSING + record.getMessage()
        return super().format(record)


def log_to_stderr() -> None:
    """One line a record, warnings of libraries and all of our own; a node's closing line is marked."""
    quiet_tensorflow()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(levelname).1s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(LOGGER).setLevel(logging.INFO)


def run_and_leave(task: Callable[[], None]) -> None:
    """Runs a task and ends the process with its exit code: 0, 1 failed, 2 unusable input, 3 a gate said no.

    It leaves without Python's clean-up: a native library of TensorFlow's aborts there now and then, and a task that
    did its work would count as failed.
    """
    code = exit_code_of(task)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def exit_code_of(task: Callable[[], None]) -> int:
    """Runs a task; errors become text on standard error and an exit code."""
    try:
        check_semaphores()
        task()
    except GateRefused as error:
        _say(f"The {error.gate} gate said no. Nothing is pushed.", *(f"  {reason}" for reason in error.reasons))
        if LOCAL_ROOT_VARIABLE in os.environ:
            (local_root() / VERDICT).write_text(json.dumps({error.gate: error.verdict}), "utf-8")
        return 3
    except InputError as error:
        _say(f"Error: {error}")
        return 2
    except Damaged as error:
        _say(f"Error: {error}")
        return 1
    except Exception:  # noqa: BLE001  whatever it is, the pod's log must have it
        traceback.print_exc()
        return 1
    return 0


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr)
