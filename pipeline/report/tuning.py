"""The trials of a search for hyper-parameters, for the summary and the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from components.options.trainer import tuned_values

SHOWN = 10  # trials on the terminal; summary.json has all


def read_tuning(hyperparameters: str, results: str) -> dict[str, Any]:
    """Reads the best values and all trials, as TFX's Tuner wrote them.

    Args:
        hyperparameters: uri of the `best_hyperparameters` artifact.
        results: uri of the `tuner_results` artifact.

    Returns:
        `values`, an option each; `trials`, best first, with `trial`, `score` and the options.
    """
    best = json.loads(_only_file(hyperparameters).read_text("utf-8"))
    rows = json.loads(_only_file(results).read_text("utf-8"))
    trials = [
        {"trial": row["trial_id"], "score": row["score"], **tuned_values({"values": _values_of(row)})} for row in rows
    ]
    return {"values": tuned_values(best), "trials": trials}


def _only_file(uri: str) -> Path:
    return next(path for path in sorted(Path(uri).iterdir()) if path.is_file())


def _values_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("trial_id", "score")}


def describe_tuning(console: Console, tuning: dict[str, Any]) -> None:
    """Prints the trials as a table, and how to keep the best values: a run without a search does not use them."""
    names = sorted(tuning["values"])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("trial", "score", *names):
        table.add_column(column, justify="left" if column == "trial" else "right", no_wrap=True)
    for row in tuning["trials"][:SHOWN]:
        table.add_row(row["trial"], f"{row['score']:.4f}", *(_short(row.get(name, "")) for name in names))
    console.print(Padding(table, (0, 0, 0, 2)))
    if (more := len(tuning["trials"]) - SHOWN) > 0:
        console.print(f"  and {more} more in the summary")
    settings = " ".join(f"--set trainer.{name}={_exact(tuning['values'][name])}" for name in names)
    console.print(f"  keep     {escape(settings)}", soft_wrap=True, highlight=False)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _exact(value: Any) -> str:
    """As YAML reads it back: a float without a point is a word there."""
    return f"{value:.17f}".rstrip("0") + "0" if isinstance(value, float) and "e" in repr(value) else str(value)
