"""Corrections: a CSV file of a person's that gives images another class, or leaves them out; the source is untouched.

A run's page suggests such a file, and `data.corrections` takes it back. The rows act on what a scan found, of whatever
format it is, before copies, conflicts and sides are judged. A row with a sha256 means that content under any name; one
without means the image of that name.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from components.contract.names import canonical, key_of
from components.errors import InputError, did_you_mean, first_line
from components.example_gen.manifest import Row
from components.files.paths import read_bytes
from components.images.findings import EXCLUDED
from components.options.data import DataOptions
from components.sources.tables.sheets import decode_text, sniff_delimiter, windows_text

PATH, SHA256, LABEL, SUGGESTED, ACTION, SCORE = "path", "sha256", "label", "suggested", "action", "score"
P_LABEL, P_SUGGESTED = "p_label", "p_suggested"
COLUMNS = (PATH, SHA256, LABEL, SUGGESTED, ACTION, SCORE, P_LABEL, P_SUGGESTED)
RELABEL, EXCLUDE, KEEP = "relabel", "exclude", "keep"
ACTIONS = (RELABEL, EXCLUDE, KEEP)
FORM = (
    f"Expected CSV with the columns {PATH} or {SHA256}, {ACTION} ({', '.join(ACTIONS)}) and, to relabel, {SUGGESTED}: "
    "the new class."
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")  # what a spreadsheet would take for more than text
DIGEST = re.compile("[0-9a-f]{64}")
NAMED = 3  # rows that a note names


class Correction(NamedTuple):
    """A row that changes something: its line, the image's name, its sha256 (empty: any), the new class (empty: out)."""

    line: int
    path: str
    sha256: str
    label: str

    @property
    def words(self) -> str:
        """What the row asks for."""
        return f"line {self.line} makes it '{self.label}'" if self.label else f"line {self.line} excludes it"


@dataclass
class Corrected:
    """What corrections did.

    Attributes:
        classes: that are there now, sorted.
        sha256: of the file; empty: there is none.
        lost: rows that name no image of the data, for people.
        notes: what was changed, a line each, for people.
    """

    classes: list[str]
    sha256: str = ""
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def digest_with(self, fingerprint: str) -> str:
        """Gives the fingerprint of data with these corrections; that of the data where there are none."""
        return hashlib.sha256(f"{fingerprint} {self.sha256}".encode()).hexdigest() if self.sha256 else fingerprint


def write_corrections(rows: Iterable[dict[str, str]]) -> bytes:
    """Writes a CSV file that `data.corrections` takes, and that a spreadsheet opens without running a formula.

    Args:
        rows: {one of `COLUMNS`: text}; a column that is not there is empty.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    numbers = (SCORE, P_LABEL, P_SUGGESTED)  # a negative score is no formula
    for row in rows:
        writer.writerow(row.get(name, "") if name in numbers else protect(row.get(name, "")) for name in COLUMNS)
    return buffer.getvalue().encode("utf-8", "surrogateescape")


def protect(text: str) -> str:
    """Puts an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def unprotect(text: str) -> str:
    """Undoes `protect`."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def correct_rows(rows: list[Row], root: str, classes: set[str], options: DataOptions) -> Corrected:
    """Applies `data.corrections`, if there are any, to the rows of all sources; in place.

    Args:
        rows: as inspected, before they are compared.
        root: of the data; paths may be written with it.
        classes: as the data gives them.
        options: read are `corrections` and `classes`.

    Raises:
        InputError: the file cannot be read, a row is wrong or contradicts another one, no row names an image of the
            data, or fewer than two classes are left.
    """
    if not options.corrections:
        return Corrected(sorted(classes))
    path = options.corrections
    content = _read(path)
    result = Corrected([], hashlib.sha256(content).hexdigest())
    wanted = list(parse_corrections(content, path, options.classes))
    _refuse_twins(wanted, classes, path)
    chosen = _match(wanted, rows, root, path, result)
    before = set[str]()
    for index, correction in chosen.items():
        before.add(rows[index].label)
        _correct(rows[index], correction, path)
    left = {row.label for row in rows if row.label and row.reason != EXCLUDED}
    result.classes = sorted((classes - (before - left)) | left)
    if len(result.classes) < 2:
        raise InputError(
            f"data.corrections: {path} leaves {len(result.classes)} of {len(classes)} classes; a classifier needs two."
        )
    result.notes += _describe(rows, chosen, set(result.classes) - classes, before - left)
    return result


def _read(path: str) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise InputError(
            f"data.corrections: expected a CSV file, cannot read {path}: {first_line(error)}.\n{FORM}"
        ) from error


def parse_corrections(content: bytes, path: str, classes: list[str] | None) -> Iterator[Correction]:
    """Reads the rows that change something.

    Args:
        content: of the file: UTF-8, UTF-16 or Windows-1252, delimited by commas, semicolons or tabs.
        path: of the file, for errors.
        classes: `data.classes`, beyond which no new class may be; None: any.

    Raises:
        InputError: names the line that is wrong, and what was expected.
    """
    text = decode_text(content, path, "data.corrections", FORM)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sniff_delimiter(text[: 1 << 16], ",;\t"), strict=True)
    columns: list[str] = []
    try:
        for fields in reader:
            if not any(cell.strip() for cell in fields):
                continue
            if not columns:
                columns = _columns(fields, path)
                continue
            if len(fields) > len(columns) and any(fields[len(columns) :]):
                _fail(path, reader.line_num, f"has {len(fields)} fields, the header {len(columns)}")
            row = dict(zip(columns, map(windows_text, fields), strict=False))
            if correction := _parse_row(row, reader.line_num, path, classes):
                yield correction
    except csv.Error as error:
        _fail(path, reader.line_num, f"is no CSV: {error}")
    if not columns:
        raise InputError(f"data.corrections: {path} is empty.\n{FORM}")


def _columns(fields: list[str], path: str) -> list[str]:
    columns = [cell.strip().lower() for cell in fields]
    missing = [name for name in (ACTION,) if name not in columns]
    if missing or not {PATH, SHA256} & set(columns):
        found = ", ".join(map(repr, fields))
        raise InputError(f"data.corrections: the first line of {path} has the columns {found}.\n{FORM}")
    return columns


def _parse_row(row: dict[str, str], line: int, path: str, classes: list[str] | None) -> Correction | None:
    action = row.get(ACTION, "").strip().lower()
    if action in ("", KEEP):
        return None
    if action not in ACTIONS:
        _fail(path, line, f"has the action {action!r}; expected {', '.join(ACTIONS)}.{did_you_mean(action, ACTIONS)}")
    sha256 = row.get(SHA256, "").strip().lower()
    if sha256 and not DIGEST.fullmatch(sha256):
        _fail(path, line, f"has the sha256 {sha256[:80]!r}; expected 64 hex digits, or nothing")
    if not sha256 and not row.get(PATH):
        _fail(path, line, "names no image: path and sha256 are empty")
    label = _parse_label(unprotect(row.get(SUGGESTED, "")), line, path, classes) if action == RELABEL else ""
    return Correction(line, row.get(PATH, ""), sha256, label)


def _parse_label(text: str, line: int, path: str, classes: list[str] | None) -> str:
    label = canonical(text)
    if not label:
        _fail(path, line, "is to relabel, but suggested, the new class, is empty")
    if label.splitlines() != [label] or not key_of(label) or label != label.encode("utf-8", "ignore").decode("utf-8"):
        _fail(path, line, f"has {label!r} as its class; expected UTF-8 on one line")
    if classes is not None and label not in classes:
        near = did_you_mean(label, classes)
        _fail(path, line, f"makes an image '{label}', which is none of data.classes ({', '.join(classes[:20])}).{near}")
    return label


def _fail(path: str, line: int, found: str) -> NoReturn:
    raise InputError(f"data.corrections: line {line} of {path} {found}.\n{FORM}")


def _refuse_twins(wanted: list[Correction], classes: set[str], path: str) -> None:
    """Refuses a new class that differs from another one in case, width or blanks only: a slip of the hand."""
    known = {key_of(label): label for label in classes}
    for correction in wanted:
        other = known.setdefault(key_of(correction.label), correction.label)
        if correction.label and other != correction.label:
            _fail(path, correction.line, f"makes an image '{correction.label}'; there is the class '{other}'")


def _match(wanted: list[Correction], rows: list[Row], root: str, path: str, result: Corrected) -> dict[int, Correction]:
    """Finds the rows that each correction means: {index: correction}; those that mean none go to `result.lost`."""
    by_digest, by_name = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for index, row in enumerate(rows):
        by_digest[row.sha256].append(index)
        by_name[row.name].append(index)
        by_name[f"\0{canonical(row.name)}"].append(index)  # composed, as no other name is written
    chosen: dict[int, Correction] = {}
    for correction in wanted:
        found = by_digest[correction.sha256] if correction.sha256 else _find(correction.path, by_name, root)
        if not found:
            named = unprotect(correction.path) or correction.sha256
            result.lost.append(f"line {correction.line} ({named!r})")
        for index in found:
            other = chosen.setdefault(index, correction)
            if other.label != correction.label:
                raise InputError(
                    f"data.corrections: two rows of {path} contradict each other about {rows[index].name}: "
                    f"{other.words}, {correction.words}.\nLeave one of them."
                )
    if wanted and not chosen:
        raise InputError(
            f"data.corrections: none of the {len(wanted):,} rows of {path} names an image of {root}; the first is "
            f"{result.lost[0]}.\nExpected paths relative to the data, as the manifest has them, or the sha256 of files."
        )
    return chosen


def _find(path: str, by_name: dict[str, list[int]], root: str) -> list[int]:
    """Finds a path as it is written, less the apostrophe of `protect`, below the root, or in Unicode's other form."""
    plain = unprotect(path)
    below = os.path.relpath(plain, root) if os.path.isabs(plain) else os.path.normpath(plain.replace("\\", "/"))
    for spelling in (plain, path, below, f"\0{canonical(plain)}", f"\0{canonical(below)}"):
        if spelling in by_name:
            return by_name[spelling]
    return []


def _correct(row: Row, correction: Correction, path: str) -> None:
    if row.ignored:
        return
    if not correction.label:
        was = f"; it was {row.reason} ({row.detail})" if row.reason else ""
        row.reject(EXCLUDED, f"line {correction.line} of {os.path.basename(path)}{was}")
    elif row.label != correction.label:
        row.label_found, row.label = row.label, correction.label


def _describe(rows: list[Row], chosen: dict[int, Correction], new: set[str], gone: set[str]) -> Iterator[str]:
    relabelled = sum(bool(rows[index].label_found) for index in chosen)
    excluded = sum(rows[index].reason == EXCLUDED for index in chosen)
    yield f"data.corrections: {relabelled:,} images get another class, {excluded:,} are excluded"
    for what, labels in (("makes the new class", sorted(new)), ("leaves no image of the class", sorted(gone))):
        if labels:
            named = ", ".join(f"'{label}'" for label in labels[:NAMED]) + (", ..." if len(labels) > NAMED else "")
            yield f"data.corrections {what} {named}"
