"""Rows of `keras.applications` are what Keras makes of them: a few here, all of them by `walk.py`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.applications import mobilenet_v2, mobilenet_v3

from components.errors import InputError
from components.trainer.backbones.build import digest_weights, make_backbone, scale_pixels
from components.trainer.backbones.families.keras_applications import ROWS, find_weights
from components.trainer.backbones.table import check_request
from components.trainer.features.folding import fold_backbone, pool
from tests import pictures
from tests.components.trainer.backbones.cut import cut_networks
from tests.components.trainer.backbones.families import walk
from tests.conftest import ALPHA

MOBILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_"


@pytest.fixture
def cut(monkeypatch):
    cut_networks(monkeypatch)


def test_every_row_was_held_against_this_keras():
    assert keras.__version__ in walk.proven_versions(), (
        f"The rows, or Keras {keras.__version__}, are not those that were walked: expected both in {walk.PROVEN}.\n"
        f"Run `{walk.COMMAND}` (minutes) and commit what it writes."
    )


def test_the_rows_are_all_image_models_of_keras():
    assert set(ROWS) == walk.models_of_keras()


@pytest.mark.parametrize("name", ["EfficientNetB0", "VGG16"])  # with normalisation inside, and without
@pytest.mark.usefixtures("cut")
def test_a_row_is_what_keras_makes_of_it(name):
    walk.in_a_thread(walk.check_row, name)


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "VGG16"])  # by size and width, by width, the same
def test_weights_are_those_that_keras_asks_for(name, monkeypatch):
    for module in (mobilenet_v2, mobilenet_v3):  # Keras builds the network before it asks
        monkeypatch.setattr(module, "_inverted_res_block", lambda inputs, *_, **__: inputs)
    walk.in_a_thread(walk.check_weights_of, name)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_scales_pixels_as_keras_does_refuses_smaller_images_and_has_an_address(name):
    walk.check_scaling(name)
    row = ROWS[name]
    with pytest.raises(InputError, match=f"{name} takes images of at least {row.smallest_size} x"):
        check_request(name, (row.smallest_size - 1,) * 2, {})
    found = find_weights(name, (row.default_size,) * 2, {})
    assert found.url.startswith("https://storage.googleapis.com/")
    assert "{" not in found.url
    assert len(found.digest) in ((0,) if name in ("MobileNet", "MobileNetV2") else (32, 64))


@pytest.mark.parametrize(
    ("size", "arguments", "name"),
    [
        ((160, 160), {"alpha": 0.35}, f"{MOBILE}0.35_160_no_top.h5"),
        ((96, 96), {}, f"{MOBILE}1.0_96_no_top.h5"),
        ((96, 96), {"alpha": 1}, f"{MOBILE}1.0_96_no_top.h5"),
        ((100, 130), {"alpha": 1.4}, f"{MOBILE}1.4_224_no_top.h5"),
    ],
)
def test_the_file_follows_size_and_arguments(size, arguments, name):
    assert find_weights("MobileNetV2", size, arguments).name == name


def test_the_file_in_the_cache_may_have_another_name_than_its_address():
    assert find_weights("NASNetMobile", (224, 224), {}).name == "nasnet_mobile_no_top.h5"


def test_a_width_that_keras_has_no_weights_of_is_refused():
    with pytest.raises(InputError, match=r"Keras publishes no ImageNet weights of MobileNetV2 with .*0.4.: it has"):
        find_weights("MobileNetV2", (96, 96), {"alpha": 0.4})
    with pytest.raises(InputError) as caught:
        find_weights("MobileNetV3Small", (224, 224), {"alpha": 0.75, "minimalistic": True})
    said, fix = str(caught.value).splitlines()
    assert "it has those of alpha 0.75, minimalistic False; alpha 1.0, minimalistic False; alpha 1.0, min" in said
    assert fix == "Use other arguments, or name a file: trainer.weights."


@pytest.mark.parametrize("name", ["ConvNeXtTiny", "EfficientNetB0", "MobileNetV2"])
@pytest.mark.usefixtures("cut")
def test_a_row_builds_at_its_smallest_size_and_folds_without_change(name):
    row = ROWS[name]
    side = row.smallest_size
    keras.utils.set_random_seed(1)
    built = make_backbone(name, (side, side), {}, "none")
    assert built.model.input_shape == (None, side, side, 3)
    assert built.shape == built.model.output_shape[1:]
    assert (built.width, built.output, built.scaling) == (built.model.output_shape[-1], "maps", row.scaling)
    assert (built.weights_file, built.weights_sha256) == (None, None)
    assert not built.model.trainable_weights
    assert built.digest == digest_weights(built.model)

    pixels = tf.constant(pictures.noise(side, side)[None], tf.float32)
    unfolded = pool(built.model(scale_pixels(pixels, row.scaling), training=False)).numpy()
    folded = fold_backbone(built.model, row.scaling)(pixels).numpy()
    assert folded.shape == (1, built.width)
    largest = np.abs(unfolded).max()
    assert largest > 0  # Keras' initial weights let some networks fade, so the error is taken relative to it
    np.testing.assert_allclose(folded / largest, unfolded / largest, atol=1e-4)


@pytest.mark.usefixtures("cut")
def test_depthwise_convolutions_of_a_convnext_give_the_same_without_xla():
    keras.utils.set_random_seed(1)
    plain = keras.applications.ConvNeXtTiny(weights=None, include_top=False, input_shape=(32, 32, 3))
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


@pytest.mark.usefixtures("cut")
def test_the_scaling_can_be_another_than_the_rows():
    built = make_backbone("MobileNetV2", (32, 32), ALPHA, "none", scaling="torch")
    assert built.scaling == "torch"


def test_weights_that_are_no_file_cannot_be_pinned():
    with pytest.raises(InputError, match=r"trainer.weights_sha256: weights 'none' have no file to pin"):
        make_backbone("MobileNetV2", (32, 32), ALPHA, "none", weights_sha256="0" * 64)


def test_height_and_width_are_not_swapped_and_arguments_reach_the_network():
    built = make_backbone("MobileNetV2", (64, 128), ALPHA, "none")
    assert built.model.output_shape == (None, 2, 4, 1280)
    assert built.shape == (2, 4, 1280)
    assert built.model.count_params() == 410_208  # 2,257,984 with the default width


@pytest.mark.usefixtures("cut")
def test_the_digest_follows_the_weights_and_neither_the_process_nor_the_size():
    digests = []
    for size in ((32, 32), (64, 48)):
        keras.utils.set_random_seed(1)
        built = make_backbone("MobileNetV2", size, ALPHA, "none")
        digests.append(built.digest)
    assert digests[0] == digests[1]
    last = built.model.weights[-1]
    last.assign_add(np.full(last.shape, 1e-6, np.float32))
    assert digest_weights(built.model) != digests[0]
