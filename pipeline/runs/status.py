"""The state of a working directory: what is served and whether it is whole, how the last run ended, what to do next."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.registry import pointer, verify, versions
from components.registry.find import pointer_problem
from pipeline.process.typed import program
from pipeline.runs.candidate import describe_standing
from pipeline.runs.describe import describe_run
from pipeline.runs.read import LOG_FILE, PUSHED, Run, find_under_way, list_ids, read_runs
from pipeline.workdir import Workdir

CHEAP = 256 << 20  # bytes that are read to see whether files are as they were pushed: a fraction of a second
NOT_CHECKED = "not checked"
INTACT = "intact"
NO_DIGESTS = "not known: the version has no digests"


@dataclass(frozen=True)
class Served:
    """The served version.

    Attributes:
        version: its number.
        since: UTC, `2026-01-31T12:00:00Z`; empty where it is not known.
        by: what made it the served one, and who did.
        accuracy, interval, examples: of its own run's evaluation.
        files: `intact`; or what is wrong with them; or `not checked` and how to.
    """

    version: int
    since: str = ""
    by: str = ""
    accuracy: float | None = None
    interval: list[float] | None = None
    examples: int | None = None
    files: str = ""


@dataclass(frozen=True)
class Status:
    """The state of a working directory.

    Attributes:
        workdir: the working directory.
        served: the served version; None: there is none, or it is not known (`problem`).
        problem: what is wrong with the pointer to the served version; empty: nothing.
        last: the newest run; None: there was none.
        under_way: who holds the lock: a process and since when; empty: nobody.
        next: what to do, and a command.
    """

    workdir: Path
    served: Served | None
    problem: str
    last: Run | None
    under_way: str
    next: tuple[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Gives the state for JSON."""
        return {
            "workdir": str(self.workdir),
            "served": asdict(self.served) if self.served else None,
            "problem": self.problem or None,
            "last_run": describe_run(self.last) if self.last else None,
            "under_way": self.under_way or None,
            "next": {"what": self.next[0], "command": self.next[1]},
        }


def read_status(workdir: Path) -> Status:
    """Reads the state; changes nothing, and needs no more than the right to read."""
    place = Workdir(workdir)
    problem = pointer_problem(place.serving)
    number = None if problem else versions.served_version(place.serving)
    served = describe_served(place.serving, number) if number is not None else None
    last = next(iter(read_runs(workdir, last=1)), None)
    under_way = place.holder()
    return Status(workdir, served, problem, last, under_way, _advise(place, served, problem, last, under_way))


def describe_served(serving: Path, number: int) -> Served:
    """Describes the served version by its passport and the pointer."""
    try:
        passport = versions.read_passport(serving / str(number))
    except InputError:
        passport = {}  # `files` says that it is damaged
    known = pointer.read_pointer(serving) or versions.Pointer(number)
    event = next((e for e in reversed(known.history) if e.version == number and e.by != "prune"), None)
    metrics = passport.get("metrics") or {}
    return Served(
        number,
        (event.at if event else "") or str(passport.get("created", "")),
        f"{event.by}{f' by {event.who}' * bool(event.who)}" if event else "",
        metrics.get("accuracy"),
        metrics.get("intervals", {}).get("accuracy"),
        metrics.get("examples"),
        check_files(serving, number),
    )


def check_files(serving: Path, number: int) -> str:
    """Holds a version's files against its passport where that is cheap; says in words what came of it."""
    size = sum(path.stat().st_size for path in (serving / str(number)).rglob("*") if path.is_file())
    if size > CHEAP:
        command = _command("models", "verify", str(serving.parent), "served")
        return f"{NOT_CHECKED}, {size / 1e6:,.0f} MB: {command}"
    report = verify.verify_version(serving, number)
    if report.damage:
        return report.damage
    return INTACT if report.clean else NO_DIGESTS


def _advise(place: Workdir, served: Served | None, problem: str, last: Run | None, under_way: str) -> tuple[str, str]:
    root = str(place.root)
    if problem:
        return problem.splitlines()[-1], _command("models", "list", root)
    if served and served.files not in (INTACT, NO_DIGESTS) and not served.files.startswith(NOT_CHECKED):
        return "serve a whole version", _command("models", "rollback", root)
    if under_way:
        log = place.runs / find_under_way(place.root, list_ids(place.root)) / LOG_FILE
        return "wait for the run that is under way", shlex.join(["tail", "-f", str(log)])
    if last is None:
        return "make a run", _command("run", "PHOTOS", "--workdir", root)
    if last.status not in PUSHED:
        return _after_no_push(root, last)
    if served is None:
        return "see what was pushed", _command("models", "list", root)
    return "try it", f"{_command('predict', root)} IMAGE..."


def _after_no_push(root: str, last: Run) -> tuple[str, str]:
    if last.status in ("not_blessed", "not_servable"):
        return "look at what was refused", f"{_command('predict', root)} IMAGE... --candidate"
    if last.status == "data_refused":
        return "mend the data that the reasons name", _command("runs", "show", root, last.run_id)
    return "see how the last run ended; the next one continues", _command("runs", "show", root, last.run_id)


def _command(*words: str) -> str:
    """A command in the form in which this one was typed, quoted as a shell needs it."""
    return f"{program()} {shlex.join(words)}"


def describe_last(run: Run) -> str:
    """Says in a few words how a run ended: its status, and where its model was not pushed, why."""
    if run.under_way or run.status in PUSHED:
        return run.status
    first = describe_standing(run) if run.refusing_gates else next(iter(run.reasons), "")
    return ": ".join([run.status, *filter(None, ["; ".join(filter(None, [first, run.problem]))])])
