"""`graft predict`: labels and probabilities of files and folders, from a pushed model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from components import features
from components.errors import InputError
from components.example_gen import images
from components.example_gen.convert import encode_for_tensorflow
from components.example_gen.readers import Unreadable, read_source
from components.example_gen.scan import limits_of
from components.example_gen.sources import Source
from components.options import DataOptions
from pipeline.models import class_names, find_model

BATCH = 32


@dataclass(frozen=True)
class Prediction:
    """One file's answer, or why there is none.

    Attributes:
        path: as it was given, or found in a folder that was given.
        label: the most probable class; empty with an error.
        probability: of the label, 0..1.
        probabilities: of every class, by name.
        error: why the file got no answer.
    """

    path: str
    label: str = ""
    probability: float = 0.0
    probabilities: dict[str, float] = field(default_factory=dict)
    error: str = ""


def list_inputs(paths: list[str]) -> list[str]:
    """The files that are meant: files as they are, folders with all images below them."""
    found = []
    for path in paths:
        if Path(path).is_dir():
            below = sorted(p for p in Path(path).rglob("*") if p.is_file() and not p.name.startswith("."))
            found += [str(p) for p in below if p.suffix.lower() in images.IMAGE_SUFFIXES or _looks_like_image(p)]
        else:
            found.append(path)
    if not found:
        raise InputError(f"Expected image files or folders with images, found no image in {', '.join(paths)}.")
    return found


def _looks_like_image(path: Path) -> bool:
    with open(path, "rb") as file:
        return images.sniff_format(file.read(16)) is not None


def predict_files(model: str, paths: list[str]) -> Iterator[Prediction]:
    """Answers in the order of the files, a batch at a time; a bad file gets an error and takes no other down."""
    folder = find_model(model)
    names = class_names(folder)
    answer = _load(folder)
    waiting = iter(paths)
    while chunk := list(islice(waiting, BATCH)):
        yield from _predict_batch(chunk, names, answer)


def _load(folder: Path) -> Callable[[list[bytes]], Any]:
    import tensorflow as tf

    serve = tf.saved_model.load(str(folder)).signatures[features.SERVE_BYTES]
    return lambda contents: serve(tf.constant(contents))[features.OUTPUT_PROBABILITIES].numpy()


def _predict_batch(paths: list[str], names: list[str], answer: Callable[[list[bytes]], Any]) -> list[Prediction]:
    checked = [_read_image(path) for path in paths]
    good = [content for content, _ in checked if content]
    rows = iter(answer(good) if good else [])
    return [
        Prediction(path, error=error) if error else _to_prediction(path, next(rows), names)
        for path, (_, error) in zip(paths, checked, strict=True)
    ]


def _read_image(path: str) -> tuple[bytes, str]:
    """What to send, converted as ingest does it for training; or why the file is no image."""
    limits = limits_of(DataOptions(min_side=1))
    try:
        content = read_source(Source(path, "", path), limits.max_bytes)
    except Unreadable as error:
        return b"", f"unreadable: {error}"
    found = images.inspect_image(path, content, limits)
    if found.reason:
        return b"", f"{found.reason}: {found.detail}"
    return encode_for_tensorflow(content, found)[0], ""


def _to_prediction(path: str, row: Any, names: list[str]) -> Prediction:
    probabilities = {name: float(value) for name, value in zip(names, row, strict=True)}
    label = max(probabilities, key=lambda name: probabilities[name])
    return Prediction(path, label, probabilities[label], probabilities)
