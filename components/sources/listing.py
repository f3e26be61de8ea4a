"""Data sets before anything is read: sources that may be images, with their label, split and group.

`IngestFormat` is what each format of the data has in common; `table.py` lists the formats.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from components.images.findings import UNREADABLE
from components.options.data import DataOptions

SHOWN_SUFFIXES = 6

IGNORED = {
    "hidden": "its name, or that of a folder it is in, starts with a dot",
    "system": "written by a system: Thumbs.db, __MACOSX, lost+found, @eaDir, System Volume Information",
    "outside_classes": "in no class's folder",
    "test_folder": "in a test split, beside a validation split",
    "unlabelled": "in a split without class folders",
    "archive": "an archive beside images or records: give it alone as data.path, or unpack it there",
    "records": "TFRecords beside images: read with data.layout: tfrecord",
    "beside_sample": "of a WebDataset sample: its class, or what is neither class nor image",
    "class_names": "the names of the classes, a line each",
    "special": "a pipe, a socket or a device",
    "manifest": "the manifest itself",
    "corrections": "the corrections themselves: data.corrections",
    "not_in_manifest": "the manifest does not name it",
    "not_a_record": "beside TFRecord files, not one itself",
    "not_an_image": "neither its name nor its content is an image's",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file, a member of an archive, or a record that may be an image.

    Attributes:
        name: unique in its listing; relative to the data folder with `/` where there is a folder.
        label: the class name; empty where a problem hides it.
        path: where to read it: the file, or the archive or TFRecord file that it is in; of one that is in an archive
            itself: the archive, a zero byte, the member (`streams.member_path`).
        kind: how to read it: a key of `readers.STORED` (`file`, `zip`, `tar`, `sparse`) or of a format's `readers`.
        position: of a member: its index (`zip`) or byte offset (others) in the unpacked stream.
        split: `train` or `eval`; empty where the content decides.
        group: sources of one group stay on one side; empty: none.
        size: bytes, as listed.
        mtime_ns: of the file at `path`, in ns; 0: unknown.
        inode: of the file at `path`; 0: unknown.
        problem: why it cannot be used, where listing already tells (a broken link, a path that leaves its archive).
        reason: which key of `images.REASONS` a problem is.
        declared: whether a row, a record or the like says that it is an image: it is then never left aside as a
            side-car, which only walking a folder or an archive finds.
    """

    name: str
    label: str
    path: str
    kind: str = "file"
    position: int = 0
    split: str = ""
    group: str = ""
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0
    problem: str = ""
    reason: str = UNREADABLE
    declared: bool = False


@dataclass(slots=True)
class Listing:
    """The sources at a data path.

    Attributes:
        root: the folder, manifest, archive or TFRecord file, as given.
        layout: a key of `table.INGEST_FORMATS`.
        sources: what may be an image, sorted by name.
        ignored: names of the files left aside, each with why: a key of `IGNORED`.
        folders: names of all class folders, empty ones too.
        container: where the files are: `folder`, `zip archive`, `tar archive`, ...; for people.
        notes: how the data was read, and why, a line each; for people.
    """

    root: str
    layout: str
    sources: list[Source] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    container: str = "folder"
    notes: list[str] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """The class names, sorted: their order is the label index."""
        return sorted({source.label for source in self.sources if source.label})


@dataclass(slots=True)
class Tree:
    """All that a folder or an archive holds, before any layout is read into it.

    Attributes:
        root: the folder or archive, as given.
        files: what may be an image, with its name below the root, and no label yet. A name that ends with `/` is a
            folder that could not be listed.
        folders: names of all folders, below the root.
        ignored: as in `Listing`.
        refused: sources with a problem that have no place in the tree.
        aside: files that no layout reads by itself, but that a table may name; they are among `ignored` too.
        container: as in `Listing`.
        records: names of the files that hold several images each, such as TFRecords.
        holds: the format of these files; empty: there are none, or images beside them.
        parts: names of archives that may be parts of one whole as well as classes.
    """

    root: str
    files: list[Source] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    refused: list[Source] = field(default_factory=list)
    aside: list[Source] = field(default_factory=list)
    container: str = "folder"
    records: set[str] = field(default_factory=set)
    holds: str = ""
    parts: list[str] = field(default_factory=list)


Reader = Callable[[Any, int], bytes]  # from a `Source` and the most bytes that it may have to its content


class FileFormat(NamedTuple):
    """A rule that tells whether one file is of a format, alone or among the files of a folder or an archive.

    Attributes:
        container: `Listing.container` where the file is the data path.
        words: such files and their suffixes, for people.
        is_name: whether files of the format usually have a name like this one.
        is_content: whether the first 512 bytes, unpacked, are those of such a file; None: the name alone decides, and
            the images are not in the file.
    """

    container: str
    words: str
    is_name: Callable[[str], bool]
    is_content: Callable[[bytes], bool] | None = None


@dataclass(frozen=True)
class IngestFormat:
    """A form in which data comes with its labels; a module defines one, a row of `table.INGEST_FORMATS` adds it.

    Attributes:
        name: the value of `data.layout` that asks for it.
        example: what it looks like, for people.
        list_sources: reads the labelled sources from a tree, the shape of its folders (`shapes.shape_of`) and the
            options; None where the tree is not of this format.
        matches: whether a tree is of this format where nobody asks for it; None: `layouts.find_layout` tells.
        list_images: reads the sources without labels; None: every file of the tree may be an image.
        file: of formats that are told by single files.
        readers: how to read the bytes of a source, by `Source.kind`, where that is none of `readers.STORED`.
    """

    name: str
    example: str
    list_sources: Callable[[Tree, dict[str, int], DataOptions], Listing | None]
    matches: Callable[[Tree, dict[str, int]], bool] | None = None
    list_images: Callable[[Tree, DataOptions], list[Source] | None] | None = None
    file: FileFormat | None = None
    readers: Mapping[str, Reader] = field(default_factory=dict)


def count_suffixes(names: Iterable[str]) -> str:
    """Counts the files of each suffix, the most frequent first: `12 .xyz, 3 without a suffix`."""
    counts = Counter(posixpath.splitext(name)[1].lower() or "without a suffix" for name in names).most_common()
    more = [f"{sum(count for _, count in counts[SHOWN_SUFFIXES:]):,} others"] if counts[SHOWN_SUFFIXES:] else []
    return ", ".join([f"{count:,} {suffix}" for suffix, count in counts[:SHOWN_SUFFIXES]] + more)
