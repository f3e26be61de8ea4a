"""Waiting for a run on a service: prints a line a node as it ends, and finds the exit code of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import sleep

from rich.console import Console
from rich.text import Text

from pipeline.kubeflow.service import Pace, RunState, ServiceError, WatchedTask
from pipeline.process.progress import MARKS

# Nodes that end a run because data or model are not good enough. Open-source Kubeflow does not hand on why a task
# failed; where one of these fails without a word, it is taken for its "no".
GATES = {"DataGate": "data", "Pusher": "quality or servability"}
SAID_NO = "gate said no"

SUCCEEDED = frozenset({"SUCCEEDED", "SKIPPED"})
CANCELED = frozenset({"CANCELED", "CANCELLED"})
FAILED = frozenset({"FAILED"}) | CANCELED
OVER = SUCCEEDED | FAILED
UNDER_WAY = frozenset({"PENDING", "RUNNING"})
MARK_OF = {"SUCCEEDED": "done", "SKIPPED": "cached", "FAILED": "failed", "CANCELED": "refused", "CANCELLED": "refused"}


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
                    if state.state in OVER and (last or not self._is_behind(state)):
                        return state
                    last = state.state in OVER
                    status.update(describe_running(state, self.nodes))
                sleep(self.pace.poll)

    def _is_behind(self, state: RunState) -> bool:
        """Tells whether a run that is over has nodes that are not: a server writes the run before its nodes."""
        return any(task.state in UNDER_WAY for task in state.tasks if task.name in self.nodes)

    def _show(self, tasks: Iterable[WatchedTask]) -> None:
        for task in tasks:
            if task.state in OVER and task.name in self.nodes and task.name not in self._shown:
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
    """Says which nodes are running: "Trainer (3 of 12 done)"."""
    ours = [task for task in state.tasks if task.name in nodes]
    running = ", ".join(task.name for task in ours if task.state == "RUNNING")
    done = sum(task.state in SUCCEEDED for task in ours)
    return f"{running or state.state.lower()} ({done} of {len(nodes)} done)"


def judge(state: RunState) -> tuple[int, list[str]]:
    """Finds the exit code of a run that is over, and the reasons: 0 succeeded, 3 a gate said no, 1 failed."""
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
    """Tells whether a failed task is a gate's "no"."""
    return SAID_NO in task.error or (task.name in GATES and not task.error)


def _why(task: WatchedTask) -> str:
    if task.name in GATES:
        return f"the {GATES[task.name]} gate said no, or failed; its log has the reasons"
    return "failed; its log has the reason"


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
