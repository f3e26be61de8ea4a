"""From a path to a list of what may be images, with label and split, whatever the layout; no image is read.

What a folder or an archive holds is found by `folders.py` and `archives.py`; how it is read by the rules in
`layouts.py`. Everything found is accounted for: it is a source, or in `Listing.ignored` with a reason.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from components.errors import InputError
from components.options.data import DataOptions
from components.sources import nested
from components.sources.content import remote
from components.sources.content.readers import describe_error
from components.sources.formats import tfrecords, webdataset
from components.sources.formats.archives import archive_kind, walk_archive
from components.sources.formats.folders import local_source, walk_folder
from components.sources.labels import refuse_unusable, settle_labels
from components.sources.layout import layouts, shapes
from components.sources.layout.aside import why_ignored
from components.sources.layout.doubts import refuse_doubtful, refuse_flat
from components.sources.layout.filenames import label_of_name
from components.sources.layout.layouts import FolderShape, Placement
from components.sources.layout.understood import say_understood
from components.sources.listing import Listing, Source, Tree
from components.sources.tables import finding, reading

SINGLE_FILES = {reading.CONTAINER: "manifest", tfrecords.CONTAINER: "tfrecord"}  # container -> the layout it must have
SAID = {
    "manifest": "a table names each image and its class",
    "tfrecord": "the class is the feature '{}' of each record",
}
KNOWN_FILES = "an archive (.zip, .tar, .tar.gz, .tgz), a table (.csv, .tsv, .jsonl, .json) or TFRecords (.tfrecord)"


class Layout(NamedTuple):
    """How a layout is read, and what it looks like; for people."""

    read: Callable[[Tree, FolderShape, DataOptions], Listing | None]
    example: str


def list_sources(path: str, options: DataOptions) -> Listing:
    """Lists what a data path holds.

    Args:
        path: a folder, archive, manifest or TFRecord file, local or with a scheme such as `gs://`.
        options: `layout` forces one; names of features and limits.

    Raises:
        InputError: no such path, not of the layout asked for, no images in it, fewer than two classes.
    """
    tree = find_tree(path, options)
    names = [file.name for file in tree.files]
    shape = shapes.shape_of(names, (folder for folder in tree.folders if not why_ignored(folder)))
    layout, choice = _find_layout(tree, names, shape, options)
    fits = SINGLE_FILES.get(tree.container, layout) == layout
    listing = LAYOUTS[layout].read(tree, shape, options) if fits else None
    if listing is None:
        raise InputError(
            f"data.layout: {layout} expects {LAYOUTS[layout].example}; nothing like it was found in {path}.\n"
            "Use data.layout: auto, or one of: " + ", ".join(LAYOUTS) + "."
        )
    said = listing.notes or [SAID[layout].format(options.label_feature)]
    listing.notes = [*said, *choice.notes, *nested.say_left(listing.ignored)]
    if choice.declared:
        listing.sources = [replace(file, declared=file.name in choice.declared) for file in listing.sources]
    listing.sources += tree.refused
    settle_labels(listing, options)
    _name_uniquely(listing)
    listing.sources.sort(key=lambda source: source.name)
    listing.ignored.sort()
    refuse_unusable(listing)
    return listing


def _find_layout(tree: Tree, names: list[str], shape: FolderShape, options: DataOptions) -> tuple[str, finding.Choice]:
    """The layout that is asked for or found out, and what tables beside the images say."""
    if options.layout != "auto" or tree.container in SINGLE_FILES:
        return (SINGLE_FILES[tree.container] if options.layout == "auto" else options.layout), finding.Choice(False)
    if told := _told_by_content(tree, names, shape):
        return told, finding.Choice(False)
    layout = layouts.find_layout(names, shape)
    asked = options.model_copy(update={"layout": layout})
    again = replace(tree, ignored=list(tree.ignored))
    choice = finding.choose(tree, shape, options, lambda: LAYOUTS[layout].read(again, shape, asked))
    return ("manifest" if choice.by_tables else layout), choice


def _told_by_content(tree: Tree, names: list[str], shape: FolderShape) -> str:
    """The layout where names do not tell it; a manifest at the root wins."""
    if layouts.find_manifest(names, shape):
        return ""
    return tree.holds or ("webdataset" if webdataset.has_samples(tree) else "")


def list_images(path: str, options: DataOptions) -> list[Source]:
    """All that may be an image at a path, whatever its folders mean; no label and no second class is needed.

    Args:
        path: a folder, archive or TFRecord file, local or with a scheme such as `gs://`.
        options: the feature of the image in TFRecords, and limits.

    Raises:
        InputError: no such path, or nothing that can hold images.
    """
    tree = find_tree(path, options)
    if tree.container == tfrecords.CONTAINER or tree.holds == "tfrecord":
        found = tfrecords.list_records(tree, None, options.model_copy(update={"label_feature": ""}))
        sources = found.sources if found else []
    else:
        sources = tree.files + tree.refused
    sources = [source for source in sources if not source.name.endswith("/")]
    return sorted(sources, key=lambda source: (source.path, source.position))


def find_tree(path: str, options: DataOptions) -> Tree:
    """All that is at a path, of whatever kind it is, what no layout reads left aside; sorted by name.

    In the order of the disk, what is said and asked would differ from machine to machine.

    Raises:
        InputError: nothing is there, or nothing that can hold images.
    """
    tree = _find_at(path, options)
    nested.open_archives(tree, options)
    tree.files.sort(key=lambda file: file.name)
    return tree


def _find_at(path: str, options: DataOptions) -> Tree:
    kind = remote.kind_of(path) if remote.is_remote(path) else _kind_of(path)
    if kind == "folder":
        return walk_folder(path)
    if not kind:
        raise InputError(
            f"data.path: expected a folder of images, found nothing at {path}.\n"
            "Give a folder with one sub-folder a class: --data DIR (or data.path in the configuration)."
        )
    try:
        return _find_in_file(path, options)
    except OSError as error:
        raise InputError(
            f"data.path: cannot read {path}: {describe_error(error)}.\nGive a folder or a file that you may read."
        ) from error


def _kind_of(path: str) -> str:
    return "folder" if os.path.isdir(path) else "file" if os.path.exists(path) else ""


def _find_in_file(path: str, options: DataOptions) -> Tree:
    name = path.rstrip("/").rpartition("/")[2]
    if remote.is_remote(path):
        source = remote.stat_source(name, path)
    else:
        source = local_source(name, path, os.stat(path))
    if finding.is_table_name(name):
        return Tree(path, [source], container=reading.CONTAINER)
    kind = archive_kind(path)
    if kind:
        return walk_archive(path, kind)
    content = nested.kind_of_content(source)
    if options.layout == "tfrecord" or layouts.is_tfrecord_name(name) or content == nested.RECORDS:
        return Tree(path, [source], container=tfrecords.CONTAINER)
    if content not in ("", nested.IMAGE):
        raise InputError(nested.refusal(path, content))
    raise InputError(
        f"data.path: expected a folder of images, found a file at {path} that is not\n{KNOWN_FILES}, or is damaged."
    )


def list_folders(layout: str, tree: Tree, shape: FolderShape, options: DataOptions) -> Listing | None:
    """All layouts in which folders and the names of files tell the class.

    Raises:
        InputError: nobody said which layout it is, and more than one can be meant.
    """
    names = [file.name for file in tree.files]
    plan = layouts.plan_folders(shape, layout, names)
    if plan is None:
        return None
    if options.layout == "auto":
        nested.refuse_parts(tree)
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


LAYOUTS: dict[str, Layout] = {
    "class_folders": Layout(partial(list_folders, "class_folders"), "cats/1.jpg"),
    "split_folders": Layout(partial(list_folders, "split_folders"), "train/cats/1.jpg and eval/cats/2.jpg"),
    "nested_folders": Layout(partial(list_folders, "nested_folders"), "animals/cats/1.jpg"),
    "leaf_folders": Layout(partial(list_folders, "leaf_folders"), "batch-1/cats/1.jpg and batch-2/cats/2.jpg"),
    "file_names": Layout(partial(list_folders, "file_names"), "cat.0.jpg and dog.0.jpg"),
    "manifest": Layout(reading.list_manifest, "a table such as manifest.csv, with the columns path,label"),
    "tfrecord": Layout(tfrecords.list_records, "train.tfrecord, with a tf.Example a record"),
    "webdataset": Layout(webdataset.list_samples, "shard-000000.tar, with 1.jpg and 1.cls"),
}


def _name_uniquely(listing: Listing) -> None:
    """Gives the second of one name the suffix `#2`, the third `#3`."""
    names = [source.name for source in listing.sources] + [name for name, _ in listing.ignored]
    unique = unique_names(names)
    for index, name in enumerate(unique):
        place = index - len(listing.sources)
        if name is names[index]:
            continue
        if place < 0:
            listing.sources[index] = replace(listing.sources[index], name=name)
        else:
            listing.ignored[place] = (name, listing.ignored[place][1])


def unique_names(names: list[str]) -> list[str]:
    """The names, all different: `a`, `a#2`, `a#3`; those that were unique stay as they are."""
    taken = set(names)
    if len(taken) == len(names):
        return names
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        new = name
        while seen[name] > 1 and new in taken:
            new = f"{name}#{seen[name]}"
            seen[name] += new in taken
        taken.add(new)
        unique.append(new)
    return unique
