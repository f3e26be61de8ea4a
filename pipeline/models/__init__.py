"""`graft models`: the versions of a serving directory, and which of them is served."""

from pipeline.models.find import (
    Version,
    choose_version,
    class_names,
    crop_target,
    find_model,
    list_models,
    reading_of,
    serving_dir,
)

__all__ = [
    "Version",
    "choose_version",
    "class_names",
    "crop_target",
    "find_model",
    "list_models",
    "reading_of",
    "serving_dir",
]
