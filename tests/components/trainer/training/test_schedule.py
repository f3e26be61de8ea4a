"""Batches, learning rates and weights: what the host decides ahead."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from sklearn.utils.class_weight import compute_class_weight

from components.options.trainer import TrainerOptions
from components.trainer.training.schedule import (
    LEAST_STEPS,
    Recipe,
    fill_up,
    learning_rates,
    passes,
    shuffle,
    stopped_early,
    weigh_classes,
)
from tests.components.trainer.toys import toy_options


def recipe(**options):
    return Recipe.of(toy_options(**{"learning_rate": 1.0, **options}))


@given(some.integers(1, 60), some.integers(1, 25), some.integers(1, 5))
def test_every_row_is_in_exactly_one_batch(count, size, replicas):
    rows = np.arange(100, 100 + count)
    batches = fill_up(rows, size, replicas)
    assert batches.shape[1] % replicas == 0
    assert batches.shape[1] - size < replicas
    assert [list(batch[batch >= 0]) for batch in batches] == [list(rows[i : i + size]) for i in range(0, count, size)]
    assert all((np.diff((batch >= 0).astype(int)) <= 0).all() for batch in batches)  # the filling is at the end


def test_an_epoch_has_an_order_of_its_own_and_always_the_same():
    rows = np.arange(50)
    first, second = shuffle(rows, 3, 0), shuffle(rows, 3, 1)
    assert sorted(first) == list(rows) == sorted(second)
    assert list(first) != list(second)
    assert list(first) == list(shuffle(rows, 3, 0)) != list(shuffle(rows, 4, 0))


@given(some.integers(1, 5000), some.integers(1, 100))
def test_an_epoch_of_few_images_passes_over_them_more_than_once(images, batch):
    batch = min(batch, images)
    times = passes(images, batch)
    steps = -(-times * images // batch)
    assert steps >= LEAST_STEPS
    assert times == 1 or (times - 1) * images < LEAST_STEPS * batch
    rows = shuffle(np.arange(min(images, 9)), 3, 1, 4)
    assert (np.bincount(rows) == 4).all()


def test_cosine_without_warm_up_is_that_of_keras():
    chosen = recipe(epochs=4, learning_rate=0.3)
    rates = np.concatenate([learning_rates(chosen, 5, epoch) for epoch in range(4)])
    wanted = keras.optimizers.schedules.CosineDecay(0.3, 20)
    np.testing.assert_allclose(rates, [float(wanted(step)) for step in range(20)], rtol=1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_warm_up_rises_to_the_full_rate(schedule):
    chosen = recipe(epochs=3, warmup_epochs=1.5, schedule=schedule)
    rates = np.concatenate([learning_rates(chosen, 4, epoch) for epoch in range(3)])
    np.testing.assert_allclose(rates[:6], np.arange(1, 7) / 6)
    assert (rates > 0).all()
    assert rates[6] == 1
    assert rates[-1] == 1 if schedule == "constant" else 0 < rates[-1] < 0.1


def test_a_warm_up_longer_than_the_training_still_ends_with_it():
    rates = learning_rates(recipe(epochs=1, warmup_epochs=9), 5, 0)
    np.testing.assert_allclose(rates, [0.25, 0.5, 0.75, 1, 1])


@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 0, 1], [2, 1, 0, 0, 0, 2]])
def test_balanced_weights_are_those_of_scikit_learn(labels):
    labels = np.array(labels)
    wanted = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    found = weigh_classes(labels, int(labels.max()) + 1, "balanced")
    np.testing.assert_allclose(found, wanted)
    assert found[labels].mean() == pytest.approx(1)
    assert weigh_classes(labels, 3, "none").tolist() == [1, 1, 1]


def test_a_class_without_an_image_has_a_finite_weight():
    assert np.isfinite(weigh_classes(np.array([0, 0, 1]), 3, "balanced")).all()


@pytest.mark.parametrize(
    ("losses", "patience", "stops"),
    [([], 1, False), ([1.0], 1, False), ([1.0, 1.0], 1, True), ([2.0, 1.0], 1, False), ([1.0, 2, 3], 3, False),
     ([1.0, 2, 3, 4], 3, True), ([4.0, 1, 2, 0.5, 2], 2, False), ([1.0, 2, 3, 4], 0, False)],
)  # fmt: skip
def test_patience_counts_epochs_since_the_best(losses, patience, stops):
    assert stopped_early(losses, patience) is stops


def test_a_recipe_is_written_as_ever():
    """Checkpoints are found by a digest over this text: another text would start every broken-off training anew."""
    assert Recipe.of(TrainerOptions(l2=0.5)).to_json() == (
        '{"batch_size": 32, "class_weights": "none", "deterministic": true, "dropout": 0.0, '
        '"early_stopping_patience": 5, "epochs": 20, "even": false, "hidden_units": 0, "l2": 0.5, '
        '"label_smoothing": 0.0, "learning_rate": 0.003, "schedule": "cosine", "seed": 1, '
        '"validation_fraction": 0.0, "warmup_epochs": 0.0}'
    )


def test_a_recipe_holds_what_decides_the_head_and_nothing_else():
    plain = Recipe.of(TrainerOptions())
    assert plain.to_json() == Recipe.of(TrainerOptions(tensorboard=False, feature_batch_size=3)).to_json()
    assert plain.to_json() != Recipe.of(TrainerOptions(dropout=0.3)).to_json()
    assert Recipe.of(toy_options(hidden_units=5)).hidden_units == 5
