"""What unlabelled images would teach: typical ones first, doubtful ones later, and both held against chance."""

import numpy as np
import pytest

from pipeline.suggest import ranking
from pipeline.suggest.ranking import (
    Replay,
    choose,
    choose_doubtful,
    choose_typical,
    fit_head,
    is_few,
    replay,
    scale,
)


def clusters(sizes, width=24, spread=0.1, seed=0):
    """Clusters of images around far centres, float32 [n, width] of `scale`, and the number of each one's cluster."""
    random = np.random.default_rng(seed)
    which = np.repeat(np.arange(len(sizes)), sizes)
    centres = random.random((len(sizes), width)) ** 4
    return scale((centres[which] + spread * random.random((len(which), width))).astype(np.float32)), which


def test_parts_without_a_label_come_first_and_large_ones_before_small_ones():
    values, which = clusters([40, 30, 20, 10])
    known = values[which == 0][:1]
    found = choose_typical(values[1:], known, 3, seed=0)
    assert which[1:][found.rows].tolist() == [1, 2, 3]
    assert found.stands_for.tolist() == [30, 20, 10]


def test_an_outlier_is_not_typical():
    values, which = clusters([30, 30])
    values[7] = scale(np.random.default_rng(5).random((1, 24)).astype(np.float32))[0]
    found = choose_typical(values, values[which == 1][:1], 60, seed=0)
    assert list(found.rows).index(7) > 1
    assert sorted(found.rows) == list(range(60))


def test_images_between_two_classes_are_doubtful_and_no_two_alike():
    values, which = clusters([40, 40])
    middle = scale(((values[:3] ** 2 + values[40:43] ** 2) / 2).astype(np.float32))
    pool = np.concatenate([values, np.repeat(middle, 5, axis=0)])
    head = fit_head(values, which, 2)
    found = choose_doubtful(pool, head, 3, seed=0)
    assert {(row - 80) // 5 for row in found.rows} == {0, 1, 2}


@pytest.mark.parametrize(("count", "few"), [(10, True), (39, True), (40, False)])
def test_typical_ones_are_for_few_labels(count, few):
    assert is_few(np.zeros(count, int), 2) == few


@pytest.mark.parametrize("labelled", [2, 60])
def test_more_than_there_is_gives_all_and_none_gives_none(labelled):
    values, which = clusters([50, 50])
    known = np.arange(0, 100, 100 // labelled)[:labelled]
    given = values[known], which[known], 2
    assert sorted(choose(values[:7], *given, 50).rows) == list(range(7))
    assert len(choose(values[:0], *given, 50).rows) == 0
    assert (choose(values, *given, 9).rows == choose(values, *given, 9).rows).all()


def test_a_head_tells_classes_apart_with_more_images_than_values_and_with_fewer():
    values, which = clusters([60, 60, 60])
    for rows in (np.arange(180), np.arange(0, 180, 20)):
        assert (fit_head(values[rows], which[rows], 3).scores(values).argmax(axis=1) == which).mean() > 0.95


def test_features_that_are_not_finite_are_scaled_to_something_finite():
    assert np.isfinite(scale(np.array([[np.nan, 1], [np.inf, 0], [0, 0]], np.float32))).all()


def test_a_replay_finds_that_saturated_data_has_nothing_to_offer():
    values, which = clusters([60, 60])
    tried = replay(values, which, 2, 20)
    assert tried.beats_chance is False
    assert len(tried.gains) == ranking.ROUNDS
    assert (tried.gains, tried.chosen) == (replay(values, which, 2, 20).gains, 20)


def test_a_replay_finds_that_typical_images_of_rare_kinds_beat_chance():
    values, which = clusters([80] + [8] * 22, spread=0.05)
    tried = replay(values, which, 23, 22)
    assert tried.beats_chance is True
    assert tried.mean > 0.02


@pytest.mark.parametrize(("gains", "answer"), [([], None), ([0.01, 0.02, 0.015], True), ([0.05, -0.05, 0.01], False)])
def test_chance_is_beaten_where_the_gain_is_more_than_luck(gains, answer):
    assert Replay(gains).beats_chance is answer


@pytest.mark.parametrize("labels", [np.zeros(100, int), np.arange(20) % 2])
def test_too_few_labels_or_one_class_cannot_be_tried(labels):
    assert replay(np.ones((len(labels), 4), np.float32), labels, 2, 10).beats_chance is None
