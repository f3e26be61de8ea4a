"""One temperature makes probabilities true, from images that the head has not learned from, and changes no answer."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from components.errors import InputError
from components.trainer.features.augment import FreshViews
from components.trainer.features.data import Split, join_splits
from components.trainer.heads import calibration
from components.trainer.heads.calibration import (
    LIMITS,
    answers_of,
    calibrate,
    cool,
    cool_by,
    count_folds,
    deal_folds,
    find_temperature,
)
from components.trainer.heads.epochs import EpochGraph
from components.trainer.heads.head import Head, hold_out, train_head
from tests.components.trainer.toys import toy, toy_options


def drawn(count, sharpness, classes=4):
    """Logits that are too sharp by a factor, and labels drawn from what they would say without it."""
    random = np.random.default_rng(3)
    logits = random.normal(0, 2, (count, classes))
    odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((count, 1)) < odds.cumsum(axis=1)).argmax(axis=1)
    return (logits * sharpness).astype(np.float32), labels


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_takes_back_what_made_probabilities_untrue(sharpness):
    assert find_temperature(*drawn(4000, sharpness)) == pytest.approx(sharpness, rel=0.05)


@pytest.mark.parametrize("wrong", [False, True])
def test_answers_that_are_all_right_or_all_wrong_move_it_the_less_the_fewer_they_are(wrong):
    def found(count):
        labels = np.arange(count) % 2
        logits = 8.0 * np.eye(2)[1 - labels if wrong else labels]
        return abs(np.log(find_temperature(logits, labels)))

    assert found(4) < found(400) <= np.log(LIMITS[1]) + 1e-6
    assert find_temperature(np.zeros([4, 2]), np.array([0, 1, 0, 1])) == pytest.approx(1.0)


def random_head(hidden=False):
    random = np.random.default_rng(0)
    first = (random.normal(0, 1, (8, 5)).astype(np.float32), random.normal(0, 1, 5).astype(np.float32))
    kernel = random.normal(0, 1, (5 if hidden else 8, 4)).astype(np.float32)
    kernel[:, 3] = kernel[:, 1]  # of the same logit, always
    bias = np.array([0.1, 0.3, -0.2, 0.3], np.float32)
    return Head(kernel, bias, {"loss": [1.0]}, first if hidden else None, 0.5, np.ones(8))


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("temperature", [0.1, 0.7, 3.0, 10.0])
def test_no_label_changes_ties_included_and_probabilities_are_those_to_a_power(hidden, temperature):
    head = random_head(hidden)
    values = np.random.default_rng(1).normal(0, 1, (3000, 8)).astype(np.float32)
    values[0] = 0.0
    cooled = cool(head, temperature)
    before, after = head.probabilities(values), cooled.probabilities(values)
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert not (after.argmax(axis=1) == 3).any()  # the first of a tie, as before
    np.testing.assert_array_equal(after[:, 1], after[:, 3])
    raised = before.astype(np.float64) ** (1 / temperature)
    np.testing.assert_allclose(after, raised / raised.sum(axis=1, keepdims=True), atol=1e-5)
    assert cooled.digest() != head.digest()
    assert (cooled.kernel.dtype, cooled.l2, cooled.history) == (np.float32, head.l2, head.history)


@pytest.mark.parametrize(
    ("sizes", "folds"), [([400] * 5, 3), ([500, 500, 500, 500, 500], 2), ([24] * 5, 5), ([9000] * 5, 1), ([0] * 5, 5)]
)
def test_no_further_fold_is_trained_when_the_answers_are_enough(sizes, folds):
    assert count_folds(np.append(np.repeat(np.arange(5), sizes), [-1, -1])) == folds


def test_copies_and_views_stay_in_one_fold_and_the_only_image_of_a_class_in_none():
    _, split = toy(count=23, classes=3)
    lone = Split([], np.array([b"ff" * 32], object), np.array([3]), np.array([b""], object))
    every = join_splits(join_splits(split, lone), join_splits(split, lone))
    folds = deal_folds(every)
    np.testing.assert_array_equal(folds[:24], folds[24:])
    assert folds[23] == folds[47] == -1
    assert np.ptp(np.bincount(folds[:23])) <= 1
    assert all(np.ptp(np.bincount(folds[:23][split.labels == label])) <= 1 for label in range(3))


@pytest.fixture(scope="module")
def trained(strategies):
    """Trains a head on features with noise, whose answers are far too sure; options are those of the Trainer."""

    def call(count=120, noise=4.0, **options):
        options = toy_options(**{"l2": 0.0, "epochs": 4, **options})
        values, split = toy(count=count, noise=noise, width=20)
        head, _ = train_head(strategies["cpu"], values, split, 3, options, "")
        return strategies["cpu"], head, values, split, options

    return call


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"validation_fraction": 0.2}, {"hidden_units": 4}])
def test_a_head_that_is_too_sure_is_cooled_by_images_that_no_fold_learned_from(trained, monkeypatch, options):
    monkeypatch.setattr(calibration, "FOLDS", 3)
    made = trained(**options)
    asked, learned = [], []
    run_epoch = EpochGraph.run_epoch

    def noted(self, state, rows, rates, first):
        learned.append(set(rows.tolist()))
        return run_epoch(self, state, rows, rates, first)

    def parted(head, values):
        asked.append(values)
        return answer(head, values)

    monkeypatch.setattr(EpochGraph, "run_epoch", noted)
    answer = Head.logits_of
    monkeypatch.setattr(Head, "logits_of", parted)
    cooled, found = calibrate(*made)
    monkeypatch.undo()
    monkeypatch.setattr(calibration, "FOLDS", 3)
    assert (found.source, found.images, found.reason) == ("out_of_fold", 120, "")
    row_of = {values.tobytes(): row for row, values in enumerate(made[2])}
    folds = [frozenset(row_of[values.tobytes()] for values in part) for part in asked[-3:]]
    assert sorted(row for fold in folds for row in fold) == list(range(120))
    left_out = Counter(frozenset(range(120)) - rows for rows in learned)  # folds learn at the same time
    assert left_out == dict.fromkeys(folds, len(learned) // 3)
    assert found.temperature > 1.5
    assert found.after < found.before
    fresh, split = toy(count=600, noise=4.0, width=20, seed=5)
    rows = np.arange(600), split.labels
    losses = [-np.log(head.probabilities(fresh)[rows].clip(1e-7)).mean() for head in (made[1], cooled)]
    assert losses[1] < losses[0]
    if not options:
        again, twice = calibrate(*made)
        assert (again.digest(), twice) == (cooled.digest(), found)


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_heads_of_the_folds_learn_by_the_graph_of_the_head_where_it_learned_from_all(
    trained, monkeypatch, tmp_path, fraction
):
    strategy, head, values, split, options = trained(validation_fraction=fraction)
    told = options.model_copy(update={"tensorboard": True})
    same, training = train_head(strategy, values, split, 3, told, str(tmp_path))
    written = sorted(tmp_path.rglob("events*"))
    alone = calibrate(strategy, head, values, split, options)
    if not fraction:
        monkeypatch.setattr(calibration, "HeadTraining", None)  # no other graph is traced
    cooled, found = calibrate(strategy, same, values, split, options, training)
    assert (cooled.digest(), found) == (alone[0].digest(), alone[1])
    assert training._graph._graph_epoch.experimental_get_tracing_count() == 1  # for epochs of any length
    assert written
    assert sorted(tmp_path.rglob("events*")) == written
    assert training.learns_from_all == (not fraction)


@pytest.mark.slow
def test_held_out_images_of_the_very_head_are_asked_where_they_are_enough(trained, monkeypatch):
    made = trained(count=900, validation_fraction=0.3)
    monkeypatch.setattr(calibration, "HeadTraining", None)  # no further head is trained
    _, found = calibrate(*made)
    assert (found.source, found.images) == ("held_out", int(hold_out(made[3], 0.3).sum()))


@pytest.mark.slow
def test_views_that_are_fresh_each_epoch_leave_only_what_was_held_out(trained):
    strategy, head, values, split, options = trained()
    views = FreshViews(values, lambda epoch: values, "{}")
    same, found = calibrate(strategy, head, views, split, options)
    assert (same.digest(), found.temperature, found.source) == (head.digest(), 1.0, "none")
    assert found.reason == "expected the answers for 30 images that were not learned from or more, there are 0"
    _, found = calibrate(strategy, head, views, split, options.model_copy(update={"validation_fraction": 0.4}))
    assert (found.source, found.images) == ("held_out", int(hold_out(split, 0.4).sum()))


@pytest.mark.slow
def test_two_images_a_class_say_nothing_and_train_nothing(trained, monkeypatch):
    made = trained(count=6)
    monkeypatch.setattr(calibration, "HeadTraining", None)
    head, found = calibrate(*made)
    assert head is made[1]
    assert (found.temperature, found.images, found.describe()) == (1.0, 0, "")
    assert found.reason.endswith("there are 6")


@pytest.mark.slow
def test_a_fold_that_cannot_learn_costs_no_model(trained, monkeypatch):
    def broken(*_, **__):
        raise InputError("The head's loss is not finite at step 3.\nTry less.")

    made = trained()
    monkeypatch.setattr(calibration, "run_training", broken)
    head, found = calibrate(*made)
    assert head is made[1]
    assert found.reason == "heads without some of the images did not learn: The head's loss is not finite at step 3."


def test_answers_come_from_the_head_as_it_is(strategies):
    head, (values, split) = random_head(), toy(count=60, classes=4)
    answers = answers_of(head, values, split.labels)
    np.testing.assert_allclose(answers.logits, values @ head.kernel + head.bias, rtol=1e-5, atol=1e-5)
    cooled, found = cool_by(strategies["cpu"], head, answers)
    expected = cool(head, found.temperature)
    assert (cooled.digest(), found.facts()["source"]) == (expected.digest(), "held_out")
    few = replace(answers, logits=answers.logits[:29], labels=answers.labels[:29])
    assert cool_by(strategies["cpu"], head, few)[1].temperature == 1.0
