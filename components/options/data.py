"""Options of what is read and how it is made into pixels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from components.contract.names import canonical
from components.options.base import MACHINE_PATH, Fraction, Options, Positive


class DataOptions(Options):
    """What ImageExampleGen reads, what it refuses, and how it splits."""

    path: str | None = Field(
        None,
        description="Folder, table (.csv, .jsonl, .json), TFRecords or archive; or `sample:digits`.",
        json_schema_extra=MACHINE_PATH,
    )
    layout: str = Field("auto", description="How labels and splits are told; `auto` finds out and says so, or asks.")
    path_column: str | None = Field(
        None, description="Tables: the column of image paths, where its name does not say so."
    )
    label_column: str | None = Field(None, description="Tables: the column of classes, where its name does not say so.")
    image_feature: str = Field("image/encoded", description="TFRecords: the feature that holds the encoded image.")
    label_feature: str = Field("image/class/text", description="TFRecords: the feature that holds the class.")
    classes: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = Field(
        None, description="The classes that are expected, in any order: others, and missing ones, are anomalies."
    )
    corrections: str | None = Field(
        None,
        description="CSV file that gives images another class or excludes them, as a run's page suggests it.",
        json_schema_extra=MACHINE_PATH,
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
    max_flat_fraction: Fraction = Field(
        0.05, description="The run stops where a larger share of a class is black or white all over."
    )
    orientation: Literal["apply", "ignore"] = Field(
        "apply", description="Pictures are turned as their orientation tag (EXIF) says; or stay as stored."
    )
    alpha: Literal["white", "black", "ignore"] = Field(
        "white", description="What shows through transparent pixels; ignore: the colours that they have beneath."
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

    @field_validator("layout", mode="before")
    @classmethod
    def _is_format(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuses what is no format, where the names of all are given.

        Their table stands above this room, so whoever checks a configuration passes the names as context.
        """
        formats: list[str] = (info.context or {}).get("formats", [])
        if not formats or value in ("auto", *formats):
            return value
        *others, last = "auto", *formats
        expected = ", ".join(map(repr, others)) + f" or {last!r}"
        raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})

    @field_validator("classes")
    @classmethod
    def _as_found(cls, value: list[str] | None) -> list[str] | None:
        return None if value is None else list(map(canonical, value))


class TransformOptions(Options):
    """Decoding and resizing, the one definition for training, evaluation and serving."""

    image_size: tuple[Positive, Positive] = Field(
        (224, 224), description="Height and width in pixels; one number: square."
    )
    resize: Literal["bilinear", "bicubic", "area", "nearest"] = "bilinear"
    crop_to_aspect_ratio: bool = Field(
        False, description="Crop to the middle window of the target's aspect ratio before resizing, not stretch."
    )

    @field_validator("image_size", mode="before")
    @classmethod
    def _square(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value
