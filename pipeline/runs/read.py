"""One run as its folder tells: the summary, the configuration, and in words what of them cannot be read."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from components.contract.gates import lets_through
from components.errors import first_line
from components.registry.compare import flatten
from pipeline.workdir import Workdir

SCHEMA = 1  # of the summaries that this Graft writes
RUNNING, INTERRUPTED, UNKNOWN = "running", "interrupted", "unknown"  # beside the statuses that summaries have
PUSHED = ("pushed", "unchanged")
TIME_OF_ID = "%Y%m%d-%H%M%S"
NO_SUMMARY = "it left no summary: it was killed, or the machine went down"
SUMMARY_FILE, CONFIG_FILE, LOG_FILE, REPORT_FILE = "summary.json", "config.yaml", "log.txt", "report.html"


@dataclass(frozen=True)
class Run:
    """A run of a working directory, also one that failed, was killed, or is under way.

    Attributes:
        folder: below `runs/`; its name is the run's id.
        summary: the content of `summary.json`; empty where there is none, or a damaged one.
        problem: why the summary tells little or nothing; empty: it is whole, and of this Graft's schema.
        under_way: whether the run goes on.
    """

    folder: Path
    summary: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    under_way: bool = False

    @property
    def run_id(self) -> str:
        """The name of the folder."""
        return self.folder.name

    @property
    def workdir(self) -> Path:
        """The working directory."""
        return self.folder.parent.parent

    @property
    def status(self) -> str:
        """How the run ended: a status of summaries, `running`, or `unknown` where the summary is damaged."""
        found = self.get("status")
        if self.under_way:
            return RUNNING
        return (
            found if isinstance(found, str) else UNKNOWN if self.summary or self.problem != NO_SUMMARY else INTERRUPTED
        )

    def get(self, *keys: str) -> Any:
        """Finds a value of the summary by the keys that lead to it; None where the summary has none."""
        value: Any = self.summary
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def number(self, *keys: str) -> float | None:
        """Finds a number of the summary, as `get` does; None where there is none."""
        value = self.get(*keys)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def table(self, *keys: str) -> dict[str, Any]:
        """Finds an object of the summary, as `get` does; empty where there is none."""
        value = self.get(*keys)
        return value if isinstance(value, dict) else {}

    @property
    def reasons(self) -> list[str]:
        """The reasons that the summary gives."""
        value = self.get("reasons")
        return [str(reason) for reason in value] if isinstance(value, list) else []

    @property
    def interval(self) -> tuple[float, float] | None:
        """The confidence interval of the accuracy, 0..1; None where nothing was evaluated."""
        pair = self.get("metrics", "intervals", "accuracy")
        is_pair = isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, (int, float)) for x in pair)
        return (pair[0], pair[1]) if is_pair else None

    @property
    def version(self) -> int | None:
        """The version that holds the run's model; None where none was pushed."""
        number = self.number("model", "version")
        return None if number is None else int(number)

    @property
    def images(self) -> int | None:
        """The number of images that were trained on and evaluated; None where the data was not looked at."""
        counts = [self.number("dataset", split) for split in ("train", "eval")]
        return int(sum(count for count in counts if count is not None)) if any(c is not None for c in counts) else None

    @property
    def refusing_gates(self) -> list[str]:
        """The gates that said no and were not overridden."""
        verdicts = {
            name: gate for name, gate in self.table("gates").items() if isinstance(gate, dict) and "passed" in gate
        }
        return [name for name, gate in verdicts.items() if not lets_through(gate)]

    @cached_property
    def started(self) -> float:
        """When the run began, in seconds since 1970: by its id, which is local time; else by its folder."""
        try:
            return time.mktime(time.strptime(self.run_id[:15], TIME_OF_ID))
        except (ValueError, OverflowError):
            return self.folder.stat().st_mtime

    @cached_property
    def options(self) -> dict[str, Any]:
        """The configuration of the run, dotted keys and their values; empty where it cannot be read."""
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML has it
        try:
            content = yaml.load((self.folder / CONFIG_FILE).read_text("utf-8"), Loader=loader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return {}
        return dict(flatten(content)) if isinstance(content, dict) else {}


def read_run(folder: Path, under_way: bool = False) -> Run:
    """Reads the record of one run; what cannot be read is said in the run, never raised.

    Args:
        folder: of the run.
        under_way: whether a run that has no summary yet goes on.
    """
    try:
        content = json.loads((folder / SUMMARY_FILE).read_text("utf-8"))
    except FileNotFoundError:
        return Run(folder, problem="" if under_way else NO_SUMMARY, under_way=under_way)
    except (OSError, ValueError, RecursionError) as error:
        return Run(folder, problem=f"{SUMMARY_FILE} cannot be read: {first_line(error)}")
    if not isinstance(content, dict):
        return Run(folder, problem=f"{SUMMARY_FILE} is damaged: expected an object, found {type(content).__name__}")
    if content.get("schema") != SCHEMA:
        found = content.get("schema", "none")
        return Run(
            folder, content, f"{SUMMARY_FILE} has schema {found}, this Graft reads {SCHEMA}: some may be missing"
        )
    return Run(folder, content)


def list_ids(workdir: Path) -> list[str]:
    """Lists the ids of all runs of a working directory, the newest first."""
    try:
        entries = list(Workdir(workdir).runs.iterdir())
    except OSError:
        return []
    folders = (entry.name for entry in entries if entry.is_dir() and not entry.is_symlink())
    return sorted((name for name in folders if not name.startswith(".")), reverse=True)


def read_runs(workdir: Path, last: int = 0) -> list[Run]:
    """Reads the runs of a working directory, the newest first.

    Args:
        workdir: the working directory; it is not changed.
        last: so many of the newest; 0: all.
    """
    ids = list_ids(workdir)
    going = find_under_way(workdir, ids)
    return [read_run(Workdir(workdir).runs / name, name == going) for name in (ids[:last] if last else ids)]


def find_under_way(workdir: Path, ids: list[str]) -> str:
    """Finds the run that goes on: while the lock is held, the newest one, if it has no summary; empty: none."""
    if not ids or (Workdir(workdir).runs / ids[0] / SUMMARY_FILE).exists():
        return ""
    return ids[0] if Workdir(workdir).holder() else ""


def changed_options(before: Run, after: Run) -> dict[str, tuple[Any, Any]]:
    """Finds the options that differ: dotted key -> both values; none where a configuration cannot be read."""
    if not before.options or not after.options:
        return {}
    keys = sorted(before.options.keys() | after.options.keys())
    pairs = {key: (before.options.get(key), after.options.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
