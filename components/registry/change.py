"""`graft models promote`, `rollback` and `prune`: what is served, and what is kept."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.errors import InputError, first_line
from components.registry import pointer, verify, versions
from components.registry.find import choose_version
from components.registry.staging import PARTIAL_PREFIX


@dataclass(frozen=True)
class ServingChange:
    """A change of the served version; `before` is None where the pointer was not usable."""

    before: int | None
    after: int


@dataclass(frozen=True)
class PrunedVersions:
    """Versions that a prune removed, or would remove, and why some stay beyond the number that was asked for."""

    removed: list[int]
    kept: list[int]
    protected: dict[int, str]
    freed: int


def promote(serving: Path, text: str) -> ServingChange:
    """Serves a version from now on; mends a pointer that is damaged or names a version that is gone.

    Args:
        serving: the serving directory.
        text: a number or a word, as `choose_version` takes it.

    Raises:
        InputError: there is no such version, it is damaged, or the directory cannot be written.
    """
    with _changing(serving):
        version, before = choose_version(serving, text), _served_if_usable(serving)
        _refuse_damaged(serving, version)
        event = pointer.make_event(version, "promote")
        try:
            known = pointer.read_pointer(serving)
        except InputError:
            pointer.replace_pointer(serving, event, name_of(serving, version), _earlier(serving))
        else:
            if before != version or known is None:
                pointer.record(serving, event, name_of(serving, version), _earlier(serving))
    return ServingChange(before, version)


def rollback(serving: Path) -> ServingChange:
    """Serves the version again that was served before; once more goes further back.

    Raises:
        InputError: there is none, it or the pointer is damaged, or the directory cannot be written.
    """
    with _changing(serving):
        before, version = _served_if_usable(serving), versions.previous_version(serving)
        if version is None:
            raise InputError(
                f"Expected a version in {serving} that was served before {before or 'this one'} and is still there; "
                f"found none.\nChoose any version: graft models promote {serving} VERSION"
            )
        _refuse_damaged(serving, version)
        event = pointer.make_event(version, "rollback")
        pointer.record(serving, event, name_of(serving, version), _earlier(serving))
    return ServingChange(before, version)


def prune(serving: Path, keep: int, even_best: bool = False, dry_run: bool = False) -> PrunedVersions:
    """Removes all but the newest versions; never the one that is served, nor the one that a rollback goes back to.

    Nor one that was taken back and is newer than what is served: it is how a run knows not to push its model again.
    A version is renamed before its files go, so that no server finds half of one.

    Args:
        serving: the serving directory.
        keep: how many of the newest stay, 1 or more.
        even_best: also the version with the best recorded accuracy may go, which the decay limit compares with.
        dry_run: removes nothing.

    Raises:
        InputError: it is not known what is served, or the directory cannot be written.
    """
    with _changing(serving):
        protected = _protect(serving, even_best)
        numbers = versions.list_versions(serving)
        removed = [number for number in numbers[:-keep] if number not in protected]
        freed = sum(_size(serving / str(number)) for number in removed)
        for number in [] if dry_run else removed:
            grave = serving / f"{PARTIAL_PREFIX}{number}-{uuid.uuid4().hex[:8]}"
            name = name_of(serving, number)
            os.rename(serving / str(number), grave)
            pointer.record(serving, pointer.make_event(number, "prune"), name, _earlier(serving))
            shutil.rmtree(grave)
    kept = [number for number in numbers if number not in removed]
    beyond = {number: why for number, why in protected.items() if number in numbers[:-keep]}
    return PrunedVersions(removed, kept, beyond, freed)


def _protect(serving: Path, even_best: bool) -> dict[int, str]:
    """Finds the versions that must stay, and why."""
    served = versions.served_version(serving)
    aside = (pointer.read_pointer(serving) or pointer.Pointer(None)).set_aside
    taken_back = [number for number in aside if served is not None and number > served]
    reasons = dict.fromkeys(taken_back, "it was taken back: without it, a run might push its model again")
    named = {
        "a rollback goes back to it": versions.previous_version(serving),
        "it has the best accuracy": None if even_best else versions.best_version(serving),
        "it is served": served,
    }
    return reasons | {number: why for why, number in named.items() if number is not None}


def name_of(serving: Path, version: int) -> str:
    """Reads the model's name in requests, where no pointer has one yet: that of the pipeline that pushed it."""
    return str(versions.read_passport(serving / str(version)).get("name") or "graft")


def _refuse_damaged(serving: Path, version: int) -> None:
    """Holds a version against its digests before it is served; one that has none (of others) is let through."""
    if damage := verify.find_damage(serving, version):
        raise InputError(
            f"Version {version} in {serving} is not as it was pushed ({damage}): nothing was changed.\n"
            f"See graft models verify {serving} {version}; choose another one: graft models promote {serving} VERSION"
        )


def _earlier(serving: Path) -> tuple[pointer.Event, ...]:
    return versions.imply_pointer(serving).history


def _served_if_usable(serving: Path) -> int | None:
    try:
        return versions.served_version(serving)
    except InputError:
        return None


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def _changing(serving: Path) -> Iterator[None]:
    """Holds the directory's lock.

    Raises:
        InputError: for any error of the file system.
    """
    try:
        with pointer.locked(serving):
            yield
    except OSError as error:
        raise InputError(
            f"Expected to change what is served in {serving}, got: {first_line(error)}.\n"
            "Nothing was half changed. Check the disk's room and the rights of the folder."
        ) from error
