"""A run whose model was pushed before: which version holds it, and why it is not served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.registry import pointer, verify, versions


def find_version_of(serving: Path, key: str) -> int | None:
    """The version with which a run of this key would end without pushing: the served one, or one that was taken back.

    Args:
        serving: the serving directory.
        key: `model_key`, the digest of all that decides a model.
    """
    served = versions.served_version(serving)
    aside = (pointer.read_pointer(serving) or pointer.Pointer(None)).set_aside
    candidates = [served, *sorted(aside, reverse=True)]
    there = versions.list_versions(serving)
    return next((number for number in candidates if number in there and key_of(serving / str(number)) == key), None)


def key_of(version: Path) -> str:
    """Digest of all that decided the model of a version; empty for a model that Graft did not push."""
    return str(versions.read_passport(version).get("model_key", ""))


def why_not_served(serving: Path, version: int) -> str:
    """Why a version that holds this very model is not being served, and how to change that."""
    event = (pointer.read_pointer(serving) or pointer.Pointer(None)).set_aside.get(version)
    how = f"was taken back by {event.by} on {event.at} ({event.who})" if event else "is not the newest push"
    return (
        f"version {version} holds this very model and {how}: not pushed again. To serve it: "
        f"graft models promote {serving} {version}"
    )


def why_push_again(pushed_model: Any, serving: Path) -> str:
    """Why what an earlier run pushed, as its PushedModel artifact says, is no longer there; empty where it is."""
    if not pushed_model.custom_properties["pushed"].int_value:
        return ""
    number = int(Path(pushed_model.custom_properties["pushed_destination"].string_value).name)
    if number not in versions.list_versions(serving):
        return f"version {number}, which an earlier run pushed, is gone"
    damage = verify.find_damage(serving, number)
    return f"version {number} is not as it was pushed ({damage})" if damage else ""
