"""The rows that an API server tells of a run, for the fake one: nodes of Argo's workflow, as the server hands them on.

What the rows look like is written in `pipeline/kubeflow/kfp/rows.py`, with the places in its sources. The shape:

    {"run_id", "task_id", "display_name", "create_time", "start_time", "end_time", "state", "state_history",
     "child_tasks": [{"pod_name"}]}

No row has a pod_name, a parent_task_id or an error; a state that the API does not know is left out.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
ZERO = "0001-01-01T00:00:00Z"  # Go's zero time: it has not ended
WORKFLOW = "flowers-x7k2p"
LAG = 2  # seconds from the end of a pod to the end of its task: the controller's next pass
STATES = {"Succeeded": "SUCCEEDED", "Skipped": "SKIPPED", "Failed": "FAILED", "Error": "FAILED", "Running": "RUNNING"}
STATES["Pending"] = "PENDING"  # `Omitted` is none that the API knows


@dataclass(frozen=True)
class Fate:
    """What became of a task.

    Attributes:
        how: `ran`, `cached`, `failed`, `driver failed`, `running`, `starting` (its driver runs), or `omitted`.
        seconds: that its pod ran.
        at: when its driver was made, in seconds after noon.
        failures: attempts that failed before the last one; None: it has no retry policy.
    """

    how: str
    seconds: int = 7
    at: int = 0
    failures: int | None = None


def describe_run(fates: dict[str, Fate], seed: int = 0) -> dict[str, Any]:
    """The `run_details` of a run, its rows in no order, as a database gives them."""
    rows = [
        _row("root-driver", "Succeeded", 0, 5),
        _row("root", "Running", 5, None),
        _row(WORKFLOW, "Running", 0, None),
    ]
    for name, fate in fates.items():
        rows += _rows_of(name, fate)
    random.Random(seed).shuffle(rows)
    return {"task_details": rows}


def states_of(run_details: dict[str, Any]) -> dict[str, str]:
    """By name, for assertions on the shape; of several rows of a name, any."""
    return {row["display_name"]: row.get("state", "") for row in run_details["task_details"] if "display_name" in row}


def _rows_of(name: str, fate: Fate) -> Iterable[dict[str, Any]]:
    at, begun = fate.at, fate.at + 4  # a driver takes some seconds
    if fate.how in ("omitted", "driver failed", "starting"):
        phase = {"omitted": "Omitted", "driver failed": "Failed", "starting": "Running"}[fate.how]
        yield _row(f"{name}-driver", phase, at, None if phase == "Running" else at + 4 * (phase == "Failed"))
        if fate.how != "starting":
            yield _row(name, "Omitted", begun, begun)
        return
    yield _row(f"{name}-driver", "Succeeded", at, at + 4)
    ended = begun + fate.seconds
    if fate.how == "cached":
        yield _row(name, "Succeeded", begun, begun, [f"{WORKFLOW}-{_hash(name)}"])
        yield _row("executor", "Skipped", begun, begun)
    elif fate.how == "running":
        yield _row(name, "Running", begun, None)
        yield _row("executor", "Running", begun, None)
    else:
        phase = "Succeeded" if fate.how == "ran" else "Failed"
        yield _row(name, phase, begun, ended + LAG, [f"{WORKFLOW}-{_hash(name)}"])
        yield _row("executor", phase, begun, ended)
        yield _cache_entry(begun, ended)
    for attempt in range((fate.failures or 0) + 1) if fate.failures is not None else ():
        yield _row(f"executor({attempt})", "Failed" if attempt < (fate.failures or 0) else "Succeeded", begun, ended)


def _row(name: str, phase: str, start: int, end: int | None, children: Iterable[str] = ()) -> dict[str, Any]:
    row = {
        "run_id": "runs-2",
        "task_id": str(uuid.uuid4()),
        "display_name": name,
        "create_time": _time(0),
        "start_time": _time(start),
        "end_time": ZERO if end is None else _time(end),
        "state": STATES.get(phase),
        "state_history": [{"update_time": _time(start), "state": STATES.get(phase, "RUNTIME_STATE_UNSPECIFIED")}],
        "child_tasks": [{"pod_name": child} for child in children],
    }
    return {key: value for key, value in row.items() if value}


def _cache_entry(start: int, end: int) -> dict[str, Any]:
    times = {"create_time": _time(start), "start_time": _time(start), "end_time": _time(end)}
    return {"run_id": "runs-2", "task_id": str(uuid.uuid4()), "execution_id": "17", **times}


def _time(second: int) -> str:
    return (NOON + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _hash(name: str) -> int:
    """FNV-1a of the node's full name, as Argo makes ids of nodes."""
    value = 0x811C9DC5
    for byte in f"{WORKFLOW}.root.{name}.executor".encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value
