"""`graft models`: the serving directory."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.errors import InputError
from components.registry import versions
from components.registry.change import promote, prune, rollback
from components.registry.compare import diff_versions, to_lines
from components.registry.find import (
    ListedVersion,
    choose_version,
    list_models,
    pointer_problem,
    read_card,
    serving_dir,
)
from components.registry.verify import Report, check_folder, verify_version
from pipeline.cli.app import add_group

if TYPE_CHECKING:
    from pipeline.reproduce import Comparison

models = add_group("models", "The versions in a serving directory, and which of them is served.")
NOT_CLEAN = 3  # exit code: what was checked is not as it should be
NOT_SIGNED = (
    "Not signed: this finds damage, not an edit of files, passport and models.config alike. Compare the\n"
    "passports' digests with those kept elsewhere: `model.passport_sha256` of the runs' summary.json."
)

Folder = Annotated[str, typer.Argument(help="Working directory, or serving directory.", metavar="FOLDER")]
Number = Annotated[str, typer.Argument(help="A number, or served, previous, best, newest.", metavar="VERSION")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@models.command("list", epilog="Example: graft models list work/sample --json")
def models_list(folder: Folder, as_json: AsJson = False) -> None:
    """Lists the versions: when each was made, how good it is, from what, and which is being served."""
    found = list_models(folder)
    rows = [_describe(row) for row in found]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    if problem := pointer_problem(serving_dir(folder)):
        raise InputError(problem)
    for row in found:
        if row.damage and not row.serving:
            print(f"Version {row.number} is not as it was pushed ({row.damage}): it cannot be served.", file=sys.stderr)
    for row in found:
        if row.serving:
            check_folder(row.path)


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    floors = sorted({name for row in rows for name in row["floors"]})
    for name in ("version", "created (UTC)", "accuracy", *floors, "data", "parent", ""):
        table.add_column(name, no_wrap=True)
    colors = {"serving": "green", "taken back": "yellow", "DAMAGED": "red"}
    for row in rows:
        state = "DAMAGED" if row["damage"] else str(row["state"])
        table.add_row(
            str(row["version"]),
            str(row["created"] or "?")[:16].replace("T", " "),
            _accuracy(row),
            *(f"{row['metrics'][name]:.3f}" if name in row["metrics"] else "?" for name in floors),
            (row["data_fingerprint"] or "?")[:8],
            str(row["parent"] or "-"),
            f"[{colors[state]}]{state}[/]" if state in colors else state,
        )
    Console(highlight=False).print(table)


def _describe(row: ListedVersion) -> dict[str, Any]:
    """Describes a version as `--json` has it; `floors` are those of `gates.quality.min` at its push."""
    metrics = row.passport.get("metrics", {})
    event = row.set_aside
    state = "serving" if row.serving else "previous" if row.previous else "taken back" if event else ""
    return {
        "version": row.number,
        "state": state,
        "path": str(row.path),
        "created": row.passport.get("created"),
        "accuracy": metrics.get("accuracy"),
        "interval": metrics.get("intervals", {}).get("accuracy"),
        "examples": metrics.get("examples"),
        "metrics": {name: value for name, value in metrics.items() if isinstance(value, int | float)},
        "floors": row.passport.get("config", {}).get("gates", {}).get("quality", {}).get("min", {}),
        "classes": row.passport.get("model", {}).get("classes"),
        "data_fingerprint": row.passport.get("data_fingerprint"),
        "weights_sha256": row.passport.get("model", {}).get("weights_sha256"),
        "parent": row.passport.get("parent"),
        "override": row.passport.get("override"),
        "damage": row.damage or None,
        "taken_back": {"by": event.by, "at": event.at, "who": event.who} if event else None,
    }


def _accuracy(row: dict[str, Any]) -> str:
    if row["accuracy"] is None:
        return "?"
    low_high = row["interval"]
    return f"{row['accuracy']:.3f}" + (f" ({low_high[0]:.3f}-{low_high[1]:.3f})" if low_high else "")


@models.command("promote", epilog="Example: graft models promote work/sample 1764000000")
def models_promote(folder: Folder, version: Number) -> None:
    """Serves a version: servers that watch the folder load it within seconds."""
    change = promote(serving_dir(folder), version)
    same = change.before == change.after
    print(f"Version {change.after} is served already." if same else f"Served: {_step(change.before, change.after)}")


@models.command("rollback", epilog="Example: graft models rollback work/sample")
def models_rollback(folder: Folder) -> None:
    """Serves again what was served before. Once more goes further back; promote goes anywhere."""
    change = rollback(serving_dir(folder))
    print(f"Served: {_step(change.before, change.after)}")


def _step(before: int | None, after: int) -> str:
    return f"version {after}, before it {before or 'none that is there'}"


@models.command("prune", epilog="Example: graft models prune work/sample --keep 5 --dry-run")
def models_prune(
    folder: Folder,
    keep: Annotated[int, typer.Option(min=1, help="So many of the newest stay.")],
    even_best: Annotated[
        bool, typer.Option("--even-best", help="The version with the best accuracy may go, too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, remove nothing.")] = False,
) -> None:
    """Removes old versions; never the served one, nor the one that a rollback goes back to, nor the best one."""
    pruned = prune(serving_dir(folder), keep, even_best, dry_run)
    verb = "would be removed" if dry_run else "removed"
    for number in pruned.removed:
        print(f"{number}  {verb}")
    for number, why in sorted(pruned.protected.items()):
        print(f"{number}  stays: {why}")
    print(f"{len(pruned.removed)} versions ({pruned.freed / 1e6:,.1f} MB) {verb}; {len(pruned.kept)} stay.")


@models.command("diff", epilog="Example: graft models diff work/sample previous served")
def models_diff(folder: Folder, before: Number, after: Number, as_json: AsJson = False) -> None:
    """Says what differs between two versions: data, configuration, code, libraries, metrics."""
    serving = serving_dir(folder)
    numbers = choose_version(serving, before), choose_version(serving, after)
    found = diff_versions(serving, *numbers)
    if as_json:
        print(json.dumps({"before": numbers[0], "after": numbers[1], **found}, indent=2))
        return
    print(f"{numbers[0]} -> {numbers[1]}")
    for line in to_lines(found):
        print(line)


@models.command("card", epilog="Example: graft models card work/sample > README.md")
def models_card(
    folder: Folder,
    version: Annotated[
        str, typer.Argument(help="A number, or served, previous, best, newest. Default: served.", metavar="VERSION")
    ] = "served",
) -> None:
    """Prints the model card of a version: Markdown, with the metadata that the Hugging Face Hub reads."""
    serving = serving_dir(folder)
    print(read_card(serving, choose_version(serving, version)), end="")


@models.command("verify", epilog="Example: graft models verify work/sample served")
def models_verify(
    folder: Folder,
    version: Annotated[
        str | None, typer.Argument(help="A number, or served, previous, best, newest. Default: all.", metavar="VERSION")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compares every file with its digest in the passport, and the passport with its digest in the pointer.

    Exit code 3: something is missing, changed or extra. Files, passport and pointer lie in one folder, and nothing is
    signed: against somebody who may write there, compare the passport's digest with one that you kept elsewhere.
    """
    serving = serving_dir(folder)
    numbers = versions.list_versions(serving) if version is None else [choose_version(serving, version)]
    reports = [verify_version(serving, number) for number in numbers]
    if as_json:
        print(json.dumps([{"clean": report.clean, **report.__dict__} for report in reports], indent=2))
    else:
        for report in reports:
            _print_report(report)
        print(NOT_SIGNED)
    if not all(report.clean for report in reports):
        raise typer.Exit(NOT_CLEAN)


def _print_report(report: Report) -> None:
    print(f"{report.version}  {'clean' if report.clean else 'NOT AS IT WAS PUSHED'}, {report.files} files")
    if report.clean:
        held = "as models.config recorded at the push" if report.recorded else "which nothing recorded at the push"
        print(f"  as its passport says, {held}")
        print(f"  passport {report.passport_sha256}")
    for reason in report.reasons:
        print(f"  {reason}")
    for what, name in report.problems():
        print(f"  {what:<8} {name}")


@models.command("reproduce", epilog="Example: graft models reproduce work/pets served --data photos")
def models_reproduce(
    folder: Folder,
    version: Number,
    data: Annotated[str | None, typer.Option(help="Where the data lies now. Default: where it lay then.")] = None,
    weights: Annotated[str | None, typer.Option(help="Where the backbone's weights file lies now.")] = None,
    corrections: Annotated[str | None, typer.Option(help="Where the file of data.corrections lies now.")] = None,
    workdir: Annotated[
        Path | None, typer.Option(help="A fresh directory. Default: work/reproduce/<version>-<time>.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Runs a version again from its passport, and compares the weights byte for byte.

    Exit code 0: the weights are identical. 3: they are not; it says what else differs. 2: data or weights file are
    others, nothing was run.
    """
    from pipeline.reproduce import Places, reproduce_version  # here: it loads all that a run takes

    serving = serving_dir(folder).resolve()
    number = choose_version(serving, version)
    place = workdir or Path("work", "reproduce", f"{number}-{time.strftime('%Y%m%d-%H%M%S')}")
    found = reproduce_version(serving, number, place, Places(data, weights, corrections))
    if as_json:
        print(found.to_json())
    else:
        _print_comparison(found)
    if not found.identical:
        raise typer.Exit(NOT_CLEAN)


def _print_comparison(found: Comparison) -> None:
    total = len(found.same) + len(found.different)
    print(f"Version {found.version}, run again in {found.workdir}")
    for name, digests in (("head", found.head), ("backbone", found.backbone)):
        same = digests[0] == digests[1]
        print(f"  {name:<9} {'byte-identical' if same else 'DIFFERS'}: {digests[0][:16]} then, {digests[1][:16]} now")
    print(f"  files     {len(found.same)} of {total} of the SavedModel are byte-identical")
    for name in found.different:
        print(f"            differs: {name}")
    for reason in found.reasons:
        print(f"  note      {reason}")
    if not found.identical and not found.reasons:
        print("  note      data, code and libraries are the same: the machine must differ (processor, threads, GPU)")
