"""What several commands share: options of the same meaning, and a progress bar."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTINUES = "Interrupted. The next run continues from what is complete."
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override one option; may be repeated.")
]


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error; gives a function that takes the number of files done and their total."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from pipeline.progress import native_stderr_hidden

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        native_stderr_hidden() as terminal,
        Progress(*columns, console=Console(file=terminal), transient=True, disable=not terminal.isatty()) as bar,
    ):
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
