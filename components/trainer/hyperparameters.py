"""Hyper-parameters that a search found, on their way into the Trainer's options: TFX's `best_hyperparameters`."""

from __future__ import annotations

from typing import Any

from components.options.trainer import TrainerOptions

OF_KERAS_TUNER = "tuner/"  # what Hyperband keeps among the values for itself


def tuned_values(hyperparameters: dict[str, Any] | None) -> dict[str, Any]:
    """Options by name, from the content of the artifact: KerasTuner's `HyperParameters.get_config()`; None: nothing."""
    values = (hyperparameters or {}).get("values", {})
    return {name: value for name, value in values.items() if not name.startswith(OF_KERAS_TUNER)}


def with_values(options: TrainerOptions, values: dict[str, Any]) -> TrainerOptions:
    """The options with these values in the place of theirs, checked.

    Raises:
        pydantic.ValidationError: the Trainer has no such option, or does not take the value.
    """
    return TrainerOptions.model_validate({**options.model_dump(), **values})
