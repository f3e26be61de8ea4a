"""Corrections that people give on the page: images with the right label, as a manifest that the next run takes as data.

    DIR/images/<sha256>.<suffix>    the image as it was sent
    DIR/manifest.csv                a row an image; the last word counts where an image was corrected twice

The manifest is replaced whole, under a lock that also other servers with the same folder take. A row is written after
its image, so that whatever ends a server leaves no row without an image.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import time
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from components.contract.names import canonical, key_of
from components.errors import InputError, first_line
from components.files.paths import is_remote, write_atomically
from components.images.formats import IMAGE_FORMATS, find_format
from components.options.data import DataOptions
from components.registry.pointer import locked, write_synced
from components.sources.labels import can_name_class
from components.sources.tables.rows import parse_table
from pipeline.serve.rest import ServingError, invalid

MANIFEST = "manifest.csv"
IMAGES = "images"
FIELDS = ("path", "label", "predicted", "version", "time")
LONGEST_LABEL = 255  # characters
SUFFIXES = {form.name: form.suffixes[0] for form in IMAGE_FORMATS if not form.way_out}


@dataclass(frozen=True)
class Correction:
    """What a person says of an image.

    Attributes:
        content: of the image file, which was checked.
        label: as it was chosen or typed.
        predicted: the label that the model gave.
        version: of the model that gave it.
    """

    content: bytes
    label: str
    predicted: str
    version: int


@dataclass(frozen=True)
class Recorded:
    """What became of a correction.

    Attributes:
        label: as the manifest has it.
        replaced: the label that an earlier correction of the same image gave; empty: there was none.
        images: corrected images in the manifest.
    """

    label: str
    replaced: str
    images: int


@dataclass(frozen=True)
class Corrections:
    """The folder of `--collect`."""

    folder: Path

    @classmethod
    def open(cls, folder: str) -> Corrections:
        """Makes the folder, and holds what is there against what would be written.

        Raises:
            InputError: it is remote, cannot be written, or has a manifest of somebody else.
        """
        if is_remote(folder):
            raise InputError(f"--collect: expected a folder of this machine, got {folder}.\nCopy it there afterwards.")
        made = cls(Path(folder))
        try:
            (made.folder / IMAGES).mkdir(parents=True, exist_ok=True)
            with locked(made.folder):
                made.read()
                probe = made.folder / IMAGES / f".write-{os.getpid()}"
                probe.touch()
                probe.unlink()
        except OSError as error:
            raise InputError(
                f"--collect: cannot write into {folder}: {error.strerror or error}.\n"
                "Choose a folder that you may write."
            ) from error
        return made

    @property
    def manifest(self) -> Path:
        """The table of images and labels."""
        return self.folder / MANIFEST

    def read(self) -> dict[str, dict[str, str]]:
        """Reads the rows by their path.

        Raises:
            InputError: the manifest is not one of `graft serve`.
            OSError: it cannot be read.
        """
        try:
            text = self.manifest.read_text("utf-8-sig")
            reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
            rows = list(reader)
        except FileNotFoundError:
            return {}
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"--collect: cannot read {self.manifest}: {first_line(error)}.\n{OTHER_FOLDER}") from error
        if set(reader.fieldnames or FIELDS) != set(FIELDS) or any(None in row.values() or None in row for row in rows):
            raise InputError(
                f"--collect: expected the columns {','.join(FIELDS)} in {self.manifest}, found "
                f"{','.join(reader.fieldnames or []):.200}.\n{OTHER_FOLDER}"
            )
        return {row["path"]: row for row in rows}

    def record(self, correction: Correction, classes: Iterable[str]) -> Recorded:
        """Writes an image and its row; an earlier row of the same image gives way.

        Args:
            correction: what a person says.
            classes: of the model. A label that differs from one of them in case, width or blanks only is that class.

        Raises:
            ServingError: 400 the label cannot name a class; 500 it cannot be written.
        """
        label = settle_label(correction.label)
        suffix = SUFFIXES.get(find_format("", correction.content), "")
        path = f"{IMAGES}/{hashlib.sha256(correction.content).hexdigest()}{suffix}"
        try:
            (self.folder / IMAGES).mkdir(parents=True, exist_ok=True)  # somebody may have moved it away meanwhile
            with locked(self.folder):
                return self._record(correction, path, label, classes)
        except (OSError, InputError) as error:
            raise ServingError(500, f"The correction is not written: {first_line(error)}") from error

    def _record(self, correction: Correction, path: str, label: str, classes: Iterable[str]) -> Recorded:
        rows = self.read()
        known = {key_of(name): name for name in (*(row["label"] for row in rows.values()), *classes)}
        label = known.get(key_of(label), label)
        for row in rows.values():  # of an earlier version, which spelt the class otherwise
            row["label"] = label if key_of(row["label"]) == key_of(label) else row["label"]
        before = rows.pop(path, None)
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        values = (path, label, correction.predicted, str(correction.version), moment)
        rows[path] = dict(zip(FIELDS, values, strict=True))
        _refuse_misread(rows[path])
        if not (self.folder / path).exists():
            write_atomically(str(self.folder / path), correction.content)
        write_synced(self.manifest, format_rows(rows.values()))
        return Recorded(label, before["label"] if before else "", len(rows))


OTHER_FOLDER = "Give a folder of its own, which `graft serve` fills."


def settle_label(label: str) -> str:
    """Gives a label as ingest has it.

    Raises:
        ServingError: 400, it cannot name a class.
    """
    name = canonical(label)
    odd = next((letter for letter in name if unicodedata.category(letter) == "Cc"), "")
    if len(name) > LONGEST_LABEL:
        raise invalid(f"label: expected at most {LONGEST_LABEL} characters, received {len(name):,}")
    if odd or not can_name_class(name):
        raise invalid(f"label: expected the name of a class, on one line, received {label!r:.100}")
    return name


def format_rows(rows: Iterable[dict[str, str]]) -> str:
    """Writes rows as CSV with a header."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _refuse_misread(row: dict[str, str]) -> None:
    """Refuses a row that ingest would not read as it is meant, such as JSON in the place of a label.

    Raises:
        ServingError: 400.
    """
    try:
        (found,), _ = parse_table(format_rows([row]).encode(), MANIFEST, DataOptions())
    except (InputError, ValueError) as error:
        raise invalid(f"label: ingest could not read {row['label']!r:.100}: {first_line(error)}") from error
    if (found.path, found.label) != (row["path"], row["label"]):
        raise invalid(f"label: ingest would read {found.label!r:.100} in the place of {row['label']!r:.100}")
