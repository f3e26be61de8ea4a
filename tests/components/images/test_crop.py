"""The window that is kept of an image."""

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.images.crop import crop_window

SIDES = st.integers(1, 70_000)
TARGETS = st.tuples(st.integers(1, 2000), st.integers(1, 2000))


@pytest.mark.parametrize(
    ("height", "width", "size", "window"),
    [
        (340, 500, (200, 200), (0, 80, 340, 340)),  # the example in Keras' own documentation
        (500, 341, (200, 200), (79, 0, 341, 341)),
        (30, 40, (24, 32), (0, 0, 30, 40)),
        (100, 100, (96, 128), (12, 0, 75, 100)),
        (1, 1, (24, 32), (0, 0, 1, 1)),
        (1, 9, (1, 1), (0, 4, 1, 1)),
        (3, 5, (1, 1000), (1, 0, 1, 5)),
    ],
)
def test_the_middle_is_kept(height, width, size, window):
    assert crop_window(height, width, size) == window


@given(SIDES, SIDES, TARGETS)
def test_the_window_lies_in_the_image_and_no_larger_one_has_its_aspect_ratio(height, width, size):
    top, left, window_height, window_width = crop_window(height, width, size)
    assert top >= 0
    assert left >= 0
    assert 0 <= height - window_height - 2 * top <= 1
    assert 0 <= width - window_width - 2 * left <= 1
    assert window_height >= 1
    assert window_width >= 1
    assert window_height == height or window_width == width
    excess = window_height * size[1] - window_width * size[0]
    assert abs(excess) < max(size) or min(window_height, window_width) == 1


@given(SIDES, SIDES, TARGETS)
def test_tensors_give_what_numbers_give(height, width, size):
    sides = tf.constant([height, width], tf.int64)
    found = crop_window(sides[0], sides[1], size, tf.minimum, tf.maximum)
    assert tuple(int(value) for value in found) == crop_window(height, width, size)
