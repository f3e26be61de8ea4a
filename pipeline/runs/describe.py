"""Runs as plain rows, for programs and for tables: one run, and what differs between two."""

from __future__ import annotations

import time
from typing import Any

from components.contract import features
from components.registry.compare import flatten
from pipeline.config.configuration import Config
from pipeline.runs.candidate import describe_standing
from pipeline.runs.read import LOG_FILE, REPORT_FILE, SUMMARY_FILE, Run, changed_options

Pairs = dict[str, tuple[Any, Any]]  # key -> the value in the first and in the second run; None where there is none
RUN_COLUMNS = (  # of CSV: the interval in two, nested values as JSON
    *("run", "started", "status", "accuracy", "low", "high", "examples", "images", "fingerprint", "version", "seconds"),
    *("changed", "reasons", "problem"),
)
SECTIONS = ("options", "data", "metrics", "gates", "seconds")


def describe_run(run: Run, before: Run | None = None) -> dict[str, Any]:
    """Describes a run in one flat row.

    Args:
        run: to describe.
        before: the run before it, whose options it is compared with; None: there is none.

    Returns:
        `run`, `started` (local time), `status`, `accuracy` (0..1), `interval`, `examples` (images behind the accuracy),
        `images`, `fingerprint`, `version`, `seconds`, `changed` (option -> [before, after]), `reasons`, `problem`; None
        where a run does not say.
    """
    interval = run.interval
    examples, seconds = run.number("metrics", "examples"), run.number("seconds", "total")
    return {
        "run": run.run_id,
        "started": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started)),
        "status": run.status,
        "accuracy": run.number("metrics", "accuracy"),
        "interval": list(interval) if interval else None,
        "examples": None if examples is None else int(examples),
        "images": run.images,
        "fingerprint": run.get("dataset", "fingerprint"),
        "version": run.version,
        "seconds": seconds,
        "changed": {key: list(pair) for key, pair in changed_options(before, run).items()} if before else {},
        "reasons": run.reasons,
        "problem": run.problem or None,
    }


def describe_in_full(run: Run) -> dict[str, Any]:
    """Describes a run with all that `graft runs show` tells: the row of `describe_run`, and more below it."""
    defaults = dict(flatten(Config().model_dump(mode="json")))
    options = {key: value for key, value in run.options.items() if defaults.get(key) != value}
    files = {name: str(run.folder / name) for name in (SUMMARY_FILE, LOG_FILE, REPORT_FILE)}
    return {
        **describe_run(run),
        "standing": None if run.under_way else describe_standing(run),
        "options": options,
        "per_class": run.table("dataset", "per_class"),
        "metrics": run.table("metrics"),
        "gates": run.table("gates"),
        "node_seconds": run.table("seconds"),
        "cached": run.get("cached") if isinstance(run.get("cached"), list) else [],
        "candidate": run.get("candidate"),
        "files": {name: path for name, path in files.items() if (run.folder / name).is_file()},
    }


def compare_runs(first: Run, second: Run) -> dict[str, Pairs]:
    """Compares two runs: `options`, `data` (counts a class), `metrics`, `gates` (verdicts), `seconds` a node.

    Options are those that differ; of the others, equal values are left out but in `metrics` and `seconds`.
    """
    pairs = {section: (_values(section, first), _values(section, second)) for section in SECTIONS[1:]}
    found: dict[str, Pairs] = {"options": changed_options(first, second)}
    for section, (ours, theirs) in pairs.items():
        keys = dict.fromkeys([*ours, *theirs])
        rows = {key: (ours.get(key), theirs.get(key)) for key in keys}
        kept = section in ("metrics", "seconds")
        found[section] = {key: pair for key, pair in rows.items() if kept or pair[0] != pair[1]}
    return found


def _values(section: str, run: Run) -> dict[str, Any]:
    return {"data": _data, "metrics": _metrics, "gates": _gates, "seconds": _seconds}[section](run)


def _data(run: Run) -> dict[str, Any]:
    facts = {name: run.get("dataset", name) for name in ("fingerprint", "found", "quarantined", "duplicates")}
    per_class = run.table("dataset", "per_class")
    for split in features.SPLITS:
        counts = per_class.get(split)
        facts |= {f"{split}: {name}": n for name, n in (counts if isinstance(counts, dict) else {}).items()}
    return {name: value for name, value in facts.items() if value is not None}


def _metrics(run: Run) -> dict[str, Any]:
    """The overall metrics, then the accuracy of each class."""
    metrics = run.table("metrics")
    names = [name for name in metrics if run.number("metrics", name) is not None and name not in ("k", "confidence")]
    found: dict[str, Any] = {name: metrics[name] for name in names}
    classes = run.table("metrics", "per_class")
    return found | {f"accuracy: {name}": run.number("metrics", "per_class", name, "accuracy") for name in classes}


def _gates(run: Run) -> dict[str, Any]:
    """The verdict of each gate, and of each of its checks; of checks of one name the one that is worst."""
    found = dict[str, Any]()
    for name, gate in run.table("gates").items():
        if not isinstance(gate, dict):
            continue
        found[name] = "passed" if gate.get("passed") else "overridden" if gate.get("override") else "said no"
        for row in gate.get("checks") or []:
            if isinstance(row, dict):
                found[f"{name}: {row.get('name')}"] = _worse(
                    found.get(f"{name}: {row.get('name')}"), row.get("verdict")
                )
    return found


def _worse(one: Any, other: Any) -> Any:
    ranks = ["pass", "warn", "undecided", "fail"]
    return max((x for x in (one, other) if x), key=lambda x: ranks.index(x) if x in ranks else 0, default=None)


def _seconds(run: Run) -> dict[str, Any]:
    return {name: run.number("seconds", name) for name in run.table("seconds")}
