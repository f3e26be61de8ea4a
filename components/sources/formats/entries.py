"""Reads one record of a TFRecord file: the image and the class in a serialized tf.Example."""

from __future__ import annotations

from typing import Any, NamedTuple

from components.images.formats import sniff_format
from components.options.data import DataOptions

LABEL_FEATURES = (  # as data sets name the class where they do not follow TFDS' older names
    *("label", "class", "target", "category", "image/class/label", "image/label", "class_id", "label_id", "class_name"),
    *("label_name", "image/class", "y"),
)


class RecordImage(NamedTuple):
    """The image in a record: its label, its offset in the record and its size in bytes; or a problem."""

    label: str = ""
    offset: int = 0
    size: int = 0
    problem: str = ""


def _parse(data: bytes) -> Any:
    """The features of a serialized tf.Example by their names; None: it is none."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        return tf.train.Example.FromString(data).features.feature
    except DecodeError:
        return None


def find_picture(data: bytes, options: DataOptions) -> RecordImage:
    """Finds image and label of a serialized tf.Example, by the features that the options name.

    An empty `label_feature`: the label does not matter.
    """
    found = _parse(data)
    if found is None:
        return RecordImage(problem="no tf.Example")
    if not found:
        return RecordImage()  # of no bytes: that is what is said of it
    label, count = _label(found[options.label_feature]) if options.label_feature in found else ("", 0)
    for name in (options.image_feature, options.label_feature):
        if name and name not in found:
            names = ", ".join(f"'{name}'" for name in sorted(found)) or "none"
            return RecordImage(label, problem=f"no feature '{name}' among {names:.300}")
    content = found[options.image_feature].bytes_list.value
    if len(content) != 1:
        return RecordImage(
            label, problem=f"feature '{options.image_feature}' has {len(content)} byte strings instead of one"
        )
    if options.label_feature and (count != 1 or not label):
        return RecordImage(problem=f"feature '{options.label_feature}' has {count} texts or integers instead of one")
    return RecordImage(label, data.index(content[0]), len(content[0]))  # any place that has these bytes will do


def _label(feature: Any) -> tuple[str, int]:
    """The class name, and how many values there are."""
    values = [value.decode("utf-8", "surrogateescape") for value in feature.bytes_list.value]
    values += [str(value) for value in feature.int64_list.value]
    return (values[0] if values else ""), len(values)


def is_empty(data: bytes) -> bool:
    """Tells whether a record is a tf.Example without a feature; one of no bytes is."""
    found = _parse(data)
    return found is not None and not found


def guess_features(data: bytes, options: DataOptions) -> DataOptions:
    """Returns the options with the features that a record seems to have, where the options name none."""
    found = _parse(data) or {}
    usual, update = DataOptions(), dict[str, str]()
    pictures = [name for name in found if any(map(sniff_format, found[name].bytes_list.value))]
    classes = [name for name in LABEL_FEATURES if name in found and _label(found[name])[1] == 1]
    if options.image_feature == usual.image_feature not in found and len(pictures) == 1:
        update["image_feature"] = pictures[0]
    if options.label_feature == usual.label_feature not in found and len(classes) == 1:
        update["label_feature"] = classes[0]
    return options.model_copy(update=update)
