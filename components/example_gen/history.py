"""Keeps what scans found, in one SQLite file: contents by the identity of a file, side and class of each image.

A second run over an unchanged folder reads no image to know its content: a file of the same path, size, modification
time and inode is taken to be the same one, as git does it. As in git, a file that was changed just before it was read
is not trusted, since a second change within the clock's tick would go unseen.

SQLite has no checksums: what is known of a file carries its own, and a side that is none was never kept.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

from components.contract import features
from components.contract.names import key_of
from components.example_gen.manifest import Row
from components.files.paths import is_remote
from components.images.findings import UNREADABLE, Inspection
from components.sources.listing import Source

SETTLED_NS = 2_000_000_000  # file systems keep modification times in steps of up to 2 s (FAT)
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    place BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER, inspector TEXT, inspection TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sides (
    sha256 TEXT, eval_fraction REAL, side TEXT, PRIMARY KEY (sha256, eval_fraction)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS classes (label TEXT PRIMARY KEY, number INTEGER);
CREATE TABLE IF NOT EXISTS labels (sha256 TEXT PRIMARY KEY, label TEXT) WITHOUT ROWID;
"""
COLUMNS = {
    "files": "place, size, mtime_ns, inode, inspector, inspection",
    "sides": "sha256, eval_fraction, side",
    "classes": "label, number",
    "labels": "sha256, label",
}


class History:
    """The open file. Nothing is written until `remember` or `keep_sides` is called, and never if it is read only."""

    def __init__(self, database: sqlite3.Connection, writable: bool) -> None:
        self._database = database
        self._writable = writable

    def recall(self, sources: Iterable[Source], inspector: str) -> Iterator[Inspection | None]:
        """Yields the inspection of each source, in their order; None where the source must be read.

        Args:
            sources: as listed now.
            inspector: digest of the inspecting code and its limits; what another one found counts nothing.
        """
        query = "SELECT inspection FROM files WHERE place=? AND size=? AND mtime_ns=? AND inode=? AND inspector=?"
        for source in sources:
            found = self._database.execute(query, (*_identity(source), inspector)).fetchone()
            yield _parse(found[0]) if found and source.mtime_ns and not source.problem else None

    def remember(self, found: Iterable[tuple[Source, Inspection]], inspector: str, started_ns: int) -> None:
        """Keeps inspections, unless one may be stale already or could turn out otherwise next time.

        Args:
            found: sources and what was found of them.
            inspector: as in `recall`.
            started_ns: when the first of them was read (`time.time_ns`).
        """
        self._write(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
            (
                (*_identity(source), inspector, _format(inspection))
                for source, inspection in found
                if inspection.reason != UNREADABLE and not source.problem
                if 0 < source.mtime_ns < started_ns - SETTLED_NS
            ),
        )

    def sides(self, digests: Iterable[str], eval_fraction: float) -> list[str]:
        """Returns the side that each image was given in an earlier run; empty if the image was never seen."""
        query = "SELECT side FROM sides WHERE sha256=? AND eval_fraction=?"
        rows = (self._database.execute(query, (digest, eval_fraction)).fetchone() for digest in digests)
        return [row[0] if row and row[0] in features.SPLITS else "" for row in rows]

    def keep_sides(self, sides: Iterable[tuple[str, str]], eval_fraction: float) -> None:
        """Keeps the side of images, (digest, side) each; an image that has a side keeps it, unless it is damaged."""
        rows = ((digest, eval_fraction, side) for digest, side in sides)
        insert = "INSERT INTO sides VALUES (?, ?, ?) ON CONFLICT(sha256, eval_fraction)"
        self._write(f"{insert} DO UPDATE SET side=excluded.side WHERE side NOT IN {features.SPLITS}", rows)

    def classes(self) -> list[str]:
        """Returns the classes of earlier runs, in the order of their index."""
        return [label for (label,) in self._database.execute("SELECT label FROM classes ORDER BY number")]

    def labels(self, digests: Iterable[str]) -> list[str]:
        """Returns the class that each image had in an earlier run; empty if it was never seen."""
        query = "SELECT label FROM labels WHERE sha256=?"
        rows = (self._database.execute(query, (digest,)).fetchone() for digest in digests)
        return [row[0] if row else "" for row in rows]

    def keep_classes(self, classes: Iterable[str], labels: Iterable[tuple[str, str]]) -> None:
        """Keeps the order of the classes, and the class of images, (digest, label) each."""
        self._write("DELETE FROM classes", [()])
        self._write("INSERT INTO classes VALUES (?, ?)", ((label, number) for number, label in enumerate(classes)))
        self._write("INSERT OR REPLACE INTO labels VALUES (?, ?)", labels)

    def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        if self._writable:
            with self._database:  # all of them or none
                self._database.executemany(statement, rows)


@contextmanager
def open_history(path: str, writable: bool = True) -> Iterator[History]:
    """Opens the history of a working directory.

    Args:
        path: the file; made if it is not there. Empty: a memory that lasts as long as it is open.
        writable: False changes nothing on disk; `remember` and `keep_sides` then do nothing.
    """
    if not path or not (writable or os.path.exists(path)):
        database = _connect(":memory:")
    elif writable:
        database = _connect_or_replace(path)
    else:
        database = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True)
    try:
        yield History(database, writable)
    finally:
        database.close()


def _connect(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=60)
    database.text_factory = lambda text: text.decode("utf-8", "replace")  # damaged text is found out where it is used
    database.executescript(SCHEMA)
    return database


def _connect_or_replace(path: str) -> sqlite3.Connection:
    """A file that is no database any more (a full disk, a broken copy) is set aside: all in it can be made again."""
    try:
        database = _connect(path)
        for table, columns in COLUMNS.items():
            database.execute(f"SELECT {columns} FROM {table} LIMIT 1").fetchone()
        if (found := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        return database
    except (sqlite3.DatabaseError, UnicodeDecodeError):  # the latter: Python 3.13 reads SQLite's own words of it
        os.replace(path, f"{path}.corrupt-{time.time_ns()}")
        return _connect(path)


def _identity(source: Source) -> tuple[bytes, int, int, int]:
    path = source.path if is_remote(source.path) else os.path.abspath(source.path)
    place = path if source.kind == "file" else f"{path}\0{source.name}"
    return os.fsencode(place), source.size, source.mtime_ns, source.inode


def _format(inspection: Inspection) -> str:
    """The values in the order of `Inspection`, and their checksum; without their names a row takes two thirds."""
    text = json.dumps([getattr(inspection, name) for name in Inspection.__slots__], separators=(",", ":"))
    return f"{text} {zlib.crc32(text.encode()):08x}"


def _parse(text: str) -> Inspection | None:
    """Reads a row of `_format`; None for a damaged one or that of an older Graft: the file is inspected again."""
    content, _, checksum = text.rpartition(" ") if isinstance(text, str) else ("", "", "")
    if checksum != f"{zlib.crc32(content.encode()):08x}":
        return None
    values = json.loads(content)
    if not isinstance(values, list) or len(values) != len(Inspection.__slots__):
        return None
    known = dict(zip(Inspection.__slots__, values, strict=True))
    return Inspection(**{**known, "flags": tuple(known["flags"])})


@dataclass
class ClassMap:
    """The classes of a run, and what became of those of earlier runs.

    Attributes:
        classes: in the order of their index.
        new: classes that were never seen.
        gone: classes of earlier runs without an image now.
        renamed: old name to new one, where the two differ in Unicode form, case or blanks only, or most images of a new
            class used to be of one that is gone.
        places: all classes ever seen, in the order that is to be remembered.
    """

    classes: list[str]
    new: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """Describes the changes of the class map; empty where there are none."""
        parts = [f"class '{old}' is now '{new}'" for old, new in self.renamed.items()]
        parts += [f"new class '{label}'" for label in self.new]
        parts += [f"class '{label}' is gone" for label in self.gone]
        return "; ".join(parts)


def map_classes(labels: list[str], rows: list[Row], memory: History) -> ClassMap:
    """Gives each class of the present data its index.

    Args:
        labels: the classes that are there now, sorted.
        rows: of all sources.
        memory: of earlier runs; where it knows of none, the order is that of the names.
    """
    known = memory.classes()
    if not known:
        return ClassMap(list(labels), places=list(labels))
    there, before = set(labels), set(known)
    new = [label for label in labels if label not in before]
    gone = [label for label in known if label not in there]
    renamed = _find_renamed(new, gone, rows, memory)
    places = [renamed.get(label, label) for label in known]
    taken = set(renamed.values())
    new = [label for label in new if label not in taken]
    places += new
    gone = [label for label in gone if label not in renamed]
    return ClassMap([label for label in places if label in there], new, gone, renamed, places)


def _find_renamed(new: list[str], gone: list[str], rows: list[Row], memory: History) -> dict[str, str]:
    keys = {key_of(label): label for label in gone}
    renamed = {keys[key_of(label)]: label for label in new if key_of(label) in keys}
    taken, left = set(renamed.values()), set(gone) - renamed.keys()
    digests: dict[str, list[str]] = {label: [] for label in new if left and label not in taken}
    for row in rows if digests else []:
        if row.sha256 and row.label in digests:
            digests[row.label].append(row.sha256)
    for label, images in digests.items():
        counts = Counter(before for before in memory.labels(images) if before in left)
        if counts and (best := counts.most_common(1)[0])[1] > len(images) / 2:
            renamed[best[0]] = label
            left.remove(best[0])
    return renamed
