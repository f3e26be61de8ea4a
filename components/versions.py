"""The serving directory's layout: one folder a version, named by an integer, complete or absent.

TensorFlow Serving loads every sub-folder whose name is a number and ignores the rest, so a version is written
under another name first and renamed into place (see `components/pusher.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PASSPORT_FILE = "passport.json"
SAVED_MODEL_FILE = "saved_model.pb"


def list_versions(serving: Path) -> list[int]:
    """The complete versions of a serving directory, ascending; empty where there is none."""
    if not serving.is_dir():
        return []
    return sorted(
        int(entry.name)
        for entry in serving.iterdir()
        if entry.name.isascii() and entry.name.isdecimal() and (entry / SAVED_MODEL_FILE).is_file()
    )


def served_version(serving: Path) -> int | None:
    """The version that TensorFlow Serving answers with by default (the highest), or None."""
    versions = list_versions(serving)
    return versions[-1] if versions else None


def read_passport(version: Path) -> dict[str, Any]:
    """The passport of one version; empty for a model that Graft did not push."""
    path = version / PASSPORT_FILE
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}
