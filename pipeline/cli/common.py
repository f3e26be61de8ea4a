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
    """Shows on standard error how far a command is: a bar, or where that is no terminal a line each ten seconds.

    Gives a function that takes the number of files done and their total.
    """
    from pipeline.process.progress import counting_bar, counting_lines, native_stderr_hidden

    with native_stderr_hidden() as terminal:
        shown = counting_bar if terminal.isatty() else counting_lines
        with shown(what, terminal) as report:
            yield report
