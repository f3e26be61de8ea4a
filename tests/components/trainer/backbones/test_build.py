"""Every row of the table is what `keras.applications` makes of it, and can be exported."""

import importlib
import inspect
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.trainer.backbones.build import build_backbone, digest_weights, make_backbone, scale_pixels
from components.trainer.backbones.table import BACKBONES, check_request, find_backbone
from components.trainer.features.folding import fold_backbone, pool
from tests import pictures
from tests.conftest import ALPHA

# The others repeat the layers of these, more often or wider. These are folded with real variables,
FOLDED = (
    "ConvNeXtTiny",
    "EfficientNetB0",
    "MobileNetV2",
    "MobileNetV3Small",
    "ResNet50V2",
    "VGG16",
)
# and these, the smallest of the other families, run as a graph that makes its values on the way.
RUN = (
    "DenseNet121",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "NASNetMobile",
    "ResNet50",
    "Xception",
)


def constructor_of(name):
    return getattr(keras.applications, find_backbone(name).constructor)


def module_of(name):
    return importlib.import_module(constructor_of(name).__module__)


@contextmanager
def without_variables():
    """Networks made inside have shapes and no variables; a graph of them makes the values on the way, see `fill`."""
    with keras.StatelessScope(initialize_variables=False):
        yield


def fill(model):
    """Convolutions average, the rest is 1: drawing Keras' initial values would take most of the test."""

    def value(shape, dtype=None):
        return tf.fill(shape, tf.constant(1.0 / np.prod(shape[:-1]), dtype or tf.float32))

    for variable in model.variables:
        variable._initializer = value


def in_a_thread(function, *arguments):
    """Keras keeps variables that were never made in a list of the thread: it goes with it."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *arguments).result()


def build_unmade(name):
    """Shape of the network's output, and the kinds of its layers."""
    side = BACKBONES[name].smallest_size
    with without_variables():
        model = constructor_of(name)(weights=None, include_top=False, input_shape=(side, side, 3))
        return model.output_shape, [type(layer).__name__ for layer in model.layers]


def run_unmade(name):
    """Features of two images through a graph of the network."""
    row = BACKBONES[name]
    shape = (row.smallest_size, row.smallest_size, 3)
    pixels = tf.constant(np.stack([pictures.noise(*shape[:2], seed) for seed in (1, 2)]), tf.float32)
    with without_variables():
        model = constructor_of(name)(weights=None, include_top=False, input_shape=shape)
        fill(model)
        forward = tf.function(lambda x: pool(model(scale_pixels(x, row.scaling), training=False)), autograph=False)
        return forward.get_concrete_function(tf.TensorSpec([None, *shape], tf.float32))(pixels).numpy()


def smallest_of_keras(name):
    side = BACKBONES[name].smallest_size - 1
    with pytest.raises(ValueError, match=f"at least {side + 1}x{side + 1}"), without_variables():
        constructor_of(name)(weights=None, include_top=False, input_shape=(side, side, 3))


def test_the_table_holds_every_image_model_of_keras():
    made = {
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value) and "include_top" in inspect.signature(value).parameters
    }
    assert set(BACKBONES) == made


@pytest.mark.parametrize("name", BACKBONES)
def test_a_row_is_what_keras_makes_of_it(name):
    row = BACKBONES[name]
    shape, kinds = in_a_thread(build_unmade, name)
    assert shape[-1] == row.width
    assert len(shape) == 4
    assert (row.scaling == "inside") is bool({"Rescaling", "Normalization", "PreStem"} & set(kinds))
    in_a_thread(smallest_of_keras, name)
    with pytest.raises(InputError, match=f"{name} takes images of at least {row.smallest_size} x"):
        check_request(name, (row.smallest_size - 1,) * 2, {})
    pixels = pictures.noise(4, 5).astype(np.float32)[None]
    expected = module_of(name).preprocess_input(pixels.copy(), data_format="channels_last")
    np.testing.assert_allclose(scale_pixels(tf.constant(pixels), row.scaling), expected, atol=1e-4)
    parameters = inspect.signature(constructor_of(name)).parameters
    assert {key: parameters[key].default for key in row.arguments} == row.arguments


def test_every_family_of_the_table_runs():
    assert {module_of(name) for name in (*FOLDED, *RUN)} | {module_of("VGG19")} == {module_of(x) for x in BACKBONES}


@pytest.mark.parametrize("name", RUN)
def test_a_graph_of_a_row_gives_finite_features(name):
    features = in_a_thread(run_unmade, name)
    assert features.shape == (2, BACKBONES[name].width)
    assert np.isfinite(features).all()


@pytest.mark.parametrize("name", FOLDED)
def test_a_row_builds_at_its_smallest_size_and_folds_without_change(name):
    row = BACKBONES[name]
    side = row.smallest_size
    keras.utils.set_random_seed(1)
    built = make_backbone(name, (side, side), {}, "none")
    assert built.model.input_shape == (None, side, side, 3)
    assert built.shape == built.model.output_shape[1:]
    assert (built.width, built.output, built.scaling) == (row.width, "maps", row.scaling)
    assert (built.weights_file, built.weights_sha256) == (None, None)
    assert not built.model.trainable_weights
    assert built.digest == digest_weights(built.model)

    pixels = tf.constant(pictures.noise(side, side)[None], tf.float32)
    unfolded = pool(built.model(scale_pixels(pixels, row.scaling), training=False)).numpy()
    folded = fold_backbone(built.model, row.scaling)(pixels).numpy()
    assert folded.shape == (1, row.width)
    largest = np.abs(unfolded).max()
    assert largest > 0  # Keras' initial weights let some networks fade, so the error is taken relative to it
    np.testing.assert_allclose(folded / largest, unfolded / largest, atol=1e-4)
    keras.backend.clear_session()


def test_depthwise_convolutions_of_a_convnext_give_the_same_without_xla():
    keras.utils.set_random_seed(1)
    plain = constructor_of("ConvNeXtTiny")(weights=None, include_top=False, input_shape=(32, 32, 3))
    keras.utils.set_random_seed(1)
    built = make_backbone("ConvNeXtTiny", (32, 32), {}, "none")
    assert digest_weights(plain) == built.digest
    for layer in (*plain.layers, *built.model.layers):  # layer scale begins at 1e-6, which would hide the convolutions
        if type(layer).__name__ == "LayerScale":
            layer.gamma.assign(tf.ones_like(layer.gamma))
    pixels = pictures.noise(32, 32).astype(np.float32)[None]
    np.testing.assert_allclose(built.model(pixels, training=False), plain(pixels, training=False), atol=1e-3)
    traced = tf.function(lambda x: built.model(x, training=False)).get_concrete_function(
        tf.TensorSpec([None, 32, 32, 3], tf.float32)
    )
    functions = traced.graph.as_graph_def().library.function
    assert not any(function.attr["_XlaMustCompile"].b for function in functions if "_XlaMustCompile" in function.attr)


def test_pixels_between_0_and_1_are_for_models_of_ones_own():
    pixels = tf.constant([[[[0.0, 51.0, 255.0]]]])
    np.testing.assert_allclose(scale_pixels(pixels, "0..1"), [[[[0.0, 0.2, 1.0]]]], rtol=1e-6)


def test_the_scaling_can_be_another_than_the_rows():
    built = make_backbone("MobileNetV2", (32, 32), ALPHA, "none", scaling="torch")
    assert built.scaling == "torch"


def test_weights_that_are_no_file_cannot_be_pinned():
    with pytest.raises(InputError, match=r"trainer.weights_sha256: weights 'none' have no file to pin"):
        make_backbone("MobileNetV2", (32, 32), ALPHA, "none", weights_sha256="0" * 64)


def test_arguments_reach_the_network():
    narrow, _ = build_backbone("MobileNetV2", (32, 32), ALPHA, "none")
    wide, _ = build_backbone("MobileNetV2", (32, 32), {}, "none")
    assert narrow.count_params() < wide.count_params() / 4


def test_height_and_width_are_not_swapped():
    built = make_backbone("MobileNetV2", (64, 128), ALPHA, "none")
    assert built.model.output_shape == (None, 2, 4, 1280)
    assert built.shape == (2, 4, 1280)


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
