"""Features are in memory once."""

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.features.shared_arrays import aligned_zeros, reorder, share


def test_an_aligned_array_is_shared_with_tensorflow_and_with_its_variables():
    values = aligned_zeros(300, 7)
    assert values.shape == (300, 7)
    assert values.dtype == np.float32
    assert not values.any()
    tensor = share(values[:200])
    variable = tf.Variable(tensor, trainable=False)
    values[5, 3] = 7.0
    assert tensor.shape == (200, 7)
    assert float(tensor[5, 3]) == 7.0
    assert float(variable[5, 3]) == 7.0


def test_what_is_shared_lives_as_long_as_the_tensor():
    values = aligned_zeros(100, 50)
    values[:] = 3.0
    tensor = share(values)
    del values
    aligned_zeros(100, 50)[:] = 1.0
    assert float(tf.reduce_min(tensor)) == 3.0


@pytest.mark.parametrize("change", ["offset", "columns", "read_only", "empty"])
def test_any_other_array_is_copied(change):
    values = aligned_zeros(20, 8)
    values[:] = np.arange(160).reshape(20, 8)
    if change == "read_only":
        values.flags.writeable = False
    others = {"offset": values.ravel()[1:9].reshape(2, 4), "columns": values[:, :3], "empty": values[:0]}
    other = others.get(change, values)
    before = other.copy()
    tensor = share(other)
    values.flags.writeable = True
    values[:] = 0.0
    np.testing.assert_array_equal(tensor, before)


@pytest.mark.parametrize("width", [1, 63, 64, 200])
def test_rows_change_places(width):
    values = np.random.default_rng(0).normal(size=(50, width)).astype(np.float32)
    order = np.random.default_rng(1).permutation(50)
    wanted = values[order]
    reorder(values, order)
    np.testing.assert_array_equal(values, wanted)
