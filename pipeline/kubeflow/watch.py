"""Waiting for a run on a server: a line a node as it ends, and the exit code that the run stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import sleep
from typing import Any

from rich.console import Console
from rich.text import Text

from components.errors import InputError
from pipeline.kubeflow.kfp import rows
from pipeline.kubeflow.kfp.answers import ServiceError
from pipeline.kubeflow.kfp.connection import Pace
from pipeline.process.progress import MARKS

# Nodes that end a run because data or model are not good enough. Open-source Kubeflow does not hand on why a task
# failed; where one of these fails without a word, it is taken for its "no".
GATES = {"DataGate": "data", "Pusher": "quality or servability"}
SAID_NO = "gate said no"

SUCCEEDED = frozenset({"SUCCEEDED", "SKIPPED"})
CANCELED = frozenset({"CANCELED", "CANCELLED"})
FAILED = frozenset({"FAILED"}) | CANCELED
UNDER_WAY = frozenset({"PENDING", "RUNNING"})
MARK_OF = {"SUCCEEDED": "done", "SKIPPED": "cached", "FAILED": "failed", "CANCELED": "refused", "CANCELLED": "refused"}


@dataclass(frozen=True)
class WatchedTask:
    """One node of a run as a server tells of it: state SUCCEEDED, FAILED, RUNNING and the like; SKIPPED: cached."""

    name: str
    state: str
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it ran; None where the server does not say."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, (self.ended - self.started).total_seconds())


@dataclass(frozen=True)
class RunState:
    """A run as a server tells of it."""

    state: str
    tasks: tuple[WatchedTask, ...] = ()
    error: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.state in SUCCEEDED | FAILED


@dataclass
class Watch:
    """Shows a run until it ends.

    Attributes:
        look: asks the server for the run.
        nodes: of the pipeline; other tasks, such as a server's own, are not shown.
        console: where lines go.
        pace: of the looks.
    """

    look: Callable[[], RunState]
    nodes: tuple[str, ...]
    console: Console
    pace: Pace
    _shown: set[str] = field(default_factory=set)

    def until_over(self) -> RunState:
        """Looks again and again; a server that gives no answer for a while is waited for.

        Raises:
            InputError: the server refuses.
            ServiceError: no answer for as long as the pace's patience.
        """
        silent, last = 0.0, False
        with self.console.status("Waiting for the first task") as status:  # seen on a terminal only
            while True:
                try:
                    state = self.look()
                    silent = 0.0
                except ServiceError as error:
                    silent += max(self.pace.poll, 0.001)
                    if not error.retry or silent > self.pace.patience:
                        raise
                    self._say("·", "dim", "waiting", None, str(error).splitlines()[0])
                else:
                    self._show(state.tasks)
                    if state.is_over and (last or not self._is_behind(state)):
                        return state
                    last = state.is_over
                    status.update(describe_running(state, self.nodes))
                sleep(self.pace.poll)

    def _is_behind(self, state: RunState) -> bool:
        """Whether a run that is over has nodes that are not: a server writes the run before its nodes."""
        return any(task.state in UNDER_WAY for task in state.tasks if task.name in self.nodes)

    def _show(self, tasks: Iterable[WatchedTask]) -> None:
        for task in tasks:
            if task.state in SUCCEEDED | FAILED and task.name in self.nodes and task.name not in self._shown:
                self._shown.add(task.name)
                mark, style = MARKS[MARK_OF[task.state]]
                word = {"SKIPPED": "cached"}.get(task.state, "" if task.state == "SUCCEEDED" else task.state.lower())
                self._say(mark, style, task.name, task.seconds, task.error or word)

    def _say(self, mark: str, style: str, name: str, seconds: float | None, text: str) -> None:
        time_spent = f"{seconds:7.1f} s" if seconds is not None else " " * 9
        self.console.print(
            Text.assemble((f"{mark} ", style), (f"{name:<17}", "bold"), (f" {time_spent}  ", "dim"), text),
            soft_wrap=True,
        )


def describe_running(state: RunState, nodes: tuple[str, ...]) -> str:
    """What a run is at: "Trainer (3 of 12 done)"."""
    ours = [task for task in state.tasks if task.name in nodes]
    running = ", ".join(task.name for task in ours if task.state == "RUNNING")
    done = sum(task.state in SUCCEEDED for task in ours)
    return f"{running or state.state.lower()} ({done} of {len(nodes)} done)"


def judge(state: RunState) -> tuple[int, list[str]]:
    """The exit code of a run that is over, and the reasons: 0 succeeded, 3 a gate said no, 1 failed."""
    if state.state in SUCCEEDED:
        return 0, []
    if state.state in CANCELED:  # nodes that were stopped count as failed
        return 1, [state.error or "the run was canceled"]
    failed = [task for task in state.tasks if task.state in FAILED - CANCELED]
    refused = [task for task in failed if is_refusal(task)]
    reasons = [f"{task.name}: {task.error or _why(task)}" for task in failed]
    if refused and len(refused) == len(failed):
        return 3, reasons
    return 1, reasons or [state.error or f"the run was {state.state.lower()}"]


def is_refusal(task: WatchedTask) -> bool:
    """Whether a failed task is a gate's "no"."""
    return SAID_NO in task.error or (task.name in GATES and not task.error)


def _why(task: WatchedTask) -> str:
    if task.name in GATES:
        return f"the {GATES[task.name]} gate said no, or failed; its log has the reasons"
    return "failed; its log has the reason"


def read_state(run: Any, nodes: tuple[str, ...]) -> RunState:
    """A run of the client as a `RunState`; see `rows.py` for what a server's rows mean.

    Raises:
        InputError: it is no run.
    """
    if not (getattr(run, "state", None) or getattr(run, "run_id", None)):
        raise InputError("The server's answer tells no state of the run: it is not the API of Kubeflow Pipelines v2.")
    found = (run.run_details.task_details if run.run_details else None) or []
    tasks = tuple(task for name in nodes if (task := _read_task(name, found)) is not None)
    state = "CANCELED" if rows.was_canceled(run) else run.state or "PENDING"
    driver = rows.phase_of(rows.find_row(found, rows.ROOT_DRIVER))
    failed = "the driver of the run failed; its log has the reason" if driver == rows.FAILED else ""
    return RunState(state, tasks, _text(run.error) or failed)


def _read_task(name: str, found: Sequence[Any]) -> WatchedTask | None:
    """One node of the pipeline; where it was left out, its failed driver speaks for it. None: it has not begun."""
    row, driver = rows.find_row(found, name), rows.find_row(found, name + rows.DRIVER)
    if row is None:
        return None
    if rows.phase_of(row):
        return WatchedTask(name, rows.state_of(row, found), row.start_time, rows.end_of(row), _text(row.error))
    failed = driver is not None and rows.phase_of(driver) == rows.FAILED
    return (
        WatchedTask(name, rows.FAILED, error="its driver failed; the log of the driver has the reason")
        if failed
        else None
    )


def _text(error: Any) -> str:
    return " ".join((getattr(error, "message", None) or "").split())


def describe_end(console: Console, state: RunState, code: int, reasons: list[str], link: str) -> None:
    """Says how a run ended."""
    if code == 0:
        trained = next((task.state for task in state.tasks if task.name == "Trainer"), "")
        unchanged = ": unchanged, data and options are those of an earlier run" if trained == "SKIPPED" else ""
        console.print(f"[bold green]Succeeded[/]{unchanged}")
        return
    console.print("[bold yellow]Not pushed[/]: a gate said no" if code == 3 else "[bold red]Failed[/]")
    for reason in reasons:
        console.print(Text(f"  {reason}"), soft_wrap=True)
    console.print(Text(f"  run         {link}"), soft_wrap=True)
