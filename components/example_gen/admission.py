"""Decides what a scan means for a run: whether it may go on, and what is said about it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from components.contract import features
from components.contract.gates import DATA, Gate
from components.contract.limits import (
    FLAT,
    check_bad_fraction,
    check_corrections,
    check_eval_shares,
    check_flat_fraction,
)
from components.errors import GateRefused, InputError
from components.example_gen.scan import Scan
from components.options.data import DataOptions
from components.sources.listing import count_suffixes

CLASSES_NAMED = 10  # of the classes that are refused for one reason


def refuse_data(scan: Scan, options: DataOptions, overridden: bool = False) -> None:
    """Stops where a class is missing or too much of the data is bad.

    Args:
        scan: of all files.
        options: read are `max_bad_fraction` and `max_flat_fraction`.
        overridden: too many bad files do not stop here; DataGate records who said so.

    Raises:
        InputError: see `refuse_empty_class` and `refuse_one_sided_class`.
        GateRefused: over `max_bad_fraction`, in all or in one class, or over `max_flat_fraction` in one; names files.
    """
    refuse_empty_class(scan)
    gate = judge_scan(scan, options)
    if not gate.passed and not overridden:
        raise GateRefused(DATA, gate.reasons, gate.to_dict())
    refuse_one_sided_class(scan)


def judge_scan(scan: Scan, options: DataOptions) -> Gate:
    """Holds unusable and blank files and the split against their limits in `data`, as DataGate will."""
    rejected = (asdict(row) for row in scan.rows if row.reason)
    checks, notes = check_bad_fraction(scan.dataset, rejected, options.max_bad_fraction)
    flat = ({"name": row.name, "label": row.label} for row in scan.rows if row.is_example and FLAT in row.flags)
    more, more_notes = check_flat_fraction(scan.dataset, flat, options.max_flat_fraction)
    warnings = (*check_eval_shares(scan.dataset), *check_corrections(scan.dataset))
    return Gate((*checks, *more, *warnings), notes=(*notes, *more_notes))


def refuse_empty_class(scan: Scan) -> None:
    """Stops where a class has no usable image at all.

    Raises:
        InputError: names the class, its first rejected files with their reasons, and what to do.
    """
    for label in scan.dataset["classes"]:
        if not any(_counts(scan, label)):
            count, examples = _rejected(scan, label)
            raise InputError(
                f"data.path: class '{label}' has no usable image ({count} were rejected).{examples}"
                f"{_left_aside(scan, label)}\n"
                "Replace the files, or remove that class."
            )


def refuse_one_sided_class(scan: Scan) -> None:
    """Stops where a class has usable images on one side of the split only.

    Raises:
        InputError: names the class, its first rejected files with their reasons, what to do, and other such classes.
    """
    one_sided = [label for label in scan.dataset["classes"] if not all(_counts(scan, label))]
    if not one_sided:
        return
    label, *others = one_sided
    train, evaluation = _counts(scan, label)
    empty, other = ("train", "eval") if evaluation else ("eval", "train")
    count, examples = _rejected(scan, label)
    drawn = next((f"\n{row['reason']}." for row in scan.dataset.get("odd_shares", []) if row["class"] == label), "")
    raise InputError(
        f"data.path: class '{label}' has no image on the {empty} side ({train + evaluation} on the {other} side, "
        f"{count} rejected).{examples}{drawn}\n"
        f"Add images to that class, or remove it.{_likewise(others)}"
    )


def _likewise(labels: list[str]) -> str:
    named = ", ".join(f"'{label}'" for label in labels[:CLASSES_NAMED])
    more = f" and {len(labels) - CLASSES_NAMED:,} more" if len(labels) > CLASSES_NAMED else ""
    return f"\nThe same goes for {named}{more}." if labels else ""


def _counts(scan: Scan, label: str) -> tuple[int, int]:
    train, evaluation = (scan.dataset["per_class"][split][label] for split in features.SPLITS)
    return train, evaluation


def _rejected(scan: Scan, label: str) -> tuple[int, str]:
    bad = [row for row in scan.rows if row.label == label and row.reason]
    return len(bad), "".join(f"\n  {row.name}: {row.reason} ({row.detail})" for row in bad[:5])


def _left_aside(scan: Scan, label: str) -> str:
    """Lists suffixes and counts of the files in the class's place that are no images by name or content."""
    pairs = zip(scan.listing.sources, scan.rows, strict=False)
    names = [row.name for source, row in pairs if source.label == label and row.ignored]
    return f"\n  left aside, since neither name nor content is an image's: {count_suffixes(names)}" if names else ""


def write_ledger(path: Path, scan: Scan) -> None:
    """Writes the rejected files, a JSON line each; the file is there even if it is empty."""
    lines = [row.to_json() for row in scan.rows if row.reason]
    path.write_text("".join(line + "\n" for line in lines), "utf-8")


def describe_scan(scan: Scan, seconds: float) -> str:
    """Describes a scan on one line for the terminal; rejected files are counted by reason."""
    data = scan.dataset
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in data["reasons"].items())
    bad = f"; {data['quarantined']:,} quarantined: {reasons}" if reasons else ""
    count = data["leakage_groups"]
    leaks = f"; {count:,} leak{'s' * (count > 1)} between train and eval" if count else ""
    looked = {"rotated": "turned upright", "flat": "of one colour"}
    if data.get("corrected"):
        leaks = f"; {data['corrected']:,} labels corrected{leaks}"
    odd = "".join(f"; {data['flags'][flag]:,} {words}" for flag, words in looked.items() if flag in data["flags"])
    changes = scan.class_map.describe()
    rate = f"{data['found'] / max(seconds, 1e-3):,.0f} files/s"
    read = "" if scan.read == len(scan.listing.sources) else f", {scan.read:,} of them new"
    return (
        f"{data['found']:,} files{read} ({data['layout'].replace('_', ' ')}): {len(data['classes'])} classes, "
        f"{data['train']:,} train + {data['eval']:,} eval images, {rate}{bad}{odd}{leaks}"
        f"{'; ' if changes else ''}{changes}"
    )
