from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from components.errors import InputError
from pipeline.kubeflow.kfp.rows import read_state
from pipeline.kubeflow.service import RunState, WatchedTask
from pipeline.kubeflow.watch import describe_running, judge

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


def timed(name: str, state: str | None, seconds: tuple[int, int] | None = (0, 9), **more: object) -> SimpleNamespace:
    start, end = (None, None) if seconds is None else [NOON + timedelta(seconds=one) for one in seconds]
    return SimpleNamespace(display_name=name, state=state, start_time=start, end_time=end, error=None, **more)


def pod(name: str) -> list[SimpleNamespace]:
    return [SimpleNamespace(task_id=None, pod_name=name)]


@pytest.mark.parametrize("state", ["SKIPPED", "CACHED"])
@pytest.mark.parametrize(
    "rows",
    [
        lambda state: [timed("Trainer", state)],
        lambda state: [timed("Trainer", "SUCCEEDED", (4, 4)), timed("executor", state, (4, 4))],
        lambda state: [timed("Trainer", "SUCCEEDED", (4, 5)), timed("executor", state, (4, 4))],
        lambda state: [timed("Trainer", "SUCCEEDED", None), timed("executor", state, None)],
        # Ids, where a server gives them, win over times.
        lambda state: [
            timed("Trainer", "SUCCEEDED", child_tasks=pod("a")),
            timed("executor", "SUCCEEDED", pod_name="b"),
            timed("executor", state, (4, 4), pod_name="a"),
        ],
        lambda state: [
            timed("Trainer", "SUCCEEDED", task_id="t"),
            timed("executor", "SUCCEEDED"),
            timed("executor", state, (50, 50), parent_task_id="t"),
        ],
    ],
)
def test_ways_of_servers_to_tell_of_a_cached_task(rows: Callable[[str], list[SimpleNamespace]], state: str) -> None:
    for found in (rows(state), rows(state)[::-1]):
        (task,) = read_state(run("SUCCEEDED", *found), NODES).tasks
        assert (task.name, task.state) == ("Trainer", "SKIPPED")


@pytest.mark.parametrize(
    "others",
    [
        [],  # no executor is told of
        [timed("executor", "SUCCEEDED", (0, 7)), timed("executor", "SKIPPED", (0, 0))],
        [timed("executor", "SUCCEEDED", (0, 60)), timed("executor", "SKIPPED", (0, 0))],  # clocks a minute apart
        [timed("executor", "SUCCEEDED", None), timed("executor", "SKIPPED", None)],  # in doubt, it ran
    ],
)
def test_what_ran_is_not_called_cached(others: list[SimpleNamespace]) -> None:
    for found in (others, others[::-1]):
        (task,) = read_state(run("SUCCEEDED", timed("Trainer", "SUCCEEDED", (0, 90)), *found), NODES).tasks
        assert task.state == "SUCCEEDED"


def test_a_skipped_executor_says_nothing_of_a_driver_or_of_a_task_that_failed() -> None:
    rows = [timed("executor", "SKIPPED"), timed("Plan-driver", "SUCCEEDED"), timed("Trainer", "FAILED")]
    assert [(task.name, task.state) for task in read_state(run("RUNNING", *rows), NODES).tasks] == [
        ("Trainer", "FAILED")
    ]


@pytest.mark.parametrize("state", [None, "RUNTIME_STATE_UNSPECIFIED"])
def test_what_was_omitted_has_no_state_and_its_driver_speaks_for_it(state: str | None) -> None:
    rows = [
        timed("Trainer", state),
        timed("Trainer-driver", "FAILED"),
        timed("Pusher", state),
        timed("Pusher-driver", state),
    ]
    (task,) = read_state(run("FAILED", *rows), NODES).tasks
    assert (task.name, task.state, task.error) == (
        "Trainer",
        "FAILED",
        "its driver failed; the log of the driver has the reason",
    )


def test_what_runs_ends_in_the_year_one_on_a_server_and_has_no_duration() -> None:
    row = timed("Trainer", "RUNNING")
    row.end_time = datetime(1, 1, 1, tzinfo=timezone.utc)
    (task,) = read_state(run("RUNNING", row), NODES).tasks
    assert (task.seconds, task.ended) == (None, None)


def test_a_run_that_could_not_begin_names_its_driver() -> None:
    state = read_state(run("FAILED", timed("root-driver", "FAILED")), NODES)
    assert judge(state) == (1, ["the driver of the run failed; its log has the reason"])


def test_a_run_of_which_no_state_is_known_yet_is_waited_for() -> None:
    found = SimpleNamespace(run_id="7", state=None, error=None, run_details=None)
    assert read_state(found, NODES) == RunState("PENDING")


@pytest.mark.parametrize("rows", [[1, 0], [0, 1]])
def test_of_several_tries_the_last_counts(rows: list[int]) -> None:
    tries = [row("Trainer", "FAILED", minute=1, message="evicted"), row("Trainer", "SUCCEEDED", minute=9)]
    read = read_state(run("SUCCEEDED", *(tries[index] for index in rows)), NODES)
    assert [(task.state, task.error) for task in read.tasks] == [("SUCCEEDED", "")]


def test_a_run_without_a_state_is_no_run() -> None:
    with pytest.raises(InputError, match="tells no state of the run"):
        read_state(SimpleNamespace(state=None, run_id=None), NODES)


def test_what_is_running() -> None:
    state = RunState(
        "RUNNING", (WatchedTask("Plan", "SUCCEEDED"), WatchedTask("Trainer", "RUNNING"), WatchedTask("root", "RUNNING"))
    )
    assert describe_running(state, NODES) == "Trainer (1 of 3 done)"
    assert describe_running(RunState("PENDING"), NODES) == "pending (0 of 3 done)"


@pytest.mark.parametrize(
    ("state", "code", "reasons"),
    [
        (RunState("SUCCEEDED"), 0, []),
        (RunState("CANCELED"), 1, ["the run was canceled"]),
        (RunState("CANCELED", (WatchedTask("DataGate", "FAILED"),)), 1, ["the run was canceled"]),
        (
            RunState("FAILED", (WatchedTask("Plan", "FAILED", error="The data gate said no"),)),
            3,
            ["Plan: The data gate said no"],
        ),
        (RunState("FAILED", (WatchedTask("DataGate", "FAILED", error="OOMKilled"),)), 1, ["DataGate: OOMKilled"]),
        (RunState("FAILED", error="no such service account"), 1, ["no such service account"]),
        (
            RunState(
                "FAILED", (WatchedTask("DataGate", "FAILED"), WatchedTask("Trainer", "FAILED", error="OOMKilled"))
            ),
            1,
            ["DataGate: the data gate said no, or failed; its log has the reasons", "Trainer: OOMKilled"],
        ),
    ],
)
def test_exit_codes(state: RunState, code: int, reasons: list[str]) -> None:
    assert judge(state) == (code, reasons)


def test_durations() -> None:
    assert WatchedTask("Plan", "SUCCEEDED", NOON, NOON.replace(minute=2)).seconds == 120.0
    assert WatchedTask("Plan", "RUNNING", NOON).seconds is None
