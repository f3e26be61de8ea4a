"""Slices of the eval set: a name in `evaluator.slices`, and what of an example decides into which slice it falls.

`class` and `size` are made here; any other name is a feature of the examples (`format` is short for `image/format`).
Numbers with many values are cut at the quartiles of the eval set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from components.contract import features
from components.errors import InputError
from components.evaluator.outcomes import group_rows

SIZE_STEPS = (128, 256, 512, 1024)  # pixels of the shorter side; a slice ends before the number
MOST_VALUES = 20  # a numeric feature with more values is cut at its quartiles
NOTHING = "(none)"

Values = Mapping[str, Any]  # feature name -> its first value: str, int, float


def _size(values: Values) -> str:
    side = min(values.get(features.HEIGHT, 0), values.get(features.WIDTH, 0))
    index = int(np.searchsorted(SIZE_STEPS, side, side="right"))
    low, high = (0, *SIZE_STEPS)[index], (*SIZE_STEPS, None)[index]
    return f"{low:,} px or more" if high is None else f"{low:,}-{high - 1:,} px" if low else f"under {high:,} px"


SLICERS: dict[str, Callable[[Values], str]] = {
    "class": lambda values: str(values[features.LABEL_TEXT]),
    "size": _size,
}


def read_values(serialized: bytes) -> dict[str, Any]:
    """The first value of every feature of a serialized tf.Example but the image; bytes as text."""
    values: dict[str, Any] = {}
    for name, feature in tf.train.Example.FromString(serialized).features.feature.items():
        kind = feature.WhichOneof("kind")
        if name == features.IMAGE or kind is None or not getattr(feature, kind).value:
            continue
        value = getattr(feature, kind).value[0]
        values[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return values


def slice_of(name: str, values: Values) -> str | None:
    """Into which slice an example falls, as text; numbers are cut later. None: it has no such feature."""
    if name in SLICERS:
        return SLICERS[name](values)
    value = values.get(name, values.get(f"image/{name}"))
    return None if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def group_images(name: str, texts: list[str | None]) -> dict[str, np.ndarray]:
    """The images of each slice: {slice: int [images in it]}, sorted by name; quartiles for numbers of many values.

    Raises:
        InputError: no example has such a feature.
    """
    if all(text is None for text in texts):
        raise InputError(
            f"evaluator.slices: expected class, size or a feature of the examples, got '{name}', which no eval "
            "example has.\nThe features are named in docs/user-guide.md; `format` means image/format."
        )
    found = sorted({text for text in texts if text is not None})
    if name not in SLICERS and len(found) > MOST_VALUES and all(_is_number(text) for text in found):
        return _quartiles(texts)
    names, places = np.unique([NOTHING if text is None else text for text in texts], return_inverse=True)
    return {str(name): rows for name, rows in zip(names, group_rows(places, len(names)), strict=True)}


def _quartiles(texts: list[str | None]) -> dict[str, np.ndarray]:
    numbers = np.array([np.nan if text is None else float(text) for text in texts])
    edges = np.nanquantile(numbers, [0, 0.25, 0.5, 0.75, 1])
    index = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, 3)
    groups = {}
    for quarter in range(4):
        inside = np.flatnonzero((index == quarter) & ~np.isnan(numbers))
        if len(inside):
            groups[f"quarter {quarter + 1}: {edges[quarter]:.4g} to {edges[quarter + 1]:.4g}"] = inside
    if np.isnan(numbers).any():
        groups[NOTHING] = np.flatnonzero(np.isnan(numbers))
    return groups


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
