"""Features on one scale, and heads on it as heads on the features themselves."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from components.trainer.heads import standard
from components.trainer.heads.standard import Scale
from tests.components.trainer.toys import toy


@pytest.mark.parametrize("at_once", [1, 7, 1024])
def test_the_scale_is_half_way_to_that_of_scikit_learn(monkeypatch, at_once):
    monkeypatch.setattr(standard, "AT_ONCE", at_once)
    values, _ = toy(count=60)
    values *= np.arange(1, 9, dtype=np.float32)
    rows = np.arange(0, 60, 2)
    mine, wanted = Scale.of(values, rows), StandardScaler().fit(values[rows].astype(np.float64))
    np.testing.assert_allclose(mine.mean, wanted.mean_, rtol=1e-9)
    np.testing.assert_allclose(mine.spread, np.sqrt(wanted.scale_ * np.sqrt(np.mean(wanted.var_))), rtol=1e-9)
    np.testing.assert_allclose(mine.apply(values), (values - wanted.mean_) / mine.spread, atol=1e-9)
    np.testing.assert_allclose(Scale.of(values, rows, even=True).apply(values), wanted.transform(values), atol=1e-6)


def test_a_folded_layer_gives_the_same_logits():
    values, _ = toy(count=60)
    scale, draw = Scale.of(values, np.arange(60)), np.random.default_rng(3)
    kernel, bias = draw.normal(size=(8, 3)), draw.normal(size=3)
    own, shifted = scale.fold(kernel, bias)
    np.testing.assert_allclose(values @ own + shifted, scale.apply(values) @ kernel + bias, atol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_image_that_is_not_finite_spoils_no_other(bad):
    values, _ = toy(count=60)
    values[7, 3] = bad
    found = Scale.of(values, np.arange(60)).apply(values)
    assert np.flatnonzero(~np.isfinite(found).all(axis=1)).tolist() == [7]


def test_what_varies_by_rounding_alone_is_not_blown_up():
    values, _ = toy(count=60)
    values[:, 1] = np.float32(1000) + np.arange(60, dtype=np.float32) % 2 * np.spacing(np.float32(1000))
    values[:, 2] = 5.0
    values[:, 3] *= 1e-6
    scale = Scale.of(values, np.arange(60))
    assert np.abs(scale.apply(values)[:, 1:3]).max() < 1e-3
    for even in (True, False):
        assert np.abs(Scale.of(values, np.arange(60), even).apply(values)[:, 3]).max() < 1e-3
    assert np.isfinite(Scale.of(np.ones([5, 3], np.float32), np.arange(5)).apply(values[:, :3])).all()
