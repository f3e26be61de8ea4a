"""`graft runs` and `graft status`: what happened in a working directory, and how it stands. Nothing is changed."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from components.errors import InputError
from pipeline.cli.app import add_group, app
from pipeline.cli.common import WorkdirArgument, examples, find_place

runs = add_group("runs", "The runs of a working directory: every one, pushed or not.")


class RunsFormat(str, Enum):
    """How runs are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Form = Annotated[RunsFormat, typer.Option("--format", help="For people, or for programs.")]


@runs.command("list", epilog=examples("graft runs list", "graft runs list work/photos --last 5 --format csv"))
def runs_list(
    workdir: WorkdirArgument = None,
    last: Annotated[int, typer.Option(min=0, help="So many of the newest; 0: all.", metavar="N")] = 20,
    form: Form = RunsFormat.TABLE,
) -> None:
    """Lists runs, the newest first: how each ended, accuracy, data, seconds, and which options changed."""
    from pipeline.runs.describe import describe_run
    from pipeline.runs.read import list_ids, read_runs
    from pipeline.runs.tables import list_lines

    place = find_place(workdir)
    found = read_runs(place, last + 1 if last else 0)
    pairs = list(zip(found, [*found[1:], None], strict=True))[: last or None]
    rows = [describe_run(run, before) for run, before in pairs]
    if form is RunsFormat.TABLE:
        if not rows:
            raise InputError(f"{place} has no runs yet.\nMake one: graft run CONFIG --workdir {place}")
        _print(list_lines(rows))
        if (more := len(list_ids(place)) - len(rows)) > 0:
            print(f"and {more:,} more: --last 0 shows all")
    else:
        _write(rows, form)


@runs.command(
    "show", epilog=examples("graft runs show", "graft runs show work/photos 20260131-12", "graft runs show latest")
)
def runs_show(
    which: Annotated[
        list[str] | None,
        typer.Argument(help="A run's id, its beginning, latest, or a version's number.", metavar="[WORKDIR] [RUN]"),
    ] = None,
    form: Form = RunsFormat.TABLE,
) -> None:
    """Shows one run, by default the newest: how it ended and why, data, options, gates, seconds a node, its files."""
    from pipeline.runs.describe import describe_in_full, describe_run
    from pipeline.runs.find import choose_run
    from pipeline.runs.tables import show_lines

    place, names = _place_and_runs(which or [], 1)
    run = choose_run(place, *names)
    if form is RunsFormat.TABLE:
        _print(show_lines(run, describe_in_full(run)))
    elif form is RunsFormat.JSON:
        print(json.dumps(describe_in_full(run), indent=2))
    else:
        _write([describe_run(run)], form)


@runs.command("compare", epilog=examples("graft runs compare", "graft runs compare work/photos 1764000000 latest"))
def runs_compare(
    which: Annotated[
        list[str] | None,
        typer.Argument(
            help="Two runs, as for show. Default: the newest and the one before.", metavar="[WORKDIR] [A B]"
        ),
    ] = None,
    form: Form = RunsFormat.TABLE,
) -> None:
    """Says what differs between two runs: options, data counts a class, metrics, gates, seconds a node."""
    from pipeline.runs.describe import compare_runs
    from pipeline.runs.find import choose_run
    from pipeline.runs.read import read_runs
    from pipeline.runs.tables import compare_lines, difference

    place, names = _place_and_runs(which or [], 2)
    if len(names) == 1:
        raise InputError(f"Expected two runs, got one: {names[0]}.\nExample: graft runs compare {names[0]} latest")
    pair = [choose_run(place, name) for name in names] if names else read_runs(place, 2)[::-1]
    if len(pair) < 2:
        raise InputError(f"{place} has {len(pair)} run{'s' * (len(pair) != 1)}: there is nothing to compare with.")
    found = compare_runs(pair[0], pair[1])
    if form is RunsFormat.TABLE:
        _print(compare_lines(pair[0], pair[1], found))
    elif form is RunsFormat.JSON:
        print(json.dumps({"first": pair[0].run_id, "second": pair[1].run_id, **found}, indent=2))
    else:
        rows = [
            {"section": section, "key": key, "first": both[0], "second": both[1], "difference": difference(both)}
            for section, pairs in found.items()
            for key, both in pairs.items()
        ]
        _write(rows, form, ("section", "key", "first", "second", "difference"))


@app.command(epilog=examples("graft status", "graft status work/photos --json"))
def status(
    workdir: WorkdirArgument = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Says what is served and since when, how good and whether whole; how the last run ended; what to do next."""
    from pipeline.runs.status import read_status
    from pipeline.runs.tables import status_lines

    found = read_status(find_place(workdir))
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        _print(status_lines(found))


def _place_and_runs(words: list[str], most: int) -> tuple[Path, list[str]]:
    """The working directory and the runs that were named; the first word is a directory where there is one."""
    is_place = bool(words) and (len(words) > most or Path(words[0]).is_dir() or "/" in words[0])
    place, names = (words[0], words[1:]) if is_place else (None, words)
    if len(names) > most:
        raise InputError(f"Expected at most {most} run{'s' * (most > 1)}, got {len(names)}: {', '.join(names)}.")
    return find_place(place), names


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _write(rows: Sequence[Mapping[str, Any]], form: RunsFormat, columns: Sequence[str] = ()) -> None:
    """Writes rows as a JSON array, or as CSV: nested values are JSON in their cell, intervals two columns."""
    if form is RunsFormat.JSON:
        print(json.dumps(rows, indent=2))
        return
    cells = [_to_cells(row) for row in rows]
    from pipeline.runs.describe import RUN_COLUMNS

    writer = csv.DictWriter(sys.stdout, list(columns or RUN_COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)


def _to_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    cells = {
        key: json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
        for key, value in row.items()
    }
    if "interval" in row:
        cells |= dict(zip(("low", "high"), row["interval"] or (None, None), strict=True))
        del cells["interval"]
    return cells
