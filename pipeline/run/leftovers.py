"""What a killed run left in the working directory: half of a node's outputs, partial files, a run without its record.

The next run removes it, and writes the record. It holds the directory's lock, so nobody else is writing there.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.files.paths import PARTIAL
from pipeline.report.summary import Summary
from pipeline.workdir import Workdir

LOCK_SECONDS = 5.0  # that another program may hold the database
COMPLETE = "SELECT id FROM Execution WHERE last_known_state IN (3, 5)"  # COMPLETE, CACHED
TABLES = {"Artifact", "Association", "Attribution", "Context", "Event", "EventPath", "Execution", "MLMDEnv", "Type"}
PARTIAL_FILES = ("runs/.latest-*", f"runs/*/*{PARTIAL}", ".write-*", "sample/.partial-*", f"features/*/*{PARTIAL}")
KILLED = "the run was killed, or the machine went down: the run said nothing of its end"


def tidy(workdir: Workdir) -> None:
    """Removes partial files, and gives runs without a record one."""
    for pattern in PARTIAL_FILES:
        for path in workdir.root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    for run in workdir.runs.iterdir():
        if run.is_dir() and not run.is_symlink() and not (run / "summary.json").exists():
            Summary(run.name, "interrupted", reasons=[KILLED]).write(run)


def remove_unfinished(workdir: Workdir) -> None:
    """Removes the outputs of executions that the metadata does not know as complete.

    Where somebody removed the metadata, that is all of them: numbers begin anew, and would meet old files.
    """
    complete = {row[0] for row in _ask(workdir.metadata, COMPLETE)} if _tables(workdir.metadata) else set()
    for pattern in ("artifacts/*/*/*", "artifacts/*/.system/*/*"):
        for folder in workdir.root.glob(pattern):
            if folder.name.isdecimal() and int(folder.name) not in complete:
                shutil.rmtree(folder, ignore_errors=True)
    for folder in workdir.root.glob("artifacts/*/.system/stateful_working_dir/*"):
        shutil.rmtree(folder, ignore_errors=True)  # of one run each


def check_metadata(path: Path) -> None:
    """Finds out whether ML Metadata can use its file, before anything is run.

    Raises:
        InputError: it is damaged, held by another program, of a newer library, or cannot be written.
    """
    try:
        tables = _tables(path)
        problems = [] if not tables else [row[0] for row in _ask(path, "PRAGMA quick_check(1)") if row[0] != "ok"]
    except sqlite3.OperationalError as error:
        raise InputError(_held(path, str(error))) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter: SQLite's own words, in Python 3.13
        raise InputError(_damaged(path, str(error))) from error
    if tables and not tables >= TABLES:
        problems.append(f"no table {', '.join(sorted(TABLES - tables))}")
    if problems:
        raise InputError(_damaged(path, problems[0]))


def _tables(path: Path) -> set[str]:
    """Names of the tables; none where there is no file, or an empty one, which ML Metadata fills."""
    query = "SELECT name FROM sqlite_master WHERE type='table'"
    return {row[0] for row in _ask(path, query)} if path.exists() else set()


def _ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Asks as one who may write, since ML Metadata is about to."""
    database = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        return database.execute(query).fetchall()
    finally:
        database.close()


def _held(path: Path, found: str) -> str:
    if "locked" in found:
        return (
            f"{path}: another program holds this database, such as a browser for SQLite.\n"
            "End that program, or wait until it is done, and start the run again."
        )
    return f"{path}: expected a database that can be written, found: {found}.\nMake the file and its folder writable."


def _damaged(path: Path, found: str) -> str:
    """What to do about a database that cannot be read."""
    return (
        f"{path}: expected ML Metadata's database, found damaged content ({' '.join(found.split())}).\n"
        f"Remove it: rm '{path}'. No pushed model needs it; the next run makes it again, and runs every node."
    )
