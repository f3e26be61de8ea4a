"""Options of the evaluation, and every limit that can stop a push."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.contract.features import MAX_REFUSED
from components.contract.gates import OnUndecided
from components.options.base import Fraction, Options, Positive, PositiveLimit


class EvaluatorOptions(Options):
    """How the Evaluator runs; its limits are in the `quality` gate."""

    batch_size: Positive = Field(16, description="Largest batch that the model sees during evaluation.")
    top_k: Positive = Field(5, description="A label among so many most probable classes counts for top-k accuracy.")
    slices: list[Annotated[str, Field(min_length=1)]] = Field(
        ["class", "format", "size"], description="`class`, `size` (of the shorter side), or features of the examples."
    )
    small_slice: Positive = Field(30, description="A slice with fewer images is marked as small.")


class DataGateOptions(Options):
    """Limits on the data."""

    on_anomaly: Literal["stop", "warn"] = Field("stop", description="What data that does not fit the schema does.")
    on_drift: Literal["stop", "warn"] = Field(
        "warn", description="What data that is unlike that of the version being served does."
    )
    on_skew: Literal["stop", "warn"] = Field("warn", description="What a train side unlike the eval side does.")
    max_drift: Fraction | None = Field(
        None, description="Largest Jensen-Shannon divergence of a numeric feature; null: as the schema says, each."
    )


class QualityGateOptions(Options):
    """Limits on the candidate's metrics over the eval split; docs/gates.md has the rules."""

    min_accuracy: Fraction = Field(
        0.0, description="A candidate below this accuracy is not pushed; 0: it must be better than chance only."
    )
    min: dict[str, Fraction] = Field(
        default_factory=dict, description="A floor for further metrics, by name, such as {macro_f1: 0.8}."
    )
    min_class_accuracy: Fraction = Field(0.0, description="Floor of the accuracy in each class; 0: no limit.")
    class_floors: dict[str, Fraction] = Field(
        default_factory=dict, description="Likewise in these classes, instead of min_class_accuracy."
    )
    min_slice_accuracy: Fraction = Field(0.0, description="Likewise in each slice of evaluator.slices; 0: no limit.")
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(
        0.95, description="Of the one-sided tests, and of the intervals that are reported."
    )
    max_refused: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        MAX_REFUSED,
        description="Share of good images that the model may call outliers (`known`: false); 0: none. Part of the "
        "export: another value trains the head again.",
    )
    max_accuracy_drop: Fraction = Field(
        0.02, description="Largest tolerated loss of accuracy against the model that is being served."
    )
    max_class_drop: Fraction | None = Field(
        0.05, description="Likewise of one class's accuracy, where chance does not explain it; null: no limit."
    )
    max_decay: Fraction = Field(
        0.02, description="Likewise against the best version ever pushed, so that small losses do not add up."
    )
    on_undecided: OnUndecided = Field(
        "estimate", description="Where the eval set is too small to decide: the measured value itself decides, or this."
    )
    on_chance: Literal["refuse", "push"] = Field(
        "refuse", description="Where a candidate is not shown to be better than one that does not look at the image."
    )
    on_incomparable: Literal["push", "refuse"] = Field(
        "push", description="Where the served version cannot be evaluated: other classes, or broken."
    )


class ServabilityGateOptions(Options):
    """Limits on the export, measured in a fresh process."""

    images: Positive = Field(64, description="How many eval images are replayed through the signatures.")
    max_difference: Annotated[float, Field(gt=0.0)] = Field(
        1e-4, description="Largest tolerated difference of a probability between training and serving."
    )
    max_load_seconds: PositiveLimit = Field(120.0, description="Of loading the SavedModel; null: only recorded.")
    max_milliseconds_1: PositiveLimit = Field(10_000.0, description="95th percentile of a call with one image.")
    max_milliseconds_32: PositiveLimit = Field(60_000.0, description="95th percentile of a call with 32 images.")
    max_memory_mb: PositiveLimit = Field(8_000.0, description="Peak memory of the serving process, in MB.")
    max_size_mb: PositiveLimit = Field(2_000.0, description="Of the export on disk, in MB.")
    max_loss: Fraction = Field(
        0.01, description="Largest tolerated loss of accuracy of a quantised form of export against the SavedModel."
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(0.95, description="With which that is told.")
    on_undecided: OnUndecided = Field(
        "push", description="Where the eval set is too small to tell: the measured loss decides, or this."
    )
    timeout_seconds: Positive = Field(
        300, description="Of each replay; of one over all eval images, once more for every 1,000 of them."
    )


class GateOptions(Options):
    """Every limit that can stop a push, in one block."""

    data: DataGateOptions = DataGateOptions()
    quality: QualityGateOptions = QualityGateOptions()
    servability: ServabilityGateOptions = ServabilityGateOptions()
