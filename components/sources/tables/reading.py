"""From tables of labels to a list of sources."""

from __future__ import annotations

from dataclasses import replace

from components.contract import features
from components.errors import InputError
from components.images.findings import UNLABELLED
from components.options.data import DataOptions
from components.sources.layout.layouts import FolderShape, Placement, find_manifest, settle_test
from components.sources.listing import FileFormat, IngestFormat, Listing, Source, Tree
from components.sources.tables.finding import find_tables, is_table_name, pick_tables
from components.sources.tables.paths import PathFinder
from components.sources.tables.rows import TableRow, load_table, place_of

CONTAINER = "manifest"  # of a listing of a manifest that is given alone
Named = list[tuple[TableRow, Source]]


def list_manifest(tree: Tree, shape: FolderShape, options: DataOptions) -> Listing | None:
    """Lists the rows of a table, or of one a side, as sources; other files beside it are left aside.

    Args:
        tree: a folder or archive with a table in it, or the table alone.
        shape: of the tree's names.
        options: names of columns.

    Raises:
        InputError: a table cannot be read, a row is wrong, or no row names a file that is there.
    """
    alone = tree.container == CONTAINER
    tables = _tables(tree, shape, options, alone)
    if not tables:
        return None
    known = {} if alone else {file.name: file for file in tree.files + tree.aside}
    for table in tables:
        known.pop(table.name, None)
    listing = Listing(tree.root, "manifest", container=tree.container)
    named = [pair for table, side in tables.items() for pair in _read(table, side, known, alone, listing, options)]
    places = settle_test(row.split for row, _ in named if row.split)
    for row, file in named:
        place = places.get(row.split, Placement())
        if place.ignored:
            listing.ignored.append((file.name, place.ignored))
        else:
            listing.sources.append(_label(file, row, place.split))
    if not alone:
        _leave_rest(listing, tree, {file.name for _, file in named}, {table.name for table in tables})
    return listing


def _tables(tree: Tree, shape: FolderShape, options: DataOptions, alone: bool) -> dict[Source, str]:
    """The tables that label a data set, each with its side; empty: the rows or the content say that."""
    if alone:
        return {tree.files[0]: ""}
    files = {file.name: file for file in tree.files}
    if name := find_manifest(list(files), shape):
        return {files[name]: ""}
    found = find_tables(tree, options)
    clear = pick_tables([table for table in found if table.columns], tree.root)
    if found and not clear:
        raise InputError(
            f"data.path: the table {found[0].source.name} in {tree.root} names images, but {found[0].problem}.\n"
            "Mend its paths, or name the columns with data.path_column and data.label_column."
        )
    both = {table.side for table in clear}.issuperset({features.TRAIN_SPLIT}) and len(clear) > 1
    return {table.source: table.side if both else "" for table in clear}


def _read(
    table: Source, side: str, known: dict[str, Source], alone: bool, listing: Listing, options: DataOptions
) -> Named:
    """The rows of one table, each with its file."""
    rows, note = load_table(table, options)
    finder = PathFinder(table, dict(known) if alone else known, alone)
    paths = [row.path for row in rows]
    named = list(zip(rows, finder.find_all(paths), strict=True))
    _refuse_lost(named, table)
    cut = f"; its paths begin with {finder.cut}, which is not here and was left out" if finder.cut else ""
    listing.notes.append(note + cut)
    return [(row if row.split or not side else row._replace(split=side), file) for row, file in named]


def _refuse_lost(named: Named, table: Source) -> None:
    """Stops where no row's file is there: that is one fault of the table, not one a row."""
    if not named or not all(file.problem for _, file in named):
        return
    row, file = named[0]
    raise InputError(
        f"data.path: none of the {len(named):,} rows of {place_of(table)} names a file that can be read; the first is "
        f"{row.path!r}: {file.problem}.\n"
        "Expected paths from the table's folder, absolute ones, or any that end like those of files below it.\n"
        "Put the table beside its images, or name another column of paths with data.path_column."
    )


def _label(file: Source, row: TableRow, split: str) -> Source:
    if row.problem and not file.problem:
        return replace(file, split=split, group=row.group, problem=row.problem, reason=UNLABELLED, declared=True)
    return replace(file, label=row.label, split=split, group=row.group, declared=True)


def _leave_rest(listing: Listing, tree: Tree, used: set[str], tables: set[str]) -> None:
    """Accounts for the files that no row names."""
    others = tree.ignored + [
        (file.name, "manifest" if file.name in tables else "not_in_manifest") for file in tree.files
    ]
    listing.ignored += [(other, why) for other, why in others if other not in used]


def _has_manifest(tree: Tree, shape: FolderShape) -> bool:
    return bool(find_manifest([file.name for file in tree.files], shape))


INGEST_FORMAT = IngestFormat(
    "manifest",
    "a table such as manifest.csv, with the columns path,label",
    list_manifest,
    _has_manifest,
    file=FileFormat(CONTAINER, "a table (.csv, .tsv, .jsonl, .json)", is_table_name),
)
