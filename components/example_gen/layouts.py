"""Which class and which side a file belongs to, told from names alone: one set of rules for folders and archives.

1. A `manifest.csv`, `.tsv` or `.jsonl` at the root says everything (`tables.py`).
2. Files named like TFRecords, where no file is named like an image, are TFRecords (`tfrecords.py`).
3. A single top folder without an image directly in it is a wrapper, usual in archives, and is looked through.
4. Split folders: one of `TRAIN_FOLDERS` and one of `EVAL_FOLDERS`, both with folders in them. A `test` folder is the
   eval side where there is no validation folder, and is left aside where there is one.
5. Class folders, where a top folder (or one in a split folder) has an image directly in it: the top folder is the
   class, and files in folders below it belong to it.
6. Otherwise nested folders: the class is the path of folders to the image, such as `animals/cats`, without the levels
   that are the same for all: ImageNet's `n01443537/images/` gives `n01443537`.

A file is named like an image by its suffix; where no file at all has an image's suffix, by having none. In 5 and 6
whatever else is below a class's folder goes with it: its content decides. Files outside are left aside.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from components import features
from components.example_gen.images import IMAGE_SUFFIXES

TRAIN_FOLDERS = ("train", "training")
EVAL_FOLDERS = ("validation", "valid", "val", "eval", "evaluation", "test")
TEST = "test"
SYSTEM_NAMES = {"thumbs.db", "desktop.ini", "__macosx"}
MANIFESTS = ("manifest.csv", "manifest.tsv", "manifest.jsonl")
TFRECORD_NAME = re.compile(r"(.*\.tfrecords?|data_tfrecord)(-\d+-of-\d+)?(\.gz)?", re.IGNORECASE | re.DOTALL)

NO_FILE, OTHER_FILE, BARE_FILE, IMAGE_FILE = range(4)  # the most telling name of a file directly in a folder
Shape = dict[str, int]  # folder -> one of them; the root is the empty string


class Place(NamedTuple):
    """Where the files of a folder belong: a class, or `ignored` says why to none."""

    label: str = ""
    split: str = ""
    ignored: str = ""


@dataclass(frozen=True)
class Plan:
    """How folders are read.

    Attributes:
        places: of each folder.
        labels: all classes, those of empty folders too.
    """

    places: dict[str, Place]
    labels: set[str]


def why_ignored(name: str) -> str:
    """Why a file is left aside whatever the layout: a key of `listing.IGNORED`, or an empty string."""
    for part in name.split("/"):
        if part.startswith("."):
            return "hidden"
        if part.lower() in SYSTEM_NAMES:
            return "system"
    return ""


def split_of_word(word: str) -> str:
    """`train`, `eval` or `test` of a split's name in any of its spellings, else an empty string."""
    word = word.lower()
    if word in TRAIN_FOLDERS:
        return features.TRAIN_SPLIT
    if word == TEST:
        return TEST
    return features.EVAL_SPLIT if word in EVAL_FOLDERS else ""


def settle_test(splits: Iterable[str]) -> dict[str, Place]:
    """The side of each split that was found: `test` is the eval side only where no validation split is."""
    found = set(splits)
    places = {split: Place(split=split) for split in found if split in features.SPLITS}
    if TEST in found:
        aside = features.EVAL_SPLIT in found
        places[TEST] = Place(ignored="test_folder") if aside else Place(split=features.EVAL_SPLIT)
    return places


def is_tfrecord_name(name: str) -> bool:
    """Whether a file's name is one that TFRecords usually have."""
    return TFRECORD_NAME.fullmatch(name.rpartition("/")[2]) is not None


def shape_of(names: Iterable[str], folders: Iterable[str] = ()) -> Shape:
    """What the names of the files in each folder tell; hidden ones must have been taken out.

    Args:
        names: of files, relative with `/`.
        folders: likewise; those that hold files need not be among them.
    """
    shape: Shape = {"": NO_FILE}
    for folder in folders:
        _add_folder(shape, folder)
    for name in names:
        folder, _, file = name.rpartition("/")
        suffix = os.path.splitext(file)[1].lower()
        kind = IMAGE_FILE if suffix in IMAGE_SUFFIXES else OTHER_FILE if suffix else BARE_FILE
        if folder not in shape:
            _add_folder(shape, folder)
        shape[folder] = max(shape[folder], kind)
    return shape


def _add_folder(shape: Shape, folder: str) -> None:
    while folder not in shape:
        shape[folder] = NO_FILE
        folder = folder.rpartition("/")[0]


def _telling(shape: Shape) -> int:
    """The least that counts as an image's name."""
    return IMAGE_FILE if IMAGE_FILE in shape.values() else BARE_FILE


def wrappers(shape: Shape) -> list[str]:
    """The prefixes that may be looked through, outermost first: `["", "data/", "data/images/"]`."""
    prefixes, telling = [""], _telling(shape)
    while True:
        tops = _tops(shape, prefixes[-1])
        if len(tops) != 1:
            return prefixes
        prefix = f"{prefixes[-1]}{tops.pop()}/"
        if shape[prefix[:-1]] >= telling or not any(_is_below(folder, prefix) for folder in shape):
            return prefixes
        prefixes.append(prefix)


def _tops(shape: Shape, prefix: str) -> set[str]:
    return {folder[len(prefix) :].partition("/")[0] for folder in shape if _is_below(folder, prefix)}


def _is_below(folder: str, prefix: str) -> bool:
    return folder.startswith(prefix) and len(folder) > len(prefix)


def find_sides(shape: Shape) -> dict[str, Place]:
    """The side of each split folder at the top of a shape; empty unless both sides are there, with folders in them."""
    tops = {folder.partition("/")[0] for folder in shape if folder}
    with_folders = {folder.partition("/")[0] for folder in shape if "/" in folder}
    splits = {top: split for top in tops if (split := split_of_word(top))}
    places = settle_test(split for top, split in splits.items() if top in with_folders)
    if not {place.split for place in places.values()}.issuperset(features.SPLITS):
        return {}
    return {top: places.get(split, Place(ignored="test_folder")) for top, split in splits.items()}


def top_labels(shape: Shape) -> dict[str, str]:
    """Rule 5: the class of each folder is its first level."""
    return {folder: folder.partition("/")[0] for folder in shape}


def nested_labels(shape: Shape) -> dict[str, str]:
    """Rule 6: the class of each folder is its path, without the levels that are the same for all; empty: none.

    A folder is a class where an image is directly in it, or where it is the innermost and no folder around it is one.
    """
    telling = _telling(shape)
    classes = {folder for folder, kind in shape.items() if folder and kind >= telling}
    parents = {folder.rpartition("/")[0] for folder in shape if folder}
    classes |= {folder for folder in shape if folder and folder not in parents and not _class_of(folder, classes)}
    short = dict(zip(sorted(classes), shorten_paths(sorted(classes)), strict=True))
    return {folder: short.get(_class_of(folder, classes), "") for folder in shape}


def _class_of(folder: str, classes: set[str]) -> str:
    """The innermost class folder that a folder is or lies in."""
    while folder and folder not in classes:
        folder = folder.rpartition("/")[0]
    return folder


def shorten_paths(paths: list[str]) -> list[str]:
    """The paths without the levels that are the same for all; at least one level is left, and none become the same."""
    split = [path.split("/") for path in paths]
    for end in (0, -1):
        while split and min(map(len, split)) > 1 and len({path[end] for path in split}) == 1:
            for path in split:
                path.pop(end)
    if len({len(path) for path in split}) == 1 and len(split) > 1:
        varied = [len(set(level)) > 1 for level in zip(*split, strict=True)]
        split = [[part for part, keep in zip(path, varied, strict=True) if keep] for path in split]
    return ["/".join(path) for path in split]


def find_layout(names: list[str], shape: Shape) -> str:
    """The layout of files with these names and their shape: a key of `sources.LAYOUTS`."""
    if find_manifest(names, shape):
        return "manifest"
    if IMAGE_FILE not in shape.values() and any(map(is_tfrecord_name, names)):
        return "tfrecord"
    below = _look_through(shape)
    if find_sides(below):
        return "split_folders"
    return "class_folders" if _has_flat_classes(below) else "nested_folders"


def find_manifest(names: list[str], shape: Shape) -> str:
    """The name of the manifest, empty if there is none."""
    found = {name for name in names if name.rpartition("/")[2] in MANIFESTS}
    prefixes = wrappers(shape)
    tops = _tops(shape, prefixes[-1])
    if len(tops) == 1:
        prefixes.append(f"{prefixes[-1]}{tops.pop()}/")  # the manifest says that it is no class, but a wrapper
    places = (prefix + manifest for prefix in prefixes for manifest in MANIFESTS)
    return next((name for name in places if name in found), "")


def plan_folders(shape: Shape, layout: str) -> Plan | None:
    """How the folders of a shape are read in one of the folder layouts; None where they are not of that layout."""
    prefix, below = wrappers(shape)[-1], _look_through(shape)
    sides = {} if layout == "class_folders" else find_sides(below)
    if layout == "split_folders" and not sides:
        return None
    inner = _below_sides(below, sides) if sides else {folder: (folder, Place()) for folder in below}
    pooled = _pool(below, inner)
    nested = layout == "nested_folders" or (layout == "split_folders" and not _has_flat_classes(pooled))
    labels = nested_labels(pooled) if nested else top_labels(pooled)
    places = {prefix + folder: _place(labels.get(rest, ""), side) for folder, (rest, side) in inner.items()}
    return Plan(places, {place.label for place in places.values() if place.label})


def _look_through(shape: Shape) -> Shape:
    """The shape below its wrappers."""
    prefix = wrappers(shape)[-1]
    return {folder[len(prefix) :]: kind for folder, kind in shape.items() if _is_below(folder, prefix)}


def _pool(shape: Shape, inner: dict[str, tuple[str, Place]]) -> Shape:
    """The shapes of all split folders on top of one another, so that a class is called the same in each."""
    pooled: Shape = {}
    for folder, (rest, side) in inner.items():
        if rest and not side.ignored:
            pooled[rest] = max(pooled.get(rest, NO_FILE), shape[folder])
    return pooled


def _has_flat_classes(shape: Shape) -> bool:
    """Rule 5: whether a top folder has an image directly in it."""
    telling = _telling(shape)
    return any(kind >= telling for folder, kind in shape.items() if "/" not in folder)


def _below_sides(shape: Shape, sides: dict[str, Place]) -> dict[str, tuple[str, Place]]:
    """Of each folder that is or lies in a split folder: its path below it, and its side."""
    parts = ((folder, *folder.partition("/")) for folder in shape)
    return {folder: (rest, sides[top]) for folder, top, _, rest in parts if top in sides}


def _place(label: str, side: Place) -> Place:
    if side.ignored:
        return side
    return Place(label, side.split) if label else Place(ignored="outside_classes")
