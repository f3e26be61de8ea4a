"""All files below a folder, local or of any file system that TensorFlow opens: names and facts, no content."""

from __future__ import annotations

import os
import pathlib
import stat
from collections.abc import Iterator
from typing import Any

from components.errors import InputError
from components.files.paths import is_remote
from components.sources.content import remote
from components.sources.content.readers import describe_error
from components.sources.content.streams import NOT_REGULAR
from components.sources.listing import Source, Tree

FOLDER_LOOP = "a link to one of its own parent folders"
Identity = tuple[int, int]  # device and inode


def walk_folder(root: str) -> Tree:
    """Lists all files below a folder. Links are followed, but not to a folder that the link is in.

    Raises:
        InputError: the folder itself cannot be listed.
    """
    if is_remote(root):
        return remote.walk(root)
    tree = Tree(root)
    pending: list[tuple[str, tuple[Identity, ...]]] = [("", _parents(root))]
    while pending:
        folder, parents = pending.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
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
    return tree


def _parents(root: str) -> tuple[Identity, ...]:
    """The folders that the root is in: a link to one of them comes back here."""
    parents = pathlib.Path(os.path.realpath(root)).parents
    return tuple((status.st_dev, status.st_ino) for status in map(os.stat, parents))


def _add_entries(entries: Any, folder: str, chain: tuple[Identity, ...], tree: Tree) -> Iterator[str]:
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
