"""The head learns, on one replica and on two, from data that does not divide the batch."""

import hashlib
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.options import TrainerOptions
from components.trainer.data import Split
from components.trainer.head import Head, WatchHeldOut, hold_out, train_head


def toy(count=150, classes=3, width=8, seed=0):
    """Features around one corner a class, and who they are."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    values = (np.eye(width)[labels] * 4 + random.normal(0, 0.3, (count, width))).astype(np.float32)
    digests = [hashlib.sha256(f"{seed} {index}".encode()).hexdigest().encode() for index in range(count)]
    return values, Split([], np.array(digests, object), labels.astype(np.int64), np.array([b""] * count, object))


@pytest.fixture
def train(strategies, tmp_path):
    """Trains a head on these features; options are those of the Trainer."""

    def call(values, split, devices="cpu", classes=3, **options):
        chosen = TrainerOptions(
            **{"learning_rate": 0.05, "epochs": 15, "devices": devices, "tensorboard": False, **options}
        )
        return train_head(strategies[devices], values, split, classes, chosen, str(tmp_path))

    return call


@pytest.mark.parametrize(("devices", "batch"), [("cpu", 7), ("cpu:2", 1), ("cpu:2", 7), ("cpu:2", 1000)])
def test_a_separable_set_is_learned_whatever_the_batch_and_the_replicas(train, devices, batch):
    values, split = toy()
    head = train(values, split, devices, batch_size=batch, epochs=2 if batch == 1 else 15, learning_rate=0.2)
    assert (head.probabilities(values).argmax(axis=1) == split.labels).mean() > 0.95
    assert (head.kernel.shape, head.bias.shape) == ((8, 3), (3,))
    assert np.isfinite(list(head.history.values())).all()


def test_two_replicas_learn_what_one_learns(train):
    values, split = toy()
    one, two = (train(values, split, devices, batch_size=30, dropout=0.0) for devices in ("cpu", "cpu:2"))
    np.testing.assert_allclose(one.probabilities(values), two.probabilities(values), atol=0.02)


def test_the_same_seed_gives_the_same_head(train):
    values, split = toy()
    first, again = (train(values, split, seed=5) for _ in range(2))
    other = train(values, split, seed=6)
    assert first.digest() == again.digest()
    assert first.digest() != other.digest()


@pytest.mark.parametrize("classes", [2, 5])
def test_a_handful_of_images_is_enough_to_train_at_all(train, classes):
    values, split = toy(count=classes, classes=classes)
    head = train(values, split, classes=classes, batch_size=32)
    assert head.probabilities(values).shape == (classes, classes)


def test_probabilities_are_the_softmax_of_the_logits():
    head = Head(np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), np.array([0.5, -0.5], np.float32))
    values = np.array([[1.0, 1.0], [300.0, 0.0]], np.float32)
    logits = values @ head.kernel + head.bias
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(head.probabilities(values), expected / expected.sum(axis=1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5])
def test_the_held_out_share_is_what_was_asked_for(fraction):
    _, split = toy(count=3000)
    assert hold_out(split, fraction).mean() == pytest.approx(fraction, abs=0.03)


def test_copies_of_a_picture_are_held_out_together():
    _, split = toy(count=50)
    twice = Split(
        [], np.concatenate([split.sha256, split.sha256[::-1]]), np.tile(split.labels, 2), np.tile(split.texts, 2)
    )
    held = hold_out(twice, 0.4)
    assert 0 < held.sum() < len(held)
    assert (held[:50] == held[50:][::-1]).all()


def test_holding_out_does_not_depend_on_the_side_of_the_split():
    """The eval split takes small digests; what is held out of the train split must not be all or nothing then."""
    _, split = toy(count=2000)
    train_side = [digest for digest in split.sha256 if int(digest[:8], 16) >= 0.2 * 2**32]
    kept = Split([], np.array(train_side, object), np.zeros(len(train_side), np.int64), np.array(train_side, object))
    assert hold_out(kept, 0.1).mean() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_held_out_images_are_measured_as_keras_measures(scale):
    values, split = toy(count=40)
    values = values * scale
    model = keras.Sequential([keras.Input([8]), keras.layers.Dropout(0.9), keras.layers.Dense(3)])
    watch, logs = WatchHeldOut(values, split.labels), {}
    watch.set_model(model)
    watch.on_epoch_end(0, logs)
    logits = model(values, training=False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(split.labels, logits)
    assert logs["val_loss"] == pytest.approx(float(loss), rel=1e-4)
    assert logs["val_accuracy"] == pytest.approx(float(np.mean(tf.argmax(logits, axis=1) == split.labels)))


def test_training_stops_early_and_keeps_its_best(train):
    values, split = toy()
    random = np.random.default_rng(9)
    noise = Split([], split.sha256, random.integers(0, 3, len(split)).astype(np.int64), split.texts)
    head = train(values, noise, epochs=60, validation_fraction=0.3, early_stopping_patience=2)
    losses = head.history["val_loss"]
    assert len(losses) < 60
    held = hold_out(noise, 0.3)
    of_kept = -np.log(head.probabilities(values[held])[np.arange(held.sum()), noise.labels[held]]).mean()
    assert of_kept == pytest.approx(min(losses), rel=1e-3)


def test_patience_zero_never_stops_early(train):
    values, split = toy()
    head = train(values, split, epochs=12, early_stopping_patience=0)
    assert len(head.history["loss"]) == 12


def test_without_held_out_images_every_image_is_learned_from(train):
    values, split = toy()
    head = train(values, split, validation_fraction=0.0)
    assert "val_loss" not in head.history
    assert len(head.history["loss"]) == 15


def test_a_class_is_never_held_out_whole():
    """With few images, chance would leave a class without any picture to learn from."""
    for seed in range(200):
        _, split = toy(count=6, seed=seed)
        few = Split([], split.sha256, np.array([0, 0, 1, 1, 2, 2]), split.texts)
        assert set(few.labels[~hold_out(few, 0.5)]) == {0, 1, 2}


def test_the_penalty_shrinks_the_kernel(train):
    values, split = toy()
    free, bound = (train(values, split, l2=l2) for l2 in (0.0, 1.0))
    assert np.abs(bound.kernel).sum() < np.abs(free.kernel).sum() / 2


def test_epochs_are_told_to_the_terminal(train, caplog):
    caplog.set_level(logging.INFO, logger="graft.progress")
    values, split = toy()
    train(values, split, epochs=2)
    told = [record.getMessage() for record in caplog.records if record.name == "graft.progress"]
    assert [line.rpartition(",")[0] for line in told] == ["head: epoch 1 of 2", "head: epoch 2 of 2"]
    assert all("val_accuracy" in line for line in told)
