"""TensorFlow Lite: the exported model from pixels to probabilities in one file, which says what it takes and gives.

`model.tflite` takes `pixels` float32 [batch, height, width, 3], RGB, 0..255, and gives `probabilities` float32
[batch, classes]; the batch may be resized. Decoding and resizing stay outside, as TensorFlow Lite has no operations for
them; the SavedModel's function `decode` is what the pixels of the check come from. The file has TFLite Metadata with
the class names as the labels of its output.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from components.contract import features
from components.contract.assets import read_facts, read_labels
from components.contract.gates import Check
from components.errors import InputError, first_line
from components.exports.answers import Limits, Reference, judge_parity
from components.exports.table import Images, write_file
from components.exports.tflite_metadata import BUFFER_NAME, describe_classifier
from components.process.lines import current_line

NAME, TITLE, FILE = "tflite", "TensorFlow Lite", "model.tflite"
PROBE = Path(__file__).with_name("tflite_probe.py")
ALL_IMAGES = False
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # of the files in the archive: the same model gives the same bytes
FILE_IDENTIFIER = b"TFL3"


def write(model: str, images: Images) -> None:
    """Writes `assets.extra/model.tflite` into an exported SavedModel; needs no images.

    Raises:
        InputError: the backbone has operations that TensorFlow Lite has not.
    """
    write_file(model, FILE, add_metadata(convert(tf.saved_model.load(model)), model))


def convert(
    model: tf.Module, name: str = NAME, prepare: Callable[[tf.lite.TFLiteConverter], None] = lambda converter: None
) -> bytes:
    """Converts a model to TensorFlow Lite, without metadata.

    The variables are folded first (TFX 1.16 only): through a SavedModel, which the converter prefers, TensorFlow 2.16
    ends the process on Keras 3 layers.

    Args:
        model: a loaded export.
        name: of the form.
        prepare: sets the converter's options; without any it converts to float32.

    Raises:
        InputError: it has operations that TensorFlow Lite has not.
    """
    frozen = convert_variables_to_constants_v2(model.classify_pixels.concrete_functions[0])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], None)
    converter.experimental_lower_to_saved_model = False
    prepare(converter)
    try:
        return bytes(converter.convert())
    except Exception as error:
        raise InputError(
            f"exports: TensorFlow Lite cannot take this backbone: {first_line(error)}\nLeave `{name}` out, or choose "
            "another backbone."
        ) from error


def add_metadata(content: bytes, export: str) -> bytes:
    """Puts metadata into a model, and the class names behind it, where the format has its associated files.

    Source: https://www.tensorflow.org/lite/models/convert/metadata, "pack metadata and associated files".

    Args:
        content: the model.
        export: the SavedModel that it was converted from.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph, crops = model.subgraphs[0], bool(read_facts(export).get(features.CROP_FACT))
    pixels = graph.tensors[graph.inputs[0]]
    _, height, width, _ = (int(side) for side in pixels.shape)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    whole = pixels.type == schema.TensorType.UINT8
    buffer.data = list(describe_classifier((height, width), features.LABELS_ASSET, crops, whole))
    model.buffers.append(buffer)
    entry.name, entry.buffer = BUFFER_NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    packed = io.BytesIO(pack(model))
    with zipfile.ZipFile(packed, "a") as archive:
        names = "".join(f"{name}\n" for name in read_labels(export))
        archive.writestr(zipfile.ZipInfo(features.LABELS_ASSET, LONG_AGO), names.encode())
    return packed.getvalue()


class SharingBuilder(flatbuffers.Builder):
    """Writes equal vectors once: each channel of a quantised layer has a zero of eight bytes, twice."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802  the name that FlatBuffers gives it
        """Gives the place of a vector, new or written before."""
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = int(super().CreateNumpyVector(x))
        return self._written[key]


def pack(model: schema.ModelT) -> bytes:
    """Writes a model as a flatbuffer."""
    builder = SharingBuilder(1024)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def settings() -> dict[str, Any]:
    """Gives the name of the associated file with the class names, and the module of the interpreter."""
    return {"labels": features.LABELS_ASSET, "interpreter": current_line().tflite_interpreter}


def judge(answer: dict[str, Any], reference: Reference, limits: Limits) -> tuple[dict[str, Any], list[Check]]:
    """Compares the file's answers with the SavedModel's, and the class names in both."""
    return judge_parity(NAME, FILE, answer, reference, limits)
