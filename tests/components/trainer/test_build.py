"""Every row of the table builds, at its smallest size, without weights."""

import importlib
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.backbones import BACKBONES, find_backbone
from components.trainer.build import build_backbone, digest_weights, scale_pixels
from components.trainer.features import fold_backbone, pool
from tests import pictures
from tests.conftest import ALPHA


def constructor_of(name):
    return getattr(keras.applications, find_backbone(name).constructor)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_row_builds_at_its_smallest_size_and_folds_without_change(name):
    row = BACKBONES[name]
    side = row.smallest_size
    keras.utils.set_random_seed(1)
    backbone, digest = build_backbone(name, (side, side), {}, "none")
    assert backbone.input_shape == (None, side, side, 3)
    assert backbone.output_shape[-1] == row.width
    assert not backbone.trainable_weights
    assert digest == digest_weights(backbone)

    pixels = tf.constant(pictures.noise(side, side)[None], tf.float32)
    unfolded = pool(backbone(scale_pixels(pixels, row.scaling), training=False)).numpy()
    folded = fold_backbone(backbone, row.scaling)(pixels).numpy()
    assert folded.shape == (1, row.width)
    largest = np.abs(unfolded).max()
    assert largest > 0  # Keras' initial weights let some networks fade, so the error is taken relative to it
    np.testing.assert_allclose(folded / largest, unfolded / largest, atol=1e-4)
    keras.backend.clear_session()


@pytest.mark.parametrize("name", BACKBONES)
def test_the_smallest_size_is_the_smallest_that_keras_takes(name):
    side = BACKBONES[name].smallest_size - 1
    with pytest.raises(ValueError, match=f"at least {side + 1}x{side + 1}"):
        constructor_of(name)(weights=None, include_top=False, input_shape=(side, side, 3))


@pytest.mark.parametrize("name", BACKBONES)
def test_the_scaling_is_that_of_the_weights(name):
    module = importlib.import_module(constructor_of(name).__module__)
    pixels = pictures.noise(4, 5).astype(np.float32)[None]
    expected = module.preprocess_input(pixels.copy(), data_format="channels_last")
    np.testing.assert_allclose(scale_pixels(tf.constant(pixels), BACKBONES[name].scaling), expected, atol=1e-4)


@pytest.mark.parametrize("name", [name for name, row in BACKBONES.items() if row.arguments])
def test_the_arguments_of_a_row_are_arguments_of_keras_with_their_default(name):
    parameters = inspect.signature(constructor_of(name)).parameters
    assert {key: parameters[key].default for key in BACKBONES[name].arguments} == BACKBONES[name].arguments


def test_arguments_reach_the_network():
    narrow, _ = build_backbone("MobileNetV2", (32, 32), ALPHA, "none")
    wide, _ = build_backbone("MobileNetV2", (32, 32), {}, "none")
    assert narrow.count_params() < wide.count_params() / 4


def test_height_and_width_are_not_swapped():
    backbone, _ = build_backbone("MobileNetV2", (64, 128), ALPHA, "none")
    assert backbone.output_shape == (None, 2, 4, 1280)


def test_the_digest_follows_the_weights_and_not_the_process():
    keras.utils.set_random_seed(1)
    first, digest = build_backbone("MobileNetV2", (32, 32), ALPHA, "none")
    keras.utils.set_random_seed(1)
    _, again = build_backbone("MobileNetV2", (32, 32), ALPHA, "none")
    assert again == digest
    first.weights[-1].assign_add(np.full(first.weights[-1].shape, 1e-6, np.float32))
    assert digest_weights(first) != digest


def test_images_of_another_size_have_the_same_digest():
    keras.utils.set_random_seed(1)
    _, digest = build_backbone("InceptionV3", (75, 75), {}, "none")
    keras.utils.set_random_seed(1)
    _, again = build_backbone("InceptionV3", (80, 80), {}, "none")
    assert again == digest
