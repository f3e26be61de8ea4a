"""The one decode-and-resize of the tree."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.options.data import TransformOptions
from components.transform import decode_and_resize, preprocessing_fn
from tests import pictures
from tests.conftest import SIDE

FILES = {
    "jpeg": pictures.encode(pictures.noise(30, 40, 1), "jpeg"),
    "grey jpeg": pictures.encode(pictures.noise(17, 40, 2), "jpeg", "L"),
    "png": pictures.encode(pictures.noise(30, 11, 3)),
    "png with alpha": pictures.encode(pictures.noise(5, 5, 4), "png", "RGBA"),
    "gif": pictures.encode(pictures.noise(64, 48, 5), "gif"),
    "bmp": pictures.encode(pictures.noise(1, 1, 6), "bmp"),
}
METHODS = ["bilinear", "bicubic", "area", "nearest"]
SIZES = [(1, 1), (1, 50), (50, 1), (2, 3), (24, 32), (48, 64), (30, 31), (77, 40), (40, 77), (333, 250), (100, 1024)]


def options(**values):
    return TransformOptions(**{"image_size": (24, 32), **values})


def test_every_way_to_resize_is_walked_here():
    assert set(METHODS) == set(TransformOptions.model_fields["resize"].annotation.__args__)


@pytest.mark.parametrize("method", METHODS)
def test_one_batch_holds_images_of_every_kind(method):
    pixels = decode_and_resize(tf.constant(list(FILES.values())), options(resize=method)).numpy()
    assert pixels.shape == (len(FILES), 24, 32, 3)
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0.0
    assert pixels.max() <= 255.0
    assert pixels.max() > 200.0  # 0..255, not 0..1


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("method", METHODS)
def test_the_pixels_are_those_of_decode_and_resize(kind, method):
    decoded = tf.io.decode_image(FILES[kind], channels=3, expand_animations=False)
    expected = tf.clip_by_value(tf.cast(tf.image.resize(decoded, (24, 32), method), tf.float32), 0.0, 255.0)
    found = decode_and_resize(tf.constant([FILES[kind]]), options(resize=method))[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("target", [(24, 32), (32, 32), (33, 7), (1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("method", ["bilinear", "bicubic", "nearest"])
def test_a_crop_gives_the_pixels_of_smart_resize(method, target):
    images = [pictures.noise(height, width, seed) for seed, (height, width) in enumerate(SIZES)]
    encoded = tf.constant([pictures.encode(image) for image in images])
    found = decode_and_resize(encoded, options(image_size=target, resize=method, crop_to_aspect_ratio=True)).numpy()
    for pixels, image in zip(found, images, strict=True):
        expected = keras.preprocessing.image.smart_resize(image.astype(np.float32), target, interpolation=method)
        np.testing.assert_allclose(pixels, expected.clip(0, 255), atol=1e-3, err_msg=str(image.shape))


@pytest.mark.parametrize("method", METHODS)
def test_a_crop_gives_the_pixels_of_a_picture_that_was_cut_before(method):
    picture = pictures.noise(40, 77, 7)
    whole, cut = (tf.constant([pictures.encode(pixels)]) for pixels in (picture, picture[:, 18:58]))
    wish = options(image_size=20, resize=method, crop_to_aspect_ratio=True)
    np.testing.assert_allclose(decode_and_resize(whole, wish), decode_and_resize(cut, wish), atol=1e-4)


def test_a_crop_gives_what_keras_reads_from_a_folder(tmp_path):
    contents = [
        pictures.encode(pictures.noise(height, width, height)) for height, width in ((90, 41), (31, 64), (5, 5))
    ]
    for number, content in enumerate(contents):
        pictures.write(tmp_path / "only" / f"{number}.png", content)
    arguments = {"image_size": (24, 32), "crop_to_aspect_ratio": True, "shuffle": False, "verbose": False}
    ((expected, _),) = keras.utils.image_dataset_from_directory(tmp_path, **arguments)
    found = decode_and_resize(tf.constant(contents), options(crop_to_aspect_ratio=True))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def operations(**values):
    graph = tf.function(lambda x: decode_and_resize(x, options(**values))).get_concrete_function(
        tf.TensorSpec([None], tf.string)
    )
    definition = graph.graph.as_graph_def()
    inner = [node for function in definition.library.function for node in function.node_def]
    return {node.op for node in [*definition.node, *inner]}


def test_without_a_crop_nothing_of_it_is_in_the_graph():
    assert "FloorDiv" in operations(crop_to_aspect_ratio=True)
    assert "FloorDiv" not in operations()


def test_an_image_of_the_right_size_is_not_touched():
    picture = pictures.noise(24, 32)
    found = decode_and_resize(tf.constant([pictures.encode(picture)]), options()).numpy()[0]
    np.testing.assert_array_equal(found, picture)


def test_alpha_is_dropped_and_grey_repeated():
    grey = decode_and_resize(tf.constant([FILES["grey jpeg"]]), options()).numpy()
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 1] == grey[..., 2]).all()


def test_an_animation_is_its_first_frame():
    found = decode_and_resize(tf.constant([pictures.animation(3, 24, 32)]), options())
    first = decode_and_resize(tf.constant([pictures.animation(1, 24, 32)]), options())
    np.testing.assert_allclose(found, first)


def test_an_empty_batch_has_the_shape_of_a_batch():
    assert decode_and_resize(tf.constant([], tf.string), options()).shape == (0, 24, 32, 3)


@pytest.mark.parametrize("content", [b"", b"no image", FILES["png"][:60]], ids=["empty", "text", "cut"])
def test_junk_is_an_error_not_a_black_image(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_and_resize(tf.constant([FILES["png"], content]), options())


@pytest.mark.parametrize("crop", [False, True])
def test_the_shape_is_known_before_the_graph_runs(crop):
    graph = tf.function(lambda x: decode_and_resize(x, options(crop_to_aspect_ratio=crop))).get_concrete_function(
        tf.TensorSpec([None], tf.string)
    )
    assert graph.output_shapes.as_list() == [None, 24, 32, 3]


def test_the_preprocessing_function_gives_pixels_and_target():
    inputs = {
        features.IMAGE: tf.constant([[FILES["png"]], [FILES["jpeg"]]]),
        features.LABEL: tf.constant([[4], [2]], tf.int64),
    }
    outputs = preprocessing_fn(inputs, {"options": options().to_json()})
    assert set(outputs) == {features.PIXELS, features.TARGET}
    assert outputs[features.PIXELS].shape == (2, 24, 32, 3)
    assert outputs[features.TARGET].numpy().tolist() == [4, 2]


def test_the_saved_graph_gives_the_same_pixels_and_needs_no_label(transform, eval_records):
    layer = transform.transform_features_layer()
    saved = layer({features.IMAGE: tf.constant([[content] for content in eval_records.contents])})
    assert set(saved) == {features.PIXELS}
    direct = decode_and_resize(tf.constant(eval_records.contents), TransformOptions(image_size=SIDE))
    np.testing.assert_allclose(saved[features.PIXELS], direct, atol=1e-4)
