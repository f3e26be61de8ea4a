"""A configuration as a file for people: what differs from the defaults as it is, all else as comments to take up."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from pipeline.config.configuration import Config
from pipeline.config.paths import find_paths

WIDTH = 100  # characters of a comment's line
SHOWN = (  # written also where they are the defaults: what a first run decides
    *("name", "data.path", "transform.image_size"),
    *("trainer.backbone", "trainer.backbone_args", "trainer.weights"),
)
ELSEWHERE = {"beam": "docs/beam.md", "kubeflow": "docs/kubeflow.md"}  # sections with guides of their own


def write_config(config: Config, about: Iterable[str] = ()) -> str:
    """A YAML file that is this configuration, exactly, when it is read again, from wherever it lies.

    Args:
        config: checked; the paths in it are in full.
        about: lines for people at the top.
    """
    content = config.model_dump(mode="json")
    for section, key, _, _ in find_paths(Config, content, ""):
        if not os.path.lexists(section[key]):  # what is there as it is written, is not expanded
            section[key] = section[key].replace("$", "$$")
    lines = [f"# {''.join(map(_printable, line))}".rstrip() for line in about]
    return "\n".join([*lines, *_describe(Config, content, Config().model_dump(mode="json"), "")]) + "\n"


def _describe(model: type[BaseModel], content: dict[str, Any], defaults: dict[str, Any], prefix: str) -> Iterator[str]:
    """Lines of a section: an option, or a section in it, after the other."""
    indent = "  " * prefix.count(".")
    for name, field in model.model_fields.items():
        dotted, value = f"{prefix}{name}", content[name]
        is_live = value != defaults[name] or dotted in SHOWN
        yield from () if prefix else ("",)
        guide = ELSEWHERE.get(dotted.partition(".")[0])
        if guide and not is_live:
            yield from () if prefix else (f"# {name}: see {guide}",)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{indent}{name}:"
            yield from _describe(field.annotation, value, defaults[name], f"{dotted}.")
        else:
            yield from _comment(field.description, indent)
            yield from (f"{indent}{'' if is_live else '#'}{line}" for line in _dump(name, value))


def _printable(character: str) -> str:
    """A character as it may stand in a comment: YAML takes no control characters there, and files are UTF-8."""
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _comment(text: str | None, indent: str) -> list[str]:
    return textwrap.wrap(text or "", WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _dump(name: str, value: Any) -> list[str]:
    """An option on one line; a text with line breaks in it takes more."""
    text: str = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**6)
    return f"{name}: {text.strip()[1:-1]}".splitlines()
