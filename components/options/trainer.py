"""Options of backbone, head and how they are trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from components.options.base import MACHINE_PATH, Fraction, Options, Positive

Pooling = Literal["avg", "max", "both", "cls", "cls+avg"]
OF_CLASS = ("cls", "cls+avg")  # poolings that take the class token
OF_KERAS_TUNER = "tuner/"  # what Hyperband keeps among the values for itself


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
        "MobileNetV2",
        description="A name of components/trainer/backbones/families, keras_hub:PRESET, a .keras file or a SavedModel.",
        json_schema_extra=MACHINE_PATH,
    )
    backbone_args: dict[str, float | int | str | bool] = Field(
        default_factory=dict, description="Further arguments of the backbone's constructor, such as alpha: 0.35."
    )
    backbone_scaling: Literal["auto", "-1..1", "0..1", "torch", "caffe", "inside"] = Field(
        "auto", description="What the backbone expects of its pixels; auto: as its row says, for a path `inside`."
    )
    weights: str = Field(
        "imagenet",
        description="`imagenet` (a package's file, or Keras' download), a weights file, or `none`.",
        json_schema_extra=MACHINE_PATH,
    )
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="The weights file must have this digest."
    )
    pooling: Pooling = Field(
        "avg", description="Of the feature maps; `cls`: a transformer's class token, `cls+avg`: the mean beside it."
    )
    averaged_views: Literal[1, 2, 10] = Field(
        1,
        description="Views of each image whose features are averaged, in training and in serving: 2, with its mirror "
        "image; 10, with four crops of 0.8 too. Each costs one more pass through the backbone.",
    )
    hidden_units: Annotated[int, Field(ge=0)] = Field(0, description="Width of a ReLU layer in the head; 0: none.")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.003
    schedule: Literal["cosine", "constant"] = Field("cosine", description="Of the learning rate.")
    warmup_epochs: Annotated[float, Field(ge=0.0)] = Field(0.0, description="Epochs in which the rate rises from 0.")
    l2: Annotated[float, Field(ge=0.0)] | None = Field(
        None, description="L2 penalty on the head's kernel, of features on one scale; null: found from the images."
    )
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    class_weights: Literal["none", "balanced"] = Field("none", description="balanced: rare classes weigh more.")
    epochs: Positive = Field(20, description="Of the head; few images are passed over until an epoch has 50 steps.")
    batch_size: Positive = Field(32, description="Global batch size of the head's training.")
    feature_batch_size: Positive | None = Field(
        None, description="Global batch size of the pass through the backbone; null: 16 on CPUs, 64 a replica on GPUs."
    )
    feature_pass: Literal["local", "beam"] = Field(
        "local",
        description="Who passes images through the backbone: the Trainer itself, or Beam's workers, as `beam:` says "
        "of it; on CPUs both give the same bits.",
    )
    feature_dtype: Literal["float32", "float16"] = Field("float32", description="Of the features that are kept.")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Of the backbone while it trains or is learned from; head, evaluation, export: float32."
    )
    early_stopping_patience: Annotated[int, Field(ge=0)] = Field(
        5, description="Epochs without a better validation loss before training stops; 0: never stop early."
    )
    validation_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] | None = Field(
        None,
        description="Share of the train split that is not learned from, for early stopping and the second stage; null: "
        "0.1 with fine_tune, else 0. The eval split stays unseen.",
    )
    augment: AugmentOptions = AugmentOptions()
    fine_tune: FineTuneOptions = FineTuneOptions()
    calibrate: bool = Field(
        True,
        description="Divide the logits by one temperature, found on train images that the head has not learned from, "
        "so that a probability is the share that is right; the label stays.",
    )
    devices: Annotated[str, Field(pattern=r"^(auto|cpu|cpu:[1-9]\d*|gpu|gpu:\d+(,\d+)*)$")] = Field(
        "auto", description="`auto`, `cpu`, `cpu:N` (N replicas), `gpu`, `gpu:0,1`."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    deterministic: bool = Field(True, description="The same data, options and seed give the same bytes.")
    tensorboard: bool = Field(True, description="Write TensorBoard logs into the ModelRun artifact.")
    histograms: bool = Field(False, description="Histograms of the head's weights among them.")

    @property
    def held_out(self) -> float:
        """Share of the train split that is not learned from."""
        if self.validation_fraction is not None:
            return self.validation_fraction
        return 0.1 if self.fine_tune.asked_for else 0.0

    @model_validator(mode="after")
    def _second_stage_is_judged(self) -> TrainerOptions:
        if self.fine_tune.asked_for and not self.held_out:
            raise ValueError(
                "validation_fraction: 0 with fine_tune: the second stage is kept only if it helps images that were not "
                "learned from. Leave validation_fraction out (0.1 then), or fine_tune"
            )
        return self

    @model_validator(mode="after")
    def _beam_computes_what_is_kept(self) -> TrainerOptions:
        if self.feature_pass == "beam" and not self.augment.views:
            raise ValueError(
                "feature_pass: beam with augment.views: 0: fresh views are kept nowhere, and Beam's workers hand over "
                "what is kept. Set augment.views to 1 or more, or feature_pass to local"
            )
        return self

    @model_validator(mode="after")
    def _views_or_second_stage(self) -> TrainerOptions:
        if self.averaged_views > 1 and self.fine_tune.asked_for:
            raise ValueError(
                f"averaged_views: {self.averaged_views} with fine_tune: the second stage learns from single views. "
                "Leave one of them out"
            )
        return self


def tuned_values(hyperparameters: dict[str, Any] | None) -> dict[str, Any]:
    """Reads options by name from TFX's `best_hyperparameters`, KerasTuner's `get_config()`; empty where it is None."""
    values = (hyperparameters or {}).get("values", {})
    return {name: value for name, value in values.items() if not name.startswith(OF_KERAS_TUNER)}


def with_values(options: TrainerOptions, values: dict[str, Any]) -> TrainerOptions:
    """Puts these values in the place of the options', checked.

    Raises:
        pydantic.ValidationError: the Trainer has no such option, or does not take the value.
    """
    return TrainerOptions.model_validate({**options.model_dump(), **values})
