"""From a path to a list of what may be images, with label and split, whatever the layout; no image is read.

What a folder or an archive holds is found by `folders.py` and `archives.py`; how it is read by a format of `table.py`.
Everything found is accounted for: it is a source, or in `Listing.ignored` with a reason.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

from components.errors import InputError
from components.files.paths import is_remote
from components.options.data import DataOptions
from components.sources import nested
from components.sources.content import remote
from components.sources.content.readers import describe_error
from components.sources.formats.archives import archive_kind, walk_archive
from components.sources.formats.folders import local_source, walk_folder
from components.sources.labels import refuse_unusable, settle_labels
from components.sources.layout import layouts, shapes
from components.sources.layout.filenames import why_ignored
from components.sources.layout.layouts import FolderShape
from components.sources.listing import Listing, Source, Tree
from components.sources.table import INGEST_FORMATS, file_formats, find_formats, format_alone
from components.sources.tables import finding

ARCHIVES = "an archive (.zip, .tar, .tar.gz, .tgz)"


def list_sources(path: str, options: DataOptions) -> Listing:
    """Lists the labelled sources at a data path.

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
    form, alone = INGEST_FORMATS[layout], format_alone(tree)
    listing = form.list_sources(tree, shape, options) if alone in (None, form) else None
    if listing is None:
        raise InputError(
            f"data.layout: {layout} expects {form.example}; nothing like it was found in {path}.\n"
            "Use data.layout: auto, or one of: " + ", ".join(INGEST_FORMATS) + "."
        )
    listing.notes += [*choice.notes, *nested.say_left(listing.ignored)]
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
    if options.layout != "auto":
        return options.layout, finding.Choice(False)
    if found := next(find_formats(tree, shape), None):
        return found.name, finding.Choice(False)
    layout = layouts.find_layout(names, shape)
    asked = options.model_copy(update={"layout": layout})
    again = replace(tree, ignored=list(tree.ignored))
    choice = finding.choose_labels(tree, options, lambda: INGEST_FORMATS[layout].list_sources(again, shape, asked))
    return ("manifest" if choice.by_tables else layout), choice


def list_images(path: str, options: DataOptions) -> list[Source]:
    """Lists all that may be images at a path, whatever the folders mean; no label is needed.

    Args:
        path: a folder, archive or TFRecord file, local or with a scheme such as `gs://`.
        options: the feature of the image in TFRecords, and limits.

    Raises:
        InputError: no such path, or nothing that can hold images.
    """
    tree = find_tree(path, options)
    shape = shapes.shape_of(file.name for file in tree.files)
    readers = (form.list_images for form in find_formats(tree, shape))
    found = next((read(tree, options) for read in readers if read), None)
    sources = tree.files + tree.refused if found is None else found
    sources = [source for source in sources if not source.name.endswith("/")]
    return sorted(sources, key=lambda source: (source.path, source.position))


def find_tree(path: str, options: DataOptions) -> Tree:
    """Finds all files at a path of any kind, without those that no layout reads; sorted by name.

    In the order of the disk, what is said and asked would differ from machine to machine.

    Raises:
        InputError: nothing is there, or nothing that can hold images.
    """
    tree = _find_at(path, options)
    _leave_corrections(tree, options.corrections)
    nested.open_archives(tree, options)
    tree.files.sort(key=lambda file: file.name)
    return tree


def _leave_corrections(tree: Tree, path: str | None) -> None:
    """Leaves `data.corrections` aside where that lies among the images: it is no table that labels them."""
    if path:
        same = [file for file in tree.files if file.path == path or _is_same_file(file.path, path)]
        tree.ignored += [(file.name, "corrections") for file in same]
        tree.files = [file for file in tree.files if file not in same]


def _is_same_file(path: str, other: str) -> bool:
    if is_remote(other) or os.path.basename(path) != os.path.basename(other):
        return False
    return os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)


def _find_at(path: str, options: DataOptions) -> Tree:
    kind = remote.remote_kind(path) if is_remote(path) else _kind_of(path)
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
    if is_remote(path):
        source = remote.stat_source(name, path)
    else:
        source = local_source(name, path, os.stat(path))
    formats = list(file_formats())
    if told := [file for _, file in formats if not file.is_content and file.is_name(name)]:
        return Tree(path, [source], container=told[0].container)
    if kind := archive_kind(path):
        return walk_archive(path, kind)
    content = nested.kind_of_content(source)
    for layout, file in formats:
        if file.is_content and (layout in (options.layout, content) or file.is_name(name)):
            return Tree(path, [source], container=file.container)
    if content not in ("", nested.IMAGE):
        raise InputError(nested.refusal(path, content))
    *others, last = ARCHIVES, *(file.words for _, file in formats)
    raise InputError(
        f"data.path: expected a folder of images, found a file at {path} that is not\n"
        f"{', '.join(others)} or {last}, or is damaged."
    )


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
    """Makes all names different: `a`, `a#2`, `a#3`; names that were unique stay as they are."""
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
