"""When an answer is no answer: too small a probability, or an image that looks like none of the classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from components.contract import features
from components.contract.assets import read_facts
from components.errors import InputError
from pipeline.predict.answers import Prediction

UNKNOWN, UNSURE = "unknown", "unsure"  # values of `Prediction.refused`


@dataclass(frozen=True)
class Refusals:
    """What a caller does not take for an answer.

    Attributes:
        threshold: least probability of a label, 0..1; 0: any.
        unknown: whether an image that the model does not know is refused.
    """

    threshold: float = 0.0
    unknown: bool = False

    @property
    def asked_for(self) -> bool:
        """Whether anything may be refused."""
        return self.unknown or self.threshold > 0

    def check(self, model: Path) -> None:
        """Refuses what cannot be decided.

        Args:
            model: the SavedModel's folder.

        Raises:
            InputError: a threshold that is no share, or a model that does not say what it knows.
        """
        if not 0 <= self.threshold <= 1:
            raise InputError(f"--threshold: expected a probability, 0 to 1, got {self.threshold}.")
        if self.unknown and features.OUTLIERS_FACT not in read_facts(model):
            raise InputError(
                f"--refuse-unknown: {model} does not say which images it knows: an older Graft made it.\n"
                "Train again (graft run), or leave --refuse-unknown out; --threshold goes by the probability."
            )

    def settle(self, row: Prediction) -> Prediction:
        """Takes the label of a row away where it is refused, and says why; probabilities stay."""
        if row.error or not self.asked_for:
            return row
        reason = UNSURE if row.probability < self.threshold else ""
        reason = UNKNOWN if self.unknown and row.known is False else reason
        return replace(row, label="", refused=reason) if reason else row

    def describe(self, refused: Counter[str], images: int) -> str:
        """Says how many of the images were refused, by the reason; empty where none was."""
        if not refused:
            return ""
        reasons = {
            UNKNOWN: f"unknown image: {refused[UNKNOWN]:,}",
            UNSURE: f"probability below {self.threshold:g}: {refused[UNSURE]:,}",
        }
        words = ", ".join(text for reason, text in reasons.items() if refused[reason])
        return f"{refused.total():,} of {images:,} answers refused ({words})."
