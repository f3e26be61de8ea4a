"""Likely label errors: flipped labels are found, near copies do not vouch for one another, and odd data is said."""

import numpy as np
import pytest

from components.report import label_errors, out_of_fold
from components.report.label_errors import find_label_errors, measure_skill
from components.report.out_of_fold import FOLDS, draw_folds


def features_of(labels, width=32, distance=1.4, seed=0):
    """Clusters, float32 [n, width], one a class, with a ReLU's zeros."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((labels.max() + 1, width)) * distance
    return np.maximum(centres[labels] + random.standard_normal((len(labels), width)), 0).astype(np.float32)


def flipped(classes=3, count=600, share=0.05, **how):
    """Features, labels of which some are wrong, which ones, and the right ones."""
    random = np.random.default_rng(1)
    right = random.integers(0, classes, count)
    wrong = random.random(count) < share
    labels = np.where(wrong, (right + random.integers(1, classes, count)) % classes, right)
    return features_of(right, **how), labels, wrong, right


def names(count):
    return [f"class {index}" for index in range(count)]


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_flipped_labels_are_found_with_the_right_class(classes):
    values, labels, wrong, right = flipped(classes)
    found = find_label_errors(values, labels, names(classes))
    likely = found.rows[found.likely]
    assert wrong[likely].mean() >= 0.9
    assert wrong[likely].sum() / wrong.sum() >= 0.7
    hits = found.likely & wrong[found.rows]
    assert (found.suggested[hits] == right[found.rows[hits]]).mean() >= 0.9
    assert (found.given == labels[found.rows]).all()
    assert found.notes == []


def test_all_are_ranked_likely_ones_first_and_the_same_each_time():
    values, labels, _, _ = flipped()
    found, again = (find_label_errors(values, labels, names(3)) for _ in range(2))
    assert sorted(found.rows) == list(range(600))
    assert (np.diff(found.likely.astype(int)) <= 0).all()
    for kind in (True, False):
        assert (np.diff(found.score[found.likely == kind]) <= 1e-6).all()
    assert ((found.p_given + found.p_suggested) <= 1 + 1e-5).all()
    assert (found.rows == again.rows).all()
    assert (found.p_given == again.p_given).all()


def test_clean_labels_raise_next_to_no_suspicion():
    values, labels, _, _ = flipped(share=0.0, distance=2.0)
    assert find_label_errors(values, labels, names(3)).likely.sum() <= 3


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_a_head_that_hardly_knows_more_than_chance_doubts_no_label(classes):
    random = np.random.default_rng(0)
    values, labels = random.random((300, 40), np.float32), np.arange(300) % classes
    found = find_label_errors(values, labels, names(classes))
    assert not found.likely.any()
    assert len(found.rows) == 300  # ranked all the same
    assert "nothing is suggested: on held-out images the head gains " in found.notes[-1]


def test_skill_is_the_share_of_what_a_guess_leaves():
    labels = np.repeat([0, 1], [90, 10])
    assert measure_skill(labels, labels == 0, 2) == 0.0  # always the largest class
    assert measure_skill(labels, np.ones(100, bool), 2) == 1.0
    assert measure_skill(labels, np.r_[np.ones(90, bool), np.arange(10) < 5], 2) == pytest.approx(0.5)


def test_near_copies_do_not_vouch_for_one_another():
    values, labels, _, _ = flipped(share=0.0, distance=2.0)
    odd, other = np.flatnonzero(labels == 0)[:12], np.flatnonzero(labels == 1)[0]
    values[odd] = values[other]  # a picture of class 1, twelve times, as class 0
    groups = np.arange(600)
    groups[odd] = odd[0]
    found = find_label_errors(values, labels, names(3), groups)
    apart = find_label_errors(values, labels, names(3))
    margins = {name: result.score[np.isin(result.rows, odd)] for name, result in (("one", found), ("many", apart))}
    assert margins["one"].min() > margins["many"].max()
    assert len({draw_folds(labels, groups, np.random.default_rng(0))[row] for row in odd}) == 1


def test_folds_hold_each_class_evenly():
    labels = np.repeat([0, 1], [50, 7])
    folds = draw_folds(labels, np.arange(57), np.random.default_rng(0))
    assert (np.bincount(folds[:50], minlength=FOLDS) == 10).all()
    assert set(np.bincount(folds[50:], minlength=FOLDS)) == {1, 2}


def test_small_classes_and_odd_features_are_left_out_and_said():
    values, labels, _, _ = flipped()
    values[3, 5], values[4, 0] = np.nan, np.inf
    values = np.concatenate([values, np.full((4, 32), 9, np.float32)])
    labels = np.concatenate([labels, [3, 3, 3, 4]])
    found = find_label_errors(values, labels, names(6))
    assert not {3, 4, 600, 601, 602, 603} & set(found.rows)
    assert found.notes == [
        "2 images are not judged: their features are not finite",
        "classes with fewer than 5 different images are not judged: 2 ('class 3', 'class 4')",
    ]


@pytest.mark.parametrize("count", [0, 1, 300])
def test_one_image_a_class_is_no_ground_to_judge_on(count):
    found = find_label_errors(np.ones((count, 8), np.float32), np.arange(count), names(max(count, 1)))
    assert len(found.rows) == len(found.score) == 0
    assert found.notes[-1].startswith("label errors need two classes with 5 different images")


def test_constant_features_give_no_error():
    found = find_label_errors(np.ones((40, 8), np.float32), np.arange(40) % 2, names(2))
    assert len(found.rows) == 40
    assert not found.likely.any()
    assert np.isfinite(found.score).all()


def test_large_sets_and_wide_features_are_sampled_and_said(monkeypatch):
    monkeypatch.setattr(label_errors, "JUDGED", 400)
    monkeypatch.setattr(out_of_fold, "FITTED", 300)
    monkeypatch.setattr(out_of_fold, "TUNED", 100)
    monkeypatch.setattr(out_of_fold, "WIDTH", 30)
    monkeypatch.setattr(out_of_fold, "AT_ONCE", 64)
    values, labels, wrong, _ = flipped(distance=2.5)
    found = find_label_errors(values, labels, names(3))
    assert found.notes == [
        "a random 400 of 600 images were judged",
        "32 values an image were projected at random to 15",
        "the head that judges was fitted to a random 300 of 400 images",
    ]
    assert len(found.rows) == 400
    assert wrong[found.rows[found.likely]].mean() >= 0.8


@pytest.mark.parametrize(("count", "tried"), [(600, FOLDS), (2000, 2)])
def test_no_regression_is_solved_twice(monkeypatch, count, tried):
    """The folds that the penalty is found by are not solved again for it, the others are solved once."""
    values, labels, _, _ = flipped(count=count)
    solved, solve = [], out_of_fold.solve_ridge

    def noting(sums, penalty):
        solved.append((sums[0].sum(), penalty))
        return solve(sums, penalty)

    monkeypatch.setattr(out_of_fold, "solve_ridge", noting)
    find_label_errors(values, labels, names(3))
    assert len(set(solved)) == len(solved)
    penalties = len({penalty for _, penalty in solved})
    assert penalties >= 2
    assert len(solved) == tried * penalties + FOLDS - tried
