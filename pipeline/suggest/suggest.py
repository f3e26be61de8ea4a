"""From a working directory and a folder of unlabelled images to a ranking, with what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from components.contract import features
from components.errors import InputError, first_line
from components.example_gen.manifest import Row
from components.example_gen.split.duplicates import find_neighbours
from components.options.data import DataOptions
from components.registry.find import find_model
from components.report.inputs import ReportInputs
from components.report.pictures import read_examples
from pipeline.predict.answers import BATCH, READERS, Model, load_model
from pipeline.predict.reading import Image, read_ahead
from pipeline.report.inputs import read_inputs
from pipeline.report.page import make_inputs, read_summary
from pipeline.runs.candidate import find_candidate
from pipeline.runs.read import read_runs
from pipeline.suggest import ranking

MOST = 50_000  # unlabelled images that are looked at, and labelled ones that they are held against
DOUBT = 0.5  # of the margin, below which an image is between two classes
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Labelled:
    """The images that the model was made of, both sides: float32 [n, d] of `scale`, int [n], and their rows."""

    values: np.ndarray
    labels: np.ndarray
    rows: list[Row]


@dataclass
class Looked:
    """What was read of the unlabelled images.

    Attributes:
        paths: of the images that can be read.
        values: float32 [n, d] of `scale`.
        hashes: perceptual hashes, empty where there is none.
        digests: sha256 of the files.
        unreadable: (path, why) of the others.
    """

    paths: list[str] = field(default_factory=list)
    values: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    hashes: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Suggestion:
    """One image to label: its path, why, what the model would answer, and how sure it would be, 0..1 of the margin."""

    path: str
    why: str
    label: str
    margin: float


@dataclass
class Suggestions:
    """What to label next.

    Attributes:
        strategy: `typicality` or `uncertainty`.
        images: the most instructive first.
        beats_chance: of the replay; None: there were too few labelled images to try.
        test: the replay in words.
        copies: paths of images that are near copies of labelled ones, or of others among them: they teach nothing.
        unreadable: (path, why).
        notes: what was left out, for people.
    """

    strategy: str
    images: list[Suggestion]
    beats_chance: bool | None
    test: str
    copies: list[str]
    unreadable: list[tuple[str, str]]
    notes: list[str] = field(default_factory=list)


def find_teacher(workdir: str, candidate: bool) -> tuple[Path, ReportInputs]:
    """Finds the model that gives the features, and what the run that made it left.

    Args:
        workdir: the working directory, with its runs.
        candidate: whether the newest trained model is meant, pushed or not, or the served version.

    Raises:
        InputError: there is no such model, or the run that made it is gone.
    """
    if candidate:
        found = find_candidate(workdir)
        return found.path, open_inputs(found.run.folder, Path(workdir))
    folder = find_model(workdir)
    return folder, find_run(Path(workdir), folder)


def suggest(folder: Path, inputs: ReportInputs, paths: list[str], count: int, report: Report) -> Suggestions:
    """Ranks unlabelled images by what they would teach a model.

    Args:
        folder: the SavedModel.
        inputs: what the run that made it left.
        paths: of unlabelled images, local.
        count: how many to suggest.
        report: called with images done and their total.

    Raises:
        InputError: the model gives no features.
    """
    model = load_model(str(folder))
    if features.EMBED not in model.signatures:
        raise InputError(f"{folder} has no signature `{features.EMBED}`, which gives features. Run again, to push one.")
    notes = list[str]()
    if len(paths) > MOST:
        notes.append(f"a random {MOST:,} of {len(paths):,} images were looked at")
        paths = [paths[i] for i in np.sort(np.random.default_rng(0).choice(len(paths), MOST, replace=False))]
    labelled = read_labelled(inputs, model)
    looked = look_at(paths, model, report)
    return rank(labelled, looked, model.names, count, notes)


def find_run(workdir: Path, model: Path) -> ReportInputs:
    """Finds what the run that pushed a version left.

    Raises:
        InputError: there is no such run any more, or its data is gone.
    """
    for run in read_runs(workdir):
        if str(run.version) == model.name:
            inputs = open_inputs(run.folder, workdir)
            if inputs.uris.get("manifest") and inputs.uris.get("examples"):
                return inputs
    raise InputError(
        f"{workdir}: expected the run that pushed version {model.name}, with its data; it is not there any more.\n"
        "Run again: graft run CONFIG (what is unchanged is not computed again)."
    )


def open_inputs(run: Path, workdir: Path) -> ReportInputs:
    """Reads what a run left, as its page is made of it."""
    return make_inputs(run, read_summary(run), read_inputs(run), workdir / "features")


def read_labelled(inputs: ReportInputs, model: Model) -> Labelled:
    """Reads the features of labelled images: as they were kept, or else by asking the model about each example."""
    index = {label: number for number, label in enumerate(model.names)}
    rows = [row for row in inputs.row_of.values() if row.label in index][:MOST]
    digests = [row.sha256 for row in rows]
    values, found = inputs.read_features(digests)
    if not found.all():
        missing = {digest for digest, there in zip(digests, found, strict=True) if not there}
        fresh = dict(_embed_examples(inputs.uris["examples"], missing, model))
        place = {digest: number for number, digest in enumerate(digests)}
        for digest, vector in fresh.items():
            if values.shape[1] != len(vector):
                values = np.zeros((len(rows), len(vector)), np.float32)
            values[place[digest]] = vector
            found[place[digest]] = True
    rows = [row for row, there in zip(rows, found, strict=True) if there]
    return Labelled(ranking.scale(values[found]), np.array([index[row.label] for row in rows], int), rows)


def _embed_examples(examples: str, wanted: set[str], model: Model) -> Iterator[tuple[str, np.ndarray]]:
    found = read_examples(examples, wanted)
    while batch := list(islice(found, BATCH)):
        yield from zip([digest for digest, _ in batch], model.embed([content for _, content in batch]), strict=True)


def look_at(paths: list[str], model: Model, report: Report) -> Looked:
    """Reads all images and their features; an image that cannot be read takes no other down."""
    looked, parts = Looked(), list[np.ndarray]()
    with ThreadPoolExecutor(READERS) as pool:
        images = read_ahead(pool, paths, 2 * BATCH, model.limits)
        done = 0
        while batch := list(islice(images, BATCH)):
            parts += [ranking.scale(vector[None]) for vector in _embed(batch, model, looked)]
            done += len(batch)
            report(done, len(paths))
    if parts:
        looked.values = np.concatenate(parts)
    return looked


def _embed(batch: Iterable[Image], model: Model, looked: Looked) -> Iterator[np.ndarray]:
    import tensorflow as tf

    good = [image for image in batch if not image.error]
    looked.unreadable += [(image.name, image.error) for image in batch if image.error]
    if not good:
        return
    try:
        vectors = model.embed([image.content for image in good])
    except tf.errors.InvalidArgumentError as error:
        if len(good) == 1:
            looked.unreadable.append((good[0].name, f"undecodable: {first_line(error)}"))
            return
        for image in good:
            yield from _embed([image], model, looked)
        return
    looked.paths += [image.name for image in good]
    looked.hashes += [image.picture_hash for image in good]
    looked.digests += [image.sha256 for image in good]
    yield from vectors


def rank(labelled: Labelled, looked: Looked, names: list[str], count: int, notes: list[str]) -> Suggestions:
    """Ranks what was read, without near copies, and tries out whether that is better than chance."""
    classes = len(names)
    copy = find_copies(labelled.rows, looked)
    fresh = np.flatnonzero(~copy)
    pool = looked.values[fresh] if len(fresh) else np.zeros((0, labelled.values.shape[1]), np.float32)
    typical = ranking.is_few(labelled.labels, classes)
    choice = ranking.choose(pool, labelled.values, labelled.labels, classes, count)
    tried = ranking.replay(labelled.values, labelled.labels, classes, count)
    scores = ranking.fit_head(labelled.values, labelled.labels, classes).scores(pool[choice.rows])
    images = [
        Suggestion(looked.paths[fresh[row]], *_explain(scores[place], names, int(stands_for) if typical else 0))
        for place, (row, stands_for) in enumerate(zip(choice.rows, choice.stands_for, strict=True))
    ]
    copies = [looked.paths[index] for index in np.flatnonzero(copy)]
    strategy = "typicality" if typical else "uncertainty"
    return Suggestions(strategy, images, tried.beats_chance, describe(tried), copies, looked.unreadable, notes)


def _explain(scores: np.ndarray, names: list[str], stands_for: int) -> tuple[str, str, float]:
    """Gives why an image was chosen, the model's answer, and its margin, 0..1."""
    first, second = np.argsort(-scores)[:2]
    margin = round(float(np.clip(scores[first] - scores[second], 0, 1)), 4)
    doubt = f"between '{names[first]}' and '{names[second]}'" if margin < DOUBT else "little doubt"
    return (f"typical of {stands_for:,} images" if stands_for else doubt), names[first], margin


def find_copies(rows: list[Row], looked: Looked) -> np.ndarray:
    """Tells which images show what a labelled one shows, or what an earlier one of them does: bool [n]."""
    digests = [row.sha256 for row in rows] + looked.digests
    hashes = [row.picture_hash for row in rows] + looked.hashes
    distance = DataOptions().near_duplicate_distance
    clusters = find_neighbours(digests, hashes, [""] * len(digests), distance).clusters
    first = np.unique(clusters, return_index=True)[1]
    return ~np.isin(np.arange(len(rows), len(digests)), first)


def describe(tried: ranking.Replay) -> str:
    """Describes a replay in words."""
    if tried.beats_chance is None:
        return f"not tried out: that takes {ranking.LEAST} labelled images of two classes or more"
    low, high = min(tried.gains), max(tried.gains)
    how = "is better than choosing at random" if tried.beats_chance else "is no better than choosing at random"
    return (
        f"this way of choosing {how}: tried out {len(tried.gains)} times on the labelled images, {tried.chosen} chosen "
        f"gained {100 * tried.mean:+.1f} points of accuracy over chance ({100 * low:+.1f} to {100 * high:+.1f})"
    )
