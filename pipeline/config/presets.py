"""Presets: network and size by a word, from the table of what each costs and gives in docs/backbones.md.

`preset: fast` in a file, or `--preset fast`, lies below what is written beside it, as a file that is extended does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from pydantic import BaseModel

from components.errors import InputError, did_you_mean
from pipeline.config.layers import merge
from pipeline.config.settings import read_settings

PRESET = "preset"
DEFAULT = "balanced"  # of a run without a configuration

# What a file may say of its own network, and what means nothing for that of the preset.
OF_ANOTHER: Mapping[str, Any] = {"backbone_args": {}, "backbone_scaling": "auto", "weights_sha256": None}


def _at(side: int) -> dict[str, Any]:
    return {
        "transform": {"image_size": side},
        "trainer": {"backbone": "EfficientNetLite0", "weights": "imagenet", **OF_ANOTHER},
    }


PRESETS: Mapping[str, Mapping[str, Any]] = {"fast": _at(160), "balanced": _at(192), "best": _at(224)}


def apply_preset(content: Mapping[str, Any], name: Any, origin: str) -> dict[str, Any]:
    """A configuration's content with the sections of a preset over it.

    Args:
        content: of all sections; it stays as it is.
        name: as it is written.
        origin: where it is written, for errors.

    Raises:
        InputError: there is no preset of this name.
    """
    if not isinstance(name, str) or name not in PRESETS:
        hint = did_you_mean(name, list(PRESETS)) if isinstance(name, str) else ""
        raise InputError(f"{origin}: expected {' or '.join(PRESETS)}, got {name!r}.{hint}")
    merged = merge(content, deepcopy(dict(PRESETS[name])))
    merged["trainer"]["backbone_args"] = {}  # of a mapping, merging keeps what was there
    return merged


def split_settings(settings: Sequence[str]) -> tuple[Any, list[str]]:
    """Takes the preset out of settings.

    Args:
        settings: `section.key=value`, the value in YAML, as everywhere.

    Returns:
        The last preset that is named, None where none is; and the other settings, whose values win over it.
    """
    named, others = None, list[str]()
    for setting in settings:
        if setting.partition("=")[0] == PRESET:
            named = read_settings([setting], BaseModel)[PRESET]
        else:
            others.append(setting)
    return named, others
