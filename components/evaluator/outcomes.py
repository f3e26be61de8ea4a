"""What each image got from each model: the few numbers that statistics need, one row an image.

The probabilities of all classes are not kept; a row is seven numbers a model, so 100,000 images take a few MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from components.contract import features

CANDIDATE, BASELINE, BEST = "candidate", "baseline", "best"  # the models, in names of columns
IMAGE_COLUMNS = (("sha256", pa.string()), ("name", pa.string()), ("label", pa.int32()))
MODEL_COLUMNS = (
    ("predicted", pa.int32()),  # the most probable class
    ("probability", pa.float32()),  # of it
    ("true_probability", pa.float32()),  # of the label
    ("rank", pa.int32()),  # of the label: how many classes are more probable
)
UNCALIBRATED_COLUMNS = (("uncalibrated", pa.float32()),)  # the most probable class' probability before the temperature
TYPICALITY_COLUMNS = (  # null where the model is older than these answers
    ("outlier", pa.float32()),  # share of good images that look less typical
    ("known", pa.bool_()),  # whether it is above the promised share
)
LATER_COLUMNS = (*UNCALIBRATED_COLUMNS, *TYPICALITY_COLUMNS)  # which an older run does not have


@dataclass(frozen=True)
class Outcomes:
    """One model on every image, in one order for all models.

    Attributes:
        labels: int [images], the label index.
        predicted: int [images], the most probable class.
        probability: float [images], of the predicted class, 0..1.
        true_probability: float [images], of the label.
        rank: int [images], how many classes are more probable than the label.
        classes: how many classes there are.
        outlier: float [images], share of good images that look less typical; None: an older model does not say.
        known: bool [images], whether that is above the promised share; None likewise.
        uncalibrated: float [images], the probability before the temperature; None: an older Graft kept none.
        areas: under each class's ROC curve, as `areas.measure_areas` gives them; empty: nobody measured them.
    """

    labels: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray
    true_probability: np.ndarray
    rank: np.ndarray
    classes: int
    outlier: np.ndarray | None = None
    known: np.ndarray | None = None
    uncalibrated: np.ndarray | None = None
    areas: tuple[float | None, ...] = ()

    @cached_property
    def right(self) -> np.ndarray:
        """bool [images]: whether the most probable class is the label."""
        return self.predicted == self.labels

    @cached_property
    def matrix(self) -> np.ndarray:
        """int64 [classes, classes]: counts [actual][predicted]."""
        cells = np.bincount(self.labels * self.classes + self.predicted, minlength=self.classes**2)
        return cells.reshape(self.classes, self.classes)

    @cached_property
    def images_of_classes(self) -> list[np.ndarray]:
        """int [images of the class], the indices, for each class."""
        return group_rows(self.labels, self.classes)

    def take(self, images: np.ndarray) -> Outcomes:
        """Gives the outcomes of some images, in the order of the indices; an image may be there more than once."""
        columns = ("labels", "predicted", "probability", "true_probability", "rank", "outlier", "known", "uncalibrated")
        there = {name: column for name in columns if (column := getattr(self, name)) is not None}
        return replace(self, **{name: column[images] for name, column in there.items()})


def group_rows(numbers: np.ndarray, groups: int) -> list[np.ndarray]:
    """Gives the rows of each number, int [rows], in their order; sorts once, whatever the number of groups.

    Args:
        numbers: int [n], each 0..groups-1.
        groups: how many.
    """
    sizes = np.bincount(numbers, minlength=groups)
    return np.split(np.argsort(numbers, kind="stable"), np.cumsum(sizes)[:-1])


def make_schema(models: list[str], slices: list[str]) -> pa.Schema:
    """Makes the schema of `images.parquet`: columns of the image, of each slice, of each model."""
    columns = [*IMAGE_COLUMNS, *((f"slice/{name}", pa.string()) for name in slices)]
    columns += [(f"{model}/{name}", kind) for model in models for name, kind in (*MODEL_COLUMNS, *LATER_COLUMNS)]
    return pa.schema(columns)


def rate_images(probabilities: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> dict[str, np.ndarray]:
    """Computes the columns of one model for a batch of images.

    Args:
        probabilities: float [images, classes].
        labels: int [images], the index of the true class.
        temperature: that the model's logits were divided by: a power takes it back, of which the sum is 1 again.
    """
    rows, predicted = np.arange(len(labels)), np.argmax(probabilities, axis=1)
    true = probabilities[rows, labels]
    return {
        "predicted": predicted,
        "probability": probabilities[rows, predicted],
        "uncalibrated": uncalibrate(probabilities, temperature)[rows, predicted],
        "true_probability": true,
        "rank": (probabilities > true[:, None]).sum(axis=1),
    }


def rate_typicality(answers: Mapping[str, np.ndarray], images: int) -> dict[str, np.ndarray | None]:
    """Gives the columns of what one model says of images' typicality, float and bool [images]; None: it does not.

    Args:
        answers: of the signature, for a batch.
        images: of the batch.
    """
    outlier, known = answers.get(features.OUTPUT_OUTLIER), answers.get(features.OUTPUT_KNOWN)
    if outlier is None or known is None:
        return dict.fromkeys((name for name, _ in TYPICALITY_COLUMNS), None)
    return {"outlier": np.asarray(outlier).reshape(images), "known": np.asarray(known).reshape(images)}


def uncalibrate(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Gives the probabilities, float [images, classes], before the logits were divided by the temperature."""
    if temperature == 1.0:
        return probabilities
    raised = np.asarray(probabilities, np.float64) ** temperature
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def outcomes_of(table: pa.Table, model: str, classes: int) -> Outcomes:
    """Reads the outcomes of one model from the table."""
    names = [name for name, _ in MODEL_COLUMNS]
    for name, _ in LATER_COLUMNS:
        column = f"{model}/{name}"
        if column in table.column_names and not table[column].null_count:  # neither an older run nor an older model
            names.append(name)
    columns = {name: table[f"{model}/{name}"].to_numpy() for name in names}
    return Outcomes(labels=table["label"].to_numpy(), classes=classes, **columns)
