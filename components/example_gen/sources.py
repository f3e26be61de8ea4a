"""From a folder to a list of image files with their label and split: layouts, and what is left aside.

Two layouts are told apart:

- class folders: `data/cats/a.jpg`, `data/dogs/b.jpg`; the split comes from the content (`split.py`);
- split folders with class folders: `data/train/cats/a.jpg`, `data/validation/cats/b.jpg`.

A class is named by its folder; files in folders below it belong to it as well. A `test` folder is the eval split
where there is no validation folder, and is left aside where there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from components import features
from components.errors import InputError

TRAIN_FOLDERS = ("train", "training")
EVAL_FOLDERS = ("validation", "valid", "val", "eval", "evaluation", "test")
IGNORED_NAMES = {"thumbs.db", "desktop.ini", "__macosx"}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"} | {
    ".heic",
    ".heif",
    ".avif",
}


@dataclass(frozen=True)
class Source:
    """One file that may be an image.

    Attributes:
        path: where to read it.
        name: the path relative to the data folder, with `/`.
        label: the class name.
        split: `train` or `eval`; empty where the content decides.
    """

    path: str
    name: str
    label: str
    split: str = ""


@dataclass
class Listing:
    """What a data folder holds.

    Attributes:
        root: the folder.
        layout: in words.
        sources: files that may be images, in the order of their names.
        ignored: names of the files left aside.
        folders: names of all class folders, empty ones too.
    """

    root: str
    layout: str
    sources: list[Source] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)

    @property
    def labels(self) -> list[str]:
        """The class names, sorted: their order is the label index."""
        return sorted({source.label for source in self.sources})


def list_images(path: str) -> Listing:
    """Lists the files of a data folder.

    Raises:
        InputError: no such folder, no images in it, or fewer than two classes.
    """
    root = Path(path)
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise InputError(
            f"data.path: expected a folder of images, found {found} at {path}.\n"
            "Give a folder with one sub-folder a class: --data DIR (or data.path in the configuration)."
        )
    splits = _split_folders(root)
    listing = Listing(str(root), "split folders" if splits else "class folders")
    for folder, split in splits.items() if splits else [(root, "")]:
        _list_classes(folder, root, split, listing)
    if splits:
        listing.ignored += [entry.name for entry in sorted(root.iterdir()) if entry.is_file()]
    listing.sources.sort(key=lambda source: source.name)
    _refuse_unusable(listing)
    return listing


def _split_folders(root: Path) -> dict[Path, str]:
    """The split of each split folder; empty where the layout has none."""
    folders = {entry.name.lower(): entry for entry in sorted(root.iterdir()) if entry.is_dir()}
    train = next((folders[name] for name in TRAIN_FOLDERS if name in folders), None)
    evaluation = next((folders[name] for name in EVAL_FOLDERS if name in folders), None)
    if train is None or evaluation is None or not (_has_folders(train) and _has_folders(evaluation)):
        return {}
    return {train: features.TRAIN_SPLIT, evaluation: features.EVAL_SPLIT}


def _has_folders(folder: Path) -> bool:
    return any(entry.is_dir() and not _is_ignored(entry.name) for entry in folder.iterdir())


def _list_classes(folder: Path, root: Path, split: str, listing: Listing) -> None:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not _is_ignored(entry.name):
            listing.folders.add(entry.name)
            for file in _walk(entry):
                name = file.relative_to(root).as_posix()
                if _is_ignored(file.name) or _is_special(file):
                    listing.ignored.append(name)
                else:
                    listing.sources.append(Source(str(file), name, entry.name, split))
        elif entry.is_file():
            listing.ignored.append(entry.relative_to(root).as_posix())


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, links followed, loops not."""
    seen: set[tuple[int, int]] = set()
    for current, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(current)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not _is_ignored(name))
        yield from (Path(current, name) for name in sorted(files))


def _is_special(file: Path) -> bool:
    """A pipe, a socket or a device: reading it could hold the run for ever."""
    return file.exists() and not file.is_file()


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED_NAMES


def _can_be_a_label(name: str) -> bool:
    """Whether a class name can stand on a line of its own in `labels.txt`."""
    return name.splitlines() == [name] and name == name.encode("utf-8", "ignore").decode("utf-8")


def _refuse_unusable(listing: Listing) -> None:
    if not listing.sources:
        raise InputError(
            f"data.path: found no images in {listing.root} ({len(listing.ignored)} other files).\n"
            "Expected one sub-folder a class with images in it, such as cats/1.jpg and dogs/1.jpg."
        )
    if empty := sorted(listing.folders - set(listing.labels)):
        raise InputError(
            f"data.path: class '{empty[0]}' has no image: its folder in {listing.root} is empty.\n"
            "Add images to it, or remove the folder."
        )
    if odd := [label for label in listing.labels if not _can_be_a_label(label)]:
        raise InputError(
            f"data.path: the folder {odd[0]!r} in {listing.root} cannot name a class: expected UTF-8 on one line.\n"
            "Rename the folder."
        )
    if len(listing.labels) < 2:
        raise InputError(
            f"data.path: a classifier needs at least two classes, found one in {listing.root}: "
            f"'{listing.labels[0]}'.\nPut the images of each class into a sub-folder of their own."
        )
