"""`graft models diff`: what differs between two versions, by their passports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.contract import features
from components.errors import InputError
from components.registry import versions

# Section: the passport's keys in it. Everything else of a passport names the version itself.
SECTIONS: dict[str, tuple[str, ...]] = {
    "data": ("dataset", "data_fingerprint", "class_map"),
    "configuration": ("config",),
    "code": ("sources", "lock_sha256", "git"),
    "libraries": ("tfx_line", "libraries"),
    "model": ("model", "weights_sha256", "seeds"),
    "metrics": ("metrics", "parent", "override"),
}
DIGEST_DIGITS = 12  # digits of a digest on the terminal
CLASSES_SHOWN = 10  # classes on the terminal: those whose accuracy moved most
Differences = dict[str, dict[str, tuple[Any, Any]]]


def diff_versions(serving: Path, before: int, after: int) -> Differences:
    """Compares two passports: section -> dotted key -> the values of both, None where one has none.

    Raises:
        InputError: a version has no passport.
    """
    ours, theirs = (describe_passport(serving, number) for number in (before, after))
    return diff_sections(ours, theirs)


def diff_sections(ours: dict[str, dict[str, Any]], theirs: dict[str, dict[str, Any]]) -> Differences:
    """Compares two passports as `flatten_sections` gives them, the one before and the one after."""
    return {
        section: {
            key: (ours[section].get(key), theirs[section].get(key))
            for key in sorted(ours[section].keys() | theirs[section].keys())
            if ours[section].get(key) != theirs[section].get(key)
        }
        for section in SECTIONS
    }


def describe_passport(serving: Path, number: int) -> dict[str, dict[str, Any]]:
    """Reads a version's passport and counts of its data, flat in each section.

    Raises:
        InputError: it has no passport.
    """
    folder = serving / str(number)
    passport = versions.read_passport(folder)
    if not passport:
        raise InputError(
            f"Version {number} of {serving} has no passport: Graft did not push it, nothing is known of it."
        )
    counts = folder / features.EXTRA_ASSETS / features.DATASET_FILE
    if counts.is_file():
        passport["dataset"] = {**passport.get("dataset", {}), **_of_interest(json.loads(counts.read_text("utf-8")))}
    return flatten_sections(passport)


def flatten_sections(passport: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sorts the entries of a passport by section: {section: {dotted key: value}}."""
    return {section: dict(flatten({key: passport.get(key) for key in keys})) for section, keys in SECTIONS.items()}


def _of_interest(dataset: dict[str, Any]) -> dict[str, Any]:
    names = ("per_class", "reasons", "formats", "layout", "duplicates")
    return {name: dataset[name] for name in names if name in dataset}


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields dotted keys and their values; lists are values, and what is None or an empty text is left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif value is not None and value != "":
        yield prefix, value


def to_lines(found: Differences) -> Iterator[str]:
    """Formats the differences, a section after the other, long digests cut; sections without any in one line."""
    for section, rows in found.items():
        if not rows:
            continue
        yield section
        shown = _choose_metrics(rows) if section == "metrics" else rows
        width = min(max((len(_name(key)) for key in shown), default=0), 40)
        yield from (f"  {_name(key):<{width}}  {describe_change(*values)}" for key, values in shown.items())
        if len(shown) < len(rows):
            yield f"  ... and {len(rows) - len(shown)} more, with --json"
    if same := [section for section, rows in found.items() if not rows]:
        yield f"the same: {', '.join(same)}"


def _choose_metrics(rows: dict[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """Chooses the overall metrics with their intervals, and the accuracy of the classes where it moved most."""
    parts = {key: key.split(".") for key in rows}
    tables = {key for key in rows if any(isinstance(v, list) and len(v) > 2 for v in rows[key])}
    overall = [key for key, names in parts.items() if len(names) <= 2 or names[1] == "intervals"]
    classes = [key for key, names in parts.items() if names[1:2] == ["per_class"] and names[-1] == "accuracy"]
    moved = sorted(classes, key=lambda key: -abs((rows[key][1] or 0.0) - (rows[key][0] or 0.0)))[:CLASSES_SHOWN]
    return {key: rows[key] for key in rows if key in {*overall, *moved} - tables}


def _name(key: str) -> str:
    return key.removeprefix("config.").removeprefix("metrics.").removeprefix("dataset.")


def describe_change(before: Any, after: Any) -> str:
    """Describes two values in a few words, with the difference where both are numbers."""
    numbers = [value for value in (before, after) if isinstance(value, (int, float)) and not isinstance(value, bool)]
    delta = f"  ({after - before:+.4g})" if len(numbers) == 2 else ""
    return f"{_short(before)} -> {_short(after)}{delta}"


def _short(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{', '.join(_short(item) for item in value)}]"[:60]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    is_digest = len(text) == 64 and not set(text) - set("0123456789abcdef")
    return text[:DIGEST_DIGITS] if is_digest else text if len(text) <= 60 else f"{text[:57]}..."
