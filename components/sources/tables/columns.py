"""Finds the meaning of the columns of a table: by the names that people give them, and by their cells.

Names are compared without case, blanks and punctuation, and in the singular: `File Name`, `file_name` and `filenames`
are one. What is not clear is refused with the columns that were seen, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from components.contract import features
from components.errors import InputError, did_you_mean
from components.options.data import DataOptions
from components.sources.layout.splits import TEST, split_of_word
from components.sources.tables.sheets import FORM, Sheet, names_image


def squeeze(column: str) -> str:
    """Shortens a column's name to compare: `File Names` and `data.file_name` are `filename`."""
    name = re.sub(r"[\W_]+", "", re.split(r"[./]", column)[-1].casefold())
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


# The first that is there is taken; a column whose cells end like images before one whose cells do not.
PATHS = tuple(
    map(
        squeeze,
        (
            *("path", "imagepath", "imgpath", "filepath", "filename", "file", "image", "img", "picture", "photo"),
            *(
                "imagename",
                "imgname",
                "imagefile",
                "imagefilename",
                "imagegcsuri",
                "gcsuri",
                "imageuri",
                "uri",
                "imageurl",
                "url",
            ),
            *("imageid", "imgid", "id", "name"),
        ),
    )
)
# `label` is taken; of the others only one may be there, `class_name` counting as `class`.
LABELS = tuple(
    map(
        squeeze,
        (
            *(
                "label",
                "class",
                "category",
                "target",
                "labelname",
                "classname",
                "categoryname",
                "classlabel",
                "imagelabel",
            ),
            *("choice", "displayname", "species", "breed", "diagnosis", "tag"),
        ),
    )
)
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "dataset", "phase", "usage", "mluse")
FLAG_COLUMNS = {  # a column of yes and no: the side of yes
    **dict.fromkeys(("isvalid", "isval", "isvalidation", "iseval"), features.EVAL_SPLIT),
    "istest": TEST,
    **dict.fromkeys(("istrain", "istraining", "istrainingimage"), features.TRAIN_SPLIT),
}
GROUPS = ("group", "groupid", "patient", "patientid", "subject", "subjectid", "lesionid")
NO_SIDE = {"unassigned": "", "": ""}  # Vertex AI's word for no side
YES, NO = ("1", "1.0", "1.", "true", "yes"), ("0", "0.0", "0.", "false", "no", "")


class Columns(NamedTuple):
    """The columns of a table by their meaning, with names as the sheet has them; empty: there is none.

    Attributes:
        path: of the image.
        label: of the class.
        split: of the side.
        group: of what must stay together.
        classes: a column a class, with a one in that of the image's; instead of `label`.
        rest: of a table without a header: whatever else is in a row is its class.
    """

    path: str
    label: str = ""
    split: str = ""
    group: str = ""
    classes: tuple[str, ...] = ()
    rest: bool = False

    def describe(self) -> str:
        """Describes the columns for people."""
        if self.rest:
            return f"no header, paths in column {self.path}"
        label = f"a column each for {len(self.classes)} classes" if self.classes else f"the class in '{self.label}'"
        more = (f"the {what} in '{name}'" for what, name in (("split", self.split), ("group", self.group)) if name)
        return ", ".join((f"the path in '{self.path}'", label, *more))


def find_columns(sheet: Sheet, options: DataOptions) -> Columns:
    """Finds the meaning of the columns of a table.

    Raises:
        InputError: the path or the class is not told by one column; names the columns that were seen.
    """
    rows = sheet.sample()
    if not sheet.has_header:
        return _without_header(sheet, rows)
    path = find_path(sheet, rows, options)
    group = _first(sheet.columns, GROUPS, {path, options.label_column})
    split = _find_split(sheet, rows, {path, group, options.label_column})
    others = [column for column in sheet.columns if column and column not in (path, split, group)]
    label = _find_label(sheet, others, options)
    if label:
        return Columns(path, label, split, group)
    if len(others) > 1 and rows and all(_is_flag(row.get(column)) for row in rows for column in others):
        return Columns(path, "", split, group, tuple(others))
    raise _refuse(sheet, "a column of classes, such as label,", "label_column")


def find_path(sheet: Sheet, rows: list[dict[str, Any]], options: DataOptions) -> str:
    """Finds the column of paths.

    Raises:
        InputError: there is none, or it is not clear which it is.
    """
    if options.path_column:
        return _asked(sheet, options.path_column, "path_column")
    if twice := [column for column in sheet.columns if column and sheet.columns.count(column) > 1]:
        sheet.fail(1, f"names the column '{twice[0]}' twice", FORM)
    named = [column for key in PATHS for column in sheet.columns if squeeze(column) == key]
    ending = [column for column in sheet.columns if rows and _all_images(row.get(column) for row in rows)]
    for choice in ([column for column in named if column in ending], ending, named):
        if choice and (choice is not ending or len(ending) == 1):
            return choice[0]
    raise _refuse(sheet, "a column of paths, such as path,", "path_column")


def name_path(columns: Iterable[str]) -> str | None:
    """Finds the column of paths by its name alone; None: no column is called like one."""
    squeezed = [(squeeze(column), column) for column in columns]
    return next((column for key in PATHS for name, column in squeezed if name == key), None)


def _all_images(values: Iterable[Any]) -> bool:
    texts = [value for value in values if value not in (None, "")]
    return bool(texts) and all(map(names_image, texts))


def _first(columns: list[str], keys: Iterable[str], taken: set[str | None]) -> str:
    return next((column for key in keys for column in columns if squeeze(column) == key and column not in taken), "")


def _find_split(sheet: Sheet, rows: list[dict[str, Any]], taken: set[str | None]) -> str:
    """The column of sides: `split`, or one that is called alike and holds nothing but names of sides."""
    for key in (*SPLIT_COLUMNS, *FLAG_COLUMNS):
        column = _first(sheet.columns, [key], taken)
        fits = _is_flag if key in FLAG_COLUMNS else _is_side
        if column and (key == "split" or (rows and all(fits(row.get(column)) for row in rows))):
            return column
    return ""


def _is_side(value: Any) -> bool:
    value = "" if value is None else value
    return isinstance(value, str) and (value.strip().lower() in NO_SIDE or bool(split_of_word(value.strip())))


def _is_flag(value: Any) -> bool:
    text = str(value).strip().lower()
    return text in YES or text in NO


def is_yes(value: Any) -> bool:
    """Tells whether a cell of yes and no says yes."""
    return str(value).strip().lower() in YES


def read_side(column: str, value: str) -> str | None:
    """Reads a cell of the split column: `train`, `eval`, `test` or empty; None: it is none of them."""
    if squeeze(column) in FLAG_COLUMNS:
        side = FLAG_COLUMNS[squeeze(column)]
        other = features.EVAL_SPLIT if side == features.TRAIN_SPLIT else features.TRAIN_SPLIT
        return side if is_yes(value) else other
    word = value.strip().lower()
    return NO_SIDE[word] if word in NO_SIDE else split_of_word(word) or None


def _find_label(sheet: Sheet, others: list[str], options: DataOptions) -> str:
    if options.label_column:
        return _asked(sheet, options.label_column, "label_column")
    found = {squeeze(column): column for column in others if squeeze(column) in LABELS}
    if "label" in found:
        return found["label"]
    for key in list(found):
        if f"{key}name" in found:
            del found[key]
    if len(found) > 1:
        raise _refuse(sheet, f"one column of classes, not {' and '.join(sorted(found.values()))}", "label_column")
    return next(iter(found.values()), others[0] if len(others) == 1 else "")


def _asked(sheet: Sheet, name: str, option: str) -> str:
    for column in sheet.columns:
        if column.casefold() == name.casefold():
            return column
    raise _refuse(sheet, f"the column '{name}'", option, did_you_mean(name, sheet.columns))


def _refuse(sheet: Sheet, expected: str, option: str, hint: str = "") -> InputError:
    seen = ", ".join(filter(None, sheet.columns)) or "nothing"
    return InputError(
        f"data.path: expected {expected} in {sheet.name}, found the columns: {seen:.300}.{hint}\n"
        f"Name it with data.{option}."
    )


def _without_header(sheet: Sheet, rows: list[dict[str, Any]]) -> Columns:
    """Vertex AI's import file `[ML_USE,]path,label`, or two columns in any order: by what is in them."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    paths = [column for column in columns if _all_images(row.get(column) for row in rows)]
    sides = [column for column in columns if column not in paths and all(_is_side(row.get(column, "")) for row in rows)]
    others = [column for column in columns if column not in (*paths, *sides[:1])]
    if len(paths) != 1 or not others or all(sum(bool(row.get(column)) for column in others) > 1 for row in rows):
        seen = ", ".join(map(str, rows[0].values())) if rows else "nothing"
        raise InputError(
            f"data.path: expected a path and a class in each line of {sheet.name}, which has no header; found: "
            f"{seen:.200}.\nWrite a first line that names the columns, such as path,label."
        )
    return Columns(paths[0], split=sides[0] if sides else "", rest=True)
