"""Publishing: a model becomes the next version of a serving directory, whole or not at all, and is served since."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.contract import features
from components.errors import Damaged, InputError, first_line
from components.files.paths import exists
from components.registry import pointer, verify, versions
from components.registry.card.facts import Sources, gather_facts
from components.registry.card.fields import given_card
from components.registry.card.render import render_card
from components.registry.passport import Data, Material, complete_passport, read_json, read_sources
from components.registry.staging import copy_file, copy_tree, staged, sync_folders

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Published:
    """The version that holds a model.

    Attributes:
        version: its number.
        how: `pushed` now; `unchanged`: it was there and is served; `set_aside`: it was there, but was taken back;
            `card`: it was served with another card, and is pushed now with this one.
    """

    version: int
    how: Literal["pushed", "unchanged", "set_aside", "card"]


def publish_model(
    model: str | Path,
    serving: Path,
    passport: dict[str, Any],
    data: Data | None = None,
    judged: Mapping[str, str] | None = None,
) -> Published:
    """Copies a SavedModel beside the served versions, syncs it, renames it into place, and points the server at it.

    The very model that is being served is not pushed twice, nor one that somebody took back: to serve that again is
    for `graft models promote`. A version that was complete when its push was killed is not copied again; one whose
    files are no longer those of its push does not count: its model is pushed anew. Versions never change: where only
    the card differs from that of the served version, the same model becomes another version.

    Args:
        model: folder or URI of a SavedModel with `assets/graft.json`.
        serving: the serving directory, on a mounted file system.
        passport: where the model comes from; what only the Pusher knows is added.
        data: what the model is made of and how good it is; None: nothing is known of it.
        judged: sha256 of each file of the model, as the gates judged it; None: nobody did.

    Raises:
        Damaged: what was copied is not what was judged; no version was added.
        InputError: the serving directory cannot be written, or its pointer is damaged; no version was added.
    """
    facts = read_json(os.path.join(model, "assets", features.FACTS_ASSET))
    try:
        serving.mkdir(parents=True, exist_ok=True)
        with pointer.locked(serving):
            if (same := find_same(serving, passport, facts)) is not None and same.how != "card":
                return same
        if same is not None:
            passport = {**passport, "same_model_as": same.version}
        with staged(serving) as folder:
            material = Material(facts, copy_tree(str(model), folder), copy_data(data, folder))
            if judged is not None and material.model_files != judged:
                raise Damaged(f"the model in {model} changed while it was copied: nothing is pushed. Run again.")
            complete = complete_passport(passport, material, data)
            version = _name_version(serving, folder, complete, read_sources(data))
            return Published(version, "card" if same is not None else "pushed")
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise InputError(
            f"Pusher: cannot write a version into {serving}: {first_line(error)}.\n"
            "Nothing that a server would load is left of it. Make room (graft models prune) or the folder writable, "
            "and run again: all that was computed is kept."
        ) from error


def copy_data(data: Data | None, folder: Path) -> dict[str, str]:
    """Copies the statistics of each split, the counts of the data set, and the answers that the Evaluator kept.

    Returns:
        sha256 of each file, by its path.
    """
    if data is None:
        return {}
    extra = folder / features.EXTRA_ASSETS
    digests = {
        features.DATASET_FILE: copy_file(
            os.path.join(data.manifest, features.DATASET_FILE), extra / features.DATASET_FILE
        )
    }
    for split in (f"Split-{split}" for split in features.SPLITS):
        place = f"{features.STATISTICS_ASSETS}/{split}"
        copied = copy_tree(os.path.join(data.statistics, split), extra / place)
        digests |= {f"{place}/{name}": digest for name, digest in copied.items()}
    answers = os.path.join(data.evaluation, features.ANSWERS_FILE)
    if data.evaluation and exists(answers):
        digests[features.ANSWERS_FILE] = copy_file(answers, extra / features.ANSWERS_FILE)
    return {f"{features.EXTRA_ASSETS}/{name}": digest for name, digest in digests.items()}


def find_same(serving: Path, passport: dict[str, Any], facts: dict[str, Any]) -> Published | None:
    """Finds the version that holds a model already, where it must not be pushed again. The caller holds the lock.

    That is the served version; or one that somebody took back; or the newest one, where its push was killed before
    the pointer was written: it is pointed at now. A model that was served before another one replaced it in the
    ordinary way is a candidate like any other. One that is served with another card is found as `card`.
    """
    numbers = versions.list_versions(serving)
    same = [number for number in numbers if _holds(serving / str(number), passport, facts)]
    if not same:
        return None
    found = pointer.read_pointer(serving)
    whole = [number for number in same if not verify.find_damage(serving, number)]
    alike = [number for number in whole if _card_of(serving, number) == given_card(passport)]
    newest = numbers[-1] if numbers[-1] in alike else None
    if found is None and newest:
        _point_at(serving, newest, passport, versions.imply_pointer(serving).history)
    served = versions.served_version(serving)
    if served in alike:
        return Published(served, "unchanged")
    found = found or versions.imply_pointer(serving)
    if newest and newest not in {event.version for event in found.history}:
        _point_at(serving, newest, passport)
        return Published(newest, "pushed")
    aside = [number for number in (alike if served in whole else same) if number in found.set_aside]
    if not aside and served in whole:
        return Published(served, "card")
    return Published(aside[-1], "set_aside") if aside else None


def _card_of(serving: Path, number: int) -> dict[str, Any]:
    return given_card(versions.read_passport(serving / str(number)))


def _holds(version: Path, passport: dict[str, Any], facts: dict[str, Any]) -> bool:
    pushed = versions.read_passport(version)
    return pushed.get("model_key") == passport["model_key"] and pushed.get("model") == facts


def next_version(taken: list[int], now: int) -> int:
    """Chooses a version's number: the time in seconds, or one more than the highest where the clock stepped back."""
    return max(now, max(taken) + 1) if taken else now


def _name_version(serving: Path, folder: Path, passport: dict[str, Any], sources: Sources) -> int:
    """Gives a complete folder its number, points the server at it, and returns the number."""
    with pointer.locked(serving):
        found = pointer.read_pointer(serving) or versions.imply_pointer(serving)
        taken = versions.list_numbers(serving) + [event.version for event in found.history]
        version = next_version(taken, int(time.time()))
        while not _rename(folder, serving / str(version), {**passport, "version": version}, sources):
            version += 1  # another machine, whose lock does not reach this one, took the number
        _point_at(serving, version, passport, found.history)
    return version


def _rename(folder: Path, target: Path, passport: dict[str, Any], sources: Sources) -> bool:
    """Completes a version with its card and its passport and gives it its name; False where that is taken."""
    card = render_card(gather_facts(passport, sources))
    pointer.write_synced(folder / features.CARD_FILE, card)
    passport["files"] = {**passport["files"], features.CARD_FILE: hashlib.sha256(card.encode()).hexdigest()}
    pointer.write_synced(folder / versions.PASSPORT_FILE, json.dumps(passport, indent=2, sort_keys=True))
    sync_folders(folder)
    try:
        os.rename(folder, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise
    pointer.sync_path(target.parent)
    return True


def _point_at(serving: Path, version: int, passport: dict[str, Any], before: tuple[pointer.Event, ...] = ()) -> None:
    content = (serving / str(version) / versions.PASSPORT_FILE).read_bytes()
    event = pointer.make_event(version, "push", hashlib.sha256(content).hexdigest())
    pointer.record(serving, event, passport.get("name") or "graft", before)
