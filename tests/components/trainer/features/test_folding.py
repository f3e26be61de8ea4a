"""Views of an image: cut out of it, seen by the backbone, and laid back where they were."""

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from components.contract import features
from components.exports.tflite import convert
from components.options.trainer import TrainerOptions
from components.trainer.backbones.build import make_backbone, scale_pixels
from components.trainer.export.signatures import ServedModel
from components.trainer.features.folding import (
    CROP,
    Window,
    average_views,
    cut,
    fold_backbone,
    lay,
    pool,
    spread,
    windows,
)
from components.trainer.heads.head import Head
from tests.components.trainer.toys import tiny_backbone
from tests.conftest import ALPHA, CLASSES, SIDE, make_interpreter

PIXELS = np.random.default_rng(0).uniform(0, 255, [3, 20, 30, 3]).astype(np.float32)
MAPS = np.random.default_rng(1).normal(size=[3, 5, 4, 6]).astype(np.float32)


def test_ten_views_are_the_image_its_corners_and_their_mirror_images():
    assert windows(1) == [Window()]
    assert windows(2) == [Window(), Window(mirrored=True)]
    ten = windows(10)
    assert len(set(ten)) == 10
    assert sum(window.mirrored for window in ten) == 5
    assert {window.side for window in ten} == {1.0, CROP}


def test_only_these_numbers_are_known():
    with pytest.raises(ValueError, match="expected 1, 2 or 10 views, got 3"):
        windows(3)


def test_a_window_is_that_part_of_the_image_at_its_size():
    found = cut(tf.constant(PIXELS), Window(0.2, 0.2, 0.8)).numpy()
    np.testing.assert_allclose(found, tf.image.resize(PIXELS[:, 4:20, 6:30], (20, 30)), atol=1e-4)
    mirrored = cut(tf.constant(PIXELS), Window(0.2, 0.2, 0.8, mirrored=True)).numpy()
    np.testing.assert_array_equal(mirrored, found[:, :, ::-1])


@pytest.mark.parametrize("side", [(1, 1), (2, 3), (7, 5)])
def test_windows_of_the_smallest_images_stay_inside(side):
    for window in windows(10):
        assert cut(tf.zeros([1, *side, 3]), window).shape == (1, *side, 3)


@pytest.mark.parametrize("window", windows(10))
def test_laying_keeps_sums_so_the_mean_over_places_stays_what_it_is(window):
    laid = lay(tf.constant(MAPS), window).numpy()
    np.testing.assert_allclose(laid.sum(axis=(1, 2)), MAPS.sum(axis=(1, 2)), rtol=1e-4, atol=1e-4)


def test_places_of_a_corner_are_laid_in_that_corner():
    np.testing.assert_allclose(spread(2, 0.5, 0.5), [[0, 0], [1, 1]])
    np.testing.assert_allclose(spread(2, 0.0, 0.5), [[1, 1], [0, 0]])
    np.testing.assert_allclose(spread(5, 0.0, CROP)[:, 0], [1, 0, 0, 0, 0])
    np.testing.assert_allclose(spread(5, 0.2, CROP)[:, 4], [0, 0, 0, 0, 1])
    np.testing.assert_allclose(spread(1, 0.2, CROP), [[1]])


def test_what_is_mirrored_is_mirrored_back():
    np.testing.assert_array_equal(lay(tf.constant(MAPS), Window(mirrored=True)), MAPS[:, :, ::-1])


def test_vectors_have_no_places():
    vectors = tf.constant(MAPS[:, 0, 0])
    np.testing.assert_array_equal(lay(vectors, Window(0.2, 0.2, CROP, mirrored=True)), vectors)


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(SIDE)


@pytest.fixture(scope="module")
def pixels():
    return tf.constant(np.random.default_rng(2).uniform(0, 255, [4, SIDE, SIDE, 3]).astype(np.float32))


def mean_of_views(backbone, pixels, views):
    """Pooled features of each view on its own, and their mean."""
    seen = [backbone.model(scale_pixels(cut(pixels, window), "-1..1"), training=False) for window in windows(views)]
    return np.mean([pool(maps).numpy() for maps in seen], axis=0)


@pytest.mark.parametrize("views", [1, 2, 10])
def test_the_pass_gives_the_mean_of_the_views_features(backbone, pixels, views):
    folded = fold_backbone(backbone.model, "-1..1", "avg", views)
    np.testing.assert_allclose(folded(pixels), mean_of_views(backbone, pixels, views), atol=1e-4, rtol=1e-4)


def test_a_loop_over_the_views_and_one_batch_of_them_are_the_same(backbone, pixels):
    def call(view):
        return backbone.model(view, training=False)

    looped = average_views(call, pixels, 10, backbone.shape)
    np.testing.assert_allclose(average_views(call, pixels, 10, backbone.shape, at_once=True), looped, atol=1e-4)


def test_two_views_cannot_tell_an_image_from_its_mirror_image(backbone, pixels):
    folded = fold_backbone(backbone.model, "-1..1", "avg", 2)
    np.testing.assert_allclose(folded(pixels), folded(tf.reverse(pixels, [2])), atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def served(backbone, transform):
    draw = np.random.default_rng(3)
    head = Head(draw.normal(0, 0.05, [8, 3]).astype(np.float32), draw.normal(0, 0.1, 3).astype(np.float32))
    return ServedModel(backbone, "avg", head, transform, CLASSES, 10)


def test_the_export_embeds_what_the_pass_computes_and_its_map_is_exact(served, backbone, eval_records):
    images = tf.constant(eval_records.contents)
    folded = fold_backbone(backbone.model, "-1..1", "avg", 10)
    pooled = folded(served.decode(images)).numpy()
    np.testing.assert_allclose(served.embed(images)[features.OUTPUT_FEATURES], pooled, atol=1e-3, rtol=1e-4)
    logits = pooled @ served.kernel.numpy() + served.bias.numpy()
    best, evidence = served.evidence(served.maps(served.decode(images)))
    found = evidence.numpy().sum(axis=(1, 2)) + served.bias.numpy()[best]
    np.testing.assert_allclose(found, logits.max(axis=1), atol=1e-3, rtol=1e-3)


def test_tensorflow_lite_sees_all_views_too(weights_file, transform, eval_records, tmp_path):
    head = Head(np.random.default_rng(1).normal(0, 0.1, [1280, 3]).astype(np.float32), np.zeros(3, np.float32))
    network = make_backbone("MobileNetV2", (SIDE, SIDE), ALPHA, weights_file)
    served = ServedModel(network, "avg", head, transform, CLASSES, 10)
    tf.saved_model.save(served, str(tmp_path))
    interpreter = make_interpreter(convert(tf.saved_model.load(str(tmp_path))))
    interpreter.allocate_tensors()
    image = tf.constant(eval_records.contents[:1])
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], served.decode(image).numpy())
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = served.classify(served.pooled(image))[features.OUTPUT_PROBABILITIES]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - tf.nn.softmax(served.bias)).max() > 0.01  # or a network that gives nothing would agree


def test_the_second_stage_learns_from_single_views():
    with pytest.raises(ValidationError, match=r"averaged_views: 2 with fine_tune: .* Leave one of them out"):
        TrainerOptions(averaged_views=2, fine_tune={"layers": 3})


def test_another_number_of_views_is_refused():
    with pytest.raises(ValidationError, match="Input should be 1, 2 or 10"):
        TrainerOptions(averaged_views=5)
