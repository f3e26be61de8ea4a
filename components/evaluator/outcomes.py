"""What each image got from each model: the few numbers that statistics need, one row an image.

The probabilities of all classes stay in TFMA; a row is five numbers a model, so 100,000 images take a few MB.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

IMAGE_COLUMNS = (("sha256", pa.string()), ("name", pa.string()), ("label", pa.int32()))
MODEL_COLUMNS = (
    ("predicted", pa.int32()),  # the most probable class
    ("probability", pa.float32()),  # of it
    ("true_probability", pa.float32()),  # of the label
    ("rank", pa.int32()),  # of the label: how many classes are more probable
)


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
    """

    labels: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray
    true_probability: np.ndarray
    rank: np.ndarray
    classes: int

    @property
    def right(self) -> np.ndarray:
        """bool [images]: whether the most probable class is the label."""
        return self.predicted == self.labels

    @property
    def matrix(self) -> np.ndarray:
        """int64 [classes, classes]: counts [actual][predicted]."""
        cells = np.bincount(self.labels * self.classes + self.predicted, minlength=self.classes**2)
        return cells.reshape(self.classes, self.classes)

    def take(self, images: np.ndarray) -> Outcomes:
        """Gives the outcomes of some images, in the order of the indices; an image may be there more than once."""
        columns = ("labels", "predicted", "probability", "true_probability", "rank")
        return replace(self, **{name: getattr(self, name)[images] for name in columns})


def make_schema(models: list[str], slices: list[str]) -> pa.Schema:
    """Makes the schema of `images.parquet`: columns of the image, of each slice, of each model."""
    columns = [*IMAGE_COLUMNS, *((f"slice/{name}", pa.string()) for name in slices)]
    columns += [(f"{model}/{name}", kind) for model in models for name, kind in MODEL_COLUMNS]
    return pa.schema(columns)


def rate_image(probabilities: np.ndarray, label: int) -> dict[str, Any]:
    """Computes the columns of one model for one image.

    Args:
        probabilities: float [classes].
        label: the index of the true class.
    """
    predicted = int(np.argmax(probabilities))
    return {
        "predicted": predicted,
        "probability": float(probabilities[predicted]),
        "true_probability": float(probabilities[label]),
        "rank": int((probabilities > probabilities[label]).sum()),
    }


def outcomes_of(table: pa.Table, model: str, classes: int) -> Outcomes:
    """Reads the outcomes of one model from the table."""
    columns = {name: table[f"{model}/{name}"].to_numpy() for name, _ in MODEL_COLUMNS}
    return Outcomes(labels=table["label"].to_numpy(), classes=classes, **columns)
