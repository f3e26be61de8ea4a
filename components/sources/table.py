"""All formats in which data comes with its labels. To add one, write its module and add a row to `INGEST_FORMATS`."""

from __future__ import annotations

from collections.abc import Iterator

from components.sources.content.readers import STORED, read_with
from components.sources.content.streams import MEMBER
from components.sources.formats import folder_layouts, tfrecords, webdataset
from components.sources.listing import FileFormat, IngestFormat, Source, Tree
from components.sources.tables import reading

# The first row that matches is taken; where none does, `layouts.find_layout` chooses of those that have no `matches`.
INGEST_FORMATS: dict[str, IngestFormat] = {
    **folder_layouts.FOLDER_FORMATS,
    "manifest": reading.INGEST_FORMAT,
    "tfrecord": tfrecords.INGEST_FORMAT,
    "webdataset": webdataset.INGEST_FORMAT,
}
IN_ANY_ORDER = ("file", "zip")  # kinds of sources that are fast to read in any order


def format_alone(tree: Tree) -> IngestFormat | None:
    """Returns the format of a tree that is one file, given as the data path; None: the tree is no such file."""
    return next((form for form in INGEST_FORMATS.values() if form.file and form.file.container == tree.container), None)


def find_formats(tree: Tree, shape: dict[str, int]) -> Iterator[IngestFormat]:
    """Yields the formats that a tree's content or names tell; none: its folders must."""
    if alone := format_alone(tree):
        yield alone
        return
    yield from (form for form in INGEST_FORMATS.values() if form.matches and form.matches(tree, shape))


def file_formats() -> Iterator[tuple[str, FileFormat]]:
    """Yields the formats that are told by single files, by name."""
    yield from ((name, form.file) for name, form in INGEST_FORMATS.items() if form.file)


def format_by_name(name: str) -> str:
    """Returns the format of records whose files usually have a name like this one; empty: none."""
    return next((key for key, file in file_formats() if file.is_content and file.is_name(name)), "")


def format_by_content(block: bytes) -> str:
    """Returns the format of records that the first 512 bytes of a file, unpacked, tell; empty: none."""
    return next((key for key, file in file_formats() if file.is_content and file.is_content(block)), "")


def read_source(source: Source, max_bytes: int) -> bytes:
    """Reads the bytes of one source, of whatever format it is; see `readers.read_with`."""
    kind = source.kind
    readers = (form.readers[kind] for form in INGEST_FORMATS.values() if kind in form.readers)
    return read_with(STORED.get(kind) or next(readers), source, max_bytes)


def is_sequential(source: Source) -> bool:
    """Tells whether a source is only fast to read in the order of storage: packed, all before it is unpacked for it.

    So is what is in an archive inside another one, which may be packed there.
    """
    return source.kind not in IN_ANY_ORDER or MEMBER in source.path
