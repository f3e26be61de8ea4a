"""The file that each row of a table names, however its path is written.

A path is first taken as it is, from the table's folder. One that leads nowhere is compared with the files that are
there: by its tail, in any case and Unicode form, with or without a suffix. What is cut off at its start (another
machine's folder, a bucket) is the same for all rows of a table, and rows only lead into folders that many of them lead
to, so that a row whose file is missing is not given another one.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import takewhile
from urllib.parse import unquote

from components.files.paths import is_remote
from components.images.formats import IMAGE_SUFFIXES
from components.sources.content import remote
from components.sources.formats.archives import LEAVES
from components.sources.formats.folders import stat_file, walk_folder
from components.sources.layout.filenames import why_ignored
from components.sources.listing import Source
from components.sources.tables.sheets import windows_text

SAMPLED_PATHS = 2000  # rows by which it is found out what is cut off
LIKELY = 0.9  # share of the rows that lead into one folder, for it to be meant where several could be
FEW_FOLDERS = 20  # with more, each is too small a share to be told from a mistake
LABEL_STUDIO = re.compile(r"/data/(?:upload(?:/\d+)?/|local-files/\?d=)(.+)", re.DOTALL)
UPLOADED = re.compile(r"[0-9a-f]{6,8}-(?=.)")  # what Label Studio puts before the name of an uploaded file
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
DRIVE = re.compile(r"[A-Za-z]:(?=/)")
BESIDE = re.compile(r"(annotation|label|list|meta|metadata|split|table)s?", re.IGNORECASE)  # folders beside the images


def simplify(path: str) -> str:
    """Simplifies a path of any system to what all systems share: without drive, scheme and backslashes."""
    path = windows_text(path).strip()
    if studio := LABEL_STUDIO.search(path):
        path = unquote(studio[1])
    if path.startswith("file://"):
        path = unquote(path)
    path = ADDRESS.sub("", path).replace("\\", "/")
    parts = [part for part in DRIVE.sub("", path).split("/") if part not in ("", ".", "..")]
    return "/".join(parts)


def fold_case(name: str) -> str:
    """Folds a path to compare it in any case and Unicode form. Width and blanks count, as on a disk."""
    return unicodedata.normalize("NFC", name).casefold()


def _stem(name: str) -> str:
    """A name without an image's suffix; empty where it has none."""
    start, dot, suffix = name.rpartition(".")
    return start if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else ""


def _common_folders(paths: Iterable[str]) -> list[str]:
    """The folders with which all paths begin."""
    first, *others = (path.split("/")[:-1] for path in paths)
    for parts in others:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(first, parts, strict=False))
        first = [part for part, _ in same]
    return first


@dataclass
class PathFinder:
    """Finds the files that the rows of one table name.

    Attributes:
        table: the table itself.
        known: files by name below the data folder or in the archive; none where the table is given alone.
        is_alone: whether the folder of the table is looked through where that helps.
        cut: what is left out at the start of all paths that are not right as they are; ends with `/`, or is empty.
        has_copies: whether most remote paths of the sample have a file here, which is then taken instead.
        homes: what stands before the paths of the rows that were found: folder and count.
    """

    table: Source
    known: dict[str, Source]
    is_alone: bool = False
    cut: str = ""
    homes: Counter[str] = field(default_factory=Counter)
    has_copies: bool = False
    _index: dict[str, list[str]] | None = None

    @property
    def folder(self) -> str:
        """Folder of the table, below the data folder."""
        return self.table.name.rpartition("/")[0]

    @property
    def root(self) -> str:
        """The data folder with a slash; empty in an archive."""
        return self.table.path[: len(self.table.path) - len(self.table.name)] if self.table.kind == "file" else ""

    def find_all(self, paths: list[str]) -> Iterator[Source]:
        """Yields the file of each path; one with a problem where there is none."""
        if not any(is_remote(path) for path in (self.root, *paths)):
            self.settle(paths)
            yield from map(self.find, paths)
            return
        with ThreadPoolExecutor(remote.CALLS) as pool:
            self.settle(paths, pool.map)
            yield from pool.map(self.find, paths)

    def settle(self, paths: list[str], in_turn: Callable[..., Iterable[Source | None]] = map) -> None:
        """Finds the start that all paths of a sample have too much, by those that do not lead to files as they are."""
        sample = paths[:: max(1, len(paths) // SAMPLED_PATHS)][:SAMPLED_PATHS]
        lost = [
            simplify(path) for path, source in zip(sample, in_turn(self._at_hand, sample), strict=True) if not source
        ]
        if not lost:
            return
        whole = 2 * len(lost) >= len(sample)  # single rows may be wrong, but not cut off differently
        parts = _common_folders(map(simplify, paths)) if whole else []
        cuts = ["".join(f"{part}/" for part in parts[:count]) for count in range(len(parts) + 1)]
        homes = {cut: Counter(self._homes(lost, cut)) for cut in cuts}
        best = max(cuts, key=lambda cut: homes[cut].total())
        self.cut = best if 2 * homes[best].total() >= len(lost) else ""
        self.homes = homes[self.cut]
        self.has_copies = 2 * self.homes.total() >= len(lost)
        self.homes += Counter({self.folder: len(sample) - len(lost)})

    def _homes(self, paths: list[str], cut: str) -> Iterator[str]:
        for path in paths:
            found = self._candidates(path[len(cut) :])
            if len(found) == 1:
                yield self._home(found[0], path[len(cut) :])

    @staticmethod
    def _home(name: str, rest: str) -> str:
        return "/".join(name.split("/")[: -(rest.count("/") + 1)])

    def _at_hand(self, path: str) -> Source | None:
        """The file at a path as it is written; None where there is none. A remote path is not asked for."""
        if is_remote(path):
            return None
        name = self._name(path)
        if name in self.known or self.table.kind != "file":
            return self.known.get(name)
        source = self._stat(name)
        return None if source.problem else source

    def _stat(self, name: str) -> Source:
        path = name if name.startswith("/") else self.root + name
        return remote.stat_source(name, path) if is_remote(path) else stat_file(name, path)

    def _name(self, path: str) -> str:
        name = posixpath.normpath(posixpath.join(self.folder, path))
        return name.removeprefix(os.path.abspath(self.root).rstrip("/") + "/") if self.root else name

    def find(self, path: str) -> Source:
        """Finds the file of one path; one with a problem where there is none."""
        source = self._at_hand(path)
        if source is not None:
            return source
        if is_remote(path) and not self.has_copies:
            return remote.stat_source(path, path)
        simple = simplify(path)
        rest = simple[len(self.cut) :] if simple.startswith(self.cut) else simple
        found = self._candidates(rest)
        if len(found) > 1:
            likely = self.homes.total() * LIKELY
            found = [name for name in found if self.homes[self._home(name, rest)] > likely] or found
        if len(found) == 1 and self._is_home(self._home(found[0], rest)):
            return self.files[found[0]]
        return self._lost(path, sorted(found) if len(found) > 1 else [])

    def _is_home(self, home: str) -> bool:
        """Whether enough rows lead into a folder for one more to be no mistake."""
        if len(self.homes) > FEW_FOLDERS or not self.homes:
            return True
        return self.homes[home] * 10 * len(self.homes) >= self.homes.total()

    def _lost(self, path: str, several: list[str]) -> Source:
        problem = f"no single file is meant: {several[0]}, {several[1]}" if several else "no such file"
        if is_remote(path):
            return Source(path, "", path, problem=problem)
        name = self._name(path)
        if self.table.kind == "file":
            source = self._stat(name)
            return replace(source, problem=problem) if several else source
        if not several and (name.split("/")[0] == ".." or name.startswith("/")):
            problem = LEAVES
        return Source(name, "", self.table.path, self.table.kind, problem=problem)

    @property
    def files(self) -> dict[str, Source]:
        """All files that a row may mean: those at hand, or those around a table that is given alone."""
        if self.is_alone and not self.known:
            is_beside = BESIDE.fullmatch(os.path.basename(os.path.abspath(self.root or ".")))
            self.known |= self._around("") or (self._around("../") if is_beside else {})
        return self.known

    def _around(self, up: str) -> dict[str, Source]:
        """The files below the table's folder, or the one above it; nothing where none is named like an image."""
        if up and is_remote(self.root):
            return {}
        found = walk_folder(self.root + up or ".").files
        files = {up + file.name: replace(file, name=up + file.name) for file in found}
        return files if any(map(_stem, files)) else {}

    def _candidates(self, rest: str) -> list[str]:
        """The files whose path ends like a row's: the one below the table's folder, or else all that are nearest."""
        names = [name for name in self._named(rest) if _ends_with(name, rest)]
        if not names and UPLOADED.match(rest.rpartition("/")[2]):
            head, slash, last = rest.rpartition("/")
            return self._candidates(head + slash + UPLOADED.sub("", last, count=1))
        direct = posixpath.join(self.folder, rest)
        for choose in (
            lambda name: name == direct or _stem(name) == direct,
            lambda name: _ends_with(name, direct) and name.count("/") == direct.count("/"),
            lambda name: not self.folder or name.startswith(self.folder + "/"),
        ):
            if chosen := list(filter(choose, names)):
                return self._nearest(chosen, rest)
        return self._nearest(names, rest)

    def _nearest(self, names: list[str], rest: str) -> list[str]:
        """Chooses of several files those spelled as the row is, or in a folder that the table's name mentions."""
        if len(names) < 2:
            return names
        words = set(re.split(r"[^a-z0-9]+", fold_case(self.table.name.rpartition("/")[2])))
        for choose in (
            lambda name: name.endswith(rest) or _stem(name).endswith(rest),
            lambda name: not words.isdisjoint(fold_case(name).split("/")[:-1]),
        ):
            names = list(filter(choose, names)) or names
        return names

    def _named(self, rest: str) -> list[str]:
        if self._index is None:
            index: defaultdict[str, list[str]] = defaultdict(list)
            for name in self.files:
                if why_ignored(name.removeprefix("../")):
                    continue
                texts = filter(None, (fold_case(name), fold_case(_stem(name))))
                for key in {tail for text in texts for tail in (_tail(text, 1), _tail(text, 2))}:
                    index[key].append(name)
            self._index = dict(index)
        return self._index.get(_tail(fold_case(rest), 2), [])


def _tail(path: str, count: int) -> str:
    """The last parts of a path: by two, even where all files are called `image.jpg`, few are alike."""
    return "/".join(path.split("/")[-count:])


def _ends_with(name: str, rest: str) -> bool:
    """Whether the path of a file ends with that of a row, the suffix of the file aside where the row has none."""
    tail = "/" + fold_case(rest)
    return any(("/" + fold_case(text)).endswith(tail) for text in (name, _stem(name)) if text)
