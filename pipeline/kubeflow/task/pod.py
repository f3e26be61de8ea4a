"""A task in its pod: where artifacts lie, readable logs, errors in words, an exit code, a clean end.

Kubeflow's launcher copies `s3://bucket/key` to `/s3/bucket/key` before a task and back after it, and Vertex mounts
`gs://bucket` at `/gcs/bucket`. Tasks work on these local files: every library opens them, and no directory markers or
half-written objects appear in the bucket.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.errors import Damaged, GateRefused, InputError
from components.process.machine import check_semaphores
from pipeline.process.progress import LOGGER, quiet_tensorflow

LOCAL_ROOT_VARIABLE = "GRAFT_LOCAL_ROOT"  # set by `graft execute`: what is `/` in a pod
FOLDERS = {"gs": "gcs", "s3": "s3", "minio": "minio"}
CLOSING = "Result: "  # at the start of a line; `graft execute` shows it
VERDICT = "verdict.json"  # {gate: what it said}, for `graft execute`; a cluster keeps no outputs of a failed task


def local_root() -> Path:
    """Gives what is `/` to the launcher."""
    return Path(os.environ.get(LOCAL_ROOT_VARIABLE, "/"))


def local_path(uri: str) -> Path | None:
    """Finds the launcher's copy of an artifact; None for a scheme that it does not copy."""
    scheme, _, rest = uri.partition("://")
    return local_root() / FOLDERS[scheme] / rest if scheme in FOLDERS and rest else None


def to_local(uri: str) -> str:
    """Gives the local path of an artifact where the platform has one, else the URI as it is."""
    path = local_path(uri)
    return str(path) if path and (local_root() / path.relative_to(local_root()).parts[0]).is_dir() else uri


def to_uri(path: str) -> str:
    """Gives the URI of a local path; other texts stay as they are."""
    for scheme, folder in FOLDERS.items():
        prefix = f"{local_root() / folder}/"
        if path.startswith(prefix):
            return f"{scheme}://{path.removeprefix(prefix)}"
    return path


def to_uris(value: Any) -> Any:
    """Applies `to_uri` to every text in a value made of dicts, lists and scalars."""
    if isinstance(value, dict):
        return {key: to_uris(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [to_uris(inner) for inner in value]
    return to_uri(value) if isinstance(value, str) else value


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        if record.name == LOGGER and getattr(record, "done", False):
            return CLOSING + record.getMessage()
        return super().format(record)


def log_to_stderr() -> None:
    """Logs warnings of libraries and all records of Graft, one line each; a node's closing line is marked."""
    quiet_tensorflow()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(levelname).1s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(LOGGER).setLevel(logging.INFO)


def run_and_leave(task: Callable[[], None]) -> None:
    """Runs a task and ends the process with its exit code: 0, 1 failed, 2 unusable input, 3 a gate said no.

    It leaves without Python's clean-up: threads of TensorFlow's abort the process there now and then ("terminate
    called without an active exception", tensorflow/tensorflow#51768 and #55250), and a task that did its work would
    count as failed.
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
