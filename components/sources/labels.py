"""The names of classes, whatever they were read from: which are one, and which cannot be.

All labels pass here: of folders and archives, of tables, of TFRecords, and those that `data.classes` expects.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from components.contract.names import canonical, key_of
from components.errors import InputError
from components.options.data import DataOptions
from components.sources.listing import Listing, count_suffixes
from components.sources.nested import say_aside


def settle_labels(listing: Listing, options: DataOptions) -> None:
    """Makes one class of names that differ in Unicode form or in blanks around them, and says so.

    Raises:
        InputError: a name cannot be a class's, or two differ in case, width or blanks only.
    """
    raw = {source.label for source in listing.sources if source.label} | listing.folders
    for label in sorted(raw):
        _refuse_odd(label, listing.root)
    _refuse_twins({canonical(label) for label in raw}, set(options.classes or []), listing.root)
    if all(label == canonical(label) for label in raw):
        return
    listing.sources = [
        source if source.label == canonical(source.label) else replace(source, label=canonical(source.label))
        for source in listing.sources
    ]
    listing.folders = set(map(canonical, listing.folders))
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(raw):
        spellings[canonical(label)].append(ascii(label))
    listing.notes += [
        f"one class: {' and '.join(names)}, which differ in Unicode form or blanks only"
        for names in spellings.values()
        if len(names) > 1
    ]


def can_name_class(label: str) -> bool:
    """Tells whether a name can be a class's: UTF-8 on one line, with something to see in it."""
    name = canonical(label)
    return name.splitlines() == [name] and name == name.encode("utf-8", "ignore").decode("utf-8") and bool(key_of(name))


def _refuse_odd(label: str, root: str) -> None:
    """Stops where a name cannot stand on a line of its own in `labels.txt`, or is blank."""
    if not can_name_class(label):
        raise InputError(
            f"data.path: {label!r} in {root} cannot name a class: expected UTF-8 on one line.\n"
            "Rename the folder or the class."
        )


def _refuse_twins(found: set[str], expected: set[str], root: str) -> None:
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    for label in found | expected:
        spellings[key_of(label)].add(label)
    for names in spellings.values():
        if len(names) > 1:
            listed = " and ".join(f"'{name}'" for name in sorted(names))
            where = root if len(names & found) > 1 else f"{root} and data.classes"
            raise InputError(
                f"data.path: {listed} in {where} differ in case, width or blanks only: one class, or several?\n"
                "Give them one name where they are one class, else names that differ in letters."
            )


def refuse_unusable(listing: Listing) -> None:
    """Stops where no classifier can be made of a listing.

    Raises:
        InputError: no images, a class without any, or fewer than two classes.
    """
    labels = listing.labels
    if not labels:
        lost = next((f"; {source.name}: {source.problem}" for source in listing.sources), "")
        lost += say_aside(listing.ignored)
        suffixes = count_suffixes(name for name, _ in listing.ignored)
        others = f"{len(listing.ignored)} other files{': ' if suffixes else ''}{suffixes}"
        raise InputError(
            f"data.path: found no images in {listing.root} ({others}{lost}).\n"
            "Expected one sub-folder a class with images in it, such as cats/1.jpg and dogs/1.jpg."
        )
    if empty := sorted(listing.folders - set(labels)):
        raise InputError(
            f"data.path: class '{empty[0]}' has no image: its folder in {listing.root} is empty.\n"
            "Add images to it, or remove the folder."
        )
    if len(labels) < 2:
        raise InputError(
            f"data.path: a classifier needs at least two classes, found one in {listing.root}: "
            f"'{labels[0]}' with {len(listing.sources):,} files{say_aside(listing.ignored)}.\n"
            "Put the images of each class into a sub-folder of their own."
        )
