"""Which serving directory, and which version in it, a user means."""

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
from components.registry import pointer, verify, versions

# Words for versions, in the place of a number.
NAMED: dict[str, Callable[[Path], int | None]] = {
    "served": versions.served_version,
    "previous": versions.previous_version,
    "best": versions.best_version,
    "newest": lambda serving: versions.list_versions(serving)[-1],
}


@dataclass(frozen=True)
class Version:
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
    """The serving directory that a user means: the folder itself, or `serving/` of a working directory.

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


def list_models(path: str) -> list[Version]:
    """All versions, newest first, each held against its digests. Where `pointer_problem` finds one, none is served.

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
        Version(
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
    """Why it is not known what a serving directory serves, and what to do; empty where it is known."""
    try:
        versions.served_version(folder)
    except InputError as error:
        return str(error)
    return ""


def choose_version(folder: Path, text: str) -> int:
    """The version of a serving directory that a user means: its number, or a word of `NAMED`.

    Raises:
        InputError: there is no such version; says which there are.
    """
    numbers = versions.list_versions(folder)
    if text in NAMED:
        number = NAMED[text](folder)
        if number is None:
            raise InputError(f"There is no {text} version in {folder}; found: {', '.join(map(str, numbers))}.")
        return number
    if text.isascii() and text.isdecimal() and int(text) in numbers:
        return int(text)
    hint = did_you_mean(text, [*map(str, numbers), *NAMED])
    raise InputError(
        f"Expected a version in {folder}, got '{text}'.{hint}\n"
        f"There are {', '.join(map(str, numbers))}, and the words {', '.join(NAMED)}."
    )


def find_model(path: str) -> Path:
    """The SavedModel that a user means: a version's folder, or the served version of a serving or working directory.

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
    """The class names of a pushed model.

    Raises:
        InputError: the SavedModel was not made by Graft.
    """
    names = read_labels(model)
    if not names:
        raise InputError(f"{model} is a SavedModel without assets/{features.LABELS_ASSET}: Graft did not make it.")
    return names


def crop_target(model: Path) -> tuple[int, int] | None:
    """Height and width of a model's images where it sees only the middle window of that aspect ratio; None: all of it.

    A model of an older Graft, whose facts say nothing of it, sees all.
    """
    facts = read_facts(model)
    if not facts.get(features.CROP_FACT):
        return None
    height, width = facts["image_size"]
    return height, width


def reading_of(model: Path) -> dict[str, str]:
    """How a model's pictures were read when it learned, by the names of `features.READING_FACTS`.

    A model of an older Graft, whose facts say nothing of it, learned from pictures as stored, without their alpha.
    """
    facts = read_facts(model)
    return {name: facts.get(name, before) for name, before in features.OLD_READING.items()}
