"""Paths in a configuration, written out: `~`, `$NAME` and `${NAME}`, and what is relative to the file it stands in.

Which options are paths, their fields say (`path=` in `components/options`), so that none can be forgotten here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from components.errors import InputError
from components.options.base import POD_PATH
from components.trainer.backbones.table import path_in

VARIABLE = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([^}]*)\})")
NAMES = ("imagenet", "none")  # of weights: no files
BACKBONE = "trainer.backbone"  # a path, a name, or a path behind a prefix


def fill_paths(content: dict[str, Any], model: type[BaseModel], origin: str | None = None) -> None:
    """Writes paths out: `~`, `$NAME`, `${NAME}`, and what is relative to a file.

    Args:
        content: of a configuration; changed in place.
        model: of all options: says which are paths.
        origin: the file that it is from; None: relative paths stay.

    Raises:
        InputError: names a variable that is not set, or a home that is none.
    """
    for section, key, kind, name in list(find_paths(model, content, "")):
        try:
            if kind == POD_PATH:
                section[key] = expand(section[key], name, has_home=False)
            else:
                section[key] = full_path(section[key], name, Path(origin).parent if origin else None)
        except InputError as error:
            raise InputError(f"{origin}: {error}" if origin else str(error)) from error


def find_paths(
    model: type[BaseModel], content: Any, prefix: str
) -> Iterator[tuple[dict[str, Any], str, dict[str, Any], str]]:
    """Section, key, kind and dotted name of every path that is given, as the fields of the options are marked."""
    for key, info in model.model_fields.items() if isinstance(content, dict) else ():
        value, name = content.get(key), f"{prefix}{key}"
        extra = info.json_schema_extra
        if isinstance(extra, dict) and "path" in extra and isinstance(value, str):
            yield content, key, extra, name
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for inner in _models(info.annotation):
            yield from find_paths(inner, value, f"{name}.")
            for index, item in items:
                yield from find_paths(inner, item, f"{name}.{index}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def full_path(value: str, name: str, folder: Path | None) -> str:
    """A path of this machine; one that is there as it is written is not expanded. What stands before it stays."""
    path = (path_in(value) if name == BACKBONE else "") or value
    before = value.removesuffix(path)
    written = _anchored(path, name, folder)
    return before + (written if os.path.lexists(written) else _anchored(expand(path, name), name, folder))


def _anchored(value: str, name: str, folder: Path | None) -> str:
    is_name = value in NAMES or (name == BACKBONE and not path_in(value))
    if folder is None or is_name or ":" in value or Path(value).is_absolute():
        return value
    return str(folder / value)


def expand(text: str, name: str, has_home: bool = True) -> str:
    """A path with the user's home and environment variables in their places; `$$` is a dollar.

    Args:
        text: as it is written.
        name: of the option, for errors.
        has_home: whether `~` means this machine's.

    Raises:
        InputError: names a variable that is not set, or a home that is none.
    """
    path = VARIABLE.sub(lambda found: found[1] or _variable(found[2] or found[3] or "", text, name), text)
    if not text.startswith("~"):
        return path
    if not has_home:
        raise InputError(
            f"{name}: expected a path as it is in a pod, found {text}.\nA pod has another home: write it out."
        )
    full = os.path.expanduser(path)
    if full.startswith("~"):
        raise InputError(f"{name}: there is no home {text.partition('/')[0]}, which {text} names.\nWrite the path out.")
    return full


def _variable(variable: str, text: str, name: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise InputError(
            f"{name}: the environment variable '{variable}', which {text} names, is not set.\n"
            f"Set it (export {variable or 'NAME'}=...), or write $$ for a dollar."
        )
    return value
