"""What the rows of a run mean that an API server of Kubeflow Pipelines tells of: each is a node of Argo's workflow.

Read in kubeflow/pipelines 2.4 to 2.17 (`backend/src`) and in Argo Workflows:

- A task `T` is two nodes: the pod `T-driver`, and the DAG `T` of one node, `executor` (v2/compiler/argocompiler/dag.go,
  container.go). The whole pipeline is `root-driver` and `root`.
- Where the cache has a task's results, its `executor` is skipped and `T` succeeds all the same (container.go, `When`).
- What comes after a failed node is omitted, a phase that the API has no state for (apiserver/model/run.go, `ToV2`), and
  a field without a value is left out of the answer (apiserver/common/utils.go, `CustomMarshaler`).
- A row has a name, times in whole seconds, a state and the pods of its children; it has neither its own pod nor its
  parent nor an error (apiserver/server/api_converter.go, `toApiPipelineTaskDetail`). Which `executor` is whose, only
  the times tell: Argo makes both nodes in one pass (workflow/controller/dag.go, `executeDAG`), and `T` ends with it.
  Ids are taken all the same where a server gives them.
- What has not ended ends in the year 1 (common/util/workflow.go, `NodeStatuses`: Go's zero time).
- Entries of the cache are rows as well, without name and state (v2/driver/cache.go, apiserver/server/task_server.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from components.errors import InputError
from pipeline.kubeflow.service import RunState, WatchedTask

EXECUTOR, DRIVER, ROOT_DRIVER = "executor", "-driver", "root-driver"
SUCCEEDED, CACHED, SKIPPED, FAILED = "SUCCEEDED", "CACHED", "SKIPPED", "FAILED"
CANCELING, UNSPECIFIED = "CANCELING", "RUNTIME_STATE_UNSPECIFIED"


def find_row(rows: Sequence[Any], name: str) -> Any | None:
    """Finds the row of that name, in any case of letters; of several, the row that started last."""
    found = [row for row in rows if (row.display_name or "").lower() == name.lower()]
    return max(reversed(found), key=_started, default=None)


def _started(row: Any) -> float:
    return row.start_time.timestamp() if row.start_time is not None else float("inf")


def phase_of(row: Any | None) -> str:
    """Reads the phase of a row; empty: none, or its node has not begun, and perhaps never will."""
    state = None if row is None else row.state
    return "" if state in (None, UNSPECIFIED) else str(state)


def state_of(row: Any, rows: Sequence[Any]) -> str:
    """Finds the state of a task; SKIPPED: its results came from the cache."""
    phase = phase_of(row)
    inner = executor_of(row, rows) if phase == SUCCEEDED else row
    # CACHED is a state of the task API that is to replace this one.
    return SKIPPED if phase_of(inner) in (SKIPPED, CACHED) else phase


def executor_of(row: Any, rows: Sequence[Any]) -> Any | None:
    """Finds the `executor` of a task: tied to it by an id, else the row that began and ended nearest to it.

    In doubt one that ran, so that nothing is called cached that may not be.
    """
    executors = [one for one in rows if one.display_name == EXECUTOR]
    tied = [one for one in executors if _is_tied(row, one)]
    return min(tied or executors, key=lambda one: (_distance(row, one), one.state == SKIPPED), default=None)


def _is_tied(row: Any, one: Any) -> bool:
    parent = getattr(one, "parent_task_id", None)
    if parent and parent == getattr(row, "task_id", None):
        return True
    children = {identity for child in getattr(row, "child_tasks", None) or [] for identity in _ids(child)}
    return bool(children & _ids(one))


def _ids(row: Any) -> set[str]:
    return {getattr(row, "task_id", None), getattr(row, "pod_name", None)} - {None, ""}  # type: ignore[return-value]


def _distance(row: Any, one: Any) -> float:
    pairs = ((row.start_time, one.start_time), (row.end_time, one.end_time))
    return sum(abs((a - b).total_seconds()) for a, b in pairs if a is not None and b is not None)


def end_of(row: Any) -> datetime | None:
    """Gives the time when a task ended; None: it has not."""
    ended: datetime | None = row.end_time
    return None if ended is None or ended.year == 1 else ended


def was_canceled(run: Any) -> bool:
    """Tells whether somebody stopped a run: Argo ends it as failed (apiserver/resource, `TerminateRun`)."""
    return run.state == FAILED and any(one.state == CANCELING for one in getattr(run, "state_history", None) or [])


def read_state(run: Any, nodes: tuple[str, ...]) -> RunState:
    """Reads a run of the client as a `RunState`.

    Raises:
        InputError: it is no run.
    """
    if not (getattr(run, "state", None) or getattr(run, "run_id", None)):
        raise InputError("The server's answer tells no state of the run: it is not the API of Kubeflow Pipelines v2.")
    found = (run.run_details.task_details if run.run_details else None) or []
    tasks = tuple(task for name in nodes if (task := _read_task(name, found)) is not None)
    state = "CANCELED" if was_canceled(run) else run.state or "PENDING"
    driver = phase_of(find_row(found, ROOT_DRIVER))
    failed = "the driver of the run failed; its log has the reason" if driver == FAILED else ""
    return RunState(state, tasks, _text(run.error) or failed)


def _read_task(name: str, found: Sequence[Any]) -> WatchedTask | None:
    """Reads a node of the pipeline; where it was left out, its failed driver speaks for it. None: it has not begun."""
    row, driver = find_row(found, name), find_row(found, name + DRIVER)
    if row is None:
        return None
    if phase_of(row):
        return WatchedTask(name, state_of(row, found), row.start_time, end_of(row), _text(row.error))
    failed = driver is not None and phase_of(driver) == FAILED
    return (
        WatchedTask(name, FAILED, error="its driver failed; the log of the driver has the reason") if failed else None
    )


def _text(error: Any) -> str:
    return " ".join((getattr(error, "message", None) or "").split())
