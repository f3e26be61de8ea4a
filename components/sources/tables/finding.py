"""Chooses the table that labels the images of a folder or an archive, unless its folders say otherwise.

A table labels images where the paths in it lead to files that are there, whatever it is called and whatever else lies
beside it. Only the starts of tables near the root are read to know that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from components.contract import features
from components.contract.names import key_of
from components.errors import InputError
from components.images.formats import IMAGE_SUFFIXES
from components.options.data import DataOptions
from components.sources.content.readers import read_stored
from components.sources.content.streams import UNPACK_ERRORS, Unreadable, member_path, open_unpacked
from components.sources.formats.tfrecords import side_of_name
from components.sources.layout import shapes
from components.sources.listing import Listing, Source, Tree
from components.sources.tables.columns import PATHS, Columns, find_columns, squeeze
from components.sources.tables.paths import PathFinder
from components.sources.tables.rows import LARGEST_TABLE, TableRow, load_table
from components.sources.tables.sheets import Sheet, names_image, read_sheet

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
TABLE_START = 1 << 18  # bytes that tell whether it is one
MANY = 50  # tables in a folder: they are data, one an image
NO_LABELS = re.compile(r"submission", re.IGNORECASE)  # of Kaggle: what an answer looks like, with made-up classes
IMAGE_NAMES = re.compile(rb'"[^"]*\.(?:%s)"' % "|".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES)).encode(), re.I)
NO_CLASS_NAME = re.compile(  # a split or a kind of file; whatever numbers and words are around it
    r"(?:.*[\W_\d])?(?:train(?:ing)?|test(?:ing)?|val(?:id|idation)?|eval(?:uation)?|dev|images?|imgs?|pictures?|photos?"
    r"|jpe?gs?|pngs?|data)(?:[\W_\d].*)?",
    re.IGNORECASE,
)


class Choice(NamedTuple):
    """Whether tables label the images.

    Attributes:
        by_tables: or the folders, with which tables may agree.
        notes: what was understood of the tables, for people.
        declared: files that the tables name, where they agree with the folders.
    """

    by_tables: bool
    notes: tuple[str, ...] = ()
    declared: frozenset[str] = frozenset()


@dataclass
class Table:
    """A table whose paths lead to files.

    Attributes:
        source: its file.
        columns: what they mean; None where that is not clear.
        problem: why it is not clear; a line.
        is_elsewhere: whether its paths are those of images, of which none is here.
        side: `train`, `eval` or `test` by its name or folder, where that says so.
    """

    source: Source
    columns: Columns | None = None
    problem: str = ""
    is_elsewhere: bool = False
    side: str = field(init=False)

    def __post_init__(self) -> None:
        self.side = side_of_name(re.sub(r"\d+", "", self.source.name))  # COCO's instances_train2017.json


def is_table_name(name: str) -> bool:
    """Tells whether a file is taken for a table by its suffix."""
    return name.lower().endswith(TABLE_SUFFIXES)


def choose_labels(tree: Tree, options: DataOptions, by_folders: Callable[[], Listing | None]) -> Choice:
    """Decides whether the images of a folder or an archive are labelled by tables or by their folders.

    Args:
        tree: of the folder or archive, without a manifest at its root.
        options: names of columns.
        by_folders: reads the tree by its folders; None, or an `InputError`, where they say nothing.

    Raises:
        InputError: tables and folders say different things, or a table or which one is not understood.
    """
    found = find_tables(tree, options)
    if not found:
        return Choice(False)
    folders = _labels_of_folders(by_folders)
    near = [table for table in found if not table.is_elsewhere]
    if folders and not near:
        return Choice(False, tuple(f"{table.source.name} names images, but none of these: not used" for table in found))
    found = near or found
    unclear = [table for table in found if table.columns is None]
    if unclear and len(unclear) == len(found):
        raise _ask(
            tree,
            f"the table {unclear[0].source.name} names images, but {unclear[0].problem}",
            unclear,
            bool(folders),
        )
    clear = pick_tables([table for table in found if table.columns], tree.root, bool(folders))
    return _compare(tree, clear, folders, options) if folders else Choice(True)


def find_tables(tree: Tree, options: DataOptions) -> list[Table]:
    """Finds all tables near the root whose paths lead to files of the tree."""
    known = {file.name: file for file in tree.files}
    tables = (_look_at(source, known, options) for source in _candidates(tree))
    return [table for table in tables if table]


def _candidates(tree: Tree) -> list[Source]:
    """Files that may be tables: at the root, below its wrappers, and one folder further down."""
    shape = shapes.shape_of(file.name for file in tree.files)
    deepest = shapes.wrappers(shape)[-1].count("/") + 1
    stems = {name.rpartition(".")[0] for name in (file.name for file in tree.files) if names_image(name)}
    near = [
        file
        for file in tree.files
        if is_table_name(file.name)
        and file.name.count("/") <= deepest
        and file.name.rpartition(".")[0] not in stems
        and not NO_LABELS.search(file.name.rpartition("/")[2])
        and not file.problem
    ]
    counts = Counter(file.name.rpartition("/")[0] for file in near)
    return [file for file in near if counts[file.name.rpartition("/")[0]] <= MANY]


def _look_at(source: Source, known: dict[str, Source], options: DataOptions) -> Table | None:
    try:
        sheet = _read_head(source)
    except (InputError, Unreadable, OSError, *UNPACK_ERRORS):
        return None
    if sheet is None:
        return None
    rows = sheet.sample()
    finder = PathFinder(source, known)
    try:
        columns = find_columns(sheet, options)
    except InputError as error:
        paths = [column for column in sheet.columns if squeeze(column) in PATHS or _names_images(rows, column)]
        if len(sheet.columns) > 1 and any(leads(finder, rows, column) for column in paths):
            return Table(source, problem=str(error).removeprefix("data.path: ").splitlines()[0])
        return None
    if leads(finder, rows, columns.path):
        return Table(source, columns)
    if not _names_images(rows, columns.path):
        return None
    return Table(source, problem="none of them is there", is_elsewhere=True)


def _read_head(source: Source) -> Sheet | None:
    """The start of a table as a sheet, up to its last whole line; all of a JSON document that names images."""
    with open_unpacked(member_path(source)) as stream:
        head = stream.read(TABLE_START)
    if len(head) == TABLE_START:
        if not source.name.lower().endswith(".json"):
            head = head[: head.rfind(b"\n") + 1]
        elif IMAGE_NAMES.search(head):
            head = read_stored(source, LARGEST_TABLE)
        else:
            return None
    return read_sheet(head, source.name)


def _names_images(rows: list[dict[str, object]], column: str) -> bool:
    return any(names_image(row.get(column)) for row in rows)


def leads(finder: PathFinder, rows: list[dict[str, object]], column: str) -> bool:
    """Tells whether at least half of the paths in a column lead to files of the tree."""
    paths = [str(row[column]) for row in rows if row.get(column) not in (None, "")]
    finder.settle(paths)
    found = sum(not finder.find(path).problem for path in paths)
    return bool(found) and 2 * found >= len(paths)


def pick_tables(tables: list[Table], root: str, has_folders: bool = False) -> list[Table]:
    """Picks the tables that label a data set together: one, or one a side.

    Raises:
        InputError: there are several, and which is meant is not clear.
    """
    if len(tables) < 2:
        return tables
    sides = [table.side for table in tables]
    if all(sides) and len(set(sides)) == len(sides) and features.TRAIN_SPLIT in sides:
        return tables
    names = ", ".join(table.source.name for table in tables)
    raise InputError(
        f"data.path: several tables in {root} label its images: {names:.400}.\n"
        f"Say which: {_give(tables[0].source)}{_or_folders(has_folders)}"
    )


def _give(table: Source) -> str:
    return f"--data {table.path}" if table.kind == "file" else "unpack the archive, and give --data TABLE"


def _or_folders(has_folders: bool) -> str:
    return "; or go by the folders: --set data.layout=class_folders." if has_folders else "."


def _labels_of_folders(by_folders: Callable[[], Listing | None]) -> dict[str, Source]:
    """The files with the classes that their folders give; nothing where those are no classes."""
    try:
        listing = by_folders()
    except InputError:
        return {}
    files = {} if listing is None else {source.name: source for source in listing.sources}
    labels = {source.label for name, source in files.items() if source.label and not is_table_name(name)}
    return {} if len(labels) < 2 or all(map(NO_CLASS_NAME.fullmatch, labels)) else files


def _compare(tree: Tree, tables: list[Table], folders: dict[str, Source], options: DataOptions) -> Choice:
    """Goes by the folders where the tables say the same of the same files; by the tables where they name more."""
    subject = " and ".join(table.source.name for table in tables)
    subject = f"the table {subject} gives" if len(tables) == 1 else f"the tables {subject} give"
    named = [pair for table in tables for pair in _name_files(tree, table.source, options)]
    known = {file.name for file in tree.files}
    rows = [(row, folders.get(file.name, file)) for row, file in named if file.name in known]
    pairs = {(_class_of(place), key_of(row.label)) for row, place in rows}
    others = {_class_of(place) for place in folders.values()}
    if not _is_one_to_one(pairs) or any(label != folder and label in others for folder, label in pairs):
        raise _ask(tree, f"{subject} its images other classes than the folders", tables)
    more = {"split"} if any(row.split and not place.split for row, place in rows) else set()
    more |= {"group"} if any(row.group for row, _ in rows) else set()
    if more:
        raise _ask(tree, f"{subject} a {' and a '.join(sorted(more))} beside the classes of its folders", tables)
    declared = frozenset(file.name for _, file in named)
    if len(rows) == len(named):
        return Choice(False, (f"the classes of the folders are those that {subject}",), declared)
    if not all(name in declared for name, place in folders.items() if place.label and names_image(name)):
        raise _ask(tree, f"{subject} classes to other files than the folders", tables)
    return Choice(True, (f"{subject} the classes of the folders, to more files",))


def _name_files(tree: Tree, table: Source, options: DataOptions) -> list[tuple[TableRow, Source]]:
    rows, _ = load_table(table, options)
    finder = PathFinder(table, {file.name: file for file in tree.files})
    return list(zip(rows, finder.find_all([row.path for row in rows]), strict=True))


def _class_of(place: Source) -> str:
    """Returns the key of the class that a file's folder gives: of its last level."""
    return key_of(place.label.rpartition("/")[2])


def _is_one_to_one(pairs: set[tuple[str, str]]) -> bool:
    """Whether each folder has one class and each class one folder; no class, or no folder, is none."""
    folders, labels = {folder for folder, _ in pairs}, {label for _, label in pairs}
    return len(folders) == len(pairs) == len(labels) and "" not in folders | labels


def _ask(tree: Tree, found: str, tables: list[Table], has_folders: bool = True) -> InputError:
    alone = len(tables) == 1 and tables[0].source.kind == "file"
    how = _give(tables[0].source) if alone else "--set data.layout=manifest"
    columns = "" if tables[0].columns else ", with data.path_column and data.label_column"
    return InputError(
        f"data.path: which classes are meant in {tree.root}? {found[0].upper()}{found[1:]}.\n"
        f"Go by the table: {how}{columns}{_or_folders(has_folders)}"
    )
