"""What several commands share: options of the same meaning, and a progress bar."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from components.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONTINUES = "Interrupted. The next run continues from what is complete."
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override one option; may be repeated.")
]
Preset = Annotated[str | None, typer.Option(metavar="NAME", help="Network and size by a word: fast, balanced or best.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the end, and errors.")]
NoProgress = Annotated[bool, typer.Option("--quiet", "-q", help="Do not show how far it is.")]


def with_preset(preset: str | None, settings: list[str] | None) -> list[str]:
    """The settings, and the preset among them, where one is given: `--set preset=NAME` says the same."""
    return [*([] if preset is None else [f"preset={preset}"]), *(settings or [])]


def examples(*lines: str) -> str:
    """The end of a command's help: examples to copy, a line each, whole in 80 columns."""
    return "\n\n".join(["Example:" if len(lines) == 1 else "Examples:", *lines])


Candidate = Annotated[
    bool, typer.Option("--candidate", help="The newest trained model of a working directory, though a gate refused it.")
]
CandidateRun = Annotated[
    str, typer.Option("--run", metavar="ID", help="With --candidate: the model of this run; also a version's number.")
]


class ChosenModel(NamedTuple):
    """A model by its path; of a candidate also what is to be said of it, and the name of the pipeline."""

    path: str
    notice: str = ""
    name: str = ""


def choose_model(model: str, candidate: bool, run: str) -> ChosenModel:
    """Finds the model that a user means; of a candidate, says on standard error why it was not pushed.

    Args:
        model: as given: a version's folder, or a working or serving directory.
        candidate: whether the newest trained model of the working directory is meant.
        run: whose model it is; empty: the newest that has one.

    Raises:
        InputError: `run` without `candidate`, or there is no such model.
    """
    if not candidate:
        if run:
            raise InputError(f"--run {run}: expected --candidate with it, since it names a run's trained model.")
        return ChosenModel(model)
    from pipeline.runs.candidate import find_candidate

    found = find_candidate(model, run)
    for line in found.skipped:
        print(f"Passed over: run {line}", file=sys.stderr)
    print(f"{found.notice[0].upper()}{found.notice[1:]}", file=sys.stderr)
    return ChosenModel(str(found.path), found.notice, str(found.run.options.get("name", "")))


WorkdirArgument = Annotated[
    str | None, typer.Argument(help="Working directory. Default: the present folder, or the newest below work/.")
]


def find_place(workdir: str | None) -> Path:
    """Finds the working directory; where it was not given, says on standard error which was taken.

    Raises:
        InputError: there is none.
    """
    from pipeline.runs.find import find_workdir

    place, chosen = find_workdir(workdir)
    if chosen:
        print(f"Working directory: {place} ({chosen})", file=sys.stderr)
    return place


@contextmanager
def counting(what: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Shows on standard error how far a command is: a bar, or where that is no terminal a line each ten seconds.

    Gives a function that takes the number of files done and their total; `quiet`: it shows nothing.
    """
    from pipeline.process.progress import counting_bar, counting_lines, native_stderr_hidden

    with native_stderr_hidden() as terminal:
        if quiet:
            yield lambda done, total: None
            return
        shown = counting_bar if terminal.isatty() else counting_lines
        with shown(what, terminal) as report:
            yield report
