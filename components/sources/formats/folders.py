"""All files below a folder, local or of any file system that TensorFlow opens: names and facts, no content."""

from __future__ import annotations

import os
import pathlib
import stat
from collections.abc import Iterable, Iterator

from components.errors import InputError
from components.files.paths import is_remote
from components.sources.content import remote
from components.sources.content.readers import describe_error
from components.sources.content.streams import NOT_REGULAR
from components.sources.listing import Source, Tree

FOLDER_LOOP = "a link to one of its own parent folders"
WORKDIR = {".lock", "runs", "data.sqlite"}  # names in a working directory of Graft: what a run made is no data of one
Identity = tuple[int, int]  # device and inode


def walk_folder(root: str) -> Tree:
    """Lists all files below a folder. Links are followed, but not to a folder that the link is in.

    Working directories of Graft in it are passed over: `graft run .` makes one below the images.

    Raises:
        InputError: the folder itself cannot be listed.
    """
    if is_remote(root):
        return remote.walk(root)
    tree = Tree(root)
    pending: list[tuple[str, tuple[Identity, ...]]] = [("", _parents(root))]
    passed: list[str] = []
    while pending:
        folder, parents = pending.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as scanned:
                entries = list(scanned)
            if folder and {entry.name for entry in entries} >= WORKDIR:
                passed.append(folder)
                continue
            status = os.stat(os.path.join(root, folder))
            chain = (*parents, (status.st_dev, status.st_ino))
            pending += [(name, chain) for name in _add_entries(entries, folder, chain, tree)]
        except OSError as error:
            if not folder:
                raise InputError(
                    f"data.path: cannot list {root}: {describe_error(error)}.\nGive a folder you may read."
                ) from error
            tree.files.append(
                Source(
                    f"{folder}/",
                    "",
                    os.path.join(root, folder),
                    problem=f"the folder cannot be listed: {describe_error(error)}",
                )
            )
    for folder in passed:
        _forget(folder, tree)
    return tree


def _forget(folder: str, tree: Tree) -> None:
    """Takes a folder out of a tree, and those above it that hold nothing else: an empty one would be a class."""
    while folder and not any(name.startswith(f"{folder}/") for name in (*tree.folders, *(f.name for f in tree.files))):
        tree.folders.remove(folder)
        folder = folder.rpartition("/")[0]


def _parents(root: str) -> tuple[Identity, ...]:
    """The folders that the root is in: a link to one of them comes back here."""
    parents = pathlib.Path(os.path.realpath(root)).parents
    return tuple((status.st_dev, status.st_ino) for status in map(os.stat, parents))


def _add_entries(
    entries: Iterable[os.DirEntry[str]], folder: str, chain: tuple[Identity, ...], tree: Tree
) -> Iterator[str]:
    """Puts the files of one folder into the tree; gives the names of the folders to go into."""
    for entry in entries:
        name = f"{folder}/{entry.name}" if folder else entry.name
        status = _stat(entry)
        mode = status.st_mode if status else 0
        if status and stat.S_ISDIR(mode):
            if (status.st_dev, status.st_ino) in chain:
                tree.files.append(Source(name, "", entry.path, problem=FOLDER_LOOP))
            else:
                tree.folders.append(name)
                yield name
        elif status and not stat.S_ISREG(mode):
            tree.ignored.append((name, "special"))
        else:
            tree.files.append(local_source(name, entry.path, status))


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Looks up the target of a name; None for a link to nothing, at which the reader will fail."""
    try:
        return entry.stat()
    except OSError:
        return None


def local_source(name: str, path: str, status: os.stat_result | None, problem: str = "") -> Source:
    """Makes the source of a local file; without a status it has no facts."""
    if status is None:
        return Source(name, "", path, problem=problem)
    return Source(
        name, "", path, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino, problem=problem
    )


def stat_file(name: str, path: str) -> Source:
    """Makes the source of a local file that was not found by listing; anything but a file has a problem."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return local_source(name, path, None, "no such file")
    except OSError as error:
        return local_source(name, path, None, describe_error(error))
    if stat.S_ISREG(status.st_mode):
        return local_source(name, path, status)
    return local_source(name, path, None, "a folder" if stat.S_ISDIR(status.st_mode) else NOT_REGULAR)
