"""Places inside execution properties, as JSON pointers (RFC 6901) that see through strings which hold JSON.

TFX passes options as JSON in strings, and `custom_config` as JSON that holds more of it:
`/custom_config/options/epochs` is a number all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yields every scalar below a value, with the path to it."""
    inner = _unpacked(value)
    if isinstance(inner, dict):
        for key, child in inner.items():
            yield from leaves(child, (*path, str(key)))
    elif isinstance(inner, list):
        for index, child in enumerate(inner):
            yield from leaves(child, (*path, str(index)))
    else:
        yield path, value


def replace(value: Any, path: Path, text: str) -> Any:
    """Replaces one scalar of a value; the new scalar, given as text, gets the type of the old one.

    Raises:
        KeyError: there is nothing at that path.
        ValueError: the text is no such number.
    """
    if not path:
        return _typed(text, value)
    inner = _unpacked(value)
    if isinstance(inner, dict):
        changed: Any = {**inner, path[0]: replace(inner[path[0]], path[1:], text)}
    elif isinstance(inner, list):
        changed = [replace(c, path[1:], text) if str(i) == path[0] else c for i, c in enumerate(inner)]
    else:
        raise KeyError(path[0])
    return json.dumps(changed, sort_keys=True) if isinstance(value, str) else changed


def to_pointer(path: Path) -> str:
    """Writes a path as a pointer: `("a", "b/c")` as `/a/b~1c`."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def from_pointer(pointer: str) -> Path:
    """Reads a pointer as a path: the inverse of `to_pointer`."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _unpacked(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _typed(text: str, old: Any) -> Any:
    if isinstance(old, bool):
        return text.lower() == "true"
    if isinstance(old, int):
        return int(text)
    if isinstance(old, float):
        return float(text)
    if old is None:
        return None if text in ("", "none") else json.loads(text)
    return text
