"""Finds versions: the one that a user means, and the one that holds the model of a run already."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from components.contract import features
from components.contract.assets import read_facts, read_labels
from components.errors import InputError, did_you_mean
from components.files.digests import digest_of
from components.registry import pointer, verify, versions

# Words for versions, in the place of a number.
VERSION_WORDS: dict[str, Callable[[Path], int | None]] = {
    "served": versions.served_version,
    "previous": versions.previous_version,
    "best": versions.best_version,
    "newest": lambda serving: versions.list_versions(serving)[-1],
}


@dataclass(frozen=True)
class ListedVersion:
    """One pushed version.

    Attributes:
        number: its name.
        path: its folder.
        passport: empty for a model that Graft did not push, or where it is damaged.
        serving: whether requests that name no version get its answers.
        previous: whether a rollback goes back to it.
        set_aside: how and when somebody took it back; None: nobody did.
        damage: what is not as it was pushed, in one line; empty: nothing, or nothing is known of it.
    """

    number: int
    path: Path
    passport: dict[str, Any]
    serving: bool
    previous: bool = False
    set_aside: pointer.Event | None = None
    damage: str = ""


def serving_dir(path: str) -> Path:
    """Finds the serving directory that a user means: the folder itself, or `serving/` of a working directory.

    Raises:
        InputError: there is none.
    """
    for candidate in (Path(path) / "serving", Path(path)):
        if versions.list_versions(candidate):
            return candidate
        if (candidate / pointer.POINTER_FILE).is_file():
            versions.served_version(candidate)  # says that its versions are gone
    raise InputError(
        f"Expected a working directory or a serving directory with pushed versions, found none in {path}.\n"
        "Push one first: graft run CONFIG --data DIR --workdir DIR"
    )


def list_models(path: str) -> list[ListedVersion]:
    """Lists all versions, newest first, each held against its digests; none is served with a `pointer_problem`.

    Raises:
        InputError: there is none.
    """
    folder = serving_dir(path)
    usable = not pointer_problem(folder)
    served = versions.served_version(folder) if usable else None
    previous = versions.previous_version(folder) if usable else None
    aside = ((usable and pointer.read_pointer(folder)) or pointer.Pointer(None)).set_aside
    numbers = versions.list_versions(folder)[::-1]
    with ThreadPoolExecutor() as pool:
        damages = list(pool.map(partial(verify.find_damage, folder), numbers))
    return [
        ListedVersion(
            number,
            folder / str(number),
            _passport_or_nothing(folder / str(number)),
            number == served,
            number == previous,
            aside.get(number),
            damage,
        )
        for number, damage in zip(numbers, damages, strict=True)
    ]


def _passport_or_nothing(version: Path) -> dict[str, Any]:
    try:
        return versions.read_passport(version)
    except InputError:
        return {}


def pointer_problem(folder: Path) -> str:
    """Says why the served version of a directory is not known, and what to do; empty where it is known."""
    try:
        versions.served_version(folder)
    except InputError as error:
        return str(error)
    return ""


def choose_version(folder: Path, text: str) -> int:
    """Finds the version that a user means: its number, or a word of `VERSION_WORDS`.

    Raises:
        InputError: there is no such version; says which there are.
    """
    numbers = versions.list_versions(folder)
    if text in VERSION_WORDS:
        number = VERSION_WORDS[text](folder)
        if number is None:
            raise InputError(f"There is no {text} version in {folder}; found: {', '.join(map(str, numbers))}.")
        return number
    if text.isascii() and text.isdecimal() and int(text) in numbers:
        return int(text)
    hint = did_you_mean(text, [*map(str, numbers), *VERSION_WORDS])
    raise InputError(
        f"Expected a version in {folder}, got '{text}'.{hint}\n"
        f"There are {', '.join(map(str, numbers))}, and the words {', '.join(VERSION_WORDS)}."
    )


def read_card(serving: Path, number: int) -> str:
    """Reads the model card of a version, as it was pushed.

    Raises:
        InputError: the version has none, or another one than was pushed.
    """
    path = serving / str(number) / features.CARD_FILE
    expected = versions.read_passport(path.parent).get("files", {}).get(features.CARD_FILE)
    if not path.is_file():
        if expected:
            raise InputError(f"{path} is gone: version {number} is not as it was pushed (graft models verify).")
        raise InputError(
            f"Version {number} in {serving} has no {features.CARD_FILE}: an older Graft pushed it, or others did.\n"
            "A run with any option of card: pushes the served model again, with a card."
        )
    if expected != digest_of(path):
        raise InputError(
            f"{path} is not the one that was pushed.\n"
            "Put it back; to say something else, change card: in the configuration and run again."
        )
    return path.read_text("utf-8")


def find_model(path: str) -> Path:
    """Finds the SavedModel that a user means: a version's folder, or the served version of a directory.

    Raises:
        InputError: there is none.
    """
    if (Path(path) / versions.SAVED_MODEL_FILE).is_file():
        return Path(path)
    if not Path(path).is_dir():
        raise InputError(
            f"Expected a pushed model, found nothing at {path}.\nGive serving/<version>; graft models list shows them."
        )
    folder = serving_dir(path)
    return folder / str(versions.served_version(folder))


def class_names(model: Path) -> list[str]:
    """Reads the class names of a pushed model.

    Raises:
        InputError: the SavedModel was not made by Graft.
    """
    names = read_labels(model)
    if not names:
        raise InputError(f"{model} is a SavedModel without assets/{features.LABELS_ASSET}: Graft did not make it.")
    return names


def crop_target(model: Path) -> tuple[int, int] | None:
    """Reads height and width of the middle window that a model sees of an image; None: it sees all.

    A model of an older Graft, whose facts say nothing of it, sees all.
    """
    facts = read_facts(model)
    if not facts.get(features.CROP_FACT):
        return None
    height, width = facts["image_size"]
    return height, width


def reading_of(model: Path) -> dict[str, str]:
    """Reads how a model's training images were read, by the names of `features.READING_FACTS`.

    A model of an older Graft, whose facts say nothing of it, learned from pictures as stored, without their alpha.
    """
    facts = read_facts(model)
    return {name: facts.get(name, before) for name, before in features.OLD_READING.items()}


def find_version_of(serving: Path, key: str) -> int | None:
    """Finds the version with which a run would end without a push: the served one, or one that was taken back.

    Args:
        serving: the serving directory.
        key: `model_key` of the run, the digest of all that decides its model.
    """
    served = versions.served_version(serving)
    aside = (pointer.read_pointer(serving) or pointer.Pointer(None)).set_aside
    candidates = [served, *sorted(aside, reverse=True)]
    there = versions.list_versions(serving)
    return next(
        (number for number in candidates if number in there and read_model_key(serving / str(number)) == key), None
    )


def read_model_key(version: Path) -> str:
    """Reads the digest of all that decided the model of a version; empty for a model that Graft did not push."""
    return str(versions.read_passport(version).get("model_key", ""))


def why_not_served(serving: Path, version: int) -> str:
    """Says why a version that holds the model of a run is not being served, and how to change that."""
    event = (pointer.read_pointer(serving) or pointer.Pointer(None)).set_aside.get(version)
    how = f"was taken back by {event.by} on {event.at} ({event.who})" if event else "is not the newest push"
    return (
        f"version {version} holds this very model and {how}: not pushed again. To serve it: "
        f"graft models promote {serving} {version}"
    )


def why_push_again(pushed_model: Any, serving: Path) -> str:
    """Says why the version in an earlier run's PushedModel artifact is not usable; empty where it is."""
    if not pushed_model.custom_properties["pushed"].int_value:
        return ""
    number = int(Path(pushed_model.custom_properties["pushed_destination"].string_value).name)
    if number not in versions.list_versions(serving):
        return f"version {number}, which an earlier run pushed, is gone"
    damage = verify.find_damage(serving, number)
    return f"version {number} is not as it was pushed ({damage})" if damage else ""
