"""From what was typed to a configuration: that of a file, or one that is chosen for the images that were given."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from components.errors import InputError
from components.images.formats import IMAGE_SUFFIXES
from components.sources.find import list_sources
from pipeline import sample
from pipeline.config.configuration import load_config
from pipeline.first_run.start import Chosen, choose_start
from pipeline.first_run.target import YAML_SUFFIXES, is_config, refuse_other_images
from pipeline.process.typed import program

MOST_SHOWN = 5  # things in a folder that could be given
MOST_LOOKED_AT = 200  # names in a folder, for that
OWN = ("metadata.sqlite", "runs")  # what a working directory holds


def load_target(
    target: str | None, settings: Sequence[str] = (), data: str | None = None, may_fetch: bool = False
) -> Chosen:
    """Loads the configuration that was typed, or chooses one for images; says in lines what was chosen.

    Args:
        target: a configuration, or images; None: what `data` says.
        settings: `section.key=value`.
        data: images; wins over `data.path` of a configuration.
        may_fetch: as `choose_start` has it.

    Raises:
        InputError: nothing was typed, nothing is there, it is neither of both, or two kinds of images were given.
    """
    if target is None:
        if data is None:
            raise _ask()
        return load_images(data, settings, may_fetch)
    if is_config(target):
        return Chosen(load_config(target, settings, data))
    if data is not None:
        raise InputError(
            f"--data: the images are given already: {target}.\nGive a configuration there, or leave one out."
        )
    return load_images(target, settings, may_fetch)


def load_images(images: str, settings: Sequence[str] = (), may_fetch: bool = False) -> Chosen:
    """Chooses a configuration for images; see `load_target`.

    Raises:
        InputError: nothing is there, or it is a configuration or a working directory.
    """
    if is_config(images):
        raise InputError(f"Expected images, got the configuration {images}.\nGive the folder of the images instead.")
    if os.path.isfile(images) and os.path.splitext(images)[1].lower() in IMAGE_SUFFIXES:
        raise InputError(
            f"Expected a folder of images to learn from, got one image: {images}.\n"
            f"To ask a model about an image: {program()} predict WORKDIR {shlex.quote(images)}"
        )
    if os.path.isdir(images) and all(os.path.exists(os.path.join(images, name)) for name in OWN):
        raise _explain_workdir(images)
    return choose_start(images, settings, may_fetch)


def choose_workdir(chosen: Chosen, again: str) -> Path:
    """The working directory where none is given: `work/<name>`, unless it belongs to other images of that name.

    Args:
        chosen: whose working directory it is.
        again: the command, to which `--workdir` may be added.

    Raises:
        InputError: as `refuse_other_images`.
    """
    place = Path("work") / chosen.config.name
    if chosen.lines:
        refuse_other_images(place, str(chosen.config.data.path), again)
    return place


def init_command(chosen: Chosen) -> str:
    """The command that prints what was chosen, as it can be pasted."""
    settings = (word for setting in chosen.settings for word in ("--set", setting))
    return f"{program()} {shlex.join(['init', chosen.images, *settings])}"


def describe_images(chosen: Chosen) -> list[str]:
    """Lines at the top of a written configuration: where it is from, and how the images are understood.

    Raises:
        InputError: there are no images, or it is not clear what they are.
    """
    path = str(chosen.config.data.path)
    notes = [] if sample.is_sample(path) else list_sources(path, chosen.config.data).notes
    settings = "".join(f" --set {shlex.quote(setting)}" for setting in chosen.settings)
    return [
        f"Made by: {init_command(chosen)}",
        f"The same as: {program()} run {shlex.quote(chosen.images)}{settings}",
        *chosen.lines,
        *notes,
        "A line that begins with # and a key is a default: take the # away to change it. docs/user-guide.md has more.",
    ]


def _explain_workdir(path: str) -> InputError:
    latest = shlex.quote(os.path.join(path, "runs", "latest", "config.yaml"))
    return InputError(
        f"Expected images or a configuration, got {path}: it is the working directory of earlier runs.\n"
        f"To run the latest one again: {program()} run {latest} --workdir {shlex.quote(path)}"
    )


def _ask() -> InputError:
    """Asks for images or a configuration, and names those that are here."""
    here = list(_find_here())[:MOST_SHOWN] or ["FOLDER"]
    lines = [f"  {program()} run {shlex.quote(name)}" for name in here]
    return InputError(
        "Expected the folder of the images, or a configuration.\nType, for example:\n"
        + "\n".join([*lines, f"  {program()} run sample:digits"])
        + "\nA folder of images has one sub-folder a class; tables, archives and TFRecords do as well."
    )


def _find_here() -> Iterator[str]:
    """Names in the present folder that can be given: configurations first, then folders, then files."""
    with os.scandir() as entries:
        found = sorted(entry.name for entry in entries if not entry.name.startswith("."))[:MOST_LOOKED_AT]
    yield from (name for name in found if name.endswith(YAML_SUFFIXES) and is_quietly_config(name))
    yield from (name for name in found if os.path.isdir(name) and _has_classes(Path(name)))
    if _has_classes(Path()):
        yield "."
    yield from (name for name in found if name.lower().endswith((".zip", ".tar", ".tgz", ".tar.gz")))


def is_quietly_config(name: str) -> bool:
    """Whether a file is a configuration; one that is broken is none."""
    try:
        return is_config(name)
    except InputError:
        return False


def _has_classes(folder: Path) -> bool:
    """Whether images are in at least two folders, one or two levels down; looks at a few names only."""
    return any(
        sum(map(_has_image, place.iterdir())) > 1
        for place in (folder, *(folder / name for name in ("train", "training", "images", "data")))
        if place.is_dir() and os.access(place, os.R_OK | os.X_OK)
    )


def _has_image(folder: Path) -> bool:
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        return False
    with os.scandir(folder) as entries:
        names = (entry.name for entry, _ in zip(entries, range(MOST_LOOKED_AT), strict=False))
        return any(os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES for name in names)
