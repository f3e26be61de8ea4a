"""TensorFlow Lite: the exported model from pixels to probabilities in one file, which says what it takes and gives.

Decoding and resizing stay outside, as TensorFlow Lite has no operations for them; the SavedModel's function `decode` is
what the pixels of the check come from. The file has TFLite Metadata with the class names as the labels of its output.
"""

from __future__ import annotations

import io
import os
import zipfile

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from components.contract import features
from components.errors import InputError, first_line
from components.exports.tflite_metadata import BUFFER_NAME, Description, describe_classifier

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # of the files in the archive: the same model gives the same bytes


def export_tflite(path: str, classes: list[str], crops: bool = False) -> int:
    """Writes `assets.extra/model.tflite` into an exported SavedModel; gives its size in bytes.

    It takes `pixels` float32 [batch, height, width, 3], RGB, 0..255, and gives `probabilities` float32
    [batch, classes]; the batch may be resized. `crops` is what its metadata says of the pixels.

    Raises:
        InputError: the backbone has operations that TensorFlow Lite has not.
    """
    content = add_metadata(convert(tf.saved_model.load(path)), classes, crops)
    folder = os.path.join(path, features.EXTRA_ASSETS)
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(os.path.join(folder, features.TFLITE_ASSET), "wb") as file:
        file.write(content)
    return len(content)


def convert(model: tf.Module) -> bytes:
    """The model in TensorFlow Lite's form, float32, without metadata.

    The variables are folded first (TFX 1.16 only): through a SavedModel, which the converter prefers, TensorFlow 2.16
    ends the process on Keras 3 layers.

    Args:
        model: a loaded export.

    Raises:
        InputError: it has operations that TensorFlow Lite has not.
    """
    frozen = convert_variables_to_constants_v2(model.classify_pixels.concrete_functions[0])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], None)
    converter.experimental_lower_to_saved_model = False
    try:
        return bytes(converter.convert())
    except Exception as error:
        raise InputError(
            f"exports: TensorFlow Lite cannot take this backbone: {first_line(error)}\nLeave `tflite` out, or choose "
            "another backbone."
        ) from error


def add_metadata(content: bytes, classes: list[str], crops: bool = False) -> bytes:
    """Puts metadata into the model, and the class names behind it, where the format has its associated files.

    Source: https://www.tensorflow.org/lite/models/convert/metadata, "pack metadata and associated files".
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph = model.subgraphs[0]
    _, height, width, _ = (int(side) for side in graph.tensors[graph.inputs[0]].shape)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(describe_classifier(Description(height, width, features.LABELS_ASSET, crops)))
    model.buffers.append(buffer)
    entry.name, entry.buffer = BUFFER_NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    packed = io.BytesIO(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(
            zipfile.ZipInfo(features.LABELS_ASSET, LONG_AGO), "".join(f"{name}\n" for name in classes).encode()
        )
    return packed.getvalue()
