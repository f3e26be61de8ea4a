"""The rows of a table of labels: each with a path and a class, or with what keeps it from having one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from components.contract.secrets import ADVICE, find_secret
from components.errors import InputError, did_you_mean
from components.options.data import DataOptions
from components.sources.content.readers import read_stored
from components.sources.content.streams import Unreadable
from components.sources.layout.layouts import EVAL_FOLDERS, TRAIN_FOLDERS
from components.sources.listing import Source
from components.sources.tables.columns import Columns, find_columns, is_yes, read_side
from components.sources.tables.sheets import FORM, Sheet, read_sheet, windows_text

WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
LARGEST_TABLE = 1 << 30  # bytes of a table
NO_CLASS_IN_ROW = "its row gives no class"


class TableRow(NamedTuple):
    """One row of a table, as written.

    Attributes:
        line: counts from 1.
        path: of the image.
        label: the class; empty where there is a problem.
        split: `train`, `eval`, `test` or empty.
        group: empty: none.
        problem: why there is no single class.
    """

    line: int
    path: str
    label: str
    split: str = ""
    group: str = ""
    problem: str = ""


def load_table(source: Source, options: DataOptions) -> tuple[list[TableRow], str]:
    """Reads all rows of a table, and describes how they were understood.

    Raises:
        InputError: it cannot be read, or a row is wrong.
    """
    place = place_of(source)
    try:
        content = read_stored(source, LARGEST_TABLE)
    except Unreadable as error:
        raise InputError(
            f"data.path: cannot read the manifest {place}: {error}.\nGive a file that you may read."
        ) from error
    return parse_table(content, source.name, options, place)


def place_of(source: Source) -> str:
    """Describes where a table is."""
    return source.path if source.kind == "file" else f"{source.name} in {source.path}"


def parse_table(content: bytes, name: str, options: DataOptions, place: str = "") -> tuple[list[TableRow], str]:
    """Reads the rows of a table, and describes how they were understood.

    Args:
        content: of the file.
        name: of the file, for its suffix.
        options: names of columns.
        place: where the file is, for errors; its name where it is empty.

    Raises:
        InputError: says the line, what was expected and what was found there.
    """
    sheet = read_sheet(content, name, place)
    columns = find_columns(sheet, options)
    return parse_rows(sheet, columns), f"{name}: {columns.describe()}{sheet.coding and ', '}{sheet.coding}"


def parse_rows(sheet: Sheet, columns: Columns) -> list[TableRow]:
    """Reads the rows of a sheet by its columns.

    Raises:
        InputError: as `parse_table`.
    """
    rows = [_row(sheet, columns, line, record) for line, record in sheet.read()]
    with_split = {bool(row.split) for row in rows}
    if len(with_split) > 1:
        odd = next(row for row in rows if bool(row.split) != bool(rows[0].split))
        has = "a split, the rows before it none" if odd.split else "no split, the rows before it one"
        sheet.fail(odd.line, f"has {has}", "Give the split of all rows, or of none.")
    return rows


def _row(sheet: Sheet, columns: Columns, line: int, record: dict[str, Any]) -> TableRow:
    path = _text(sheet, line, "path", record.get(columns.path))
    if not path.strip():
        sheet.fail(line, "has no path", FORM)
    if not WINDOWS_DRIVE.match(path) and find_secret(path):
        sheet.fail(line, "has a path with a password, token or signature in it", ADVICE)
    split, group = (
        windows_text(_text(sheet, line, what, _worded(record.get(column))).strip()) if column else ""
        for what, column in (("split", columns.split), ("group", columns.group))
    )
    side = read_side(columns.split, split) if columns.split else ""
    if side is None:
        words = [*TRAIN_FOLDERS, *EVAL_FOLDERS]
        hint = f"Expected one of {', '.join(words)}.{did_you_mean(split.lower(), words)}"
        sheet.fail(line, f"has an unknown split '{split}'", hint)
    labels = sorted(dict.fromkeys(_labels(sheet, columns, line, record)))
    if len(labels) == 1:
        return TableRow(line, path, labels[0], side, group)
    problem = f"its row gives several classes: {', '.join(labels):.150}" if labels else NO_CLASS_IN_ROW
    return TableRow(line, path, "", side, group, problem)


def _worded(value: Any) -> Any:
    """A JSON `true` as a text, as CSV has it."""
    return str(value) if isinstance(value, bool) else value


def _labels(sheet: Sheet, columns: Columns, line: int, record: dict[str, Any]) -> Iterator[str]:
    """The classes that a row names."""
    if columns.classes:
        yield from (windows_text(column) for column in columns.classes if is_yes(record.get(column)))
        return
    if columns.rest:
        values = [
            value for column, value in record.items() if column not in (columns.path, columns.split) and value.strip()
        ]
    else:
        values = _listed(record.get(columns.label))
    for value in values:
        label = windows_text(_text(sheet, line, "label", value).strip())
        if not label:
            sheet.fail(line, "has no label", FORM)
        yield label


def _listed(value: Any) -> list[Any]:
    """The classes in a cell: one, a list, or the list that Label Studio writes into its CSV."""
    if isinstance(value, str) and value.lstrip().startswith('{"choices"'):
        try:
            value = json.loads(value)["choices"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return [value]
    return value if isinstance(value, list) else [value]


def _text(sheet: Sheet, line: int, what: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    value = "" if value is None else value
    if not isinstance(value, str):
        sheet.fail(line, f"has a {what} that is no text: {value!r:.80}", f'Expected "{what}": "...".')
    if "\0" in value or not _is_unicode(value):
        sheet.fail(line, f"has a {what} that is no valid text: {value!r:.80}", FORM)
    return value


def _is_unicode(value: str) -> bool:
    """Whether it can be written as UTF-8; JSON may hold halves of characters. Bytes of paths may be anything."""
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
