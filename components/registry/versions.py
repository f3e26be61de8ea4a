"""The serving directory: one folder a version, named by an integer, complete or absent; and which one is served.

TensorFlow Serving takes every sub-folder whose name is a number for a version and ignores the rest, so a version is
written under another name first and renamed into place (`publish.py`). Which one it loads is said by the pointer
(`pointer.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.contract import features
from components.errors import InputError
from components.registry.pointer import POINTER_FILE, Event, Pointer, read_pointer, way_out

PASSPORT_FILE = features.PASSPORT_FILE
SAVED_MODEL_FILE = "saved_model.pb"


def list_versions(serving: Path) -> list[int]:
    """Lists the complete versions of a serving directory, ascending; empty where there is none."""
    return [number for number in list_numbers(serving) if (serving / str(number) / SAVED_MODEL_FILE).is_file()]


def list_numbers(serving: Path) -> list[int]:
    """Lists every entry that is named by a number, complete or not, ascending: names that a new version has not."""
    if not serving.is_dir():
        return []
    names = (entry.name for entry in serving.iterdir())
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


def served_version(serving: Path) -> int | None:
    """Finds the version that is being served; None where nothing was pushed yet.

    The pointer decides. Without one (a directory of an older Graft, or of others), or where it names no version, it is
    the highest, which is what TensorFlow Serving does.

    Raises:
        InputError: the pointer is damaged, or names a version that is not there.
    """
    numbers, pointer = list_versions(serving), read_pointer(serving)
    if pointer is None or pointer.version is None:
        return numbers[-1] if numbers else None
    if pointer.version not in numbers:
        there = ", ".join(map(str, numbers)) or "none"
        raise InputError(
            f"{serving / POINTER_FILE} says that version {pointer.version} is served, which is not there; found: "
            f"{there}.\n{way_out(serving, 'Bring it back, or choose another one')}"
        )
    return pointer.version


def previous_version(serving: Path) -> int | None:
    """Finds the version that a rollback goes back to: the one served before that is still there.

    Raises:
        InputError: the pointer is damaged.
    """
    numbers, pointer = list_versions(serving), read_pointer(serving) or imply_pointer(serving)
    before = [number for number in pointer.stack[:-1] if number in numbers and number != pointer.stack[-1]]
    return before[-1] if before else None


def imply_pointer(serving: Path) -> Pointer:
    """Makes the pointer of a directory that has none: each version was served after the one before it."""
    numbers = list_versions(serving)
    events = [Event(number, "push", read_passport(serving / str(number)).get("created", "")) for number in numbers]
    return Pointer(numbers[-1] if numbers else None, tuple(events))


def best_version(serving: Path) -> int | None:
    """Finds the version with the best accuracy in its passport; the newest of equals; None: no passport has one."""
    rated = []
    for number in list_versions(serving):
        accuracy = read_passport(serving / str(number)).get("metrics", {}).get("accuracy")
        if accuracy is not None:
            rated.append((float(accuracy), number))
    return max(rated)[1] if rated else None


def read_passport(version: Path) -> dict[str, Any]:
    """Reads the passport of one version; empty for a model that Graft did not push.

    Raises:
        InputError: it is damaged.
    """
    path = version / PASSPORT_FILE
    try:
        return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path}: expected a passport, found damaged content ({error}).\n"
            f"Serve another version and remove this one: graft models promote {version.parent} VERSION"
        ) from error
