"""`graft check`: what a run would find in the data, without changing anything."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.contract import features
from components.contract.gates import warnings_of
from components.contract.limits import FLAT, check_balance
from components.errors import GateRefused, InputError
from components.example_gen.admission import judge_scan, refuse_data
from components.example_gen.history import open_history
from components.example_gen.scan import Scan, ScanSettings, scan_data
from components.images.findings import FLAGS
from components.options.data import DataOptions
from components.sources.find import list_sources
from pipeline import sample
from pipeline.process.progress import quiet_tensorflow

LINES_SHOWN = 10  # of each list; `--json` has them all


@dataclass(frozen=True)
class Checked:
    """A scan, and what a run would say to it: `accepted`, `refused` (exit code 3) or `unusable` (exit code 2).

    Attributes:
        reasons: why it would stop.
        warnings: what it would say without stopping.
    """

    scan: Scan
    verdict: str
    reasons: list[str]
    warnings: list[str]


def check_data(options: DataOptions, memory: Path | None, report: Callable[[int, int], None]) -> Checked:
    """Scans the data as a run would.

    Args:
        options: of the configuration; `path` is set.
        memory: of an earlier run, so that images keep their side; it is not changed. None: there is none.
        report: called with the number of files done and their total.

    Raises:
        InputError: there is nothing that could be scanned.
    """
    with _located(options) as path, open_history(str(memory or ""), writable=False) as known:
        listing = list_sources(path, options)
        scan = scan_data(listing, options, known, ScanSettings(report, quiet_tensorflow, verify=True))
    warnings = warnings_of(judge_scan(scan, options).checks)
    try:
        refuse_data(scan, options)
    except GateRefused as error:
        return Checked(scan, "refused", error.reasons, warnings)
    except InputError as error:
        return Checked(scan, "unusable", str(error).splitlines(), warnings)
    return Checked(scan, "accepted", [], warnings)


@contextmanager
def _located(options: DataOptions) -> Iterator[str]:
    if options.path is None:
        raise InputError("data.path: no data is given.\nCheck a folder, or add --data DIR or data.path.")
    if not sample.is_sample(options.path):
        yield options.path
        return
    with tempfile.TemporaryDirectory() as folder:
        yield str(sample.write_sample(options.path, Path(folder)))


def as_json(checked: Checked) -> dict[str, Any]:
    """Gives all findings for programs: `found` = `ignored` + images in `examples` + length of `quarantined`."""
    scan = checked.scan
    data = scan.dataset
    return {
        "found": data["found"],
        "ignored": data["ignored"],
        "ignored_reasons": data["ignored_reasons"],
        "examples": data["per_class"],
        "quarantined": [
            {"path": row.name, "reason": row.reason, "detail": row.detail} for row in scan.rows if row.reason
        ],
        **scan.findings.__dict__,
        "formats": data["formats"],
        "flags": data["flags"],
        "flat": _flat_images(scan),
        "layout": data["layout"],
        "container": data["container"],
        "notes": data["notes"],
        "fingerprint": data["fingerprint"],
        "warnings": checked.warnings,
        "verdict": checked.verdict,
        "reasons": checked.reasons,
    }


def print_report(console: Console, checked: Checked) -> None:
    """Prints all findings for people, in 80 columns."""
    scan, data = checked.scan, checked.scan.dataset
    console.print(
        f"[bold]{escape(scan.listing.root)}[/]: {data['found']:,} files, {data['layout'].replace('_', ' ')} in a "
        f"{data['container']}",
        soft_wrap=True,
    )
    for line in data["notes"]:
        console.print(f"  {escape(line)}", soft_wrap=True)
    console.print(_count_classes(data))
    facts = Table.grid(padding=(0, 2))
    for name, text in _facts(scan):
        facts.add_row(f"[bold]{name}[/]", escape(text))
    console.print(facts)
    for flag in data["flags"]:
        console.print(f"  [bold]{flag}[/]: {escape(FLAGS[flag])}", soft_wrap=True)
    if flat := _flat_images(scan):
        console.print(f"[bold]flat[/]: {escape(', '.join(flat[:LINES_SHOWN]))}", soft_wrap=True)
        _print_rest(console, len(flat))
    _print_ledger(console, scan)
    for name, groups in scan.findings.__dict__.items():
        _print_groups(console, name.replace("_", "-"), groups)
    _print_verdict(console, checked)


def _flat_images(scan: Scan) -> list[str]:
    return [row.name for row in scan.rows if row.is_example and FLAT in row.flags]


def _count_classes(data: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    for name in (*features.SPLITS, "bad"):
        table.add_column(name, justify="right")
    counts = [data["per_class"][split] for split in features.SPLITS] + [data["bad"]]
    for label in data["classes"]:
        table.add_row(escape(label), *(f"{count[label]:,}" for count in counts))
    table.add_row("[bold]all[/]", *(f"[bold]{sum(count.values()):,}[/]" for count in counts))
    return table


def _facts(scan: Scan) -> Iterator[tuple[str, str]]:
    data = scan.dataset
    yield "formats", _counted(data["formats"]) or "none"
    if sizes := [(row.width, row.height) for row in scan.rows if row.is_example]:
        columns = [sorted(column) for column in zip(*sizes, strict=True)]
        yield (
            "size",
            ", ".join(
                f"{name} {column[0]:,} to {column[-1]:,} (median {median(column):,.0f})"
                for name, column in zip(("width", "height"), columns, strict=True)
            ),
        )
    if data["flags"]:
        yield "flags", _counted(data["flags"])
    if unequal := check_balance(data).reason:
        yield "balance", unequal
    yield "ignored", _counted(data["ignored_reasons"]) or "none"
    yield "quarantined", _counted(data["reasons"]) or "none"
    yield "fingerprint", data["fingerprint"]


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _print_ledger(console: Console, scan: Scan) -> None:
    rejected = [row for row in scan.rows if row.reason]
    for row in rejected[:LINES_SHOWN]:
        console.print(f"  [yellow]{row.reason}[/] {escape(row.name)}: {escape(row.detail)}", soft_wrap=True)
    _print_rest(console, len(rejected))


def _print_groups(console: Console, name: str, groups: list[list[str]]) -> None:
    if not groups:
        console.print(f"[bold]{name}[/]: none")
        return
    console.print(f"[bold]{name}[/]: {len(groups):,} group{'s' * (len(groups) > 1)}")
    for group in groups[:LINES_SHOWN]:
        console.print(
            "  " + escape(" = ".join(group[:LINES_SHOWN])) + (" ..." if len(group) > LINES_SHOWN else ""),
            soft_wrap=True,
        )
    _print_rest(console, len(groups))


def _print_rest(console: Console, count: int) -> None:
    if count > LINES_SHOWN:
        console.print(f"  ... and {count - LINES_SHOWN:,} more; --json has all", style="dim")


def _print_verdict(console: Console, checked: Checked) -> None:
    warnings = [warning for warning in checked.warnings if f"{warning}." not in checked.reasons]
    for warning in warnings[:LINES_SHOWN]:
        console.print(f"[yellow]warning[/] {escape(warning)}", soft_wrap=True)
    _print_rest(console, len(warnings))
    if checked.verdict == "accepted":
        console.print("[bold green]A run would go on with this data.[/]")
        return
    console.print(f"[bold yellow]A run would stop here: the data is {checked.verdict}.[/]")
    for reason in checked.reasons:
        console.print(f"  {escape(reason)}", soft_wrap=True)
