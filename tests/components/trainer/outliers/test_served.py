"""The graph of an export answers what NumPy does."""

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.outliers.served import OutlierScore
from components.trainer.outliers.typicality import Typicality


@pytest.fixture(scope="module")
def typicality():
    draw = np.random.default_rng(1)
    train, good = (draw.normal(1, 1, [count, 6]).astype(np.float32) for count in (40, 50))
    return Typicality.of(train, np.arange(40) % 2, good, 0.1)


@pytest.fixture(scope="module")
def served(typicality):
    score = OutlierScore(typicality)
    return tf.function(score, input_signature=[tf.TensorSpec([None, 6], tf.float32)], autograph=False)


def test_answers_are_those_of_numpy_and_known_is_what_is_above_the_promise(typicality, served):
    values = np.random.default_rng(2).normal(0.3, 1, [200, 6]).astype(np.float32)
    outlier, known = (part.numpy() for part in served(values))
    np.testing.assert_array_equal(outlier, typicality.outlier(values))
    np.testing.assert_array_equal(known, outlier > np.float32(0.1))
    assert 0 < known.sum() < 200
    assert (outlier.dtype, known.dtype) == (np.float32, np.bool_)


def test_what_is_no_number_or_nothing_is_an_outlier(served):
    outlier, known = served(np.array([[np.nan] * 6, [np.inf] * 6, [0.0] * 6], np.float32))
    np.testing.assert_allclose(outlier, 1 / 51)
    assert not known.numpy().any()


def test_a_batch_may_be_empty(served):
    assert [part.shape.as_list() for part in served(np.zeros([0, 6], np.float32))] == [[0], [0]]


def test_where_nothing_is_calibrated_everything_is_known():
    outlier, known = OutlierScore(Typicality.blank(6))(tf.zeros([2, 6]))
    assert outlier.numpy().tolist() == [1.0, 1.0]
    assert known.numpy().all()
