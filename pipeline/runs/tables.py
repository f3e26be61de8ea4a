"""Runs in 80 columns, for people."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from components.contract.gates import PASS, describe_checks
from components.registry.compare import describe_change
from pipeline.runs.describe import Pairs
from pipeline.runs.read import Run
from pipeline.runs.status import Status, describe_last

WIDTH = 80
CLASSES_SHOWN = 12  # of each list of classes; `--format json` has all
HEAD = f"{'run':<21}{'ended':<13}{'accuracy':<20}{'images':>7}  {'data':<8} {'seconds':>7}"


def list_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yields lines of a list of runs: a line each in columns, and below it date, version, and what differs.

    Args:
        rows: of `describe_run`.
    """
    yield HEAD
    for row in rows:
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:,.0f}"
        images = "-" if row["images"] is None else f"{row['images']:,}"
        data = str(row["fingerprint"] or "-")[:8]
        yield f"{row['run']:<21}{row['status']:<13}{accuracy_of(row):<20}{images:>7}  {data:<8} {seconds:>7}".rstrip()
        facts = [row["started"]]
        facts += [f"version {row['version']}"] if row["version"] else []
        facts += [f"{key} {describe_change(*pair)}" for key, pair in row["changed"].items()]
        facts += [row["problem"]] if row["problem"] else [] if row["version"] else row["reasons"][:1]
        yield from _wrap("; ".join(facts), "  ")


def accuracy_of(row: dict[str, Any]) -> str:
    """Formats the accuracy with its interval, as `0.978 (0.944-0.991)`; a dash where there is none."""
    if row["accuracy"] is None:
        return "-"
    pair = row["interval"]
    return f"{row['accuracy']:.3f}" + (f" ({pair[0]:.3f}-{pair[1]:.3f})" if pair else "")


def show_lines(run: Run, row: dict[str, Any]) -> Iterator[str]:
    """Yields lines on one run; `row` is of `describe_in_full`."""
    yield f"run {row['run']}, {row['started']}: {row['status']}"
    if row["problem"]:
        yield from _fact("problem", row["problem"])
    if row["standing"]:
        yield from _fact("model", row["standing"])
    of = f" on {row['examples']:,} images" if row["examples"] else ""
    yield from _fact("accuracy", accuracy_of(row) + of)
    yield from _fact("data", f"{row['images'] or 0:,} images, fingerprint {str(row['fingerprint'] or '-')[:12]}")
    yield from _counts(row["per_class"])
    for reason in row["reasons"]:
        yield from _fact("reason", reason)
    yield from _fact(
        "options", "; ".join(f"{key} {_text(value)}" for key, value in row["options"].items()) or "defaults"
    )
    yield from _gate_lines(run)
    nodes = {name: value for name, value in row["node_seconds"].items() if isinstance(value, (int, float))}
    cached = [f"{name} cached" for name in row["cached"]]
    yield from _fact("seconds", ", ".join([*(f"{name} {value:,.1f}" for name, value in nodes.items()), *cached]) or "-")
    for name, path in row["files"].items():
        yield f"  {name.partition('.')[0]:<9} {path}"


def _counts(per_class: dict[str, Any]) -> Iterator[str]:
    tables = {split: counts for split, counts in per_class.items() if isinstance(counts, dict)}
    names = list(dict.fromkeys(name for counts in tables.values() for name in counts))
    rows = [f"{name}: {' + '.join(_text(counts.get(name, 0)) for counts in tables.values())}" for name in names]
    more = [f"and {len(rows) - CLASSES_SHOWN:,} more classes"] if len(rows) > CLASSES_SHOWN else []
    if rows:
        yield from _fact("classes", "; ".join([*rows[:CLASSES_SHOWN], *more]) + f" ({' + '.join(tables)})")


def _gate_lines(run: Run) -> Iterator[str]:
    gates = {name: gate for name, gate in run.table("gates").items() if isinstance(gate, dict)}
    passed = [name for name, gate in gates.items() if gate.get("passed")]
    if passed:
        yield from _fact("passed", f"{', '.join(passed)} gate{'s' * (len(passed) > 1)}")
    try:
        yield from describe_checks(gates, WIDTH)
    except (KeyError, TypeError, AttributeError):  # of another schema
        yield from _fact("gates", f"what {run.folder}/summary.json holds of them is not as this Graft writes it")


def compare_lines(first: Run, second: Run, found: dict[str, Pairs]) -> Iterator[str]:
    """Yields lines on what differs between two runs; `found` is of `compare_runs`."""
    yield f"{first.run_id} ({first.status}) -> {second.run_id} ({second.status})"
    for run in (first, second):
        if run.problem:
            yield from _wrap(f"{run.run_id}: {run.problem}", "  ")
        if not run.options:
            yield f"  {run.run_id}: its config.yaml cannot be read; options are not compared"
    for section, rows in found.items():
        if not rows:
            continue
        yield section
        shown = _worth_showing(rows)
        width = min(max((len(key) for key in shown), default=0), 36)
        for key, pair in shown.items():
            yield from _wrap(f"{key:<{width}}  {describe_change(*pair)}", "  ", " " * (width + 4))
        if len(shown) < len(rows):
            yield f"  and {len(rows) - len(shown):,} more, with --format json"
    if same := [section for section, rows in found.items() if not rows]:
        yield f"the same: {', '.join(same)}"


def _worth_showing(rows: Pairs) -> Pairs:
    """Rows but those of checks that only one run had and that passed; of very many, the classes that changed most."""
    rows = {key: pair for key, pair in rows.items() if set(pair) != {None, PASS}}
    if len(rows) <= 2 * CLASSES_SHOWN:
        return rows
    classes = sorted((key for key in rows if ": " in key), key=lambda key: -abs(difference(rows[key]) or 0))
    kept = set(classes[:CLASSES_SHOWN])
    return {key: pair for key, pair in rows.items() if ": " not in key or key in kept}


def difference(pair: tuple[Any, Any]) -> float | None:
    """The second value less the first; None where one is no number."""
    numbers = [value for value in pair if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return numbers[1] - numbers[0] if len(numbers) == 2 else None


def status_lines(status: Status) -> Iterator[str]:
    """Yields lines on the state of a working directory."""
    yield str(status.workdir)
    served = status.served
    if served:
        since = f" since {served.since[:16].replace('T', ' ')} UTC" if served.since else ""
        yield from _fact("served", f"version {served.version}{since}{f' ({served.by})' * bool(served.by)}")
        of = f" on {served.examples:,} images" if served.examples else ""
        yield from _fact("accuracy", accuracy_of({"accuracy": served.accuracy, "interval": served.interval}) + of)
        yield from _fact("files", served.files)
    else:
        yield from _fact("served", status.problem.splitlines()[0] if status.problem else "nothing was pushed yet")
    last = status.last
    yield from _fact("last run", f"{last.run_id}, {describe_last(last)}" if last else "none yet")
    yield from _fact("now", f"a run is under way: {status.under_way}" if status.under_way else "no run is under way")
    yield from _fact("next", f"{status.next[0]}:")
    yield f"{'':<12}{status.next[1]}"


def _fact(name: str, text: str) -> Iterator[str]:
    return _wrap(text, f"  {name:<9} ", " " * 12)


def _wrap(text: str, first: str, others: str = "") -> Iterator[str]:
    """Lines of at most 80 columns; a long name or path is not broken, so that it can be copied."""
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=others or first,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from lines or [first.rstrip()]


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _short(value)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
