"""Manifests: a table with a row an image, `path,label[,split][,group]`, as CSV or JSON lines.

CSV as in RFC 4180, with a comma, a semicolon or a tab between the fields, in UTF-8; its first line names the columns.
JSON lines: an object a line. Further columns are allowed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from components.errors import InputError, did_you_mean
from components.example_gen import remote
from components.example_gen.folders import stat_file
from components.example_gen.layouts import (
    EVAL_FOLDERS,
    TRAIN_FOLDERS,
    Place,
    Shape,
    find_manifest,
    settle_test,
    split_of_word,
)
from components.example_gen.listing import Listing, Source, Tree
from components.example_gen.readers import Unreadable, read_source
from components.secrets import ADVICE, find_secret

SUFFIXES = (".csv", ".tsv", ".jsonl")
CONTAINER = "manifest"  # of a listing of a manifest that is given alone
LARGEST = 1 << 30  # bytes of a manifest
REQUIRED = ("path", "label")
OPTIONAL = ("split", "group")
FORM = "Expected UTF-8 text with the columns path,label and, if you like, split and group."


class TableRow(NamedTuple):
    """One row of a manifest, as written; `line` counts from 1, `split` is `train`, `eval`, `test` or empty."""

    line: int
    path: str
    label: str
    split: str
    group: str


def is_manifest_name(name: str) -> bool:
    """Whether a file is taken for a manifest by its suffix."""
    return name.lower().endswith(SUFFIXES)


def parse_table(content: bytes, name: str) -> list[TableRow]:
    """The rows of a manifest.

    Args:
        content: of the file.
        name: of the file, for its suffix and for errors.

    Raises:
        InputError: says the line, what was expected and what was found there.
    """
    text = content.decode("utf-8-sig", "surrogateescape")  # paths may be any bytes
    if "\0" in text:
        raise InputError(f"data.path: {name} is not UTF-8 text (it has zero bytes).\n{FORM}")
    records = _json_lines(text, name) if name.lower().endswith(".jsonl") else _csv_lines(text, name)
    rows = [_row(line, record, name) for line, record in records]
    with_split = {bool(row.split) for row in rows}
    if len(with_split) > 1:
        odd = next(row for row in rows if bool(row.split) != bool(rows[0].split))
        has = "a split, the rows before it none" if odd.split else "no split, the rows before it one"
        raise _error(name, odd.line, f"has {has}", "Give the split of all rows, or of none.")
    return rows


def _csv_lines(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    first = text.partition("\n")[0]
    delimiter = "\t" if name.lower().endswith(".tsv") else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [column.strip().lower() for column in next(reader, [])]
        _check_columns(columns, name)
        for fields in reader:
            if len(fields) > len(columns):
                found = f"has {len(fields)} fields, the header {len(columns)}"
                raise _error(name, reader.line_num, found, 'Put a path with a comma in it into quotes: "a, b.jpg".')
            if fields:
                yield reader.line_num, dict(zip(columns, fields, strict=False))
    except csv.Error as error:
        raise _error(name, reader.line_num, f"is no CSV: {error}", FORM) from error


def _check_columns(columns: list[str], name: str) -> None:
    if missing := [column for column in REQUIRED if column not in columns]:
        found = ", ".join(columns) or "nothing"
        raise _error(
            name, 1, f"must be a header with the columns path,label; '{missing[0]}' is not among: {found:.200}", FORM
        )
    if double := [column for column in REQUIRED + OPTIONAL if columns.count(column) > 1]:
        raise _error(name, 1, f"names the column '{double[0]}' twice", FORM)


def _json_lines(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            record = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise _error(name, line, f"is no JSON: {error}", 'Expected {"path": "a.jpg", "label": "cats"}.') from error
        if not isinstance(record, dict):
            raise _error(name, line, "is no JSON object", 'Expected {"path": "a.jpg", "label": "cats"}.')
        yield line, record


def _row(line: int, record: dict[str, Any], name: str) -> TableRow:
    path, label, split, group = (_field(record, key, line, name) for key in REQUIRED + OPTIONAL)
    side = split_of_word(split)
    if split and not side:
        words = [*TRAIN_FOLDERS, *EVAL_FOLDERS]
        hint = f"Expected one of {', '.join(words)}.{did_you_mean(split.lower(), words)}"
        raise _error(name, line, f"has an unknown split '{split}'", hint)
    return TableRow(line, path, label, side, group)


def _field(record: dict[str, Any], key: str, line: int, name: str) -> str:
    value = record.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    value = "" if value is None else value
    if not isinstance(value, str):
        raise _error(name, line, f"has a {key} that is no text: {value!r:.80}", f'Expected "{key}": "...".')
    if key != "path":
        value = value.strip()
    if key in REQUIRED and not value.strip():
        raise _error(name, line, f"has no {key}", FORM)
    if key == "path" and find_secret(value):
        raise _error(name, line, "has a path with a password, token or signature in it", ADVICE)
    if "\0" in value or not _is_unicode(value):
        raise _error(name, line, f"has a {key} that is no valid text: {value!r:.80}", FORM)
    return value


def _is_unicode(value: str) -> bool:
    """Whether it can be written as UTF-8; JSON may hold halves of characters. Bytes of paths may be anything."""
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _error(name: str, line: int, found: str, fix: str) -> InputError:
    return InputError(f"data.path: line {line} of {name} {found}.\n{fix}")


def list_manifest(tree: Tree, shape: Shape, _: Any) -> Listing | None:
    """The rows of a manifest as sources. Files beside it that it does not name are left aside.

    Args:
        tree: a folder or archive with a manifest at its root, or the manifest alone.
        shape: of the tree's names.

    Raises:
        InputError: the manifest cannot be read, or a row is wrong.
    """
    known = {file.name: file for file in tree.files}
    alone = tree.container == CONTAINER
    name = tree.files[0].name if alone else find_manifest(list(known), shape)
    if not name:
        return None
    manifest = known.pop(name)
    rows = parse_table(_read(manifest), _place_of(manifest))
    places = settle_test(row.split for row in rows if row.split)
    listing = Listing(tree.root, "manifest", container=tree.container)
    taken = []
    for row, file in zip(rows, _find_files(rows, manifest, known), strict=True):
        place = places.get(row.split, Place())
        if place.ignored:
            listing.ignored.append((file.name, place.ignored))
        else:
            listing.sources.append(replace(file, label=row.label, split=place.split, group=row.group))
        taken.append(file.name)
    others = tree.ignored + [(other, "not_in_manifest") for other in known]
    if not alone:
        others.append((name, "manifest"))
    used = set(taken)
    listing.ignored += [(other, why) for other, why in others if other not in used]
    return listing


def _read(manifest: Source) -> bytes:
    try:
        return read_source(manifest, LARGEST)
    except Unreadable as error:
        raise InputError(
            f"data.path: cannot read the manifest {_place_of(manifest)}: {error}.\nGive a file that you may read."
        ) from error


def _place_of(manifest: Source) -> str:
    return manifest.path if manifest.kind == "file" else f"{manifest.name} in {manifest.path}"


def _find_files(rows: list[TableRow], manifest: Source, known: dict[str, Source]) -> Iterator[Source]:
    """The file that each row names; with a problem where there is none."""
    if manifest.kind != "file":
        yield from (_find_member(row, manifest, known) for row in rows)
        return
    root = manifest.path[: len(manifest.path) - len(manifest.name)]
    find = partial(_find_file, root=root, folder=manifest.name.rpartition("/")[0], known=known)
    if not any(remote.is_remote(path) for path in (root, *(row.path for row in rows))):
        yield from map(find, rows)
        return
    with ThreadPoolExecutor(remote.CALLS) as pool:
        yield from pool.map(find, rows)


def _find_file(row: TableRow, root: str, folder: str, known: dict[str, Source]) -> Source:
    if remote.is_remote(row.path):
        return remote.stat_source(row.path, row.path)
    name = posixpath.normpath(posixpath.join(folder, row.path))
    if row.path.startswith("/"):
        name = name.removeprefix(os.path.abspath(root).rstrip("/") + "/")
    if name in known:
        return known[name]
    path = name if name.startswith("/") else root + name
    return remote.stat_source(name, path) if remote.is_remote(path) else stat_file(name, path)


def _find_member(row: TableRow, manifest: Source, known: dict[str, Source]) -> Source:
    if row.path.startswith("/"):
        raise _error(
            _place_of(manifest),
            row.line,
            f"has an absolute path: {row.path}",
            "In an archive, paths start at the manifest.",
        )
    name = posixpath.normpath(posixpath.join(manifest.name.rpartition("/")[0], row.path))
    if name in known:
        return known[name]
    problem = "its path leaves the archive" if name.split("/")[0] == ".." else "no such file"
    return Source(name, "", manifest.path, manifest.kind, problem=problem)
