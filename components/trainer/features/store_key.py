"""Ingredients of the store's key: all that decides a feature besides its image."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.contract import features
from components.files.digests import digest_path
from components.trainer.backbones.answer_cache import AnswerCache

# Numbers that only name things in a SavedModel: they change with what else the process traced before.
NAMES_ONLY = ("shared_name", "container", "_class", "_output_shapes", "config_proto", "executor_type")

# EXIF with an orientation of 6, big-endian: what a camera on its side puts behind the first two bytes.
SIDEWAYS = bytes.fromhex("ffe1 001e 457869660000 4d4d002a00000008 0001 0112 0003 00000001 0006 0000")


def describe_key(
    backbone_sha256: str,
    pass_facts: dict[str, Any],
    transform_sha256: str,
    view_facts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Lists the ingredients of a key, readable and as JSON values.

    Args:
        backbone_sha256: over the backbone's weights and whatever else tells it from others.
        pass_facts: backbone, its arguments, scaling, pooling, image size, precision.
        transform_sha256: of `digest_transform`.
        view_facts: of `View.facts`; None for the plain image.

    Returns:
        What `FeatureStore` takes. TensorFlow's and Keras' versions are among it: another release may decode or
        multiply with another rounding, and computing again is cheap against an error that no one can find.
    """
    return {
        "backbone_sha256": backbone_sha256,
        "transform_sha256": transform_sha256,
        "view": view_facts,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        **pass_facts,
    }


def recall_transform_digest(transform: Any, answers: AnswerCache) -> str:
    """Recalls `digest_transform` by the bytes of the SavedModel: reading and probing it takes a second or more."""
    folder = transform.transform_savedmodel_dir
    return str(answers.recall({"what": "transform", "files": digest_path(folder)}, lambda: digest_transform(transform)))


def digest_transform(transform: Any) -> str:
    """Digests what Transform's graph is made of and what it does, whatever its nodes are called: sha256.

    The bytes of the SavedModel are no key: names of functions carry a counter over all that the process traced, so
    two runs with the same options differ (found with TensorFlow Transform 1.16). So this digests the multiset of
    operations with their attributes (constants, methods, sizes) without names, and the pixels of a few probe images,
    which tell what the wiring does. What differs in neither is the same transformation.

    Args:
        transform: the `TFTransformOutput`.
    """
    digest = hashlib.sha256()
    loaded = tf.saved_model.load(transform.transform_savedmodel_dir)
    graph = next(iter(loaded.signatures.values())).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    for text in sorted(_describe_node(node) for node in nodes):
        digest.update(text)
    layer = transform.transform_features_layer()
    pixels = layer({features.IMAGE: tf.constant([[image] for image in probe_images()])})[features.PIXELS]
    digest.update(f"{pixels.shape}".encode())
    digest.update(pixels.numpy().tobytes())
    return digest.hexdigest()


def _describe_node(node: Any) -> bytes:
    parts = [node.op.encode() if not node.op.startswith("__") else b"call"]
    for name in sorted(node.attr):
        value = node.attr[name]
        if value.WhichOneof("value") != "func" and not name.startswith("_") and name not in NAMES_ONLY:
            parts += [name.encode(), value.SerializeToString(deterministic=True)]
    return b"\0".join(parts)


def probe_images() -> list[bytes]:
    """Makes encoded images that tell decoders and resizing apart: sizes, sides, formats, grey, alpha, orientation."""

    def picture(height: int, width: int, channels: int) -> tf.Tensor:
        y, x = np.mgrid[0:height, 0:width][..., np.newaxis]
        waves = 127 + 120 * np.sin(x / 7 + np.arange(channels)) * np.cos(y / 5 - np.arange(channels))
        return tf.constant(waves.astype(np.uint8))

    photograph = tf.io.encode_jpeg(picture(333, 250, 3)).numpy()
    return [
        photograph,
        photograph[:2] + SIDEWAYS + photograph[2:],
        tf.io.encode_jpeg(picture(90, 31, 1), format="grayscale").numpy(),
        tf.io.encode_png(picture(40, 61, 3)).numpy(),
        tf.io.encode_png(picture(64, 64, 4)).numpy(),
    ]
