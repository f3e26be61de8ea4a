"""Tells class and side of each file from names alone: one set of rules for folders and archives.

1. A `manifest.csv`, `.tsv` or `.jsonl` at the root says everything (`reading.py`).
2. So do other formats that `table.INGEST_FORMATS` tells by content or names, such as TFRecords.
3. A single top folder without an image directly in it is a wrapper, usual in archives, and is looked through; so is the
   only one that holds images, where several folders below it do.
4. Split folders: a level at which the path to every image has the name of a split (`splits.py`), be it above the
   classes or below. A test split is the eval side where there is no validation split, and is left aside where there is
   one; so is a split without class folders.
5. Class folders, where a top folder has an image directly in it: the top folder is the class, and files in folders
   below it belong to it. The level of splits does not count.
6. Otherwise nested folders: the class is the path of folders to the image, such as `animals/cats`, without the levels
   that are the same for all: ImageNet's `n01443537/images/` gives `n01443537`.

Where the outcome is doubtful, a person is asked (`doubts.py`).

A file is named like an image by its suffix; where no file at all has an image's suffix, by having none. In 5 and 6
whatever else is below a class's folder goes with it: its content decides. Files outside are left aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from components.contract import features
from components.sources.layout.filenames import label_of_name, tell_classes
from components.sources.layout.shapes import (
    NO_FILE,
    FolderShape,
    find_wrapper,
    kind_of_file,
    leaf_labels,
    look_below,
    nested_labels,
    telling_of,
    top_labels,
    tops_below,
    wrappers,
)
from components.sources.layout.splits import EVAL, TEST, TRAIN, UNLABELLED, Level, find_level, kinds_with_classes

TRAIN_FOLDERS = ("train", "training")  # the plainest names of each side; `splits.py` knows more
EVAL_FOLDERS = ("validation", "valid", "val", "eval", "evaluation", "test")
MANIFESTS = ("manifest.csv", "manifest.tsv", "manifest.jsonl")


class Placement(NamedTuple):
    """The class and side of the files in a folder, or why they are left aside (`ignored`)."""

    label: str = ""
    split: str = ""
    ignored: str = ""


def settle_test(splits: Iterable[str]) -> dict[str, Placement]:
    """Returns the side of each split that was found: `test` is the eval side only without a validation split."""
    found = set(splits)
    places = {split: Placement(split=split) for split in found if split in features.SPLITS}
    if TEST in found:
        aside = features.EVAL_SPLIT in found
        places[TEST] = Placement(ignored="test_folder") if aside else Placement(split=features.EVAL_SPLIT)
    return places


OUTSIDE = Placement(ignored="outside_classes")


@dataclass(frozen=True)
class FolderPlan:
    """A reading of folders.

    Attributes:
        places: of each folder.
        labels: all classes, those of empty folders too.
        prefix: of the wrapper that was looked through.
        level: of splits.
        sides: where each kind of split goes; empty: there is no level of splits.
        paths: of the folders that have images and count, below wrapper and level of splits.
        nested: whether a class is a path, not a first folder.
        by_name: whether the class of a file stands in its own name.
    """

    places: dict[str, Placement]
    labels: set[str]
    prefix: str = ""
    level: Level | None = None
    sides: dict[str, Placement] | None = None
    paths: frozenset[str] = frozenset()
    nested: bool = False
    by_name: bool = False


def find_layout(names: list[str], shape: FolderShape) -> str:
    """Returns the layout that folders and the names of files tell: a key of `FOLDER_LAYOUTS`."""
    if _named_by_files(names, shape):
        return "file_names"
    below = look_below(shape, find_wrapper(shape))
    if find_level(below):
        return "split_folders"
    return "class_folders" if _has_flat_classes(below) else "nested_folders"


def find_manifest(names: list[str], shape: FolderShape) -> str:
    """Finds the name of the manifest; empty if there is none."""
    found = {name for name in names if name.rpartition("/")[2] in MANIFESTS}
    prefixes = wrappers(shape)
    tops = tops_below(shape, prefixes[-1])
    if len(tops) == 1:
        prefixes.append(f"{prefixes[-1]}{tops.pop()}/")  # the manifest says that it is no class, but a wrapper
    places = (prefix + manifest for prefix in prefixes for manifest in MANIFESTS)
    return next((name for name in places if name in found), "")


def plan_folders(shape: FolderShape, layout: str, names: Iterable[str] = ()) -> FolderPlan | None:
    """Plans how the folders of a shape are read in a folder layout; None where they are not of that layout.

    Args:
        shape: of all files.
        layout: a key of `FOLDER_LAYOUTS`.
        names: of all files, which matter for `file_names` only.
    """
    prefix = find_wrapper(shape)
    below = look_below(shape, prefix)
    rules = FOLDER_LAYOUTS[layout]
    level = rules.find_level(below)
    if rules.needs_level and not level:
        return None
    if rules.by_name:
        return _plan_names(shape, prefix, level, names)
    cut = {folder: level.cut(folder) if level else ("", folder) for folder in below}
    telling = telling_of(shape)
    holding = [cut[folder] for folder, kind in below.items() if kind >= telling]
    sides = _settle_sides(kinds_with_classes(holding), {kind for kind, _ in cut.values()})
    pooled = _pool(below, cut, sides)
    inner = find_wrapper(pooled) if level else ""
    classes = look_below(pooled, inner)
    labels_of = rules.labels_of or (top_labels if _has_flat_classes(classes) else nested_labels)
    labels = {inner + folder: label for folder, label in labels_of(classes).items()}
    places = {
        prefix + name: _place(labels.get(rest, ""), sides.get(kind, OUTSIDE)) for name, (kind, rest) in cut.items()
    }
    paths = frozenset(folder for folder, kind in classes.items() if kind >= telling)
    found = {place.label for place in places.values() if place.label}
    return FolderPlan(places, found, prefix, level, sides if level else None, paths, labels_of is not top_labels)


def _settle_sides(labelled: set[str], found: set[str]) -> dict[str, Placement]:
    """Returns where each kind of split goes; without both sides the content decides. No kind: no splits.

    Args:
        labelled: the kinds with classes in them.
        found: all kinds.
    """
    if found == {""}:
        return {"": Placement()}
    sides = settle_test(labelled - {UNLABELLED, ""})
    if not {side.split for side in sides.values()}.issuperset(features.SPLITS):
        sides = {kind: Placement() for kind in sides}
    if TEST in found and EVAL in sides:
        sides[TEST] = Placement(ignored="test_folder")
    return {kind: Placement(ignored="unlabelled") for kind in found if kind} | sides


def _pool(shape: FolderShape, cut: dict[str, tuple[str, str]], sides: dict[str, Placement]) -> FolderShape:
    """The shapes of all splits on top of one another, so that a class is called the same in each."""
    pooled: FolderShape = {}
    for folder, (kind, rest) in cut.items():
        if rest and kind in sides and not sides[kind].ignored:
            pooled[rest] = max(pooled.get(rest, NO_FILE), shape[folder])
    return pooled


def _has_flat_classes(shape: FolderShape) -> bool:
    """Rule 5: whether a top folder has an image directly in it."""
    telling = telling_of(shape)
    return any(kind >= telling for folder, kind in shape.items() if "/" not in folder)


def _place(label: str, side: Placement) -> Placement:
    if side.ignored:
        return side
    return Placement(label, side.split) if label else OUTSIDE


def _named_by_files(names: list[str], shape: FolderShape) -> bool:
    """Whether all images are together, or in splits without class folders, and names of files tell the class."""
    prefix, telling = find_wrapper(shape), telling_of(shape)
    folders = [folder for folder, kind in shape.items() if kind >= telling]
    level = find_level(look_below(shape, prefix))
    if len(folders) > 1 and not (level and all(level.cut(name[len(prefix) :])[1] == "" for name in folders)):
        return False
    chosen = {f for f in folders if not level or level.cut(f[len(prefix) :])[0] == TRAIN}
    return tell_classes(name for name in names if name.rpartition("/")[0] in chosen and kind_of_file(name) >= telling)


def _plan_names(shape: FolderShape, prefix: str, level: Level | None, names: Iterable[str]) -> FolderPlan:
    """The class of each file stands in its own name; folders tell its side at most."""
    telling = telling_of(shape)
    kinds = {folder: level.cut(folder[len(prefix) :])[0] if level else "" for folder in shape}
    named = [name for name in names if kind_of_file(name) >= telling and label_of_name(name)]
    sides = _settle_sides(
        {kinds[name.rpartition("/")[0]] for name in named}, set(kinds.values()) - ({""} if level else set())
    )
    places = {folder: sides.get(kind, OUTSIDE) for folder, kind in kinds.items()}
    labels = {label_of_name(name) for name in named if not places[name.rpartition("/")[0]].ignored}
    return FolderPlan(places, labels, prefix, level, sides if level else None, by_name=True)


def _no_level(_: FolderShape) -> None:
    """The level of splits where the first folders are said to be classes: `train/` is then a class."""


def _level_or_part(shape: FolderShape) -> Level | None:
    return find_level(shape) or find_level(shape, partly=True)


def _top_level(shape: FolderShape) -> Level | None:
    """A level of splits above the classes; one below them belongs to the class's path."""
    level = find_level(shape)
    return None if level and level.depth else level


class FolderLayout(NamedTuple):
    """A rule by which folders and the names of files tell the class.

    Attributes:
        example: of paths, for people.
        rule: what is said of data that is read so; `{place}` is where the classes are from the splits.
        offer: the place among the layouts that a person is offered where folders are doubtful.
        find_level: finds the level of splits, below the wrapper.
        labels_of: gives each folder, without wrapper and splits, its class; None: by what is in the first folders.
        needs_level: whether data without a level of splits is not of this layout.
        by_name: whether a file's own name tells its class.
    """

    example: str
    rule: str
    offer: int
    find_level: Callable[[FolderShape], Level | None] = find_level
    labels_of: Callable[[FolderShape], dict[str, str]] | None = None
    needs_level: bool = False
    by_name: bool = False


FOLDER_LAYOUTS: dict[str, FolderLayout] = {
    "class_folders": FolderLayout("cats/1.jpg", "the class is the first folder", 2, _no_level, top_labels),
    "split_folders": FolderLayout(
        "train/cats/1.jpg and eval/cats/2.jpg",
        "the class is the folder {place}",
        1,
        _level_or_part,
        needs_level=True,
    ),
    "nested_folders": FolderLayout(
        "animals/cats/1.jpg", "the class is the path of folders", 4, _top_level, nested_labels
    ),
    "leaf_folders": FolderLayout(
        "batch-1/cats/1.jpg and batch-2/cats/2.jpg", "the class is the innermost folder", 3, labels_of=leaf_labels
    ),
    "file_names": FolderLayout(
        "cat.0.jpg and dog.0.jpg", "the class is the file's name without its number", 5, by_name=True
    ),
}
