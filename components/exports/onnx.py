"""ONNX: the exported model from pixels to probabilities for runtimes without TensorFlow, converted by tf2onnx.

`model.onnx` takes `pixels` float32 [batch, height, width, 3], RGB, 0..255, and gives `probabilities` float32
[batch, classes], in opset 17, which ONNX Runtime 1.12 and everything since reads. Decoding and resizing stay outside,
as for TensorFlow Lite. The model's own metadata holds the class names as a JSON list, and says how an image is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.contract import features
from components.contract.assets import read_facts, read_labels
from components.contract.gates import Check
from components.errors import InputError, first_line
from components.exports.answers import Limits, Reference, judge_parity
from components.exports.table import Images, write_file
from components.exports.tflite_metadata import describe_pixels

NAME, TITLE, FILE = "onnx", "ONNX", "model.onnx"
PROBE = Path(__file__).with_name("onnx_probe.py")
ALL_IMAGES = False
OPSET = 17
CLASSES = "classes"  # of the metadata
BATCH = "batch"  # name of the first dimension of input and output


def write(model: str, images: Images) -> None:
    """Writes `assets.extra/model.onnx` into an exported SavedModel; needs no images.

    Raises:
        InputError: the backbone has operations that tf2onnx has none for in ONNX, or is too large for one file.
    """
    proto = convert(tf.saved_model.load(model))
    facts = {CLASSES: json.dumps(read_labels(model), ensure_ascii=False), "opset": str(OPSET)}
    facts[features.PIXELS] = describe_pixels("float32", bool(read_facts(model).get(features.CROP_FACT)))
    for key, value in facts.items():
        proto.metadata_props.add(key=key, value=value)
    write_file(model, FILE, proto.SerializeToString())


def convert(model: tf.Module) -> Any:
    """Converts a model to an `onnx.ModelProto` with a batch of any size, without metadata.

    Args:
        model: a loaded export.

    Raises:
        InputError: it has operations that tf2onnx has none for in ONNX.
    """
    import tf2onnx  # of the extra `onnx`, which is not always installed

    (pixels,), _ = model.classify_pixels.concrete_functions[0].structured_input_signature
    try:
        proto, _ = tf2onnx.convert.from_function(model.classify_pixels, input_signature=[pixels], opset=OPSET)
    except Exception as error:
        raise InputError(
            f"exports: ONNX cannot take this backbone: {first_line(error)}\nLeave `{NAME}` out, or choose another "
            "backbone."
        ) from error
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    return proto


def settings() -> dict[str, Any]:
    """Gives the key of the class names in the metadata."""
    return {"labels": CLASSES}


def judge(answer: dict[str, Any], reference: Reference, limits: Limits) -> tuple[dict[str, Any], list[Check]]:
    """Compares the file's answers with the SavedModel's, and the class names in both."""
    return judge_parity(NAME, FILE, answer, reference, limits)
