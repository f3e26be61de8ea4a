"""Reads the text files beside an exported SavedModel; TensorFlow is only loaded for remote ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from components.contract import features


def read_labels(model: str | Path) -> list[str]:
    """Reads the class names of an export, in the order of the label index; none where Graft did not make it."""
    return _read(model, features.LABELS_ASSET).splitlines()


def read_facts(model: str | Path) -> dict[str, Any]:
    """Reads what an export is made of; nothing where Graft did not make it."""
    return dict(json.loads(_read(model, features.FACTS_ASSET) or "{}"))


def _read(model: str | Path, name: str) -> str:
    """Reads a file of the export's assets; empty where there is none."""
    path = os.path.join(model, "assets", name)
    if "://" not in path:
        return Path(path).read_text("utf-8") if os.path.isfile(path) else ""
    import tensorflow as tf  # takes seconds to load, and local paths do without

    return str(tf.io.gfile.GFile(path).read()) if tf.io.gfile.exists(path) else ""
