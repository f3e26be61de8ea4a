"""Reads folders from the names of their files: where images are, what wraps them, how a class is called."""

from __future__ import annotations

import os
from collections.abc import Iterable

from components.contract.names import key_of
from components.images.formats import IMAGE_SUFFIXES

NO_FILE, OTHER_FILE, BARE_FILE, IMAGE_FILE = range(4)  # the most telling name of a file directly in a folder
FolderShape = dict[str, int]  # folder -> one of them; the root is the empty string


def shape_of(names: Iterable[str], folders: Iterable[str] = ()) -> FolderShape:
    """Returns the most telling kind of file in each folder; hidden files must have been taken out.

    Args:
        names: of files, relative with `/`.
        folders: likewise; those that hold files need not be among them.
    """
    shape: FolderShape = {"": NO_FILE}
    for folder in folders:
        _add_folder(shape, folder)
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder not in shape:
            _add_folder(shape, folder)
        shape[folder] = max(shape[folder], kind_of_file(file))
    return shape


def kind_of_file(name: str) -> int:
    """Tells the kind of a file by its name: `IMAGE_FILE`, `BARE_FILE` or `OTHER_FILE`."""
    suffix = os.path.splitext(name)[1].lower()
    return IMAGE_FILE if suffix in IMAGE_SUFFIXES else OTHER_FILE if suffix else BARE_FILE


def _add_folder(shape: FolderShape, folder: str) -> None:
    while folder not in shape:
        shape[folder] = NO_FILE
        folder = folder.rpartition("/")[0]


def telling_of(shape: FolderShape) -> int:
    """Returns the least telling kind of file that counts as an image: bare names only where no suffix does."""
    return IMAGE_FILE if IMAGE_FILE in shape.values() else BARE_FILE


def wrappers(shape: FolderShape) -> list[str]:
    """Lists the prefixes that may be looked through, outermost first: `["", "data/", "data/images/"]`."""
    prefixes, telling = [""], telling_of(shape)
    while True:
        tops = tops_below(shape, prefixes[-1])
        if len(tops) != 1:
            return prefixes
        prefix = f"{prefixes[-1]}{tops.pop()}/"
        if shape[prefix[:-1]] >= telling or not any(is_below(folder, prefix) for folder in shape):
            return prefixes
        prefixes.append(prefix)


def tops_below(shape: FolderShape, prefix: str, least: int = NO_FILE) -> set[str]:
    """Returns the folders directly below a prefix that hold a file at least as telling, at any depth."""
    names = (folder for folder, kind in shape.items() if kind >= least and is_below(folder, prefix))
    return {name[len(prefix) :].partition("/")[0] for name in names}


def is_below(folder: str, prefix: str) -> bool:
    """Tells whether a folder is below that of a prefix."""
    return folder.startswith(prefix) and len(folder) > len(prefix)


def find_wrapper(shape: FolderShape) -> str:
    """Finds the prefix that is looked through by rule 3, such as `data/`; empty where there is none."""
    prefix = wrappers(shape)[-1]
    while inner := _only_holder(shape, prefix):
        prefix = inner + wrappers(look_below(shape, inner))[-1]
    return prefix


def _only_holder(shape: FolderShape, prefix: str) -> str:
    """The prefix of the only top that holds images, in several folders, beside some that hold other files."""
    telling = telling_of(shape)
    holders = tops_below(shape, prefix, telling)
    if len(holders) != 1 or tops_below(shape, prefix) - tops_below(shape, prefix, OTHER_FILE):
        return ""
    inner = f"{prefix}{holders.pop()}/"
    several = len(tops_below(shape, inner, telling)) > 1
    return inner if several and shape[inner[:-1]] < telling else ""


def look_below(shape: FolderShape, prefix: str) -> FolderShape:
    """Returns the shape of the folders below a prefix."""
    return {folder[len(prefix) :]: kind for folder, kind in shape.items() if is_below(folder, prefix)}


def top_labels(shape: FolderShape) -> dict[str, str]:
    """Labels each folder by its first level (rule 5)."""
    return {folder: folder.partition("/")[0] for folder in shape}


def nested_labels(shape: FolderShape) -> dict[str, str]:
    """Labels each folder by its path, without the levels that all paths share (rule 6); empty: no class.

    A folder is a class where an image is directly in it, or where it is the innermost and no folder around it is one.
    """
    telling = telling_of(shape)
    classes = {folder for folder, kind in shape.items() if folder and kind >= telling}
    parents = {folder.rpartition("/")[0] for folder in shape if folder}
    classes |= {folder for folder in shape if folder and folder not in parents and not _class_of(folder, classes)}
    short = dict(zip(sorted(classes), map(merge_levels, shorten_paths(sorted(classes))), strict=True))
    return {folder: short.get(_class_of(folder, classes), "") for folder in shape}


def _class_of(folder: str, classes: set[str]) -> str:
    """The innermost class folder that a folder is or lies in."""
    while folder and folder not in classes:
        folder = folder.rpartition("/")[0]
    return folder


def leaf_labels(shape: FolderShape) -> dict[str, str]:
    """Labels each folder by the innermost folder on its path that holds images; empty: no class."""
    return {folder: label.rpartition("/")[2] for folder, label in nested_labels(shape).items()}


def merge_levels(path: str) -> str:
    """Merges a folder in one of the same name into one level: `cats/cats` is `cats`."""
    parts = path.split("/")
    return "/".join(part for n, part in enumerate(parts) if not n or key_of(part) != key_of(parts[n - 1]))


def shorten_paths(paths: list[str]) -> list[str]:
    """Removes the levels that all paths share; at least one is left, and no two paths become the same."""
    split = [path.split("/") for path in paths]
    for end in (0, -1):
        while split and min(map(len, split)) > 1 and len({path[end] for path in split}) == 1:
            for path in split:
                path.pop(end)
    if len({len(path) for path in split}) == 1 and len(split) > 1:
        varied = [len(set(level)) > 1 for level in zip(*split, strict=True)]
        split = [[part for part, keep in zip(path, varied, strict=True) if keep] for path in split]
    return ["/".join(path) for path in split]
