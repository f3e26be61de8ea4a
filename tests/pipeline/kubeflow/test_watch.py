from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

from components.errors import InputError
from pipeline.kubeflow.watch import State, Task, describe_running, judge, read_state

NODES = ("Plan", "Trainer", "Pusher")
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def row(name: str, state: str, minute: int = 0, message: str = "") -> SimpleNamespace:
    at = NOON.replace(minute=minute)
    error = SimpleNamespace(message=message) if message else None
    return SimpleNamespace(display_name=name, state=state, start_time=at, end_time=at, error=error)


def run(state: str, *rows: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(state=state, error=None, run_details=SimpleNamespace(task_details=list(rows)))


def test_names_are_those_of_the_pipeline_and_helpers_are_left_out() -> None:
    read = read_state(
        run("RUNNING", row("root", "RUNNING"), row("trainer", "RUNNING"), row("Plan-driver", "FAILED")), NODES
    )
    assert [(task.name, task.state) for task in read.tasks] == [("Trainer", "RUNNING")]


@pytest.mark.parametrize("rows", [[1, 0], [0, 1]])
def test_of_several_tries_the_last_counts(rows: list[int]) -> None:
    tries = [row("Trainer", "FAILED", minute=1, message="evicted"), row("Trainer", "SUCCEEDED", minute=9)]
    read = read_state(run("SUCCEEDED", *(tries[index] for index in rows)), NODES)
    assert [(task.state, task.error) for task in read.tasks] == [("SUCCEEDED", "")]


def test_a_run_without_a_state_is_no_run() -> None:
    with pytest.raises(InputError, match="tells no state of the run"):
        read_state(SimpleNamespace(state=None), NODES)


def test_what_is_running() -> None:
    state = State("RUNNING", (Task("Plan", "SUCCEEDED"), Task("Trainer", "RUNNING"), Task("root", "RUNNING")))
    assert describe_running(state, NODES) == "Trainer (1 of 3 done)"
    assert describe_running(State("PENDING"), NODES) == "pending (0 of 3 done)"


@pytest.mark.parametrize(
    ("state", "code", "reasons"),
    [
        (State("SUCCEEDED"), 0, []),
        (State("CANCELED"), 1, ["the run was canceled"]),
        (State("FAILED", error="no such service account"), 1, ["no such service account"]),
        (
            State("FAILED", (Task("DataGate", "FAILED"), Task("Trainer", "FAILED", error="OOMKilled"))),
            1,
            ["DataGate: the data gate said no, or failed; its log has the reasons", "Trainer: OOMKilled"],
        ),
    ],
)
def test_exit_codes(state: State, code: int, reasons: list[str]) -> None:
    assert judge(state) == (code, reasons)


def test_durations() -> None:
    assert Task("Plan", "SUCCEEDED", NOON, NOON.replace(minute=2)).seconds == 120.0
    assert Task("Plan", "RUNNING", NOON).seconds is None
