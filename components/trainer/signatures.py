"""The exported model: from bytes to label, with the signatures of the architecture, all through one transform graph."""

from __future__ import annotations

import json
import os
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from components import features
from components.trainer.backbones import Scaling
from components.trainer.build import scale_pixels
from components.trainer.features import pool
from components.trainer.head import Head


class ServedModel(tf.Module):
    """Pixels, scaling, frozen backbone in inference mode, pooling, dense softmax."""

    def __init__(
        self,
        backbone: keras.Model,
        scaling: Scaling,
        head: Head,
        transform: tft.TFTransformOutput,
        classes: list[str],
    ) -> None:
        super().__init__()
        self.transform_layer = transform.transform_features_layer()
        self.backbone = backbone
        self.scaling = scaling
        self.kernel = tf.Variable(head.kernel, trainable=True, name="head/kernel")
        self.bias = tf.Variable(head.bias, trainable=True, name="head/bias")
        self.classes = tf.constant(classes)
        shape = [None, *backbone.input_shape[1:]]
        self.maps = tf.function(self._maps, input_signature=[tf.TensorSpec(shape, tf.float32)])

    def _maps(self, pixels: tf.Tensor) -> tf.Tensor:
        return self.backbone(scale_pixels(pixels, self.scaling), training=False)

    def decode(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """string [batch] to float32 [batch, height, width, 3] in 0..255."""
        return self.transform_layer({features.IMAGE: tf.reshape(image_bytes, [-1, 1])})[features.PIXELS]

    def classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """string [batch] to label string [batch], probability [batch], probabilities [batch, classes]."""
        pooled = pool(self.maps(self.decode(image_bytes)))
        probabilities = tf.nn.softmax(tf.matmul(pooled, self.kernel) + self.bias)
        best = tf.argmax(probabilities, axis=1)
        return {
            features.OUTPUT_LABEL: tf.gather(self.classes, best),
            features.OUTPUT_PROBABILITY: tf.reduce_max(probabilities, axis=1),
            features.OUTPUT_PROBABILITIES: probabilities,
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.INPUT_BYTES)])
    def serve_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """`serving_default`: raw image files."""
        return self.classify(image_bytes)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.INPUT_EXAMPLES)])
    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """`serve_examples`: serialized tf.Example, as ImageExampleGen writes them."""
        parsed = tf.io.parse_example(examples, {features.IMAGE: tf.io.FixedLenFeature([], tf.string)})
        return self.classify(parsed[features.IMAGE])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.INPUT_BYTES)])
    def explain(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """`explain`: the class activation map of the predicted class (Zhou et al., 2016, arXiv:1512.04150).

        With average pooling and one dense layer the map is exact: its mean over the image, plus the bias, is the logit.
        Evidence against the class is cut at 0; the strongest evidence is 1.
        """
        maps = self.maps(self.decode(image_bytes))
        best = tf.argmax(tf.matmul(pool(maps), self.kernel) + self.bias, axis=1)
        weights = tf.gather(tf.transpose(self.kernel), best)
        evidence = tf.nn.relu(tf.einsum("bhwd,bd->bhw", maps, weights))
        strongest = tf.reduce_max(evidence, axis=[1, 2], keepdims=True)
        return {
            features.OUTPUT_LABEL: tf.gather(self.classes, best),
            features.OUTPUT_CAM: tf.math.divide_no_nan(evidence, strongest),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.INPUT_BYTES)])
    def embed(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """`embed`: the pooled features, float32 [batch, d]."""
        return {features.OUTPUT_FEATURES: pool(self.maps(self.decode(image_bytes)))}


def export_model(model: ServedModel, path: str, facts: dict[str, Any]) -> None:
    """Writes the SavedModel with its class names and what it is made of."""
    signatures = {
        features.SERVE_BYTES: model.serve_bytes,
        features.SERVE_EXAMPLES: model.serve_examples,
        features.EXPLAIN: model.explain,
        features.EMBED: model.embed,
    }
    tf.saved_model.save(model, path, signatures=signatures)
    _write_asset(path, features.LABELS_ASSET, "".join(f"{name}\n" for name in facts["classes"]))
    _write_asset(path, features.FACTS_ASSET, json.dumps(facts, indent=2, sort_keys=True))


def _write_asset(path: str, name: str, text: str) -> None:
    tf.io.gfile.makedirs(os.path.join(path, "assets"))
    with tf.io.gfile.GFile(os.path.join(path, "assets", name), "w") as file:
        file.write(text)
