"""`--set section.key=value`: one option of a configuration, from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from components.errors import InputError
from pipeline.config.layers import Layer, parse
from pipeline.config.paths import fill_paths


def read_settings(settings: Sequence[str], model: type[BaseModel]) -> dict[str, Any]:
    """What settings alone say, as sections with their values; see `apply_setting`."""
    content: dict[str, Any] = {}
    for setting in settings:
        apply_setting(content, setting, model)
    return content


def apply_setting(content: dict[str, Any], setting: str, model: type[BaseModel]) -> Layer:
    """Puts the value of one setting into a configuration's content, in place.

    Args:
        content: of all sections.
        setting: `section.key=value`, the value in YAML.
        model: of all options: says which are paths.

    Raises:
        InputError: it is no setting, or its value no YAML.
    """
    name, equals, value = setting.partition("=")
    if not equals or not name:
        raise InputError(f"--set: expected section.key=value, got '{setting}'.\nExample: --set trainer.epochs=5")
    *sections, key = name.split(".")
    try:
        node, given = parse(value, f"--set {name}")
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"--set {name}: '{value}' is no YAML value.") from error
    given = nested = {key: given}
    for section in reversed(sections):
        nested = {section: nested}
    fill_paths(nested, model)
    target = content
    for section in sections:
        target = find_section(target, section, f"--set {name}")
    target |= given
    return Layer(f"--set {name}", node, (*sections, key))


def find_section(content: dict[str, Any], name: str, option: str) -> dict[str, Any]:
    """A section to write into; one that is not there, or empty in the file, is made."""
    if content.get(name) is None:
        content[name] = {}
    if not isinstance(content[name], dict):
        raise InputError(f"{option}: '{name}' is a value, not a section.")
    return content[name]
