"""The activation map as colour over the picture."""

import numpy as np
import pytest

from components.images.overlay import LONGEST_SIDE, colour, draw_overlay, seen_part
from tests import pictures

GREEN = (30, 220, 30)


def test_colours_grow_brighter_with_the_evidence():
    luma = colour(np.linspace(0, 1, 50)[np.newaxis])[0] @ [0.299, 0.587, 0.114]
    assert np.all(np.diff(luma) > 0)
    assert colour(np.ones([1, 1])).max() <= 255


def test_where_there_is_no_evidence_the_picture_is_left_as_it_is():
    picture = pictures.noise(48, 64, 1)
    activation = np.zeros([3, 4], np.float32)
    drawn = draw_overlay(pictures.encode(picture), activation)
    np.testing.assert_array_equal(drawn, picture)


def test_the_colour_stands_where_the_evidence_is():
    black = np.zeros([60, 80, 3], np.uint8)
    activation = np.zeros([2, 2], np.float32)
    activation[0, 1] = 1.0
    drawn = draw_overlay(pictures.encode(black), activation).sum(axis=-1)
    corners = {"ne": drawn[0, -1], "nw": drawn[0, 0], "se": drawn[-1, -1], "sw": drawn[-1, 0]}
    assert corners["ne"] > 3 * max(corners["nw"], corners["se"], corners["sw"], 1)


def test_large_pictures_give_small_overlays_of_their_shape():
    drawn = draw_overlay(pictures.encode(np.zeros([300, 3000, 3], np.uint8), "jpeg"), np.ones([1, 1], np.float32))
    assert drawn.shape[1] == LONGEST_SIDE
    assert drawn.shape[0] == pytest.approx(LONGEST_SIDE / 10, abs=2)


@pytest.mark.parametrize("form", ["png", "jpeg"])
@pytest.mark.parametrize(
    ("shape", "crop", "rows", "columns"),
    [
        ((60, 100), (64, 64), (0, 60), (20, 80)),
        ((100, 60), (96, 96), (20, 80), (0, 60)),
        ((60, 100), (60, 100), (0, 60), (0, 100)),
        ((100, 100), (96, 128), (12, 87), (0, 100)),
        ((1, 5), (64, 64), (0, 1), (2, 3)),
        ((1000, 4000), (64, 64), (0, 256), (384, 640)),  # shown at a quarter of its size
    ],
)
def test_only_what_a_model_that_crops_sees_is_coloured(form, shape, crop, rows, columns):
    black = pictures.encode(np.zeros([*shape, 3], np.uint8), form)
    drawn = draw_overlay(black, np.ones([2, 2], np.float32), crop)
    coloured = drawn.max(axis=-1) > 0
    expected = np.zeros(drawn.shape[:2], bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(coloured, expected)


def test_the_map_of_a_model_that_crops_is_stretched_to_the_window_alone():
    picture = pictures.noise(60, 100, 3)
    activation = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    drawn = draw_overlay(pictures.encode(picture), activation, (32, 32))
    middle = draw_overlay(pictures.encode(picture[:, 20:80]), activation)
    np.testing.assert_array_equal(drawn[:, 20:80], middle)
    np.testing.assert_array_equal(drawn[:, :20], picture[:, :20])
    np.testing.assert_array_equal(drawn[:, 80:], picture[:, 80:])


@pytest.mark.parametrize("stored", [(1, 60_000), (60_000, 1), (3, 5000), (4999, 5001)])
def test_the_window_of_a_picture_that_is_shown_smaller_is_never_empty(stored):
    scale = LONGEST_SIDE / max(stored)
    shown = tuple(max(1, round(side * scale)) for side in stored)
    for part, side in zip(seen_part(stored, shown, (224, 160)), shown, strict=True):
        assert 0 <= part.start < part.stop <= side


@pytest.mark.parametrize(("upright", "shape"), [(True, (40, 20, 3)), (False, (20, 40, 3))])
def test_orientation_is_as_the_model_sees_it(upright, shape):
    content = pictures.oriented(np.zeros([20, 40, 3], np.uint8), "jpeg", 6)
    assert draw_overlay(content, np.ones([1, 1], np.float32), upright=upright).shape == shape
