"""The manifest: a row a file, the counts over it, and the digest that says whether the data changed."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from components.contract import features
from components.contract.limits import FLAT, NO_LOSS
from components.images.findings import DUPLICATE_OF, EXCLUDED, Inspection, is_blank
from components.sources.listing import Source

SHARED = ("label", "split", "format", "reason")  # fields of a row that many rows have alike


@dataclass(slots=True)
class Row:
    """A file, member or record as found: an example, rejected (`reason`), or left aside (`ignored`).

    Attributes:
        name: as in `Source`.
        label: the class name.
        split: `train` or `eval` for an example; what the data said for a rejected file.
        group: as in `Source`.
        sha256: hex digest of the file's content; empty if it was not read.
        bytes: length of the content.
        format: of the source file, such as `jpeg` or `webp`.
        height: pixels, as stored; likewise `width` and `channels`.
        brightness: mean of the luma, 0..255.
        contrast: standard deviation of the luma.
        picture_hash: perceptual hash, 64 hex digits; empty where it would mean nothing.
        flags: keys of `images.FLAGS`.
        reason: why it is no example, a key of `images.REASONS`.
        detail: more on the reason, for people.
        ignored: why it was left aside, a key of `sources.IGNORED`.
        label_found: the class that the data gave it, where `data.corrections` gave it another one.
    """

    name: str
    label: str = ""
    split: str = ""
    group: str = ""
    sha256: str = ""
    bytes: int = 0
    format: str = ""
    height: int = 0
    width: int = 0
    channels: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    picture_hash: str = ""
    flags: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""
    ignored: str = ""
    label_found: str = ""

    @property
    def is_example(self) -> bool:
        """Whether it is neither rejected nor left aside."""
        return not self.reason and not self.ignored

    def reject(self, reason: str, detail: str) -> None:
        """Rejects an example, for a reason."""
        self.reason, self.detail = reason, detail

    def to_json(self) -> str:
        """Writes the row as a line of the manifest, without fields that are empty."""
        values = ((name, getattr(self, name)) for name in Row.__slots__)  # `asdict` copies deeply: 10 times slower
        return json.dumps({name: value for name, value in values if value not in ("", 0, ())})


def make_row(source: Source, found: Inspection) -> Row:
    """Makes the row of an inspected source, before it is compared with any other."""
    values = {name: getattr(found, name) for name in Inspection.__slots__}
    return Row(source.name, source.label, source.split, source.group, **values)


def parse_row(line: str) -> Row:
    """Reads a row from its line in the manifest; texts that many rows have alike are in memory once."""
    values = json.loads(line)
    values |= {name: sys.intern(values[name]) for name in SHARED if name in values}
    return Row(**{**values, "flags": tuple(values.get("flags", ()))})


def digest_rows(rows: Iterable[Row]) -> str:
    """Digests the data: sha256 over name, label, given split, group and content hash (empty: unreadable).

    Args:
        rows: of all sources in the order of their names, before a side was chosen for them. Files that are left aside
            by their name count nothing: a `.DS_Store` changes no fingerprint.
    """
    digest = hashlib.sha256()
    for row in rows:
        line = f"{row.name}\0{row.label}\0{row.split}\0{row.group}\0{row.sha256}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def summarise_rows(rows: Iterable[Row], classes: list[str]) -> dict[str, Any]:
    """Counts the rows of the manifest, as `dataset.json` keeps them.

    Returns:
        `found`, `ignored`, `train`, `eval`, `quarantined`, `duplicates` (copies left out), `corrected` and `excluded`
        (images that `data.corrections` gave another class, or left out), `classes`, `per_class` {split: {class:
        count}}, `bad` {class: files rejected, but neither copies nor excluded ones}, `bad_without_class` (those whose
        class is not known), `reasons` {reason: count}, `ignored_reasons`, `formats` {format of an example's file:
        count}, `flags` {flag: count}, `flat` {class: examples of one colour}, `blank` {class: those of them that are
        black or white}, `bytes`.
    """
    per_class = {split: dict.fromkeys(classes, 0) for split in features.SPLITS}
    bad, flat, blank = (dict.fromkeys(classes, 0) for _ in range(3))
    reasons: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    flags: Counter[str] = Counter()
    size = without_class = corrected = 0
    for row in rows:
        corrected += bool(row.label_found) and row.reason != EXCLUDED
        if row.ignored:
            ignored[row.ignored] += 1
        elif row.reason:
            reasons[row.reason] += 1
            if row.label in bad:
                bad[row.label] += row.reason not in NO_LOSS
            else:  # what cannot even be listed, or has no single class in its row
                without_class += row.reason not in NO_LOSS
        else:
            per_class[row.split][row.label] += 1
            formats[row.format] += 1
            flags.update(row.flags)
            flat[row.label] += FLAT in row.flags
            blank[row.label] += is_blank(row.flags, row.brightness)
            size += row.bytes
    train, evaluation = (sum(per_class[split].values()) for split in features.SPLITS)
    return {
        "found": train + evaluation + reasons.total() + ignored.total(),
        "ignored": ignored.total(),
        "train": train,
        "eval": evaluation,
        "quarantined": reasons.total(),
        "duplicates": reasons[DUPLICATE_OF],
        "corrected": corrected,
        "excluded": reasons[EXCLUDED],
        "classes": classes,
        "per_class": per_class,
        "bad": bad,
        "bad_without_class": without_class,
        "reasons": dict(sorted(reasons.items())),
        "ignored_reasons": dict(sorted(ignored.items())),
        "formats": dict(sorted(formats.items())),
        "flags": dict(sorted(flags.items())),
        "flat": {label: count for label, count in flat.items() if count},
        "blank": {label: count for label, count in blank.items() if count},
        "bytes": size,
    }
