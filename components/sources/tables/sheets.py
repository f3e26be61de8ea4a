"""From the bytes of a table to its rows, whatever they mean: encodings, delimiters, JSON lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NoReturn

from components.errors import InputError
from components.images.formats import IMAGE_SUFFIXES
from components.sources.tables.documents import NotUnderstood, flatten, read_document

FORM = (
    "Expected text with a column of image paths and one of classes, such as path,label; others are named by\n"
    "data.path_column and data.label_column."
)
DELIMITERS = ",;\t|"
SAMPLED_ROWS = 200  # rows by which columns are told apart
SNIFFED = 20  # rows by which a delimiter is chosen
JSON_LINES = (".jsonl", ".ndjson")
JSON_LINE = 'Expected {"path": "a.jpg", "label": "cats"}.'
SEPARATOR = re.compile(r"[\"']?sep=(.)[\"']?\r?\n", re.IGNORECASE)  # the first line that Excel writes and reads
NOT_UTF_8 = re.compile("[\udc80-\udcff]")  # a byte that is no UTF-8
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Sheet:
    """A table before its columns mean anything.

    Attributes:
        name: of its file, for errors.
        columns: names as written, without blanks around them; `1`, `2`, ... where there is no header.
        has_header: whether the first line names the columns.
        read: gives all rows anew: the number of the line, from 1, and {column: value}. Raises `InputError`.
        unit: what the number counts: `line`, or `entry` of a JSON document.
        coding: of the text, where that was guessed.
    """

    name: str
    columns: list[str]
    has_header: bool
    read: Callable[[], Iterator[tuple[int, dict[str, Any]]]]
    unit: str = "line"
    coding: str = ""

    def sample(self) -> list[dict[str, Any]]:
        """Returns the first rows; those before a wrong row."""
        rows = []
        with suppress(InputError):
            for _, row in islice(self.read(), SAMPLED_ROWS):
                rows.append(row)  # those before an error are wanted
        return rows

    def fail(self, line: int, found: str, fix: str) -> NoReturn:
        """Raises an `InputError` that names a line."""
        raise InputError(f"data.path: {self.unit} {line} of {self.name} {found}.\n{fix}")


def names_image(value: Any) -> bool:
    """Tells whether a cell is the path of an image by its suffix, or an address in a bucket."""
    if not isinstance(value, str):
        return False
    _, dot, suffix = value.strip().rpartition(".")
    return bool(dot) and f".{suffix.lower()}" in IMAGE_SUFFIXES


def read_sheet(content: bytes, name: str, place: str = "") -> Sheet:
    """Reads the rows of a table.

    Args:
        content: of the file, or its start.
        name: of the file, for its suffix.
        place: where the file is, for errors; its name where it is empty.

    Raises:
        InputError: it is no text or no table.
    """
    name, place = name.lower(), place or name
    text = decode_text(content, place)
    sheet = _text_sheet(text, name, place)
    return replace(sheet, coding="read as Windows-1252") if NOT_UTF_8.search(text) else sheet


def _text_sheet(text: str, name: str, place: str) -> Sheet:
    if name.endswith(JSON_LINES):
        return _lines_sheet(text, place)
    if name.endswith(".json"):
        try:
            rows = read_document(text)
        except NotUnderstood as error:
            if error.are_lines:
                return _lines_sheet(text, place)
            raise InputError(f"data.path: {place} is no table of images: {error}.\n{FORM}") from error
        columns = list(dict.fromkeys(key for row in rows[:SAMPLED_ROWS] for key in row))
        return Sheet(place, columns, True, lambda: enumerate(rows, 1), "entry")
    return _csv_sheet(text, place, "\t" + DELIMITERS if name.endswith((".tsv", ".tab")) else DELIMITERS)


def decode_text(content: bytes, name: str, option: str = "data.path", form: str = FORM) -> str:
    """Decodes the text of a table: UTF-8, or UTF-16 where it says so, as Excel's "Unicode text".

    Bytes that are no UTF-8 stay as surrogates, since paths may be any bytes; `windows_text` reads them.

    Raises:
        InputError: it is no text.
    """
    utf_16 = content[:2] in UTF_16
    text = content.decode("utf-16", "replace") if utf_16 else content.decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise InputError(f"{option}: {name} is not UTF-8 text (it has zero bytes).\n{form}")
    return text


def windows_text(value: str) -> str:
    """Decodes text of a table that is no UTF-8, as Excel writes it on Windows: code page 1252."""
    if value.isascii() or not NOT_UTF_8.search(value):
        return value
    content = value.encode("utf-8", "surrogateescape")
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _lines_sheet(text: str, name: str) -> Sheet:
    def read() -> Iterator[tuple[int, dict[str, Any]]]:
        for line, content in enumerate(text.split("\n"), 1):
            if content.strip():
                yield line, _json_object(sheet, line, content)

    sheet = Sheet(name, [], True, read)
    sheet.columns.extend(dict.fromkeys(key for row in sheet.sample() for key in row))
    if not sheet.columns:
        next(read(), None)  # says what is wrong with the first line
    return sheet


def _json_object(sheet: Sheet, line: int, content: str) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        sheet.fail(line, f"is no JSON: {error}", JSON_LINE)
    if not isinstance(record, dict):
        sheet.fail(line, "is no JSON object", JSON_LINE)
    return flatten(record)


def _csv_sheet(text: str, name: str, delimiters: str) -> Sheet:
    said = SEPARATOR.match(text)
    start = said.end() if said else 0
    delimiter = said[1] if said else sniff_delimiter(text[: 1 << 16], delimiters)
    quoted_after_blank = f'{delimiter} "' in text

    def open_reader() -> Any:
        stream = io.StringIO(text, newline="")
        stream.seek(start)
        return csv.reader(stream, delimiter=delimiter, strict=True, skipinitialspace=quoted_after_blank)

    def read() -> Iterator[tuple[int, dict[str, Any]]]:
        reader = open_reader()
        try:
            if has_header:
                next(filter(None, reader), None)
            for fields in reader:
                if has_header and len(fields) > len(columns) and any(fields[len(columns) :]):
                    found = f"has {len(fields)} fields, the header {len(columns)}"
                    sheet.fail(reader.line_num, found, 'Put a path with a comma in it into quotes: "a, b.jpg".')
                if any(fields):
                    names = columns if has_header else map(str, range(1, len(fields) + 1))
                    yield reader.line_num + bool(said), dict(zip(names, fields, strict=False))
        except csv.Error as error:
            sheet.fail(reader.line_num, f"is no CSV: {error}", FORM)

    try:
        first: list[str] = next(filter(None, open_reader()), [])
    except csv.Error:
        first = []
    has_header = not any(map(names_image, first))
    columns = [column.strip() for column in first] if has_header else [str(i + 1) for i in range(len(first))]
    while columns and not columns[-1]:  # what a delimiter at the end of each line makes
        columns.pop()
    sheet = Sheet(name, columns, has_header, read)
    return sheet


def sniff_delimiter(start: str, delimiters: str) -> str:
    """Finds the delimiter that gives the first rows one number of fields; of several, the one that makes most."""
    scores = {delimiter: _score(start, delimiter) for delimiter in delimiters}
    return max(scores, key=lambda delimiter: scores[delimiter])


def _score(start: str, delimiter: str) -> tuple[float, int]:
    try:
        rows = list(islice(filter(None, csv.reader(io.StringIO(start, newline=""), delimiter=delimiter)), SNIFFED))
    except csv.Error:
        return 0.0, 0
    width = len(rows[0]) if rows else 0
    if width < 2:
        return 0.0, 0
    return sum(len(row) == width for row in rows) / len(rows), width
