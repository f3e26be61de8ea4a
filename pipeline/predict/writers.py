"""The forms of the answers. All but the table are written row by row; to add one, add a class and a row to `FORMS`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import IO, Any, Protocol

from components.errors import InputError
from components.images.findings import FLAGS
from components.process import streams
from pipeline.predict.answers import Prediction
from pipeline.predict.refusals import UNKNOWN, UNSURE

REFUSED = {UNKNOWN: "none of these", UNSURE: "unsure"}  # in the place of a label, for people
UNKNOWN_WORDS = (
    "it looks like none of the classes; `outlier` is the share of good images that look less typical. A label is the "
    "nearest guess."
)
ROW_GROUP = 4096  # rows of a Parquet file that are held before they are written


@dataclass(frozen=True)
class AnswerShape:
    """The columns of an answer.

    Attributes:
        names: of the classes, in the order of the label index.
        top_k: so many of the most probable classes only; 0: all.
        overlays: whether rows name the file of their overlay.
        refusals: whether rows say why their answer is refused.
    """

    names: list[str]
    top_k: int = 0
    overlays: bool = False
    refusals: bool = False

    def to_object(self, row: Prediction) -> dict[str, Any]:
        """Makes the JSON object of a row: an answer, whose label is null where it is refused, or an error."""
        if row.error:
            return {"path": row.path, "error": row.error}
        ranked = dict(row.ranked(self.top_k)) if self.top_k else row.probabilities
        answer: dict[str, Any] = {"path": row.path, "label": row.label or None}
        answer |= {"probability": row.probability, "probabilities": ranked}
        said: dict[str, Any] = {"flags": list(row.flags)} if row.flags else {}
        said |= {} if row.known is None else {"outlier": row.outlier, "known": row.known}
        said |= {"refused": row.refused} if row.refused else {}
        return answer | ({"overlay": row.overlay} if self.overlays else {}) | said

    def columns(self) -> list[str]:
        """Lists the columns of CSV and Parquet. A class whose name is a column's gets `class:` before it."""
        fixed = ["path", "label", "probability"]
        last = [*(["overlay"] if self.overlays else []), "error", "flags", "outlier", "known"]
        last += ["refused"] if self.refusals else []
        if self.top_k:
            ranks = range(2, min(self.top_k, len(self.names)) + 1)
            return [*fixed, *(f"{name}_{rank}" for rank in ranks for name in ("label", "probability")), *last]
        taken = {*fixed, *last}
        return [*fixed, *(f"class:{name}" if name in taken else name for name in self.names), *last]

    def to_cells(self, row: Prediction) -> list[Any]:
        """Lists a row's values, one a column; None where there is none."""
        last: list[Any] = [row.overlay or None] if self.overlays else []
        last += [row.error or None, " ".join(row.flags) or None, row.outlier, row.known]
        last += [row.refused or None] if self.refusals else []
        width = len(self.columns())
        if row.error:
            return [row.path, *[None] * (width - 1 - len(last)), *last]
        if self.top_k:
            others: list[Any] = [value for pair in row.ranked(self.top_k)[1:] for value in pair]
        else:
            others = [row.probabilities[name] for name in self.names]
        return [row.path, row.label or None, row.probability, *others, *last]


class Writer(Protocol):
    """Takes rows, one at a time."""

    def write(self, row: Prediction) -> None:
        """Adds a row."""

    def close(self) -> None:
        """Writes what is left; the file is whole then."""


class TableWriter:
    """For people: aligned columns, so all rows are held until the end. Below, the flags that were met are explained."""

    def __init__(self, file: IO[str], shape: AnswerShape) -> None:
        from rich.table import Table

        self._file, self._others, self._overlays = file, (shape.top_k or 4) - 1, shape.overlays
        self._flags, self._knows = set[str](), set[bool]()
        self._table = Table(box=None, pad_edge=False, header_style="bold")
        columns = ("image", "label", "probability", "others", *(("overlay",) if shape.overlays else ()))
        for name in (*columns, "outlier", "known", "flags"):
            is_number = name in ("probability", "outlier")
            self._table.add_column(name, justify="right" if is_number else "left", overflow="fold")

    def write(self, row: Prediction) -> None:
        """Adds a row."""
        from rich.markup import escape

        if row.error:
            self._table.add_row(escape(row.path), "[red]error[/]", "", f"[red]{escape(row.error)}[/]")
            return
        first = 0 if row.refused else 1  # a label that is refused stands among the others
        others = ", ".join(f"{name} {value:.4f}" for name, value in row.ranked()[first : self._others + first])
        overlay = [row.overlay] if self._overlays else []
        knows = ["", ""] if row.known is None else [f"{row.outlier:.3f}", "yes" if row.known else "[yellow]no[/]"]
        label = f"[yellow]{REFUSED[row.refused]}[/]" if row.refused else escape(row.label)
        plain = [f"{row.probability:.4f}", others, *overlay]
        self._flags.update(row.flags)
        self._knows.update(() if row.known is None else (row.known,))
        self._table.add_row(escape(row.path), label, *map(escape, plain), *knows, "\n".join(row.flags))

    def close(self) -> None:
        """Prints the table."""
        from rich.console import Console

        console = Console(file=self._file, highlight=False)
        flags = self._table.columns.pop()
        if not self._knows:  # a version of an older Graft
            del self._table.columns[-2:]
        if self._flags:
            self._table.columns.append(flags)
        console.print(self._table)
        if False in self._knows:
            console.print(f"[bold]known: no[/]: {UNKNOWN_WORDS}", soft_wrap=True)
        for flag in sorted(self._flags):
            console.print(f"[bold]{flag}[/]: {FLAGS[flag]}", soft_wrap=True)


class JsonWriter:
    """One array of objects."""

    def __init__(self, file: IO[str], shape: AnswerShape) -> None:
        self._file, self._shape, self._start = file, shape, "[\n"
        self._in_ascii = not streams.is_unicode(getattr(file, "encoding", None))

    def write(self, row: Prediction) -> None:
        """Writes an object."""
        text = json.dumps(self._shape.to_object(row), indent=2, ensure_ascii=self._in_ascii)
        self._file.write(self._start + indent(text, "  "))
        self._start = ",\n"

    def close(self) -> None:
        """Closes the array."""
        self._file.write("[]\n" if self._start == "[\n" else "\n]\n")


class JsonLinesWriter:
    """An object a line."""

    def __init__(self, file: IO[str], shape: AnswerShape) -> None:
        self._file, self._shape = file, shape
        self._in_ascii = not streams.is_unicode(getattr(file, "encoding", None))

    def write(self, row: Prediction) -> None:
        """Writes a line."""
        self._file.write(json.dumps(self._shape.to_object(row), ensure_ascii=self._in_ascii) + "\n")

    def close(self) -> None:
        """Nothing is left."""


class CsvWriter:
    """A header and a line a row (RFC 4180, with line feeds)."""

    def __init__(self, file: IO[str], shape: AnswerShape) -> None:
        import csv

        self._shape, self._csv = shape, csv.writer(file, lineterminator="\n")
        self._csv.writerow(shape.columns())

    def write(self, row: Prediction) -> None:
        """Writes a line."""
        self._csv.writerow(map(_to_text, self._shape.to_cells(row)))

    def close(self) -> None:
        """Nothing is left."""


def _to_text(cell: Any) -> Any:
    if isinstance(cell, bool):
        return str(cell).lower()
    return f"{cell:.6f}" if isinstance(cell, float) else cell


class ParquetWriter:
    """Columns as in CSV; probabilities are float32."""

    def __init__(self, file: IO[bytes], shape: AnswerShape) -> None:
        from pyarrow import parquet

        self._shape, self._rows = shape, list[list[Any]]()
        self._schema = parquet_schema(shape)
        self._parquet = parquet.ParquetWriter(file, self._schema)

    def write(self, row: Prediction) -> None:
        """Adds a row; writes a group of them now and then."""
        self._rows.append([to_utf_8(cell) for cell in self._shape.to_cells(row)])
        if len(self._rows) == ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Writes the last group and the footer."""
        self._flush()
        self._parquet.close()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = zip(*self._rows, strict=True) if self._rows else [[]] * len(self._schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._parquet.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()


def parquet_schema(shape: AnswerShape) -> Any:
    """Returns the columns of a Parquet file with their types."""
    import pyarrow as pa

    texts = [
        "path",
        "label",
        "overlay",
        "error",
        "flags",
        "refused",
        *(f"label_{n}" for n in range(2, shape.top_k + 1)),
    ]
    types = dict.fromkeys(texts, pa.string()) | {"known": pa.bool_()}
    return pa.schema([(name, types.get(name, pa.float32())) for name in shape.columns()])


def to_utf_8(cell: Any) -> Any:
    """Makes the text of a cell UTF-8: names of files may be any bytes."""
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell


FORMS: dict[str, Any] = {
    "table": TableWriter,
    "json": JsonWriter,
    "jsonl": JsonLinesWriter,
    "csv": CsvWriter,
    "parquet": ParquetWriter,
}


def form_of(form: str | None, output: Path | None) -> str:
    """Returns the form of answers: as said, or by the suffix of the output; a table where nothing is said.

    Raises:
        InputError: Parquet without a file.
    """
    chosen = form or (output.suffix.lstrip(".").lower() if output else "table")
    if chosen not in FORMS:
        raise InputError(f"--output {output}: cannot tell the form by its suffix.\nGive --format {'|'.join(FORMS)}.")
    if chosen == "parquet" and output is None:
        raise InputError("--format parquet: Parquet is no text for a terminal.\nGive --output FILE.")
    return chosen


@contextmanager
def open_writer(form: str, output: Path | None, shape: AnswerShape) -> Iterator[Writer]:
    """Opens a writer on standard output, or on a file that gets its name only when it is whole."""
    if output is None:
        writer: Writer = FORMS[form](sys.stdout, shape)
        yield writer
        writer.close()
        return
    # Rows are streamed and may not fit into memory, so `write_atomically`, which takes whole contents, cannot serve.
    partial = output.with_name(f".{output.name}.partial")
    options: dict[str, Any] = {"mode": "wb"} if form == "parquet" else {"mode": "w", "encoding": "utf-8"}
    if form != "parquet":
        options |= {"errors": "backslashreplace", "newline": ""}
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        file = open(partial, **options)  # noqa: SIM115  closed below, before it gets its name
    except OSError as error:
        raise InputError(f"--output {output}: cannot write there: {error.strerror}.") from error
    try:
        with file:
            writer = FORMS[form](file, shape)
            yield writer
            writer.close()
        os.replace(partial, output)
    finally:
        partial.unlink(missing_ok=True)
