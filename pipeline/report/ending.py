"""What the terminal shows before and after the nodes' lines."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from components.contract.features import CARD_FILE, REPORT_FILE
from components.contract.gates import WIDE_INTERVAL, Override, describe_checks
from components.files.paths import is_remote
from components.trainer.backbones.table import find_bringer
from pipeline.config.configuration import Config
from pipeline.process.signals import BY_HAND
from pipeline.process.typed import program
from pipeline.report.advice import find_advice, look_command, override_command
from pipeline.report.summary import Summary
from pipeline.report.tuning import describe_tuning

REASONS_SHOWN = 16  # reasons on the terminal: some shares and ten files; summary.json has all
EXIT_CODES = {
    "pushed": 0,
    "unchanged": 0,
    "failed": 1,
    "data_refused": 3,
    "not_blessed": 3,
    "not_servable": 3,
    "interrupted": BY_HAND,  # by Ctrl-C; by another signal: 128 and its number
}


def describe_start(console: Console, config: Config, data: str, workdir: Path, understood: Sequence[str] = ()) -> None:
    """Says what is about to happen; `understood`: how the data will be read."""
    size = "x".join(str(side) for side in config.transform.image_size)
    trainer = config.trainer
    arguments = "".join(f", {name} {value}" for name, value in trainer.backbone_args.items())
    console.print(f"[bold]{config.name}[/]: {trainer.backbone}{arguments}, images {size}")
    weights = "of the backbone itself" if find_bringer(trainer.backbone) else trainer.weights
    facts = [("weights", weights), ("data", data if is_remote(data) else _short(Path(data)))]
    facts += [("" if n else "layout", line) for n, line in enumerate(understood)]
    for name, value in (*facts, ("workdir", _short(workdir))):
        console.print(f"  {name:<8} {escape(value)}", soft_wrap=True)


OVERRIDE = "configuration, or push all the same: --override GATE --reason TEXT"
COMPILE_AGAIN = "configuration, and compile it again"  # a compiled pipeline has no override


def describe_end(console: Console, summary: Summary, path: Path, way_out: str = OVERRIDE) -> int:
    """Says how the run ended, where things are and what to do next; gives the exit code.

    Args:
        console: of the terminal.
        summary: of the run.
        path: of the summary.
        way_out: the end of the sentence on what to do where a gate said no.
    """
    code = EXIT_CODES[summary.status]
    measured = _describe_accuracy(summary.metrics)
    total = f"{summary.seconds['total']:.0f} s"
    latest = path.parent.parent / "latest"
    where = [("report", _short(latest / REPORT_FILE))] if (path.parent / REPORT_FILE).is_file() else []
    where.append(("summary", _short(latest / path.name)))
    if code == 0 and summary.model:
        served, model = summary.model["version"] == summary.served, _short(Path(summary.model["path"]))
        word = "Pushed" if summary.status == "pushed" else "Unchanged: already serving" if served else "Not served:"
        color = "green" if served else "yellow"
        console.print(f"[bold {color}]{word} version {summary.model['version']}[/]{measured} ({total})")
        facts = [("model", model), *where, *_describe_card(model, summary.model.get("card") or {})]
        facts += [("next", f"{program()} predict {shlex.quote(model)} IMAGE...")]
    else:
        console.print(f"[bold yellow]Not pushed: {summary.status}[/]{measured} ({total})")
        facts = []
    _print_facts(console, facts)
    _describe_gates(console, summary)
    if summary.tuning:
        describe_tuning(console, summary.tuning)
    if not facts:
        _print_facts(console, where)
        _describe_help(console, summary, path.parent, way_out)
    return code


def _describe_card(model: str, card: dict[str, Any]) -> list[tuple[str, str]]:
    """Says how many fields of the model card wait for a person; nothing where none does."""
    if not card.get("open"):
        return []
    place = shlex.quote(os.path.join(model, CARD_FILE))
    return [("card", f"{place}, {len(card['open'])} of {card['fields']} fields for a person are open")]


def _print_facts(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    for name, value in facts:
        text = value if name in ("next", "card") else shlex.quote(value)
        console.print(f"  {name:<8} {escape(text)}", soft_wrap=True)


def _describe_help(console: Console, summary: Summary, run: Path, way_out: str) -> None:
    """Says what would help most, how the refused model is looked at, and how it is pushed all the same."""
    workdir = Path(_short(run.parent.parent))
    for number, advice in enumerate(find_advice(summary, Path(_short(run)), workdir), start=1):
        first = f"  {'help' if number == 1 else '':<8} {number}. "
        for line in textwrap.wrap(
            advice.words, max(console.width, 40), initial_indent=first, subsequent_indent=" " * 14
        ):
            console.print(escape(line), soft_wrap=True)
        if advice.command:
            console.print(f"    {escape(advice.command)}", soft_wrap=True)
    if look := look_command(summary, workdir):
        console.print(f"  look     {escape(look)}", soft_wrap=True)
    console.print("  next     mend what the reasons name, or change the limit under gates: in the")
    console.print(f"           {way_out}")
    if way_out == OVERRIDE and (command := override_command(summary)):
        console.print(f"    {escape(command)}", soft_wrap=True)


def _describe_accuracy(metrics: dict[str, Any]) -> str:
    """Describes the accuracy, with its interval where the eval set is small; empty where nothing was evaluated."""
    if metrics.get("accuracy") is None:
        return ""
    low, high = metrics.get("intervals", {}).get("accuracy", (0.0, 0.0))
    interval = f" ({low:.2f} to {high:.2f} is likely)" if high - low > WIDE_INTERVAL else ""
    return f", accuracy {metrics['accuracy']:.4f} on {metrics['examples']:,} images{interval}"


def describe_unused_override(console: Console, asked: Override | None, summary: Summary) -> None:
    """Says of which gates the override was not needed; those gates passed."""
    for gate in asked.gates if asked else ():
        if summary.gates.get(gate, {}).get("passed"):
            console.print(f"  note     the {gate} gate passed: its override was not needed and is not recorded")


def _describe_gates(console: Console, summary: Summary) -> None:
    """Prints every check that did not plainly pass, and other reasons that stopped the run."""
    for line in describe_checks(summary.gates, console.width):
        console.print(escape(line), soft_wrap=True)
    told = {row["reason"] for gate in summary.gates.values() for row in gate.get("checks", [])}
    for reason in [reason for reason in summary.reasons if reason not in told][:REASONS_SHOWN]:
        console.print(f"  {escape(reason)}", soft_wrap=True)


def _short(path: Path) -> str:
    """Gives the path from the present directory, where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
