"""Which working directory and which run a user means."""

from __future__ import annotations

from pathlib import Path

from components.errors import InputError, did_you_mean
from components.files.paths import is_remote
from components.registry.pointer import POINTER_FILE
from components.registry.versions import list_versions
from pipeline.runs.read import CONFIG_FILE, PUSHED, SUMMARY_FILE, Run, find_under_way, list_ids, read_run, read_runs
from pipeline.workdir import LOCK, Workdir

LATEST = "latest"
PLACES = Path("work")  # working directories lie below it by default
SHOWN = 5  # runs that an error names


def is_workdir(path: Path) -> bool:
    """Tells whether a folder is a working directory: it has records of runs, or versions that were pushed.

    A folder `runs/` alone says nothing: other tools have one, too.
    """
    if (path / LOCK).is_file() or (path / "serving" / POINTER_FILE).is_file():
        return True
    records = (record for name in (SUMMARY_FILE, CONFIG_FILE) for record in path.glob(f"runs/*/{name}"))
    return any(records) or bool(list_versions(path / "serving"))


def find_workdir(given: str | Path | None) -> tuple[Path, str]:
    """Finds the working directory that a user means, and how it was chosen, in words; empty: it was given.

    Args:
        given: its path; None: the present folder if it is one, else the newest below `work/`.

    Raises:
        InputError: there is none.
    """
    if given is not None:
        return _check_given(str(given)), ""
    if is_workdir(Path()):
        return Path(), ""
    found = sorted((path for path in _folders(PLACES) if is_workdir(path)), key=_newest_change)
    if not found:
        raise InputError(
            f"Expected a working directory, found none: {Path.cwd()} is none, and below {PLACES}/ there is none.\n"
            "Name one, or make one: graft run CONFIG --workdir DIR"
        )
    count = len(found)
    return found[-1], "the only one" if count == 1 else f"the newest of {count}"


def _check_given(given: str) -> Path:
    if is_remote(given):
        raise InputError(f"Expected a working directory on this machine, got {given}.\nCopy it here, or mount it.")
    path = Path(given)
    if is_workdir(path):
        return path
    what = "a folder without records of runs" if path.is_dir() else "a file" if path.exists() else "nothing"
    inside = [row for row in _folders(path) if is_workdir(row)]
    hint = f" Did you mean {inside[0]}?" if inside else ""
    raise InputError(f"Expected a working directory at {given}, found {what}.{hint}\nIts runs are made by: graft run")


def _folders(path: Path) -> list[Path]:
    try:
        return [entry for entry in path.iterdir() if entry.is_dir()]
    except OSError:
        return []


def _newest_change(workdir: Path) -> tuple[str, float]:
    """What tells the newest working directory: its newest run's id, which begins with the time; else its own time."""
    return next(iter(list_ids(workdir)), ""), workdir.stat().st_mtime


def choose_run(workdir: Path, text: str = LATEST) -> Run:
    """Finds the run that a user means.

    Args:
        workdir: the working directory.
        text: a run's id, the unique beginning of one, `latest`, or the number of a version: the run that pushed it.

    Raises:
        InputError: there is no such run, or there are several; says which.
    """
    ids = list_ids(workdir)
    if not ids:
        raise InputError(f"{workdir} has no runs yet.\nMake one: graft run CONFIG --workdir {workdir}")
    if text == LATEST:
        text = ids[0]
    matching = [name for name in ids if name.startswith(text)] if text else []
    if text in ids:
        matching = [text]
    elif text.isascii() and text.isdecimal() and (run := _run_of_version(workdir, int(text))):
        return run
    if len(matching) == 1:
        return read_run(Workdir(workdir).runs / matching[0], matching[0] == find_under_way(workdir, ids))
    if matching:
        raise InputError(f"'{text}' is the beginning of several runs: {_some(matching)}.\nGive more of it.")
    raise InputError(
        f"Expected a run of {workdir}, got '{text}'.{did_you_mean(text, [*ids, LATEST])}\n"
        f"There are {_some(ids)}; also '{LATEST}', or the number of a version."
    )


def _run_of_version(workdir: Path, number: int) -> Run | None:
    """The run that pushed a version; where none says so, one whose model it holds."""
    runs = [run for run in read_runs(workdir) if run.version == number]
    return min(runs, key=lambda run: PUSHED.index(run.status) if run.status in PUSHED else len(PUSHED), default=None)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
