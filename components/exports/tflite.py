"""TensorFlow Lite: the exported model from pixels to probabilities in one file, which says what it takes and gives.

`model.tflite` takes `pixels` float32 [batch, height, width, 3], RGB, 0..255, and gives `probabilities` float32
[batch, classes]; the batch may be resized. Decoding and resizing stay outside, as TensorFlow Lite has no operations for
them; the SavedModel's function `decode` is what the pixels of the check come from. The file has TFLite Metadata with
the class names as the labels of its output.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from components.contract import features
from components.contract.assets import read_facts, read_labels
from components.contract.gates import FAIL, Check, at_most
from components.errors import InputError, first_line
from components.exports.tflite_metadata import BUFFER_NAME, describe_classifier
from components.process.lines import current_line

TITLE, FILE = "TensorFlow Lite", "model.tflite"
PROBE = Path(__file__).with_name("tflite_probe.py")
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # of the files in the archive: the same model gives the same bytes


def write(model: str) -> None:
    """Writes `assets.extra/model.tflite` into an exported SavedModel.

    Raises:
        InputError: the backbone has operations that TensorFlow Lite has not.
    """
    crops = bool(read_facts(model).get(features.CROP_FACT))
    content = add_metadata(convert(tf.saved_model.load(model)), read_labels(model), crops)
    folder = os.path.join(model, features.EXTRA_ASSETS)
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(os.path.join(folder, FILE), "wb") as file:
        file.write(content)


def convert(model: tf.Module) -> bytes:
    """Converts a model to TensorFlow Lite, float32, without metadata.

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
    """Puts metadata into a model, and the class names behind it, where the format has its associated files.

    Source: https://www.tensorflow.org/lite/models/convert/metadata, "pack metadata and associated files".
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph = model.subgraphs[0]
    _, height, width, _ = (int(side) for side in graph.tensors[graph.inputs[0]].shape)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(describe_classifier((height, width), features.LABELS_ASSET, crops))
    model.buffers.append(buffer)
    entry.name, entry.buffer = BUFFER_NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    packed = io.BytesIO(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(
            zipfile.ZipInfo(features.LABELS_ASSET, LONG_AGO), "".join(f"{name}\n" for name in classes).encode()
        )
    return packed.getvalue()


def settings() -> dict[str, Any]:
    """Gives the name of the associated file with the class names, and the module of the interpreter."""
    return {"labels": features.LABELS_ASSET, "interpreter": current_line().tflite_interpreter}


def judge(answer: dict[str, Any], labels: list[str], max_difference: float) -> tuple[dict[str, Any], list[Check]]:
    """Compares the file's answers with the SavedModel's, and the class names in both."""
    pairs = [(np.array(row["tflite"]), np.array(row["saved_model"])) for row in answer["rows"]]
    if any(lite.shape != saved.shape for lite, saved in pairs):
        reason = f"{FILE} gives {pairs[0][0].size} probabilities; there are {len(labels)} classes"
        return {}, [Check("tflite/classes", pairs[0][0].size, len(labels), FAIL, reason)]
    worst = max((float(np.abs(lite - saved).max()) for lite, saved in pairs), default=float("inf"))
    other_labels = sum(a != b for a, b in zip(answer["labels"], labels, strict=False))
    other_labels += abs(len(answer["labels"]) - len(labels))
    reason = (
        f"{FILE} differs from serving_default by {worst:.2g} in probability; "
        f"gates.servability.max_difference is {max_difference:.2g}"
    )
    names = f"{other_labels} class names in {FILE} are not those of {features.LABELS_ASSET}"
    measured = {
        "tflite_images": len(pairs),
        "tflite_max_difference": worst,
        "tflite_same_label": sum(int(lite.argmax() == saved.argmax()) for lite, saved in pairs),
        "tflite_megabytes": round(answer["bytes"] / 1e6, 2),
    }
    return measured, [
        at_most("tflite/parity", worst, max_difference, reason),
        at_most("tflite/labels", other_labels, 0, names),
    ]
