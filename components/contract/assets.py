"""Reads the text files beside an exported SavedModel."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from components.contract import features
from components.files.paths import read_bytes


def read_labels(model: str | Path) -> list[str]:
    """Reads the class names of an export, in the order of the label index; none where Graft did not make it."""
    return _read(model, features.LABELS_ASSET).splitlines()


def read_facts(model: str | Path) -> dict[str, Any]:
    """Reads what an export is made of; nothing where Graft did not make it."""
    return dict(json.loads(_read(model, features.FACTS_ASSET) or "{}"))


def read_temperature(model: str | Path) -> float:
    """Reads what an export's logits were divided by to calibrate them; 1 where that is nothing, or not known."""
    return float(read_facts(model).get(features.TEMPERATURE_FACT, 1.0))


def _read(model: str | Path, name: str) -> str:
    """Reads a file of the export's assets; empty where there is none."""
    try:
        return read_bytes(os.path.join(model, "assets", name)).decode("utf-8")
    except FileNotFoundError:
        return ""
