"""Labels from folders and the names of files, by the rules in `layouts.py`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from components.errors import InputError
from components.options.data import DataOptions
from components.sources.layout import layouts
from components.sources.layout.doubts import refuse_doubtful, refuse_flat, say_understood
from components.sources.layout.filenames import label_of_name
from components.sources.layout.layouts import FOLDER_LAYOUTS, FolderShape, Placement
from components.sources.listing import IngestFormat, Listing, Source, Tree


def list_folders(layout: str, tree: Tree, shape: FolderShape, options: DataOptions) -> Listing | None:
    """Reads the sources of a tree in which folders and the names of files tell the class.

    Raises:
        InputError: nobody said which layout it is, and more than one can be meant.
    """
    names = [file.name for file in tree.files]
    plan = layouts.plan_folders(shape, layout, names)
    if plan is None:
        return None
    if options.layout == "auto":
        _refuse_parts(tree)
        refuse_doubtful(tree.root, names, shape, plan)
    refuse_flat(tree.root, names, shape, plan)
    listing = Listing(tree.root, layout, [], tree.ignored, plan.labels, tree.container)
    for file in tree.files:
        place = _place_of(file, plan)
        if place.ignored and not file.problem:
            listing.ignored.append((file.name, place.ignored))
        else:
            listing.sources.append(replace(file, label=place.label, split=place.split))
    listing.notes = say_understood(plan, layout, listing.ignored, shape)
    return listing


def _place_of(file: Source, plan: layouts.FolderPlan) -> Placement:
    place = plan.places.get(file.name.rpartition("/")[0], layouts.OUTSIDE)
    if not plan.by_name or place.ignored:
        return place
    label = label_of_name(file.name)
    return place._replace(label=label) if label in plan.labels else layouts.OUTSIDE


def _refuse_parts(tree: Tree) -> None:
    """Asks where numbered archives without folders in them may be parts of one whole as well as classes."""
    if tree.parts:
        raise InputError(
            f"data.path: {len(tree.parts)} archives in {tree.root} are numbered, and in none are folders of classes: "
            f"{', '.join(tree.parts[:3])}...\nIf each is a class, say so: data.layout: class_folders. Parts of one "
            "set need a class for each image: folders in them, a manifest, or WebDataset's .cls."
        )


FOLDER_FORMATS = {
    name: IngestFormat(name, layout.example, partial(list_folders, name)) for name, layout in FOLDER_LAYOUTS.items()
}
