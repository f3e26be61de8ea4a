"""The second stage trains what it is told to and nothing else, repeats, resumes, and undoes what does not help."""

import dataclasses
import logging
import multiprocessing
import os
import signal
from contextlib import contextmanager
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.options.trainer import AugmentOptions, FineTuneOptions, TrainerOptions
from components.trainer.backbones.build import BuiltBackbone, make_backbone
from components.trainer.features.augment import Augmentation
from components.trainer.features.data import pixel_batches, read_split
from components.trainer.features.feature_pass import FeaturePass, gather_features
from components.trainer.features.folding import fold_backbone
from components.trainer.fine_tune.epochs import TrunkFeatures
from components.trainer.fine_tune.inputs import Images, shuffled_batches
from components.trainer.fine_tune.layers import Trunk, choose_layers, unfreeze, why_not_repeatable
from components.trainer.fine_tune.stage import bits_may_differ, fine_tune, graft, held_out_after
from components.trainer.heads.head import Head, hold_out
from components.trainer.training.checkpoints import Checkpoints, TrainingState
from components.trainer.training.schedule import Recipe
from components.trainer.training.step import AdamState, Batch, TrainingStep
from tests.conftest import SIDE, WIDTH

pytestmark = pytest.mark.slow

LAST = {"from_layer": "block_3_depthwise"}  # three layers with weights from here on, two of them convolutions


def build_trunk(path):
    return make_backbone(path, (SIDE, SIDE), {}, "imagenet", "-1..1")


def tune_options(wish=LAST, **options):
    """An option of the stage in `wish`, others of the Trainer by name."""
    wish = FineTuneOptions(**{"learning_rate": 1e-3, "epochs": 2, "batch_size": 8, **wish})
    made = {"validation_fraction": 0.3, "schedule": "constant", "dropout": 0.2, "tensorboard": False, **options}
    return TrainerOptions(fine_tune=wish, **made)


def usual_options(**wish):
    """Those of `tuned`: views, a penalty, and batches that divide neither the images nor the replicas."""
    augment = AugmentOptions(flip="horizontal", zoom=0.2)
    return tune_options(LAST | {"batch_size": 11, "checkpoint_steps": 2, **wish}, augment=augment, l2=0.01)


def first_head(seed=1, hidden=0):
    """A head that knows nothing yet."""
    draw = np.random.default_rng(seed)

    def layer(*shape):
        return (draw.normal(size=shape) * 0.05).astype(np.float32), np.zeros(shape[1], np.float32)

    return Head(*layer(hidden or WIDTH, 3), {"loss": [1.0]}, layer(WIDTH, hidden) if hidden else None)


@pytest.fixture(scope="module")
def split(train_records):
    return read_split(train_records.pattern)


@pytest.fixture(scope="module")
def make(trunk):
    return lambda: build_trunk(trunk)


@pytest.fixture(scope="module")
def reused(make):
    """One backbone, as making it takes longer than training it, and its weights."""
    backbone = make()
    return backbone, backbone.model.get_weights()


@pytest.fixture
def built(reused):
    """A backbone as it comes from its file."""
    backbone, weights = reused
    backbone.model.set_weights(weights)
    return backbone


@pytest.fixture
def tune(strategies, built, split, transform, tmp_path):
    """Fine-tunes the backbone, which each call but the first finds as the call before left it."""

    def call(options, devices="cpu", head=None, checkpoints=""):
        where = (str(checkpoints), str(tmp_path / "logs"))
        return fine_tune(strategies[devices], built, head or first_head(), split, transform, options, *where)

    return call


@contextmanager
def watched_steps():
    """The batches of each step and of each measurement, as (rows, sums)."""
    steps = {"learn": [], "measure": []}

    def spy(name):
        method = getattr(TrainingStep, name)

        def call(self, given, batch, *rest):
            found = method(self, given, batch, *rest)
            steps[name].append((batch.index.numpy(), found[1] if name == "learn" else found))
            return found

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in steps:
            patch.setattr(TrainingStep, name, spy(name))
        yield steps


def values_of(backbone):
    return {variable.path: variable.numpy() for variable in backbone.model.weights}


@pytest.fixture(scope="module")
def tuned(strategies, make, split, transform):
    """A training that made it better, the weights before, and after, and its steps."""
    backbone = make()
    before = values_of(backbone)
    with watched_steps() as steps:
        done = fine_tune(strategies["cpu"], backbone, first_head(), split, transform, usual_options())
    return SimpleNamespace(done=done, before=before, after=values_of(backbone), steps=steps)


def weights_of(done):
    return [variable.numpy() for variable in done.backbone.model.weights] + [x for row in done.head.layers for x in row]


def same_bits(first, second):
    return (first.backbone.digest, first.head.digest()) == (second.backbone.digest, second.head.digest())


def test_only_the_chosen_layers_change_and_no_batch_norm(tuned):
    before, after = tuned.before, tuned.after
    changed = {path for path in before if before[path].tobytes() != after[path].tobytes()}
    assert tuned.done.kept
    assert {path.split("/")[-2] for path in changed} == {
        "block_3_depthwise",
        "block_3_project",
    }
    assert all(path.endswith("kernel") for path in changed)
    assert [path for path in before if path.endswith(("moving_mean", "moving_variance", "gamma", "beta"))]


def test_the_backbone_stays_frozen_to_keras_and_gets_another_digest(tuned, built):
    done = tuned.done
    assert not done.backbone.model.trainable_variables
    assert done.backbone.digest != built.digest
    assert done.backbone.weights_sha256 == built.weights_sha256


def test_what_is_reported_is_what_the_new_weights_give(tuned, strategies, split, transform):
    done = tuned.done
    forward = fold_backbone(done.backbone.model, done.backbone.scaling)
    values = gather_features(FeaturePass(strategies["cpu"], forward, transform, 9), split).values
    held = hold_out(split, 0.3)
    chances = done.head.probabilities(values[held])[np.arange(held.sum()), split.labels[held]]
    assert done.after["loss"] == pytest.approx(-np.log(chances).mean(), rel=1e-4)
    asked = held_out_after(FeaturePass(strategies["cpu"], forward, transform, 9), split, 0.3, done.head)
    np.testing.assert_array_equal(asked.labels, split.labels[held])
    own = tf.nn.softmax(asked.logits).numpy()[np.arange(held.sum()), asked.labels]
    np.testing.assert_allclose(own, chances, rtol=1e-4)
    assert asked.source == "held_out"
    assert done.after["loss"] == min(done.history["val_loss"]) < done.before["loss"]
    assert {name: len(values) for name, values in done.history.items()} == dict.fromkeys(
        ("loss", "accuracy", "val_loss", "val_accuracy"), 2
    )
    assert (done.head.history, done.deterministic, done.reason) == ({"loss": [1.0]}, True, "")
    assert "fine-tuning: held-out loss" in done.describe()
    assert done.describe().endswith(": kept")


def test_what_does_not_help_is_undone_bit_for_bit_and_views_are_fresh(tune, tuned, built):
    """A rate that destroys it: the loss before is better. Without views the very first step is another one."""
    head, before = first_head(), values_of(built)
    options = usual_options(learning_rate=1.0, epochs=1)
    with watched_steps() as steps:
        done = tune(options.model_copy(update={"augment": AugmentOptions()}), head=head)
    assert not done.kept
    assert done.head is head
    assert done.backbone is built
    assert all(before[path].tobytes() == value.tobytes() for path, value in values_of(built).items())
    assert done.after["loss"] > done.before["loss"]
    assert "no better, not kept" in done.describe()
    assert done.before == tuned.done.before
    (plain_rows, plain), (rows, viewed) = steps["learn"][0], tuned.steps["learn"][0]
    np.testing.assert_array_equal(rows, plain_rows)
    assert viewed[0] != plain[0]


def test_held_out_images_are_never_learned_from(tuned, split):
    learned, watched = ([rows for rows, _ in tuned.steps[name]] for name in ("learn", "measure"))
    held = hold_out(split, 0.3)
    assert set(np.concatenate(watched)) - {-1} == set(np.flatnonzero(held))
    assert set(np.concatenate(learned)) - {-1} == set(np.flatnonzero(~held))
    assert len(learned) == 2 * -(-int((~held).sum()) // 11)


# Few images and batches that do not divide: replicas idle at the end of an epoch.
def test_replicas_agree(tune, tuned):
    two = tune(usual_options(), "cpu:2")
    for mine, its in zip(weights_of(tuned.done), weights_of(two), strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-3)
    for name, curve in tuned.done.history.items():
        np.testing.assert_allclose(curve, two.history[name], rtol=1e-3)


@pytest.fixture(scope="module")
def six(split, transform):
    """A batch of the first images."""
    index, pixels = next(iter(pixel_batches(split, transform, 6)))
    return Batch(index, (pixels, tf.zeros([6, 0])))


@pytest.fixture
def step_of(strategies, built, split):
    """A step over the split, the parameters before, the trunk and the head."""

    def make(spread=None, hidden=0, weights=(1.0, 1.0, 1.0), **options):
        recipe = Recipe.of(tune_options(**{"batch_size": 6, "dropout": 0.0, **options}))
        trunk, head = unfreeze(built, "avg", FineTuneOptions(**LAST)), first_head(hidden=hidden)
        source = TrunkFeatures(trunk, Augmentation())
        step = TrainingStep(strategies["cpu"], recipe, head.widths, split.labels, np.array(weights), source, spread)
        return step, np.concatenate([trunk.read(), head.params()]), trunk, head

    return make


def test_the_loss_takes_the_head_s_logits(step_of, six, split):
    """The known bug: a loss `from_logits` on probabilities can hardly fall below 0.55 for three classes."""
    step, params, trunk, _ = step_of()
    size = sum(trunk.sizes)
    logits = trunk.features(tf.constant(params[:size]), six.inputs[0]).numpy() @ params[size:-3].reshape(WIDTH, 3)
    labels = split.labels[:6]
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(6), labels]
    _, sums, sane = step.learn(AdamState.first(params), six, 1e-3, 0)
    assert sane
    np.testing.assert_allclose(sums, [losses.sum(), (logits.argmax(axis=1) == labels).sum()], rtol=1e-5)
    np.testing.assert_allclose(step.measure(params, six), sums, rtol=1e-9)
    sure = params.copy()
    sure[size:-3], sure[-3:] = 0.0, [100.0, 0.0, 0.0]
    loss, right = step.measure(sure, six._replace(index=tf.constant([0, 3, -1, -1, -1, -1], tf.int64)))
    assert (loss, right) == (pytest.approx(0.0, abs=1e-6), 2)
    assert not step.learn(AdamState.first(params), six, 1e39, 0)[2]


def test_penalty_and_dropout_are_of_the_head_alone(step_of, six):
    spread = np.linspace(0.1, 2, WIDTH)
    dropping, params, _, head = step_of(dropout=0.5)
    plain = dropping.measure(params, six)[0]
    scaled, *_ = step_of(spread, l2=0.5)
    _, sums, _ = scaled.learn(AdamState.first(params), six, 1e-3, 0)
    on_scale = head.kernel.astype(np.float64) * spread[:, None]
    assert sums[0] == pytest.approx(plain + 6 * 0.5 * (on_scale**2).sum(), rel=1e-6)
    assert scaled.measure(params, six)[0] == plain
    losses = [dropping.learn(AdamState.first(params), six, 1e-3, at)[1][0] for at in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert plain not in losses


def test_a_hidden_layer_learns_with_the_rest(step_of, six, built):
    step, params, trunk, head = step_of(hidden=32, weights=(2.0, 1.0, 1.0), label_smoothing=0.1)
    state, losses = AdamState.first(params), []
    for number in range(8):
        state, sums, _ = step.learn(state, six, 3e-3, number)
        losses.append(sums[0])
    assert losses[-1] < 0.95 * losses[0]
    done, grown = graft(built, trunk, head, state.params.numpy())
    assert done.digest != built.digest
    assert [kernel.shape for kernel, _ in grown.layers] == [(WIDTH, 32), (32, 3)]
    assert all((new[0] != old[0]).any() for new, old in zip(grown.layers, head.layers, strict=True))


class StopError(Exception):
    """The run ends here."""


def stop_at(patch, epoch, step, stop):
    """Calls `stop` after the checkpoint of this moment is written."""
    save = Checkpoints.save

    def save_and_stop(self, state):
        save(self, state)
        if (state.epoch, state.step) == (epoch, step):
            stop()

    patch.setattr(Checkpoints, "save", save_and_stop)


def raise_stop():
    raise StopError


def tune_and_be_killed(facts):
    import tensorflow_transform as tft

    from components.trainer.devices.strategy import make_strategy

    stop_at(pytest.MonkeyPatch(), 0, 2, lambda: os.kill(os.getpid(), signal.SIGKILL))
    split, transform = read_split(facts["records"]), tft.TFTransformOutput(facts["transform"])
    backbone, checkpoints = build_trunk(facts["trunk"]), facts["checkpoints"]
    fine_tune(make_strategy("cpu"), backbone, first_head(), split, transform, usual_options(), checkpoints)


def test_a_run_that_was_killed_and_then_broken_off_ends_as_the_unbroken_one(
    tune, tuned, train_records, transform_uri, trunk, tmp_path, monkeypatch, caplog
):
    """In another process within the first epoch, and here at its end; with curves and checkpoints, and without."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["components.trainer.fine_tune.stage", "tests.components.trainer.fine_tune.test_stage"]
    )
    facts = {"records": train_records.pattern, "transform": transform_uri, "trunk": trunk}
    facts["checkpoints"] = str(tmp_path / "kept")
    process = context.Process(target=tune_and_be_killed, args=(facts,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL

    caplog.set_level(logging.INFO, logger="graft.progress")  # the backbone is not touched before the end
    options = usual_options().model_copy(update={"tensorboard": True})
    with monkeypatch.context() as patch:
        stop_at(patch, 1, 0, raise_stop)
        with pytest.raises(StopError):
            tune(options, checkpoints=tmp_path / "kept")
    resumed = tune(options, checkpoints=tmp_path / "kept")
    for place in ("epoch 0, step 2", "epoch 1"):
        assert f"fine-tuning: going on after {place}, from a checkpoint" in caplog.messages
    assert same_bits(resumed, tuned.done)
    assert resumed.history == tuned.done.history
    values = {}
    for path in sorted((tmp_path / "logs" / "fine_tune" / "validation").glob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                values.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    assert values["epoch_loss"] == pytest.approx(dict(enumerate(resumed.history["val_loss"])), rel=1e-6)
    told = [line for line in caplog.messages if line.startswith("fine-tuning: epoch 2 of 2, ")]
    assert all(line.endswith(" images/s") for line in told)
    assert told[0].startswith("fine-tuning: epoch 2 of 2, step 2 of ")
    assert "val_loss" in told[-1]


def test_checkpoints_stand_in_the_order_of_their_steps(tmp_path):
    kept, adam = Checkpoints(str(tmp_path), "fine-tuning"), AdamState(*(np.arange(3.0) for _ in range(3)))
    for epoch, step in [(0, 50), (0, 100), (1, 0), (1, 50)]:
        kept.save(TrainingState(adam, epoch, adam.params, {"loss": [1 / 3]}, step, (0.1, 2.0)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-000001-step-000050.ckpt", "epoch-000001.ckpt"]
    found = kept.load()
    assert (found.epoch, found.step, found.sums, found.history) == (1, 50, (0.1, 2.0), {"loss": [1 / 3]})


def test_the_order_is_that_of_the_seed_and_goes_on_anywhere(split, transform):
    rows = np.arange(2, len(split))

    def order(seed, first=0):
        return [index.numpy().tolist() for index, _ in shuffled_batches(split, transform, rows, (5, 6), seed, first)]

    found = order(1)
    assert found[3:] == order(1, first=3)
    assert found != order(2)
    assert sorted(place for batch in found for place in batch) == [-1] * (7 * 6 - len(rows)) + rows.tolist()
    assert all(batch[5] == -1 for batch in found)


def test_weights_that_overflow_stop_the_run_with_step_rate_and_a_way_out(tune, monkeypatch):
    monkeypatch.setattr(TrainingStep, "measure", lambda self, params, batch: np.ones(2))
    monkeypatch.setattr(TrainingStep, "learn", lambda self, state, *_: (state, np.zeros(2), False))
    with pytest.raises(InputError, match=r"loss is not finite at step 1 \(epoch 1, learning rate 1e\+38\)") as caught:
        tune(tune_options(LAST | {"learning_rate": 1e38}))
    assert "Try a lower trainer.fine_tune.learning_rate (now 1e+38" in str(caught.value)


def test_nothing_held_out_is_refused(tune):
    with pytest.raises(InputError, match="kept only if it helps images that were not learned from") as caught:
        tune(tune_options(validation_fraction=1e-9))
    assert "Set trainer.validation_fraction: 0.1" in str(caught.value)


def test_an_unknown_layer_is_refused_with_the_last_ten(tune, built):
    with pytest.raises(InputError, match=r"got 'block_3_projct'\. Did you mean 'block_3_project'\?") as caught:
        tune(tune_options({"from_layer": "block_3_projct"}))
    assert ", ".join(layer.name for layer in built.model.layers[-10:]) in str(caught.value)


def test_layers_without_weights_are_refused(tune):
    with pytest.raises(InputError, match=r"the last 2 of the backbone \(block_3_norm, block_3_relu\) have none"):
        tune(tune_options({"layers": 2}))


def test_a_saved_model_folder_is_refused(tmp_path):
    pixels = keras.Input((SIDE, SIDE, 3))
    keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels)).export(str(tmp_path / "trunk"), verbose=False)
    endpoint = keras.layers.TFSMLayer(str(tmp_path / "trunk"), call_endpoint="serve")
    trunk = BuiltBackbone(keras.Model(pixels, endpoint(pixels)), "inside", "", (62, 62, 2))
    with pytest.raises(InputError, match="this one is a SavedModel") as caught:
        unfreeze(trunk, "avg", FineTuneOptions(layers=1))
    assert "model.save('trunk.keras')" in str(caught.value)


def test_layers_are_counted_inside_a_trunk_that_is_wrapped(built):
    pixels = keras.Input((SIDE, SIDE, 3))
    wrapped = keras.Model(pixels, built.model(pixels))
    assert choose_layers(wrapped, FineTuneOptions(layers=3)) == built.model.layers[-3:]


def test_what_is_written_is_what_was_read(built):
    trunk = unfreeze(built, "avg", FineTuneOptions(**LAST))
    assert isinstance(trunk, Trunk)
    before = trunk.read()
    trunk.write(before * 2)
    assert (trunk.read() == before * 2).all()


class Devices:
    """A strategy as far as `why_not_repeatable` looks at it."""

    def __init__(self, *names):
        self.extended = type("Extended", (), {"worker_devices": names})()


def test_depthwise_layers_on_a_gpu_do_not_repeat(built):
    gpu, cpu = Devices("/job:localhost/replica:0/task:0/device:GPU:0"), Devices("/device:CPU:0")
    all_layers = choose_layers(built.model, FineTuneOptions(layers=20))
    last_convolution = choose_layers(built.model, FineTuneOptions(layers=3))
    assert "depthwise convolutions (4, such as block_0_depthwise)" in why_not_repeatable(gpu, all_layers, True)
    assert why_not_repeatable(gpu, last_convolution, True) == ""
    assert why_not_repeatable(gpu, last_convolution, False) == "trainer.deterministic is false"
    assert why_not_repeatable(cpu, all_layers, True) == ""


def test_ops_that_cannot_repeat_are_let_through_only_there():
    from tensorflow.python.framework import config

    tf.config.experimental.enable_op_determinism()
    try:
        with bits_may_differ(False):
            assert config.is_op_determinism_enabled()
        with bits_may_differ(True):
            assert not config.is_op_determinism_enabled()
        assert config.is_op_determinism_enabled()
    finally:
        config.disable_op_determinism()


def test_records_that_changed_are_noticed(split, transform):
    swapped = split.sha256.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    other = dataclasses.replace(split, sha256=swapped)
    images = Images(other, np.arange(len(split)) < 2, transform, Augmentation())
    with pytest.raises(RuntimeError, match="stand in another order now"):
        next(images.watched_batches(2))
    images = dataclasses.replace(images, held=np.arange(len(split)) >= 2)
    with pytest.raises(RuntimeError, match="stand in another order now"):
        next(images.learned_batches((2, 2), 1, 0, 0))
