"""What the terminal shows: a line a node with time, counts and throughput; all other output goes to the run's log.

Stages report through the logger `graft.progress`: an ordinary record says where they are, one with `done=True` is the
node's closing line. A record may carry `counts`, what is done and of how many: the time left is told from them.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from components.process import streams
from pipeline.process.shown_log import log_shown
from pipeline.process.time_left import TimeLeft, in_words

LOGGER = "graft.progress"
SECONDS_BETWEEN_LINES = 10.0  # where the output is no terminal
MARKS = {"done": ("✓", "green"), "cached": ("·", "dim"), "failed": ("✗", "red"), "refused": ("✗", "yellow")}


@dataclass
class Node:
    """One node of the run, as far as it has come."""

    name: str
    started: float
    text: str = ""
    summary: str = ""
    last_line: float = 0.0
    left: TimeLeft = field(default_factory=TimeLeft)

    def describe(self, now: float) -> str:
        """Where the node is, with the time left where that can be told."""
        seconds = self.left.seconds(now)
        # First: the end of a line is cut where the terminal ends.
        return self.text if seconds is None else f"{in_words(seconds)} left, {self.text}"


@dataclass
class Progress(logging.Handler):
    """Shows nodes as they run, and remembers their seconds; `quiet`: it only remembers."""

    console: Console
    quiet: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(logging.INFO)
        self._node: Node | None = None
        self._guard = threading.RLock()
        self._live = Live(console=self.console, get_renderable=self._render, refresh_per_second=8, transient=True)

    def __hash__(self) -> int:
        return id(self)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While the run goes on: listens to the stages."""
        logger = logging.getLogger(LOGGER)
        level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        try:
            if self.console.is_terminal and not self.quiet:
                with self._live:
                    yield
            else:
                yield
        finally:
            logger.removeHandler(self)
            logger.setLevel(level)

    def start(self, name: str) -> None:
        """A node begins."""
        with self._guard:
            self._node = Node(name, time.monotonic(), last_line=time.monotonic())

    @property
    def doing(self) -> str:
        """The node that is under way; empty between nodes."""
        node = self._node
        return node.name if node else ""

    def elapsed(self) -> float:
        """Seconds since the present node began."""
        with self._guard:
            return time.monotonic() - self._node.started if self._node else 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Takes what a stage reports."""
        with self._guard:
            node = self._node
            if node is None:
                return
            if getattr(record, "done", False):
                node.summary = record.getMessage()
                return
            node.text = record.getMessage()
            now = time.monotonic()
            if counts := getattr(record, "counts", None):
                node.left.count(counts[0], counts[1], now)
            else:  # what was counted before is over
                node.left = TimeLeft()
            is_due = now - node.last_line >= SECONDS_BETWEEN_LINES
            if is_due and not (self.console.is_terminal or self.quiet):
                node.last_line = now
                line = f"  {node.name:<17} {now - node.started:5.1f} s  {node.describe(now)} ..."
                self.console.print(Text(line), no_wrap=True, overflow="ellipsis")

    def finish(self, name: str, how: str, summary: str = "") -> None:
        """A node ends: `done`, `cached`, `failed` or `refused`."""
        with self._guard:
            node = self._node or Node(name, time.monotonic())
            seconds = time.monotonic() - node.started
            self.seconds[name] = round(seconds, 3)
            self._node = None
        if self.quiet:
            return
        mark, style = MARKS[how]
        text = Text.assemble((f"{mark} ", style), (f"{name:<17}", "dim" if how == "cached" else "bold"))
        text.append(f" {seconds:5.1f} s  " if how != "cached" else " cached   ", "dim")
        text.append(summary or node.summary, "dim" if how == "cached" else "")
        self.console.print(_hanging(text, self.console.width), highlight=False)

    def _render(self) -> Table | Text:
        node = self._node
        if node is None:
            return Text("")
        grid = Table.grid(padding=(0, 1))
        now = time.monotonic()
        seconds = f"{now - node.started:5.1f} s"
        grid.add_row(
            Spinner("dots" if streams.is_unicode(self.console.encoding) else "line"),
            Text(f"{node.name:<17}", "bold"),
            Text(seconds, "dim"),
            Text(node.describe(now), no_wrap=True),
        )
        return grid


def _hanging(text: Text, width: int) -> Text:
    """Wraps a line so that what follows stands under its text, not under its mark."""
    indent = 29
    if len(text) <= width or width <= indent + 20:
        return text
    head, rest = text[:indent], text[indent:]
    lines = rest.wrap(Console(width=width), width - indent)
    joined = Text("\n" + " " * indent).join(line for line in lines)
    return head + joined


@contextmanager
def output_to(log: Path, show: bool = False) -> Iterator[Console]:
    """Sends everything that this process prints, down to C++, to a log; gives a console on the real terminal.

    Args:
        log: the file; what is in it stays.
        show: whether the lines of the log are shown on that console, too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    terminal = os.fdopen(os.dup(1), "w", encoding=streams.encoding(), errors=streams.LIKE, buffering=1)
    # TensorFlow's C++ prints to descriptor 2 itself (tsl/platform/default/logging.cc), whatever `sys.stderr` is.
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    written = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    console = Console(file=terminal, highlight=False)
    try:
        with log_shown(log, console) if show else nullcontext():
            yield console
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(level)
        with suppress(OSError):  # a full disk
            written.close()
            sys.stdout.flush()
            sys.stderr.flush()
        for descriptor, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        terminal.close()


@contextmanager
def counting_bar(what: str, terminal: TextIO) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time that is left; gives a function that takes the number of files done and their total."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(file=terminal), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def counting_lines(what: str, file: TextIO) -> Iterator[Callable[[int, int], None]]:
    """A line each ten seconds, whatever takes so long; gives a function as `counting_bar` does."""
    started, ended, counts, left = time.monotonic(), threading.Event(), [0, 0], TimeLeft()

    def tell() -> None:
        while not ended.wait(SECONDS_BETWEEN_LINES):
            now = time.monotonic()
            text = describe_counts(what, counts[0], counts[1], now - started, left.seconds(now))
            with suppress(OSError):  # nobody reads it any more
                print(text, file=file, flush=True)

    def report(done: int, total: int) -> None:
        counts[:] = done, total
        left.count(done, total, time.monotonic())

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield report
    finally:
        ended.set()
        thread.join()


def describe_counts(what: str, done: int, total: int, seconds: float, yet: float | None = None) -> str:
    """How far something is, after some seconds, and how long it takes yet, where that can be told."""
    if not total:
        return f"{what}: looking for files, {seconds:,.0f} s"
    left = f", {in_words(yet)} left" if yet is not None else ""
    left = ", comparing them" if done == total else left
    return f"{what}: {done:,} of {total:,} files, {seconds:,.0f} s{left}"


@contextmanager
def native_stderr_hidden() -> Iterator[TextIO]:
    """Keeps what C++ prints on standard error off the terminal, where there is no log; gives the real one.

    TensorFlow says there which accelerators it lacks, and codecs complain of files that are reported anyway.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    real = os.fdopen(os.dup(2), "w", encoding=streams.encoding(), errors=streams.LIKE, buffering=1)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield real
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        real.close()


def quiet_tensorflow() -> None:
    """Keeps TensorFlow's start-up chatter off the terminal, in commands that have no log; errors still show."""
    import warnings

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="(tensorflow|keras|google)")
