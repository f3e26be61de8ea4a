"""The exported model: from bytes to label, with the signatures of the architecture, all through one transform graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from components.contract import features
from components.options.trainer import Pooling
from components.trainer.backbones.build import BuiltBackbone, scale_pixels
from components.trainer.backbones.precision import leaves
from components.trainer.features.folding import average_views, pool
from components.trainer.heads.head import Head
from components.trainer.outliers.served import OutlierScore
from components.trainer.outliers.typicality import Typicality

NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_./>-]*")  # what TensorFlow saves a variable under


class ServedModel(tf.Module):
    """Pixels, scaling, frozen backbone in inference mode, pooling, dense softmax; all of it in float32."""

    def __init__(
        self,
        backbone: BuiltBackbone,
        pooling: Pooling,
        head: Head,
        transform: tft.TFTransformOutput,
        classes: list[str],
        views: int = 1,
        typicality: Typicality | None = None,
    ) -> None:
        super().__init__()
        layer = transform.transform_features_layer()
        # Hidden, since TensorFlow would save it as a Keras model, with functions of its own that nobody calls. Its
        # graph holds neither variables nor tables; one that did could not be exported, and TensorFlow says so.
        self._transform = lambda raw: layer(raw)
        self.backbone = resources_of(backbone.model)
        self._call = lambda pixels: backbone.model(pixels, training=False)  # hides the model itself: see `resources_of`
        self.scaling = backbone.scaling
        self.has_maps = backbone.output == "maps"
        if not self.has_maps:
            for name in ("explain", "explain_class"):  # TensorFlow would trace them, and there are no places to explain
                setattr(self, name, None)
        self.pooling = pooling
        self.views, self.shape = views, backbone.shape
        self.hidden = [tf.Variable(array, name="head/hidden") for array in head.hidden or ()]
        self.kernel = tf.Variable(head.kernel, name="head/kernel")
        self.bias = tf.Variable(head.bias, name="head/bias")
        self.outliers = OutlierScore(typicality or Typicality.blank(head.widths[0]))
        self.classes = tf.constant(classes)
        shape = [None, *backbone.model.input_shape[1:]]
        pixels = [tf.TensorSpec(shape, tf.float32, features.PIXELS)]
        # Each is traced once, and called by all signatures. AutoGraph takes seconds to rewrite the transform graph's
        # layer, which needs none of it, and leaves what Keras calls as it is.
        strings = [tf.TensorSpec([None], tf.string)]
        self.decode = tf.function(self._decode, input_signature=strings, autograph=False)
        self.maps = tf.function(self._maps, input_signature=pixels, autograph=False)
        self.classify_pixels = tf.function(self._classify_pixels, input_signature=pixels, autograph=False)

    def _classify_pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Turns pixels [batch, height, width, 3] in 0..255 into probabilities [batch, classes], for further forms."""
        maps = self.maps(pixels) if self.views == 1 else self._maps(pixels, at_once=True)  # Lite has no such loops
        return {features.OUTPUT_PROBABILITIES: tf.nn.softmax(self.logits(pool(maps, self.pooling)))}

    def _decode(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """Decodes image files, string [batch], to pixels float32 [batch, height, width, 3] in 0..255."""
        return self._transform({features.IMAGE: tf.reshape(image_bytes, [-1, 1])})[features.PIXELS]

    def _maps(self, pixels: tf.Tensor, at_once: bool = False) -> tf.Tensor:
        """Runs the backbone on pixels in 0..255: feature maps [batch, h, w, d], or [batch, d] where it has no maps."""
        call = lambda view: self._call(scale_pixels(view, self.scaling))  # noqa: E731
        return average_views(call, pixels, self.views, self.shape, at_once)

    def pooled(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """Turns image files, string [batch], into the head's input, float32 [batch, d]."""
        return pool(self.maps(self.decode(image_bytes)), self.pooling)

    def logits(self, pooled: tf.Tensor) -> tf.Tensor:
        """Runs the head: float32 [batch, d] to logits [batch, classes]."""
        return tf.matmul(self._hide(pooled), self.kernel) + self.bias

    def _hide(self, pooled: tf.Tensor) -> tf.Tensor:
        """Runs the hidden layer, where the head has one."""
        return tf.nn.relu(tf.matmul(pooled, self.hidden[0]) + self.hidden[1]) if self.hidden else pooled

    def classify(self, pooled: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies features [batch, d]: probabilities [batch, classes]; all else that it answers is [batch]."""
        probabilities = tf.nn.softmax(self.logits(pooled))
        best = tf.argmax(probabilities, axis=1)
        outlier, known = self.outliers(pooled)
        return {
            features.OUTPUT_LABEL: tf.gather(self.classes, best),
            features.OUTPUT_PROBABILITY: tf.reduce_max(probabilities, axis=1),
            features.OUTPUT_PROBABILITIES: probabilities,
            features.OUTPUT_OUTLIER: outlier,
            features.OUTPUT_KNOWN: known,
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.INPUT_BYTES)], autograph=False)
    def serve_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers `serving_default`: image files; JPEGs are turned upright, others taken as stored, without alpha."""
        return self.classify(self.pooled(image_bytes))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.INPUT_EXAMPLES)], autograph=False)
    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers `serve_examples`: serialized tf.Examples, as ImageExampleGen writes them; and with the features.

        So one pass gives the Evaluator all that anyone asks about an eval image.
        """
        parsed = tf.io.parse_example(examples, {features.IMAGE: tf.io.FixedLenFeature([], tf.string)})
        pooled = self.pooled(parsed[features.IMAGE])
        return {**self.classify(pooled), features.OUTPUT_FEATURES: pooled}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.INPUT_BYTES)], autograph=False)
    def explain(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers `explain`: the class activation map of the predicted class (Zhou et al., 2016, arXiv:1512.04150).

        The logit is a sum over places, plus a bias, whatever the pooling: the mean takes every place alike, the
        largest value comes from one place (shared where several are largest), a class token counts with the bias, and
        a ReLU layer is linear for the units that are on. So the map is exact and needs no gradient. Evidence against
        the class is cut at 0; the strongest evidence is 1.
        """
        maps = self.maps(self.decode(image_bytes))
        best, evidence = self.evidence(maps)
        return self._explained(best, evidence)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, features.INPUT_BYTES),
            tf.TensorSpec([None], tf.int64, features.INPUT_CLASS),
        ],
        autograph=False,
    )
    def explain_class(self, image_bytes: tf.Tensor, class_index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers `explain_class`: the class activation map of any class, by its label index, as `explain` makes it."""
        maps = self.maps(self.decode(image_bytes))
        return self._explained(class_index, self.evidence_for(maps, pool(maps, self.pooling), class_index))

    def _explained(self, label: tf.Tensor, evidence: tf.Tensor) -> dict[str, tf.Tensor]:
        """Cuts evidence float32 [batch, h, w] at 0 and scales its strongest place to 1."""
        evidence = tf.nn.relu(evidence)
        strongest = tf.reduce_max(evidence, axis=[1, 2], keepdims=True)
        return {
            features.OUTPUT_LABEL: tf.gather(self.classes, label),
            features.OUTPUT_CAM: tf.math.divide_no_nan(evidence, strongest),
        }

    def evidence(self, maps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Gives what each place adds to the largest logit: its label int64 [batch], and float32 [batch, h, w].

        Args:
            maps: float32 [batch, h, w, d], of the backbone.
        """
        pooled = pool(maps, self.pooling)
        best = tf.argmax(self.logits(pooled), axis=1)
        return best, self.evidence_for(maps, pooled, best)

    def evidence_for(self, maps: tf.Tensor, pooled: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Gives what each place adds to the logit of a label an image: float32 [batch, h, w].

        Args:
            maps: float32 [batch, h, w, d], of the backbone.
            pooled: float32 [batch, d], of these maps.
            label: int64 [batch], the label index.
        """
        shares = SHARES[self.pooling]
        weights = tf.split(self._weights_for(pooled, label), len(shares), axis=1)
        return tf.add_n(
            [tf.einsum("bhwd,bd->bhw", share(maps), part) for share, part in zip(shares, weights, strict=True)]
        )

    def _weights_for(self, pooled: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Gives what each pooled feature adds to an image's logit of a label: float32 [batch, d]."""
        weights = tf.gather(tf.transpose(self.kernel), label)
        if not self.hidden:
            return weights
        is_on = tf.cast(self._hide(pooled) > 0, tf.float32)
        return tf.matmul(weights * is_on, self.hidden[0], transpose_b=True)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.INPUT_BYTES)], autograph=False)
    def embed(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers `embed`: the pooled features, float32 [batch, d]."""
        return {features.OUTPUT_FEATURES: self.pooled(image_bytes)}


def resources_of(model: keras.Model) -> dict[str, Any]:
    """Gives what the exported functions read of a Keras model: its variables by their names, and SavedModels inside.

    Not the model itself: Keras' variables (3.12) export a copy each, and restoring fills the copy, while the functions
    read the original. `tf.saved_model.load` happens to join the two; TensorFlow Serving finds no value in the original.
    """
    endpoints = [layer for layer in leaves(model) if isinstance(layer, keras.layers.TFSMLayer)]
    inside = {f"saved_model_{number}": layer._reloaded_obj for number, layer in enumerate(endpoints)}
    return _by_name(model.weights) | inside


def _by_name(variables: Sequence[Any]) -> dict[str, Any]:
    """Names TensorFlow's variables by their paths, or by a number where a path is no name or another variable's."""
    named: dict[str, Any] = {}
    for number, variable in enumerate(variables):
        fits = NAME.fullmatch(variable.path) and variable.path not in named
        named[variable.path if fits else f"variable_{number}"] = variable.value
    return named


def _mean_shares(maps: tf.Tensor) -> tf.Tensor:
    """Gives what each place adds to the mean: float32 [batch, h, w, d]."""
    return maps / tf.cast(tf.shape(maps)[1] * tf.shape(maps)[2], tf.float32)


def _largest_shares(maps: tf.Tensor) -> tf.Tensor:
    """Gives what each place adds to the largest value: float32 [batch, h, w, d]."""
    largest = tf.cast(maps == tf.reduce_max(maps, axis=[1, 2], keepdims=True), tf.float32)
    return maps * largest / tf.reduce_sum(largest, axis=[1, 2], keepdims=True)


def _grid_shares(maps: tf.Tensor) -> tf.Tensor:
    """Gives what each place adds to the mean, with 0 for the class token beside it: it comes from no place."""
    width = maps.shape[-1] // 2
    return tf.concat([_mean_shares(maps[..., :width]), tf.zeros_like(maps[..., width:])], axis=-1)


SHARES = {
    "avg": [_mean_shares],
    "max": [_largest_shares],
    "both": [_mean_shares, _largest_shares],
    "cls+avg": [_grid_shares],
}
