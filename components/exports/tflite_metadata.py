"""TFLite Metadata of an image classifier, as a flatbuffer.

Written with the `flatbuffers` library alone: tflite-support, which has generated classes for it, allows no protobuf
above 3, and TensorFlow 2.21 none below 5. Field numbers and union types are those of the schema, version 1.0.0:
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import flatbuffers

BUFFER_NAME = "TFLITE_METADATA"
FILE_IDENTIFIER = b"M001"
MIN_PARSER_VERSION = "1.0.0"
FEATURE_PROPERTIES, IMAGE_PROPERTIES = 1, 2  # of the union ContentProperties
NORMALIZATION_OPTIONS = 1  # of the union ProcessUnitOptions
TENSOR_AXIS_LABELS = 2  # of AssociatedFileType
RGB = 1  # of ColorSpaceType

INPUT_TEXT = (
    "RGB pixels, 0 to 255, as float32. Decode the image, upright and laid on a colour as `orientation` and `alpha` in "
    "assets/graft.json say, and {resize} (tf.image.resize, the pipeline's method)."
)
STRETCH = "resize it to this size without keeping the aspect ratio or anti-aliasing"
CROP = (
    "crop it to the largest centred window with the aspect ratio of this size (as smart_resize of Keras), then resize "
    "that to this size without anti-aliasing"
)
Field = Callable[[flatbuffers.Builder, int], None]  # writes into slot n of the table that is open


class Description(NamedTuple):
    """Of a classifier: height and width of its input in px, the file with its labels, whether images are cropped."""

    height: int
    width: int
    labels: str
    crops: bool = False


def describe_classifier(description: Description) -> bytes:
    """The metadata: one image in, one probability a class out, the classes in an associated file."""
    builder = flatbuffers.Builder(1024)
    subgraph = _table(
        builder,
        {
            2: _offset(_vector(builder, [_input(builder, description)])),
            3: _offset(_vector(builder, [_output(builder, description)])),
        },
    )
    root = _table(
        builder,
        {
            0: _offset(builder.CreateString("Graft image classifier")),
            1: _offset(builder.CreateString("An image to the probability of each class.")),
            3: _offset(_vector(builder, [subgraph])),
            7: _offset(builder.CreateString(MIN_PARSER_VERSION)),
        },
    )
    builder.Finish(root, FILE_IDENTIFIER)
    return bytes(builder.Output())


def _input(builder: flatbuffers.Builder, description: Description) -> int:
    """TensorMetadata of the pixels."""
    text = INPUT_TEXT.format(resize=CROP if description.crops else STRETCH)
    size = _table(builder, {0: _uint32(description.width), 1: _uint32(description.height)})
    image = _table(builder, {0: _int8(RGB), 1: _offset(size)})
    content = _table(builder, {0: _uint8(IMAGE_PROPERTIES), 1: _offset(image)})
    unchanged = _table(builder, {0: _offset(_floats(builder, [0.0])), 1: _offset(_floats(builder, [1.0]))})
    unit = _table(builder, {0: _uint8(NORMALIZATION_OPTIONS), 1: _offset(unchanged)})
    return _table(
        builder,
        {
            0: _offset(builder.CreateString("pixels")),
            1: _offset(builder.CreateString(text)),
            3: _offset(content),
            4: _offset(_vector(builder, [unit])),
            5: _offset(_range(builder, 0.0, 255.0)),
        },
    )


def _output(builder: flatbuffers.Builder, description: Description) -> int:
    """TensorMetadata of the probabilities."""
    labels = _table(
        builder,
        {
            0: _offset(builder.CreateString(description.labels)),
            1: _offset(builder.CreateString("The class names, a line each, in the order of the probabilities.")),
            2: _int8(TENSOR_AXIS_LABELS),
        },
    )
    content = _table(builder, {0: _uint8(FEATURE_PROPERTIES), 1: _offset(_table(builder, {}))})
    return _table(
        builder,
        {
            0: _offset(builder.CreateString("probabilities")),
            1: _offset(builder.CreateString("The probability of each class; they sum to 1.")),
            3: _offset(content),
            5: _offset(_range(builder, 0.0, 1.0)),
            6: _offset(_vector(builder, [labels])),
        },
    )


def _range(builder: flatbuffers.Builder, low: float, high: float) -> int:
    """Stats of a tensor."""
    return _table(builder, {0: _offset(_floats(builder, [high])), 1: _offset(_floats(builder, [low]))})


def _table(builder: flatbuffers.Builder, fields: dict[int, Field]) -> int:
    """A table; what its fields refer to is written already."""
    builder.StartObject(max(fields, default=-1) + 1)
    for slot, write in fields.items():
        write(builder, slot)
    return int(builder.EndObject())


def _offset(place: int) -> Field:
    return lambda builder, slot: builder.PrependUOffsetTRelativeSlot(slot, place, 0)


def _uint8(value: int) -> Field:
    return lambda builder, slot: builder.PrependUint8Slot(slot, value, 0)


def _int8(value: int) -> Field:
    return lambda builder, slot: builder.PrependInt8Slot(slot, value, 0)


def _uint32(value: int) -> Field:
    return lambda builder, slot: builder.PrependUint32Slot(slot, value, 0)


def _vector(builder: flatbuffers.Builder, places: list[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def _floats(builder: flatbuffers.Builder, values: list[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())
