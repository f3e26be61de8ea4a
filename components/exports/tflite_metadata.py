"""TFLite Metadata of an image classifier, as a flatbuffer.

Written with the `flatbuffers` library alone: tflite-support, which has generated classes for it, allows no protobuf
above 3, and TensorFlow 2.21 none below 5. Field numbers and union types are those of the schema, version 1.0.0:
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import number_types

BUFFER_NAME = "TFLITE_METADATA"
FILE_IDENTIFIER = b"M001"
MIN_PARSER_VERSION = "1.0.0"
FEATURE_PROPERTIES, IMAGE_PROPERTIES = np.uint8(1), np.uint8(2)  # of the union ContentProperties
NORMALIZATION_OPTIONS = np.uint8(1)  # of the union ProcessUnitOptions
TENSOR_AXIS_LABELS = np.int8(2)  # of AssociatedFileType
RGB = np.int8(1)  # of ColorSpaceType

INPUT_TEXT = (
    "RGB pixels, 0 to 255, as {kind}. Decode the image, upright and laid on a colour as `orientation` and `alpha` in "
    "assets/graft.json say, and {resize} (tf.image.resize, the pipeline's method)."
)
STRETCH = "resize it to this size without keeping the aspect ratio or anti-aliasing"
CROP = (
    "crop it to the largest centred window with the aspect ratio of this size (as smart_resize of Keras), then resize "
    "that to this size without anti-aliasing"
)
MetadataTable = dict[int, Any]  # by field number: a text, a number of NumPy, a table, or a list of floats or of tables


def describe_classifier(size: tuple[int, int], labels: str, crops: bool = False, whole: bool = False) -> bytes:
    """Writes the metadata: one image in, one probability a class out, the classes in an associated file.

    Args:
        size: height and width of the input in px.
        labels: name of the associated file.
        crops: whether images are cropped before they are resized.
        whole: whether pixels and probabilities are uint8, which the model itself gives the scale of.
    """
    metadata = {
        0: "Graft image classifier",
        1: "An image to the probability of each class.",
        3: [{2: [_input(size, crops, whole)], 3: [_output(labels, whole)]}],
        7: MIN_PARSER_VERSION,
    }
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, metadata), FILE_IDENTIFIER)
    return bytes(builder.Output())


def describe_pixels(kind: str, crops: bool) -> str:
    """Says in words what an app makes of an image, for input of this type."""
    return INPUT_TEXT.format(kind=kind, resize=CROP if crops else STRETCH)


def _input(size: tuple[int, int], crops: bool, whole: bool) -> MetadataTable:
    """TensorMetadata of the pixels."""
    height, width = size
    image = {0: RGB, 1: {0: np.uint32(width), 1: np.uint32(height)}}
    return {
        0: "pixels",
        1: describe_pixels("uint8" if whole else "float32", crops),
        3: {0: IMAGE_PROPERTIES, 1: image},
        4: [{0: NORMALIZATION_OPTIONS, 1: {0: [0.0], 1: [1.0]}}],  # mean and standard deviation: unchanged
        5: {0: [255.0], 1: [0.0]},  # largest and smallest value
    }


def _output(labels: str, whole: bool) -> MetadataTable:
    """TensorMetadata of the probabilities."""
    text = "The class names, a line each, in the order of the probabilities."
    return {
        0: "probabilities",
        1: "The probability of each class; they sum to " + ("about 256, in steps of 1/256." if whole else "1."),
        3: {0: FEATURE_PROPERTIES, 1: {}},
        5: {0: [255.0 if whole else 1.0], 1: [0.0]},
        6: [{0: labels, 1: text, 2: TENSOR_AXIS_LABELS}],
    }


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Writes a text, a table or a list, what it refers to first; gives its place."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, list) and isinstance(value[0], float):
        return int(builder.CreateNumpyVector(np.array(value, np.float32)))
    if isinstance(value, list):
        places = [_write(builder, table) for table in value]
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return int(builder.EndVector())
    fields = {slot: field if isinstance(field, np.number) else _write(builder, field) for slot, field in value.items()}
    builder.StartObject(max(fields, default=-1) + 1)
    for slot, field in fields.items():
        if isinstance(field, np.number):
            builder.PrependSlot(SCALARS[type(field)], slot, field, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, field, 0)
    return int(builder.EndObject())


SCALARS = {np.uint8: number_types.Uint8Flags, np.int8: number_types.Int8Flags, np.uint32: number_types.Uint32Flags}
