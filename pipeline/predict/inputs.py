"""Finds the images that are meant: files, folders, globs and manifests, one path at a time."""

from __future__ import annotations

import csv
import glob
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from components.contract.secrets import refuse_secrets
from components.errors import InputError
from components.files.paths import is_remote
from components.images import formats
from components.sources.layout.filenames import why_ignored
from components.sources.tables.columns import name_path

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")
MANIFEST_FORM = (
    "Expected a header with the column `path` (`file_name`, `image`, ...), or a JSON object a line with such a key."
)


def find_inputs(paths: Iterable[str]) -> Iterator[str]:
    """Yields the files that are meant, in the order given; folders sorted by name.

    Args:
        paths: files (also missing ones: they get an error row), folders (all images below them), globs with `*`, `?`
            or `[...]` (`**` crosses folders), and manifests (`.csv`, `.tsv`, `.jsonl` with a `path`, relative to the
            manifest; or another column of paths that ingest knows by its name).

    Raises:
        InputError: a manifest is none.
    """
    for path in paths:
        if Path(path).is_dir():
            yield from _walk(path)
        elif Path(path).suffix.lower() in MANIFEST_SUFFIXES and Path(path).is_file():
            yield from read_manifest(path)
        elif not os.path.lexists(path) and glob.has_magic(path):
            yield from _match(path)
        else:
            yield path


def count_inputs(paths: Iterable[str]) -> int:
    """Counts the files that `find_inputs` gives.

    Raises:
        InputError: none, or one of them is in an object store.
    """
    paths = list(paths)
    if away := [path for path in paths if is_remote(path)]:
        raise InputError(
            f"Expected local images, found {away[0]}.\n"
            "Add --beam --output DIR, which reads s3:// and gs:// as ingest does, or copy them to a folder."
        )
    count = sum(1 for _ in find_inputs(paths))
    if not count:
        raise InputError(f"Expected image files or folders with images, found no image in {', '.join(paths)}.")
    return count


def _walk(folder: str) -> Iterator[str]:
    """All images below a folder, without hidden files and what systems write."""
    for current, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not why_ignored(name))
        for name in sorted(name for name in files if not why_ignored(name)):
            path = os.path.join(current, name)
            if Path(name).suffix.lower() in formats.SUFFIX_FORMATS or _starts_right(path):
                yield path


def _starts_right(path: str) -> bool:
    if not os.path.isfile(path):  # a pipe would be waited for
        return False
    with open(path, "rb") as file:
        return formats.sniff_format(file.read(formats.HEAD)) is not None


def _match(pattern: str) -> Iterator[str]:
    """The images that a glob matches; folders among them are walked, what systems write is left out unless named."""
    named = set(pattern.split(os.sep))
    for path in sorted(glob.iglob(pattern, recursive=True)):
        if any(why_ignored(part) == "system" for part in path.split(os.sep) if part not in named):
            continue
        if not os.path.isdir(path):
            yield path
        elif not pattern.endswith("**"):  # which matches what is in the folder as well
            yield from _walk(path)


def read_manifest(path: str) -> Iterator[str]:
    """Yields the paths in a manifest, relative ones taken from its folder.

    Raises:
        InputError: no UTF-8, no column `path`, or a row without one; says the line.
    """
    rows = _json_rows(path) if path.lower().endswith(".jsonl") else _csv_rows(path)
    try:
        for line, value in rows:
            if not isinstance(value, str) or not value.strip():
                raise InputError(f"{path}: line {line} has no path.\n{MANIFEST_FORM}")
            refuse_secrets(value, f"{path}: line {line}")
            yield os.path.join(os.path.dirname(path), value)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no manifest: {error}.\n{MANIFEST_FORM}") from error


def _csv_rows(path: str) -> Iterator[tuple[int, object]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        reader = csv.DictReader(file, delimiter=max(",;\t", key=first.count))
        names = [name or "" for name in reader.fieldnames or []]
        column = name_path(names)
        if column is None:
            raise InputError(f"{path}: found the columns {', '.join(names) or 'none'}.\n{MANIFEST_FORM}")
        for row in reader:
            yield reader.line_num, row[column]


def _json_rows(path: str) -> Iterator[tuple[int, object]]:
    with open(path, encoding="utf-8-sig") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                raise InputError(f"{path}: line {line} is no JSON: {error}.\n{MANIFEST_FORM}") from error
            yield line, row.get(name_path(row)) if isinstance(row, dict) else None
