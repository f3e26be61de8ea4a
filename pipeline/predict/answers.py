"""The model behind the answers: a SavedModel's signatures over batches of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from components.contract import features
from components.errors import InputError, first_line
from components.images.findings import ImageLimits
from components.registry.find import class_names, crop_target, find_model
from components.registry.verify import check_folder
from pipeline.predict.overlays import Overlays
from pipeline.predict.reading import DEFAULT_LIMITS, Image, limits_for, read_ahead
from pipeline.process.footprint import load_tensorflow

BATCH = 32
READERS = 8  # threads; local files need few, files on a network more


@dataclass(frozen=True)
class Prediction:
    """The answer for one image, or why there is none.

    Attributes:
        path: as it was given, or found in a folder that was given.
        label: the most probable class; empty with an error, or where the answer is refused.
        probability: of the label, 0..1.
        probabilities: of every class, by name.
        error: why the image got no answer.
        overlay: the file with the activation overlay; empty where none was asked for.
        flags: keys of `images.FLAGS`: what was done to the image before it was answered, or is odd about it.
        outlier: share of good eval images that look less typical, 0..1; small: it looks like none of the classes.
            None: the version, of an older Graft, does not say.
        known: whether it looks like the images of the classes; None as above.
        refused: why the answer is none, of `predict.refusals`; empty where it is one.
    """

    path: str
    label: str = ""
    probability: float = 0.0
    probabilities: dict[str, float] = field(default_factory=dict)
    error: str = ""
    overlay: str = ""
    flags: tuple[str, ...] = ()
    outlier: float | None = None
    known: bool | None = None
    refused: str = ""

    def ranked(self, count: int = 0) -> list[tuple[str, float]]:
        """Ranks classes by probability; the first `count` of them, or all."""
        return sorted(self.probabilities.items(), key=lambda pair: -pair[1])[: count or None]


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        names: of the classes, in the order of the label index.
        signatures: by name: `ConcreteFunction`s, each from a string tensor [batch] to a dict of tensors.
        crop: of `crop_target`.
        limits: what images may be, and how they are read for it.
    """

    names: list[str]
    signatures: dict[str, Any]
    crop: tuple[int, int] | None = None
    limits: ImageLimits = DEFAULT_LIMITS

    def probabilities(self, contents: list[bytes]) -> np.ndarray:
        """float32 [batch, classes], 0..1."""
        return self.run(features.SERVE_BYTES, features.OUTPUT_PROBABILITIES, contents)

    def activations(self, contents: list[bytes]) -> np.ndarray:
        """float32 [batch, h, w], 0..1: where the evidence for the most probable class is."""
        return self.run(features.EXPLAIN, features.OUTPUT_CAM, contents)

    def embed(self, contents: list[bytes]) -> np.ndarray:
        """float32 [batch, d]: the pooled features that the head sees."""
        return self.run(features.EMBED, features.OUTPUT_FEATURES, contents)

    def run(self, signature: str, output: str, contents: list[bytes]) -> np.ndarray:
        """Runs a signature over encoded images; gives one of its outputs, a row an image."""
        return self.answer(contents, signature)[output]

    def answer(self, contents: list[bytes], signature: str = features.SERVE_BYTES) -> dict[str, np.ndarray]:
        """Runs a signature over encoded images; gives its outputs by name, a row an image each."""
        import tensorflow as tf

        run = self.signatures[signature]
        (name,) = run.structured_input_signature[1]
        # By name: called by position, TensorFlow first prints the input to see if it fits, images and all.
        found = run(**{name: tf.constant(contents, tf.string)})
        return {output: np.asarray(array.numpy()) for output, array in found.items()}


def load_model(model: str) -> Model:
    """Loads the model that `find_model` finds for a path.

    Raises:
        InputError: there is no such model, it is not as it was pushed, or Graft did not make it.
    """
    folder = find_model(model)
    check_folder(folder)
    names = class_names(folder)
    tf = load_tensorflow()
    return Model(names, dict(tf.saved_model.load(str(folder)).signatures), crop_target(folder), limits_for(folder))


def predict_files(
    model: str, paths: Iterable[str], batch_size: int = BATCH, explain: Path | None = None
) -> Iterator[Prediction]:
    """Yields answers in the order of the paths; a bad file gets an error and takes no other down.

    Files are read and checked ahead while the model answers; memory does not grow with their number.

    Args:
        model: a version's folder, or a serving or working directory.
        paths: of files.
        batch_size: images that the model sees at once.
        explain: a folder for activation overlays, one file an image; None: none.

    Raises:
        InputError: there is no such model, or it cannot explain.
    """
    loaded = load_model(model)
    if explain and features.EXPLAIN not in loaded.signatures:
        raise InputError(
            f"--explain: {model} has no `{features.EXPLAIN}` signature: its backbone gives vectors, without places.\n"
            "Leave --explain out."
        )
    with ThreadPoolExecutor(READERS) as pool:
        overlays = Overlays(explain, pool, loaded.crop, loaded.limits.upright) if explain else None
        images = read_ahead(pool, paths, 2 * batch_size, loaded.limits)
        while chunk := list(islice(images, batch_size)):
            yield from answer_batch(loaded, chunk, overlays)


def answer_batch(model: Model, images: list[Image], overlays: Overlays | None = None) -> list[Prediction]:
    """Answers for some images, errors in their places."""
    good = [image for image in images if not image.error]
    rows = iter(_answer(model, good, overlays))
    return [Prediction(image.name, error=image.error) if image.error else next(rows) for image in images]


def _answer(model: Model, images: list[Image], overlays: Overlays | None) -> list[Prediction]:
    """Answers for each image. An image that TensorFlow refuses although it was checked fails alone."""
    import tensorflow as tf

    if not images:
        return []
    contents = [image.content for image in images]
    try:
        found = model.answer(contents)
        files = overlays.write(images, model.activations(contents)) if overlays else [""] * len(images)
    except tf.errors.InvalidArgumentError as error:
        if len(images) == 1:
            return [Prediction(images[0].name, error=f"undecodable: {first_line(error)}")]
        return [row for image in images for row in _answer(model, [image], overlays)]
    rows = [{name: array[place] for name, array in found.items()} for place in range(len(images))]
    return [
        replace(to_prediction(image.name, row, model.names, file), flags=image.flags)
        for image, row, file in zip(images, rows, files, strict=True)
    ]


def to_prediction(name: str, row: dict[str, Any], names: list[str], overlay: str = "") -> Prediction:
    """Makes an answer of a row of each output of `serving_default`, of which an older version has fewer."""
    probabilities = {
        label: float(value) for label, value in zip(names, row[features.OUTPUT_PROBABILITIES], strict=True)
    }
    label = max(probabilities, key=lambda name: probabilities[name])
    outlier = float(row[features.OUTPUT_OUTLIER]) if features.OUTPUT_OUTLIER in row else None
    known = bool(row[features.OUTPUT_KNOWN]) if features.OUTPUT_KNOWN in row else None
    answer = Prediction(name, label, probabilities[label], probabilities, overlay=overlay)
    return replace(answer, outlier=outlier, known=known)
