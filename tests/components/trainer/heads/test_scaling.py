"""The penalty that is found from the images, features on one scale, and heads on it as heads on the features."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.preprocessing import StandardScaler

from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.features.data import Split
from components.trainer.heads import scaling
from components.trainer.heads.scaling import RATIOS, Penalty, Scale, choose_penalty, decompose, find_penalty
from tests.components.trainer.toys import toy


def problem(count, width, noise, seed=0):
    """Two classes, one direction in the middle of noise."""
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.arange(count) % 2)
    signal = (2 * labels - 1)[:, None] * draw.normal(size=width) / np.sqrt(width) * 2
    return (signal + noise * draw.normal(size=(count, width))).astype(np.float32), labels


def choose(values, labels, weights=(1.0, 1.0)):
    return choose_penalty(values, labels, np.arange(len(labels)), np.array(weights))


def ridge_of(scaled, targets, count):
    """(least squared error, L2) by refitting without each image in turn."""
    unit, errors = np.sum(scaled**2) / count, []
    for ratio in RATIOS:
        guesses = cross_val_predict(Ridge(ratio * unit), scaled, targets, cv=LeaveOneOut())
        errors.append(np.mean((guesses - targets) ** 2))
    ratio = RATIOS[int(np.argmin(errors))]
    fit = Ridge(ratio * unit).fit(scaled, targets)
    unexplained = np.mean((fit.predict(scaled) - targets) ** 2)
    return min(errors), max(ratio * np.sqrt(unexplained), RATIOS[0]) * unit / (4 * count)


@pytest.mark.parametrize(("count", "width"), [(30, 80), (80, 30)])
def test_it_belongs_to_the_ridge_that_leaving_out_each_image_chooses(count, width):
    """Refitting without each image in turn, as scikit-learn does it, gives the same choice as the closed form."""
    values, labels = problem(count, width, 1.0)
    values *= np.exp(np.random.default_rng(1).normal(size=width)).astype(np.float32)
    scales = {even: Scale.of(values, np.arange(count), even) for even in (False, True)}
    tried = {even: ridge_of(scale.apply(values), 2.0 * labels - 1, count) for even, scale in scales.items()}
    even = tried[True][0] < tried[False][0]
    assert choose(values, labels) == (pytest.approx(tried[even][1], rel=1e-6), even)


def test_scales_count_where_they_tell_what_a_feature_is_worth():
    """The same signal in few features among many of noise: loud ones keep their say, quiet ones are given theirs."""
    draw, labels = np.random.default_rng(0), np.arange(80) % 2
    values = draw.normal(size=(80, 200)).astype(np.float32)
    values[:, :20] += (labels - 0.5)[:, None].astype(np.float32)
    loud, quiet = np.ones(200, np.float32), np.ones(200, np.float32)
    loud[:20], quiet[:20] = 10.0, 0.1
    assert [choose(values * loud, labels).even, choose(values * quiet, labels).even] == [False, True]


def test_more_noise_asks_for_more():
    found = [choose(*problem(60, 40, noise)).l2 for noise in (0.1, 1.0, 10.0)]
    assert found[0] < found[1] < found[2]


def test_the_scale_of_the_features_does_not_matter():
    values, labels = problem(60, 40, 1.0)
    assert choose(values * 100 + 7, labels).l2 == pytest.approx(choose(values, labels).l2, rel=1e-3)


def test_a_part_of_many_images_is_enough(monkeypatch):
    values, labels = problem(4000, 20, 3.0)
    whole = choose(values, labels).l2
    monkeypatch.setattr(scaling, "AT_MOST", 1000)
    assert choose(values, labels).l2 == pytest.approx(whole, rel=4)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_principal_directions_keep_products(shape):
    values = np.random.default_rng(0).normal(size=shape)
    found, strengths = decompose(values)
    np.testing.assert_allclose(found @ found.T, values @ values.T, atol=1e-9)
    np.testing.assert_allclose((found**2).sum(axis=0), strengths, atol=1e-9)


def test_copies_views_and_held_out_images_do_not_count(strategies):
    values, labels = problem(60, 40, 1.0)
    _, split = toy(count=60)
    split = Split([], split.sha256, labels.astype(np.int64), split.texts)
    twice = Split([], np.tile(split.sha256, 2), np.tile(split.labels, 2), np.tile(split.texts, 2))
    held = np.zeros(60, bool)
    alone = find_penalty(strategies["cpu"], values, split, held, 2, "none")
    both = find_penalty(strategies["cpu"], np.tile(values, (2, 1)), twice, np.tile(held, 2), 2, "none")
    l2, even = choose(values, labels)
    assert alone == both == Penalty(float(f"{l2:.1e}"), even)
    held[40:] = True
    values[40:] = 1e6
    assert find_penalty(strategies["cpu"], values, split, held, 2, "none").l2 == pytest.approx(
        choose(values[:40], labels[:40]).l2, rel=0.06
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_do_not_end_the_choice(bad):
    values, labels = problem(60, 40, 1.0)
    values[3] = bad
    assert np.isfinite(choose(values, labels).l2)
    values[:] = bad
    assert np.isfinite(choose(values, labels).l2)


def test_two_images_are_enough():
    values, labels = problem(2, 40, 1.0)
    assert 0 < choose(values, labels).l2 < np.inf
    assert 0 < choose(np.ones([2, 4], np.float32), labels).l2 < np.inf


@pytest.mark.parametrize("at_once", [1, 7, 1024])
def test_the_scale_is_half_way_to_that_of_scikit_learn(monkeypatch, at_once):
    monkeypatch.setattr(scaling, "SCALED_AT_ONCE", at_once)
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


def test_the_search_is_kept_by_what_decides_it_and_no_more(strategies, tmp_path, monkeypatch):
    values, labels = problem(60, 20, 1.0)
    held = np.zeros(60, bool)

    def with_labels(labels):
        digests = toy(count=60)[1].sha256
        return Split([], digests, labels.astype(np.int64), np.array([b""] * 60, object))

    split = with_labels(labels)
    answers, searched, choose_penalty = AnswerCache(str(tmp_path)), [], scaling.choose_penalty

    def counted(*given):
        searched.append(given)
        return choose_penalty(*given)

    def find(values=values, split=split, held=held, how="none"):
        return find_penalty(strategies["cpu"], values, split, held, 2, how, answers)

    monkeypatch.setattr(scaling, "choose_penalty", counted)
    assert find() == find() == find_penalty(strategies["cpu"], values, split, held, 2, "none")
    assert len(searched) == 2, "once for the kept answer, once where nothing is kept"
    other = values.copy()
    other[7, 3] += 1e-3
    find(values=other)
    find(split=with_labels(labels[::-1].copy()))
    find(held=np.arange(60) < 6)
    find(split=with_labels(np.where(labels, 1, np.arange(60) % 3 == 0).astype(int)), how="balanced")
    assert len(searched) == 6
    monkeypatch.setattr(scaling, "WAY", 0)
    find()
    assert len(searched) == 7
