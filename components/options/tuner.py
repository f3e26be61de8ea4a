"""Options of the search for hyper-parameters, and the way of what it found into the Trainer's options."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from typing_extensions import Self

from components.options.base import Options, Positive
from components.options.trainer import TrainerOptions


class SearchRange(Options):
    """Values between two ends, both included."""

    low: float
    high: float
    log: bool = Field(False, description="Each factor of ten is as likely as the next.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"expected low below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range begins above 0, got {self.low:g}")
        return self


TunedOption = Literal[
    "learning_rate",
    "dropout",
    "l2",
    "hidden_units",
    "batch_size",
    "epochs",
    "warmup_epochs",
    "label_smoothing",
    "schedule",
    "class_weights",
]
SearchSpace = dict[TunedOption, SearchRange | Annotated[list[float | int | str], Field(min_length=1)]]


class TunerOptions(Options):
    """The search for the head's hyper-parameters, over features that are kept."""

    enabled: bool = Field(False, description="Search before training; `graft run --tune` sets it.")
    algorithm: Literal["bayesian", "random", "hyperband"] = Field("bayesian", description="Of KerasTuner.")
    trials: Positive = Field(20, description="How many heads are tried; hyperband counts its own.")
    objective: Literal["val_loss", "val_accuracy"] = Field("val_loss", description="On the held-out images.")
    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.2, description="Share of the train split that decides; the eval split stays unseen."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    space: SearchSpace = Field(
        {
            "learning_rate": SearchRange(low=1e-4, high=1e-2, log=True),
            "dropout": SearchRange(low=0.0, high=0.6),
            "l2": SearchRange(low=1e-4, high=3.0, log=True),
        },
        description="Options of the Trainer: {low, high, log} or a list of values; what is given is the whole space.",
    )

    @field_validator("space", mode="after")
    @classmethod
    def _possible(cls, space: SearchSpace) -> SearchSpace:
        """Refuses what the Trainer would refuse, and gives listed values the Trainer's types."""
        if not space:
            raise ValueError("expected at least one option to search, such as learning_rate: {low: 0.0001, high: 0.01}")
        return {name: _check_values(name, wish) for name, wish in space.items()}

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        changes_loss = [name for name in ("label_smoothing", "class_weights") if name in self.space]
        if self.objective == "val_loss" and changes_loss:
            raise ValueError(f"losses under another {changes_loss[0]} do not compare; use objective: val_accuracy")
        if self.algorithm == "hyperband" and "epochs" in self.space:
            raise ValueError("hyperband decides on the epochs itself; leave epochs out of the space")
        return self


def _check_values(name: TunedOption, wish: Any) -> Any:
    values = [wish.low, wish.high] if isinstance(wish, SearchRange) else wish
    checked = []
    for value in values:
        try:
            checked.append(getattr(TrainerOptions.model_validate({name: value}), name))
        except ValidationError as error:
            raise ValueError(f"trainer.{name} cannot be {value!r}: {error.errors()[0]['msg']}") from None
    return wish if isinstance(wish, SearchRange) else checked
