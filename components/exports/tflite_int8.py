"""TensorFlow Lite in whole numbers: weights and activations int8, for phones, microcontrollers and accelerators.

`model-int8.tflite` takes `pixels` uint8 [batch, height, width, 3], RGB, as a camera or a decoder gives them, and gives
`probabilities` uint8 [batch, classes] in steps of 1/256, which the file says, too. That is what tools for such models
expect (TensorFlow Lite Task Library, MediaPipe, LiteRT, compilers for accelerators): the pixels need no scaling at all.

Every layer's range of values is learned from images of the train side. What rounding costs in accuracy is measured on
all eval images, and judged as the quality gate judges a loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from components.contract.gates import Check
from components.exports import tflite
from components.exports.answers import Limits, Reference, judge_accuracy
from components.exports.table import Images, write_file

NAME, TITLE, FILE = "tflite-int8", "TensorFlow Lite, int8", "model-int8.tflite"
PROBE, settings = tflite.PROBE, tflite.settings
ALL_IMAGES = True
REPRESENTATIVE = 200  # images; TensorFlow's guide asks for 100 to 500


def write(model: str, images: Images) -> None:
    """Writes `assets.extra/model-int8.tflite` into an exported SavedModel.

    Raises:
        InputError: the backbone has operations that TensorFlow Lite has not, or not in int8.
    """
    loaded = tf.saved_model.load(model)

    def prepare(converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: representative_pixels(loaded, images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8

    write_file(model, FILE, tflite.add_metadata(tflite.convert(loaded, NAME, prepare), model))


def representative_pixels(model: tf.Module, images: Images) -> Iterator[list[np.ndarray]]:
    """Gives the pixels of some images as the model decodes them, float32 [1, height, width, 3] each.

    The first one has a black and a white pixel in a corner: the input's range is then 0..255 and its step 1, so that
    bytes are what the file takes, whatever the images.
    """
    for number, image in enumerate(images(REPRESENTATIVE)):
        pixels = model.decode(tf.constant([image])).numpy()
        if not number:
            pixels[0, 0, 0], pixels[0, 0, 1] = 0.0, 255.0
        yield [pixels]


def judge(answer: dict[str, Any], reference: Reference, limits: Limits) -> tuple[dict[str, Any], list[Check]]:
    """Tests what rounding costs in accuracy, and compares the class names."""
    return judge_accuracy(NAME, FILE, answer, reference, limits)
