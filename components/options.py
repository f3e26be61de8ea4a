"""One typed options object a stage, and nothing that needs TensorFlow, TFX or Beam.

Unknown keys, wrong types and values out of range are refused here, once; the stages trust what they get.
Options travel to their stage as JSON (`to_json`, `from_json`), as execution property or `custom_config`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from typing_extensions import Self

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
PositiveLimit = Annotated[float, Field(gt=0.0)] | None


class Options(BaseModel):
    """Base of all options: immutable, unknown keys refused, JSON both ways."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    def to_json(self) -> str:
        """The options as JSON with sorted keys, the same text for the same options."""
        import json

        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        return cls.model_validate_json(text)


class DataOptions(Options):
    """What ImageExampleGen reads, what it refuses, and how it splits."""

    path: str | None = Field(
        None, description="Folder, manifest (.csv, .jsonl), TFRecords or archive; or `sample:digits`."
    )
    layout: Literal["auto", "class_folders", "split_folders", "nested_folders", "manifest", "tfrecord"] = Field(
        "auto", description="How labels and splits are told; `auto` finds out and says so."
    )
    image_feature: str = Field("image/encoded", description="TFRecords: the feature that holds the encoded image.")
    label_feature: str = Field("image/class/text", description="TFRecords: the feature that holds the class.")
    classes: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = Field(
        None, description="The classes that are expected, in any order: others, and missing ones, are anomalies."
    )
    eval_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.2, description="Share of images for evaluation, where the data does not give the split."
    )
    max_pixels: Annotated[int, Field(ge=1, le=357_913_940)] = Field(  # the most that Pillow opens
        100_000_000, description="Images with more pixels are quarantined; told from the header."
    )
    min_side: Positive = Field(8, description="Images with a shorter side, in pixels, are quarantined.")
    max_file_megabytes: Positive = Field(256, description="Larger files are quarantined unread.")
    max_bad_fraction: Fraction = Field(
        0.01, description="The run stops where a larger share of the images, or of one class, is unusable."
    )
    duplicates: Literal["remove", "keep"] = Field(
        "remove", description="Exact copies within a class: keep the first only, or all."
    )
    conflicts: Literal["remove", "keep"] = Field(
        "remove", description="The same picture under two classes: out on both sides, or kept."
    )
    leakage: Literal["remove", "report"] = Field(
        "remove", description="Train images that are copies of eval images: out of train, or reported only."
    )
    near_duplicate_distance: Annotated[int, Field(ge=0, le=63)] | None = Field(
        31, description="Images whose perceptual hashes differ in at most so many of 256 bits are one; null: off."
    )
    shard_megabytes: Positive = Field(128, description="Target size of one TFRecord file, in MB.")


class TransformOptions(Options):
    """Decoding and resizing, the one definition for training, evaluation and serving."""

    image_size: tuple[Positive, Positive] = Field(
        (224, 224), description="Height and width in pixels; one number: square."
    )
    resize: Literal["bilinear", "bicubic", "area", "nearest"] = "bilinear"

    @field_validator("image_size", mode="before")
    @classmethod
    def _square(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


class AugmentOptions(Options):
    """Random views of the training images; none by default."""

    flip: Literal["none", "horizontal", "both"] = "none"
    rotation: Annotated[float, Field(ge=0.0, le=180.0)] = Field(0.0, description="Largest angle, in degrees.")
    zoom: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="Largest share of a side that is cropped.")
    brightness: Fraction = Field(0.0, description="Largest change of all pixels, as a share of white.")
    contrast: Fraction = Field(0.0, description="Largest change of the contrast, as a share.")
    views: Annotated[int, Field(ge=0)] = Field(
        2, description="Fixed views an image, beside the plain one, kept; 0: a fresh one each epoch, not kept."
    )


class FineTuneOptions(Options):
    """The second stage: the backbone's last layers learn too, after the head. Batch norms stay as they are."""

    layers: Annotated[int, Field(ge=0)] = Field(0, description="So many of the backbone's last layers; 0: none.")
    from_layer: str | None = Field(None, description="Instead of `layers`: this layer and all after it.")
    learning_rate: Annotated[float, Field(gt=0.0)] = Field(1e-5, description="Follows `schedule`, as the head's does.")
    epochs: Positive = Field(5, description="The best one counts, if the held-out images are better off than before.")
    batch_size: Positive = Field(32, description="Global batch size of this stage.")
    checkpoint_steps: Positive = Field(50, description="Steps between two checkpoints; each epoch ends with one.")

    @property
    def asked_for(self) -> bool:
        """Whether there is a second stage."""
        return self.layers > 0 or self.from_layer is not None


class TrainerOptions(Options):
    """Backbone, head and how the head is trained."""

    backbone: str = Field(
        "MobileNetV2", description="A row of components/trainer/backbones.py, or a path: .keras or SavedModel."
    )
    backbone_args: dict[str, float | int | str | bool] = Field(
        default_factory=dict, description="Further arguments of the backbone's constructor, such as alpha: 0.35."
    )
    backbone_scaling: Literal["auto", "-1..1", "0..1", "torch", "caffe", "inside"] = Field(
        "auto", description="What the backbone expects of its pixels; auto: as its row says, for a path `inside`."
    )
    weights: str = Field("imagenet", description="`imagenet` (Keras' download), a weights file, or `none`.")
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="The weights file must have this digest."
    )
    pooling: Literal["avg", "max", "both"] = "avg"
    hidden_units: Annotated[int, Field(ge=0)] = Field(0, description="Width of a ReLU layer in the head; 0: none.")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.001
    schedule: Literal["cosine", "constant"] = Field("cosine", description="Of the learning rate.")
    warmup_epochs: Annotated[float, Field(ge=0.0)] = Field(0.0, description="Epochs in which the rate rises from 0.")
    l2: Annotated[float, Field(ge=0.0)] = Field(0.0, description="L2 penalty on the head's kernel.")
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    class_weights: Literal["none", "balanced"] = Field("none", description="balanced: rare classes weigh more.")
    epochs: Positive = 20
    batch_size: Positive = Field(32, description="Global batch size of the head's training.")
    feature_batch_size: Positive = Field(64, description="Global batch size of the pass through the backbone.")
    feature_dtype: Literal["float32", "float16"] = Field("float32", description="Of the features that are kept.")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Of the backbone while it trains or is learned from; head, evaluation, export: float32."
    )
    early_stopping_patience: Annotated[int, Field(ge=0)] = Field(
        5, description="Epochs without a better validation loss before training stops; 0: never stop early."
    )
    validation_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.1, description="Share of the train split that early stopping watches; the eval split stays unseen."
    )
    augment: AugmentOptions = AugmentOptions()
    fine_tune: FineTuneOptions = FineTuneOptions()
    devices: Annotated[str, Field(pattern=r"^(auto|cpu|cpu:[1-9]\d*|gpu|gpu:\d+(,\d+)*)$")] = Field(
        "auto", description="`auto`, `cpu`, `cpu:N` (N replicas), `gpu`, `gpu:0,1`."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    deterministic: bool = Field(True, description="The same data, options and seed give the same bytes.")
    tensorboard: bool = Field(True, description="Write TensorBoard logs into the ModelRun artifact.")
    histograms: bool = Field(False, description="Histograms of the head's weights among them.")


class EvaluatorOptions(Options):
    """How the Evaluator runs; its limits are in the `quality` gate."""

    batch_size: Positive = Field(32, description="Largest batch that the model sees during evaluation.")
    top_k: Positive = Field(5, description="A label among so many most probable classes counts for top-k accuracy.")
    slices: list[Annotated[str, Field(min_length=1)]] = Field(
        ["class", "format", "size"], description="`class`, `size` (of the shorter side), or features of the examples."
    )
    small_slice: Positive = Field(30, description="A slice with fewer images is marked as small.")


class BeamNodeOptions(Options):
    """Where the Beam part of one node runs."""

    runner: str | None = Field(None, description="null: as for all nodes.")
    args: list[str] = Field(default_factory=list, description="Added to those for all nodes; the last one counts.")


class BeamOptions(Options):
    """Where ImageExampleGen, StatisticsGen, Transform and Evaluator run their Beam pipelines."""

    runner: str = Field(
        "DirectRunner", description="Or FlinkRunner, SparkRunner, DataflowRunner, PortableRunner (any job service)."
    )
    args: list[str] = Field(default_factory=list, description="Arguments of Beam, such as --job_endpoint=HOST:PORT.")
    nodes: dict[Literal["ImageExampleGen", "StatisticsGen", "Transform", "Evaluator"], BeamNodeOptions] = Field(
        default_factory=dict, description="Other runners and further arguments a node."
    )


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

    min_accuracy: Fraction = Field(0.5, description="A candidate below this accuracy is not pushed.")
    min_class_accuracy: Fraction = Field(0.0, description="Likewise in each class; 0: no limit.")
    class_floors: dict[str, Fraction] = Field(
        default_factory=dict, description="Likewise in these classes, instead of min_class_accuracy."
    )
    min_slice_accuracy: Fraction = Field(0.0, description="Likewise in each slice of evaluator.slices; 0: no limit.")
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(
        0.95, description="Of the one-sided tests, and of the intervals that are reported."
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
    on_undecided: Literal["estimate", "push", "refuse"] = Field(
        "estimate", description="Where the eval set is too small to decide: the measured value itself decides, or this."
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
    timeout_seconds: Positive = 300


class GateOptions(Options):
    """Every limit that can stop a push, in one block."""

    data: DataGateOptions = DataGateOptions()
    quality: QualityGateOptions = QualityGateOptions()
    servability: ServabilityGateOptions = ServabilityGateOptions()


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
            "l2": SearchRange(low=1e-4, high=0.3, log=True),
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
