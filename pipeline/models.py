"""`graft models`: what is in the serving directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import features, versions
from components.errors import InputError


@dataclass(frozen=True)
class Version:
    """One pushed version."""

    number: int
    path: Path
    passport: dict[str, Any]
    serving: bool


def serving_dir(path: str) -> Path:
    """The serving directory that a user means: the folder itself, or `serving/` of a working directory.

    Raises:
        InputError: there is none.
    """
    for candidate in (Path(path) / "serving", Path(path)):
        if versions.list_versions(candidate):
            return candidate
    raise InputError(
        f"Expected a working directory or a serving directory with pushed versions, found none in {path}.\n"
        "Push one first: graft run CONFIG --data DIR --workdir DIR"
    )


def list_models(path: str) -> list[Version]:
    """All versions, newest first."""
    folder = serving_dir(path)
    served = versions.served_version(folder)
    return [
        Version(number, folder / str(number), versions.read_passport(folder / str(number)), number == served)
        for number in reversed(versions.list_versions(folder))
    ]


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
    path = model / "assets" / features.LABELS_ASSET
    if not path.is_file():
        raise InputError(f"{model} is a SavedModel without assets/{features.LABELS_ASSET}: Graft did not make it.")
    return path.read_text("utf-8").splitlines()
