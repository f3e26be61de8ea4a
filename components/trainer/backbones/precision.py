"""Half precision: a network that computes in it beside the exact one, and the scale that float16 gradients need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras

from components.errors import InputError
from components.options.trainer import TrainerOptions
from components.trainer.backbones.build import BuiltBackbone, make_backbone
from components.trainer.backbones.table import find_bringer

START = 2.0**15
PATIENCE = 2000  # steps without an overflow, after which a scale twice as large is tried


def build(options: TrainerOptions, size: tuple[int, int]) -> BuiltBackbone:
    """Builds the frozen backbone that the options ask for, under Keras' present dtype policy."""
    return make_backbone(
        *(options.backbone, size, options.backbone_args, options.weights),
        *(options.backbone_scaling, options.weights_sha256, options.pooling),
    )


def build_half(options: TrainerOptions, size: tuple[int, int]) -> BuiltBackbone:
    """Builds the same backbone so that it computes in `trainer.precision`; its variables stay float32.

    Raises:
        InputError: it is a SavedModel, which computes as it was saved.
    """
    own = find_bringer(options.backbone)
    if own and own.KEEPS_PRECISION:  # a saved layer comes with the policy that it was saved with
        backbone = build(options, size)
        _compute_in(backbone.model, options.precision)
        return backbone
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(options.precision)
    try:
        return build(options, size)
    finally:
        keras.config.set_dtype_policy(before)


def _compute_in(model: keras.Model, precision: str) -> None:
    for layer in leaves(model):
        if isinstance(layer, keras.layers.TFSMLayer):
            raise InputError(
                f"trainer.precision: '{precision}' needs a backbone made of Keras layers; this one is a SavedModel, "
                "which computes as it was saved.\nSave it as a file, model.save('trunk.keras'), or use float32."
            )
        layer.dtype_policy = precision


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model and of the models in it, in the order of the data."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


@dataclass(frozen=True)
class LossScale:
    """What the loss is multiplied by, so that small gradients do not vanish in float16.

    Micikevicius et al. (2018, arXiv:1710.03740), section 3.2. Gradients are divided by it again, in float64: where
    nothing over- or underflows it changes nothing.

    Attributes:
        value: a power of two; 1: no scaling.
        good: steps since it was last changed.
    """

    value: float = 1.0
    good: int = 0

    @classmethod
    def first(cls, precision: str) -> LossScale:
        """Before the first step: large for `mixed_float16`; bfloat16 has the range of float32 and needs none."""
        return cls(START if precision == "mixed_float16" else 1.0)

    def smaller(self) -> LossScale | None:
        """After an overflow; None: it was not the scale's doing."""
        return LossScale(self.value / 2) if self.value > 1 else None

    def after_step(self, precision: str) -> LossScale:
        """After a step without an overflow: twice as large once it held for long."""
        if precision != "mixed_float16":
            return self
        return LossScale(self.value * 2) if self.good + 1 >= PATIENCE else LossScale(self.value, self.good + 1)
