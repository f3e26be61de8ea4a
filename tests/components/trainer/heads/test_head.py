"""The head learns, on one replica and on four, from data that does not divide the batch."""

import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.options.trainer import TrainerOptions
from components.trainer.features.data import Split
from components.trainer.heads.head import Head, check_labels, hold_out, train_head
from tests.components.trainer.toys import answer_of, exact_ops, toy, toy_options

pytestmark = pytest.mark.slow

HIDDEN = {"hidden_units": 6}


@pytest.fixture(scope="module")
def train(strategies):
    """Trains a head on these features; options are those of the Trainer."""

    def call(values, split, devices="cpu", classes=3, logs="", **options):
        options = toy_options(devices=devices, **options)
        return train_head(strategies[devices], values, split, classes, options, str(logs))[0]

    return call


@pytest.fixture(scope="module")
def free(train):
    """A head that learned without a penalty."""
    return train(*toy(), l2=0.0)


# 150 images: with 13 a batch the last one is short, and with one a batch three replicas of four idle.
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1, "epochs": 2},
        {"batch_size": 1000},
        {"batch_size": 13, **HIDDEN, "dropout": 0.5, "l2": 0.01, "label_smoothing": 0.1, "class_weights": "balanced"},
    ],
)
def test_replicas_agree_and_learn_whatever_the_batch(train, options):
    values, split = toy(noise=1.5)
    one, four = (train(values, split, devices, **options) for devices in ("cpu", "cpu:4"))
    for mine, its in zip(one.layers, four.layers, strict=True):
        np.testing.assert_allclose(mine[0], its[0], atol=1e-6)
        np.testing.assert_allclose(mine[1], its[1], atol=1e-6)
    for name, curve in one.history.items():
        np.testing.assert_allclose(curve, four.history[name], atol=1e-9)
    assert (four.probabilities(values).argmax(axis=1) == split.labels).mean() > 0.9
    assert (four.kernel.shape, four.bias.shape) == ((options.get("hidden_units", 8), 3), (3,))
    assert (four.kernel.dtype, four.bias.dtype) == (np.float32, np.float32)
    assert np.isfinite(list(four.history.values())).all()


def test_another_seed_gives_another_head(train, free):
    assert train(*toy(), l2=0.0, seed=6).digest() != free.digest()


def test_a_repeat_in_another_process_gives_the_same_bytes(train):
    """With deterministic ops, on two replicas and features as wide as real ones; here, and in a process of its own."""
    problem = {"count": 200, "width": 1280, "noise": 3.0}
    options = {"devices": "cpu:2", "epochs": 3, "dropout": 0.3}
    facts = json.dumps({"problem": problem, "options": options, "logs": "", "repeat": True})
    command = [sys.executable, "-m", "tests.components.trainer.toys", facts]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=180, check=True)
    with exact_ops():
        here = train(*toy(**problem), **options)
    there = answer_of(run.stdout)
    assert (there["digest"], there["history"]) == (here.digest(), here.history)
    assert there["devices"] == "2 replicas, batch 32 (16 a replica)"


@pytest.mark.parametrize(("devices", "classes"), [("cpu", 2), ("cpu:4", 5)])
def test_a_handful_of_images_is_enough_to_train_at_all(train, devices, classes, caplog):
    caplog.set_level(logging.INFO, logger="graft.progress")
    values, split = toy(count=classes, classes=classes)
    head = train(values, split, devices, classes=classes, batch_size=32)
    assert head.probabilities(values).shape == (classes, classes)
    assert np.isfinite(head.kernel).all()
    assert f"head: only {classes} images to learn from, so the batch is {classes}" in caplog.messages


def test_one_class_is_refused(train):
    values, split = toy(count=20)
    alone = Split([], split.sha256, np.zeros(20, np.int64), split.texts)
    with pytest.raises(InputError, match="needs at least two classes; the train split has 20 images of 1") as caught:
        train(values, alone)
    assert "Add images of another class" in str(caught.value)
    with pytest.raises(InputError, match="the train split has 0 images of 0"):
        check_labels(np.array([], np.int64), 2)


def test_labels_out_of_the_class_map_are_refused(train):
    values, split = toy(count=20, classes=3)
    with pytest.raises(InputError, match="labels of 2 classes are 0 to 1; the train split has 0 to 2") as caught:
        train(values, split, classes=2)
    assert "--no-cache" in str(caught.value)


def test_probabilities_are_the_softmax_of_the_logits():
    head = Head(np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), np.array([0.5, -0.5], np.float32))
    values = np.array([[1.0, 1.0], [300.0, 0.0]], np.float32)
    logits = values @ head.kernel + head.bias
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(head.probabilities(values), expected / expected.sum(axis=1, keepdims=True), rtol=1e-6)


def test_a_hidden_layer_stands_before_the_logits_and_in_the_digest():
    output = (np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), np.array([0.5, -0.5], np.float32))
    hidden = (np.array([[1.0, 1.0]], np.float32), np.array([0.0, -5.0], np.float32))
    head = Head(*output, hidden=hidden)
    np.testing.assert_allclose(head.logits(tf.constant([[3.0], [-3.0], [6.0]])), [[3.5, -0.5], [0.5, -0.5], [6.5, 1.5]])
    assert [kernel.shape for kernel, _ in head.layers] == [(1, 2), (2, 2)]
    assert head.digest() != Head(*output).digest()


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


def test_a_class_is_never_held_out_whole():
    """With few images, chance would leave a class without any picture to learn from."""
    for seed in range(200):
        _, split = toy(count=6, seed=seed)
        few = Split([], split.sha256, np.array([0, 0, 1, 1, 2, 2]), split.texts)
        assert set(few.labels[~hold_out(few, 0.5)]) == {0, 1, 2}


@pytest.mark.parametrize(("patience", "epochs"), [(2, 60), (0, 6)])
def test_training_stops_early_and_keeps_its_best_where_it_has_patience(train, patience, epochs):
    """On labels that say nothing; without patience it goes on to its end, and the last epoch counts."""
    values, split = toy()
    random = np.random.default_rng(9)
    noise = Split([], split.sha256, random.integers(0, 3, len(split)).astype(np.int64), split.texts)
    head = train(values, noise, epochs=epochs, validation_fraction=0.3, early_stopping_patience=patience)
    losses = head.history["val_loss"]
    best = int(np.argmin(losses))
    assert best < len(losses) - 1
    assert len(losses) == (best + 3 if patience else epochs) < 60
    held = hold_out(noise, 0.3)
    of_kept = -np.log(head.probabilities(values[held])[np.arange(held.sum()), noise.labels[held]]).mean()
    assert of_kept == pytest.approx(losses[best if patience else -1], rel=1e-5)


def test_a_separable_set_is_learned(free):
    values, split = toy()
    assert (free.probabilities(values).argmax(axis=1) == split.labels).mean() > 0.95


def test_unless_asked_for_nothing_is_held_out(free):
    assert set(free.history) == {"loss", "accuracy"}
    assert len(free.history["loss"]) == 15


def test_the_scale_of_the_features_does_not_matter(train):
    """Larger and shifted features: the same answers, and the kernel is for those features."""
    values, split = toy(noise=1.5)
    others = (values + 3) * np.float32(100)
    plain, scaled = (train(features, split, epochs=5, **HIDDEN) for features in (values, others))
    assert scaled.l2 == plain.l2 > 0
    np.testing.assert_allclose(scaled.probabilities(others), plain.probabilities(values), atol=1e-4)


def test_a_feature_without_a_signal_gets_no_weight(train):
    """One that is always the same, and one that varies by less than a float32 holds of its size."""
    values, split = toy()
    values[:, 5], values[:, 6] = 7.0, 1e4 + np.random.default_rng(1).normal(0, 1e-3, len(values))
    head = train(values, split)
    assert not head.kernel[5].any()
    assert np.abs(head.kernel[6]).max() * values[:, 6].std() < 1e-5
    np.testing.assert_allclose(head.probabilities(values).argmax(axis=1), split.labels)


def test_an_untouched_head_is_as_good_as_logistic_regression(train):
    """Ten images in each of five classes, hundreds of features: scikit-learn's choice of the penalty beside ours."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.preprocessing import StandardScaler

    points = []
    for seed in range(2):
        draw = np.random.default_rng(seed)
        labels = np.arange(1050) % 5
        mixed = draw.normal(0, 1.0, (5, 30))[labels] + draw.normal(0, 1.5, (1050, 30))
        values = np.maximum(mixed @ draw.normal(size=(30, 300)), 0).astype(np.float32)
        _, split = toy(count=50, classes=5)
        few = Split([], split.sha256, labels[:50].astype(np.int64), split.texts)
        head = train_default(train, values[:50], few)
        scaler = StandardScaler().fit(values[:50])
        other = LogisticRegressionCV(cv=5, max_iter=1000).fit(scaler.transform(values[:50]), labels[:50])
        mine = (head.probabilities(values[50:]).argmax(axis=1) == labels[50:]).mean()
        points.append(mine - other.score(scaler.transform(values[50:]), labels[50:]))
    assert np.mean(points) > -0.01


def test_features_whose_scales_tell_nothing_are_brought_to_one(train):
    """What a class differs in is quiet, the rest is loud: left-out images tell, and the head learns on that scale."""
    draw, (_, split) = np.random.default_rng(0), toy(count=80, classes=2)
    values = draw.normal(size=(80, 60)).astype(np.float32)
    values[:, :10] += 2 * (split.labels - 0.5)[:, None]
    values[:, :10] *= 0.1
    head = train_default(train, values, split, classes=2)
    np.testing.assert_allclose(head.spread, values.std(axis=0, dtype=np.float64), rtol=1e-5)


def train_default(train, values, split, classes=5):
    """With the options as they come."""
    names = ("learning_rate", "epochs", "dropout", "l2", "batch_size", "validation_fraction")
    return train(values, split, classes=classes, **{name: getattr(TrainerOptions(), name) for name in names})


def test_the_penalty_shrinks_the_kernel(train, free):
    assert np.abs(train(*toy(), l2=1.0).kernel).sum() < np.abs(free.kernel).sum() / 2


def test_smoothed_labels_make_a_modest_head(train, free):
    values, split = toy()
    modest = train(values, split, l2=0.0, label_smoothing=0.3)
    assert free.probabilities(values).max(axis=1).mean() > 0.98
    assert modest.probabilities(values).max(axis=1).mean() == pytest.approx(0.8, abs=0.03)  # 0.7 + 0.3 / 3 classes


def test_balanced_weights_help_a_rare_class(train):
    """Two classes that overlap, 19 to 1: unweighted, the rare one is hardly ever predicted."""
    random = np.random.default_rng(4)
    labels = (np.arange(400) % 20 == 0).astype(np.int64)
    values = (random.normal(0, 1, (400, 2)) + labels[:, None]).astype(np.float32)
    _, split = toy(count=400)
    rare = Split([], split.sha256, labels, split.texts)
    recall = {}
    for weights in ("none", "balanced"):
        head = train(values, rare, classes=2, class_weights=weights)
        recall[weights] = (head.probabilities(values[labels == 1]).argmax(axis=1) == 1).mean()
    assert recall["none"] < 0.3 < 0.6 < recall["balanced"]


def test_weights_that_overflow_stop_the_training_with_step_rate_and_a_way_out(train):
    values, split = toy()
    options = {"batch_size": 50, "schedule": "constant", "validation_fraction": 0.0}
    with pytest.raises(InputError, match=r"at step (2|3|4|5|6) \(epoch 1, learning rate 1e\+38\)") as caught:
        train(values, split, learning_rate=1e38, **options)
    assert "Try a lower trainer.learning_rate (now 1e+38" in str(caught.value)


def test_features_that_are_not_finite_are_named_as_the_cause(train):
    values, split = toy()
    values[17, 3] = np.nan
    with pytest.raises(InputError, match=r"The head's loss is not finite at step \d \(epoch 1") as caught:
        train(values, split, "cpu:2", validation_fraction=0.0)
    assert "1 of its 32 images have features that are not finite" in str(caught.value)
    held = np.flatnonzero(hold_out(split, 0.3))
    values, _ = toy()
    values[held[0], 0] = np.inf
    with pytest.raises(InputError, match="The head's validation loss is not finite") as caught:
        train(values, split, validation_fraction=0.3)
    assert f"1 of its {len(held)} images have features" in str(caught.value)


def read_events(folder):
    values = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                values.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    return values


def test_the_terminal_and_tensorboard_get_curves_rate_and_throughput(train, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="graft.progress")
    values, split = toy()
    options = {"epochs": 4, "schedule": "constant", "validation_fraction": 0.2}
    head = train(values, split, logs=tmp_path / "logs", tensorboard=True, **options)
    learned, watched = read_events(tmp_path / "logs" / "train"), read_events(tmp_path / "logs" / "validation")
    assert set(learned) == {"epoch_loss", "epoch_accuracy", "learning_rate", "examples_per_second"}
    assert set(watched) == {"epoch_loss", "epoch_accuracy"}
    for events, prefix in ((learned, ""), (watched, "val_")):
        for name in ("loss", "accuracy"):
            curve = events[f"epoch_{name}"]
            assert list(curve) == [0, 1, 2, 3]
            np.testing.assert_allclose(list(curve.values()), head.history[prefix + name], rtol=1e-6)
    np.testing.assert_allclose(list(learned["learning_rate"].values()), 0.05, rtol=1e-6)
    assert min(learned["examples_per_second"].values()) > 0
    told = [record.getMessage() for record in caplog.records if record.name == "graft.progress"]
    assert [line.rpartition(",")[0] for line in told] == [f"head: epoch {number} of 4" for number in (1, 2, 3, 4)]
    assert all("val_accuracy" in line for line in told)


def test_histograms_alone_are_written_when_asked_for(train, tmp_path):
    train(*toy(), logs=tmp_path / "logs", histograms=True, epochs=1, **HIDDEN)
    assert set(read_events(tmp_path / "logs" / "train")) == {
        f"head/{layer}/{part}" for layer in (0, 1) for part in ("kernel", "bias")
    }


def test_without_tensorboard_nothing_is_written(train, tmp_path):
    train(*toy(count=20), logs=tmp_path / "logs", epochs=1)
    assert os.listdir(tmp_path) == []


def test_probabilities_do_not_depend_on_the_parts(monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 20)).astype(np.float32)
    one = Head(rng.normal(size=(20, 3)).astype(np.float32), rng.normal(size=3).astype(np.float32))
    whole = one.probabilities(values)
    monkeypatch.setattr("components.trainer.heads.head.ANSWERED_AT_ONCE", 7)
    np.testing.assert_allclose(one.probabilities(values), whole, rtol=1e-6)
    np.testing.assert_allclose(whole.sum(axis=1), 1.0, rtol=1e-6)
    assert one.probabilities(values[:0]).shape == (0, 3)
