"""Links inside an archive: what they lead to is there again, under the link's name; none is followed out of it."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from components.sources.listing import Source, Tree

NOT_IN_ARCHIVE = "a link to what is not in the archive"
LINK_LOOP = "a link to itself, or to a folder that it is in"
TOO_MANY = "a link to a folder, after links to many more files than the archive has"
MOST_STEPS = 40  # from one link to the next, as Linux has it
LONGEST_PATH = 4096  # bytes or characters, of where a link leads
MOST_COPIES = 10  # times the files of an archive, by links to folders


class Link(NamedTuple):
    """A link, and where it leads: a hard link from the archive's root, a symbolic one from its own folder."""

    source: Source
    target: str
    is_hard: bool = False


def follow_links(tree: Tree, links: list[Link]) -> None:
    """Puts what each link leads to into the tree; a link that leads nowhere is there with its problem.

    Args:
        tree: of the archive, all other members in it.
        links: its links, their names made simple.
    """
    if not links:
        return
    aims = {link.source.name: _aim(link) for link in links}
    files = {file.name: file for file in tree.files}
    folders = {folder for name in (*files, *tree.folders) for folder in _folders_around(name)} | {*tree.folders}
    names, left = sorted(files), MOST_COPIES * len(files)
    for source, _, _ in links:
        end = _resolve(source.name, aims)
        if end in files:
            tree.files.append(replace(files[end], name=source.name))
            continue
        below = _below(names, end) if end in folders else []
        left -= len(below)
        if problem := _problem(source.name, end, folders) or (TOO_MANY if left < 0 else ""):
            tree.files.append(replace(source, problem=problem))
        else:
            tree.folders.append(source.name)
            tree.files += [replace(files[name], name=source.name + name[len(end) :]) for name in below]


def _aim(link: Link) -> str:
    """The path from the archive's root that a link names."""
    folder = "" if link.is_hard else posixpath.dirname(link.source.name)
    return posixpath.normpath(posixpath.join(folder, link.target.replace("\\", "/") or "/"))


def _folders_around(name: str) -> Iterator[str]:
    while name := name.rpartition("/")[0]:
        yield name


def _resolve(name: str, aims: dict[str, str]) -> str:
    """Follows links to the end, also those in the middle of a path; empty: they go round."""
    for _ in range(MOST_STEPS):
        hop = next((part for part in (name, *_folders_around(name)) if part in aims), "")
        if not hop:
            return name
        name = posixpath.normpath(aims[hop] + name[len(hop) :])
        if len(name) > LONGEST_PATH:
            break
    return ""


def _problem(name: str, end: str, folders: set[str]) -> str:
    if end in ("", ".") or name.startswith(f"{end}/"):
        return LINK_LOOP
    return "" if end in folders else NOT_IN_ARCHIVE


def _below(names: list[str], folder: str) -> list[str]:
    """The names below a folder, of sorted ones."""
    return names[bisect_left(names, f"{folder}/") : bisect_left(names, f"{folder}0")]  # "0" follows "/"
