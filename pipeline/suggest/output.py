"""Writes suggestions: for people, as JSON, or as a CSV file to label in."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict

from components.example_gen.corrections import protect
from pipeline.suggest.suggest import Suggestions

COLUMNS = ("rank", "path", "label", "answer", "margin", "why")
NAMED = 5  # unreadable images that a table names


def as_json(found: Suggestions) -> str:
    """Writes everything as one JSON object; unreadable images are {`path`, `error`}."""
    unreadable = [{"path": path, "error": error} for path, error in found.unreadable]
    return json.dumps({**asdict(found), "unreadable": unreadable}, indent=2) + "\n"


def as_csv(found: Suggestions) -> str:
    """Writes a row an image, safe for spreadsheets, with an empty column `label` for who labels them."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, row in enumerate(found.images, 1):
        writer.writerow((number, protect(row.path), "", protect(row.label), row.margin, row.why))
    return buffer.getvalue()


def as_table(found: Suggestions) -> str:
    """Writes a line an image, then what the ranking is worth and what was left out."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "image", "why", "answer now"):
        table.add_column(name, overflow="fold")
    for number, row in enumerate(found.images, 1):
        table.add_row(str(number), escape(row.path), escape(row.why), f"{escape(row.label)} ({row.margin:.2f})")
    buffer = io.StringIO()
    console = Console(file=buffer, highlight=False, width=100)
    console.print(table)
    for line in _remarks(found):
        console.print(escape(line), soft_wrap=True)
    return buffer.getvalue()


def _remarks(found: Suggestions) -> list[str]:
    lines = [] if found.beats_chance is not False else ["Nothing better than chance to offer: label any of them."]
    lines.append(f"By {found.strategy}; {found.test}.")
    if found.copies:
        lines.append(f"{len(found.copies):,} near copies of labelled images, or of one another, are left out.")
    lines += [f"{note[0].upper()}{note[1:]}." for note in found.notes]
    lines += [f"Not read: {path}: {error}" for path, error in found.unreadable[:NAMED]]
    if len(found.unreadable) > NAMED:
        lines.append(f"... and {len(found.unreadable) - NAMED:,} more that cannot be read; --format json has all.")
    return lines
