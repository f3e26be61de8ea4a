"""The second stage trains what it is told to and nothing else, repeats, resumes, and undoes what does not help."""

import dataclasses
import json
import logging
import multiprocessing
import signal
import time

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
from components.trainer.fine_tune.inputs import shuffled_batches
from components.trainer.fine_tune.layers import Trunk, choose_layers, unfreeze, why_not_repeatable
from components.trainer.fine_tune.stage import bits_may_differ, fine_tune, graft
from components.trainer.heads.head import Head, hold_out
from components.trainer.training.checkpoints import Checkpoints, TrainingState
from components.trainer.training.schedule import Recipe
from components.trainer.training.step import AdamState, Batch, TrainingStep
from tests.conftest import SIDE, WIDTH

LAST = {"from_layer": "block_3_depthwise"}  # three layers with weights from here on, two of them convolutions


def build_trunk(path):
    return make_backbone(path, (SIDE, SIDE), {}, "imagenet", "-1..1")


def tune_options(wish=LAST, **options):
    """An option of the stage in `wish`, others of the Trainer by name."""
    wish = FineTuneOptions(**{"learning_rate": 1e-3, "epochs": 2, "batch_size": 8, **wish})
    made = {"validation_fraction": 0.3, "schedule": "constant", "dropout": 0.2, "tensorboard": False, **options}
    return TrainerOptions(fine_tune=wish, **made)


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


@pytest.fixture(scope="module")
def tuned(strategies, make, split, transform):
    """One that got better, its weights before, and after."""
    backbone = make()
    before = {variable.path: variable.numpy() for variable in backbone.model.weights}
    done = fine_tune(strategies["cpu"], backbone, first_head(), split, transform, tune_options())
    return done, before, {variable.path: variable.numpy() for variable in backbone.model.weights}


def weights_of(done):
    return [variable.numpy() for variable in done.backbone.model.weights] + [x for row in done.head.layers for x in row]


def same_bits(first, second):
    return (first.backbone.digest, first.head.digest()) == (second.backbone.digest, second.head.digest())


def test_only_the_chosen_layers_change_and_no_batch_norm(tuned):
    done, before, after = tuned
    changed = {path for path in before if before[path].tobytes() != after[path].tobytes()}
    assert done.kept
    assert {path.split("/")[-2] for path in changed} == {
        "block_3_depthwise",
        "block_3_project",
    }
    assert all(path.endswith("kernel") for path in changed)
    assert [path for path in before if path.endswith(("moving_mean", "moving_variance", "gamma", "beta"))]


def test_the_backbone_stays_frozen_to_keras_and_gets_another_digest(tuned, built):
    done, _, _ = tuned
    assert not done.backbone.model.trainable_variables
    assert done.backbone.digest != built.digest
    assert done.backbone.weights_sha256 == built.weights_sha256


def test_what_is_reported_is_what_the_new_weights_give(tuned, strategies, split, transform):
    done, _, _ = tuned
    forward = fold_backbone(done.backbone.model, done.backbone.scaling)
    values = gather_features(FeaturePass(strategies["cpu"], forward, transform, 9), split).values
    held = hold_out(split, 0.3)
    chances = done.head.probabilities(values[held])[np.arange(held.sum()), split.labels[held]]
    assert done.after["loss"] == pytest.approx(-np.log(chances).mean(), rel=1e-4)
    assert done.after["loss"] == min(done.history["val_loss"]) < done.before["loss"]
    assert {name: len(values) for name, values in done.history.items()} == dict.fromkeys(
        ("loss", "accuracy", "val_loss", "val_accuracy"), 2
    )
    assert (done.head.history, done.deterministic, done.reason) == ({"loss": [1.0]}, True, "")
    assert "fine-tuning: held-out loss" in done.describe()
    assert done.describe().endswith(": kept")


def test_what_does_not_help_is_undone_bit_for_bit(tune, built):
    """A rate that destroys it: the loss before is better."""
    head = first_head()
    before = [variable.numpy().tobytes() for variable in built.model.weights]
    done = tune(tune_options({**LAST, "learning_rate": 1.0, "epochs": 1}), head=head)
    assert not done.kept
    assert done.head is head
    assert done.backbone is built
    assert before == [variable.numpy().tobytes() for variable in built.model.weights]
    assert done.after["loss"] > done.before["loss"]
    assert "no better, not kept" in done.describe()


def test_held_out_images_are_never_learned_from(tune, split, monkeypatch):
    learned, watched = [], []
    learn, measure = TrainingStep.learn, TrainingStep.measure

    def spy(of, into):
        def call(self, given, batch, *rest):
            into.append(batch.index.numpy())
            return of(self, given, batch, *rest)

        return call

    monkeypatch.setattr(TrainingStep, "learn", spy(learn, learned))
    monkeypatch.setattr(TrainingStep, "measure", spy(measure, watched))
    tune(tune_options(LAST | {"epochs": 1}))
    held = hold_out(split, 0.3)
    assert set(np.concatenate(watched)) - {-1} == set(np.flatnonzero(held))
    assert set(np.concatenate(learned)) - {-1} == set(np.flatnonzero(~held))
    assert len(learned) == -(-int((~held).sum()) // 8)


# Few images and batches that do not divide: replicas idle at the end of an epoch.
def test_replicas_agree(tune, built, reused):
    options = tune_options(LAST | {"batch_size": 11}, augment=AugmentOptions(flip="horizontal", zoom=0.2), l2=0.01)
    one = tune(options)
    weights = weights_of(one)
    built.model.set_weights(reused[1])
    two = tune(options, "cpu:2")
    assert one.kept
    for mine, its in zip(weights, weights_of(two), strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-3)
    for name in one.history:
        np.testing.assert_allclose(one.history[name], two.history[name], rtol=1e-3)


def step_of(strategies, built, transform, split, spread=None, **options):
    recipe = Recipe.of(tune_options(**{"batch_size": 6, "dropout": 0.0, **options}))
    trunk = unfreeze(built, "avg", FineTuneOptions(**LAST))
    source = TrunkFeatures(trunk, Augmentation())
    step = TrainingStep(strategies["cpu"], recipe, (WIDTH, 3), split.labels, np.ones(3), source, spread)
    index, pixels = next(iter(pixel_batches(split, transform, 6)))
    head = first_head()
    params = np.concatenate([trunk.read(), head.params()])
    return step, params, Batch(index, (pixels, tf.zeros([6, 0]))), trunk, head


def test_the_loss_takes_the_head_s_logits(strategies, built, transform, split):
    """The known bug: a loss `from_logits` on probabilities can hardly fall below 0.55 for three classes."""
    step, params, batch, trunk, _ = step_of(strategies, built, transform, split)
    size = sum(trunk.sizes)
    logits = trunk.features(tf.constant(params[:size]), batch.inputs[0]).numpy() @ params[size:-3].reshape(WIDTH, 3)
    labels = split.labels[:6]
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(6), labels]
    _, sums, sane = step.learn(AdamState.first(params), batch, 1e-3, 0)
    assert sane
    np.testing.assert_allclose(sums, [losses.sum(), (logits.argmax(axis=1) == labels).sum()], rtol=1e-5)
    np.testing.assert_allclose(step.measure(params, batch), sums, rtol=1e-9)
    sure = params.copy()
    sure[size:-3], sure[-3:] = 0.0, [100.0, 0.0, 0.0]
    loss, right = step.measure(sure, batch._replace(index=tf.constant([0, 3, -1, -1, -1, -1], tf.int64)))
    assert (loss, right) == (pytest.approx(0.0, abs=1e-6), 2)


def test_penalty_and_dropout_are_of_the_head_alone(strategies, built, transform, split):
    step, params, batch, _, head = step_of(strategies, built, transform, split, l2=0.5)
    plain = step.measure(params, batch)[0]
    _, sums, _ = step.learn(AdamState.first(params), batch, 1e-3, 0)
    assert sums[0] == pytest.approx(plain + 6 * 0.5 * (head.kernel.astype(np.float64) ** 2).sum(), rel=1e-6)
    spread = np.linspace(0.1, 2, WIDTH)
    scaled, *_ = step_of(strategies, built, transform, split, spread, l2=0.5)
    _, sums, _ = scaled.learn(AdamState.first(params), batch, 1e-3, 0)
    on_scale = head.kernel.astype(np.float64) * spread[:, None]
    assert sums[0] == pytest.approx(plain + 6 * 0.5 * (on_scale**2).sum(), rel=1e-6)
    dropping, *_ = step_of(strategies, built, transform, split, dropout=0.5)
    losses = [dropping.learn(AdamState.first(params), batch, 1e-3, at)[1][0] for at in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert dropping.measure(params, batch)[0] == plain


def test_fresh_views_are_another_training(tune, tuned):
    views = tune(tune_options(LAST | {"epochs": 1}, augment=AugmentOptions(rotation=30)))
    assert views.before == tuned[0].before
    assert views.history["loss"] != tuned[0].history["loss"][:1]


def test_a_hidden_layer_learns_with_the_rest(strategies, built, transform, split):
    _, _, batch, trunk, _ = step_of(strategies, built, transform, split)
    recipe = Recipe.of(tune_options(label_smoothing=0.1, dropout=0.0))
    weights = np.array([2.0, 1.0, 1.0])
    source = TrunkFeatures(trunk, Augmentation())
    step = TrainingStep(strategies["cpu"], recipe, (WIDTH, 32, 3), split.labels, weights, source)
    head = first_head(hidden=32)
    state, losses = AdamState.first(np.concatenate([trunk.read(), head.params()])), []
    for number in range(8):
        state, sums, _ = step.learn(state, batch, 3e-3, number)
        losses.append(sums[0])
    assert losses[-1] < 0.95 * losses[0]
    done, grown = graft(built, trunk, head, state.params.numpy())
    assert done.digest != built.digest
    assert [kernel.shape for kernel, _ in grown.layers] == [(WIDTH, 32), (32, 3)]
    assert all((new[0] != old[0]).any() for new, old in zip(grown.layers, head.layers, strict=True))


class StopError(Exception):
    """The run ends here."""


def test_a_run_that_was_broken_off_twice_ends_as_the_unbroken_one(tune, tuned, tmp_path, monkeypatch, caplog):
    """Within the first epoch, and then at its end."""
    options = tune_options(LAST | {"checkpoint_steps": 2})
    save, stops = Checkpoints.save, [(0, 2), (1, 0)]

    def stop(self, state):
        save(self, state)
        if (state.epoch, state.step) == stops[0]:
            stops.pop(0)
            raise StopError

    caplog.set_level(logging.INFO, logger="graft.progress")  # the backbone is not touched before the end
    monkeypatch.setattr(Checkpoints, "save", stop)
    for _ in range(2):
        with pytest.raises(StopError):
            tune(options, checkpoints=tmp_path / "kept")
    monkeypatch.undo()
    resumed = tune(options, checkpoints=tmp_path / "kept")
    for place in ("epoch 0, step 2", "epoch 1"):
        assert f"fine-tuning: going on after {place}, from a checkpoint" in caplog.messages
    assert same_bits(resumed, tuned[0])
    assert resumed.history == tuned[0].history


def tune_in_process(facts, answer):
    import tensorflow_transform as tft

    from components.trainer.devices.strategy import make_strategy

    split, transform = read_split(facts["records"]), tft.TFTransformOutput(facts["transform"])
    backbone = build_trunk(facts["trunk"])
    options = TrainerOptions.from_json(facts["options"])
    done = fine_tune(make_strategy("cpu"), backbone, first_head(), split, transform, options, facts["checkpoints"])
    answer.send((done.backbone.digest, done.head.digest(), json.dumps(done.history)))


def test_a_kill_changes_nothing(train_records, transform_uri, trunk, tmp_path, tuned):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["components.trainer.fine_tune.stage", "tests.components.trainer.fine_tune.test_stage"]
    )
    facts = {"records": train_records.pattern, "transform": transform_uri, "trunk": trunk}
    facts["options"] = tune_options(LAST | {"checkpoint_steps": 1}).to_json()
    facts["checkpoints"] = str(tmp_path / "kept")

    def start():
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=tune_in_process, args=(facts, sender))
        process.start()
        sender.close()
        return process, receiver

    process, _ = start()
    while not list((tmp_path / "kept").rglob("epoch-*-step-000002.ckpt")) and process.is_alive():
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    process, receiver = start()
    resumed = receiver.recv()
    process.join()
    assert resumed == (tuned[0].backbone.digest, tuned[0].head.digest(), json.dumps(tuned[0].history))


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

    assert order(1) == order(1) != order(2)
    assert order(1)[3:] == order(1, first=3)
    assert sorted(place for batch in order(1) for place in batch) == [-1] * (7 * 6 - len(rows)) + rows.tolist()
    assert all(batch[5] == -1 for batch in order(1))


def test_two_runs_give_the_same_bytes_with_and_without_curves_and_checkpoints(tune, tuned, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="graft.progress")
    again = tune(tune_options(LAST | {"checkpoint_steps": 2}, tensorboard=True), checkpoints=tmp_path / "kept")
    assert same_bits(again, tuned[0])
    assert again.history == tuned[0].history
    values = {}
    for path in (tmp_path / "logs" / "fine_tune" / "validation").glob("events.out.tfevents.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                values.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    assert values["epoch_loss"] == pytest.approx(again.history["val_loss"], rel=1e-6)
    told = [line for line in caplog.messages if line.startswith("fine-tuning: epoch 1 of 2, ")]
    assert all(line.endswith(" images/s") for line in told)
    assert told[0].startswith("fine-tuning: epoch 1 of 2, step 2 of ")
    assert "val_loss" in told[-1]


def test_weights_that_overflow_stop_the_run_with_step_rate_and_a_way_out(tune):
    with pytest.raises(InputError, match=r"loss is not finite at step \d \(epoch 1, learning rate 1e\+38\)") as caught:
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


def test_records_that_changed_are_noticed(strategies, built, split, transform):
    swapped = split.sha256.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    other = dataclasses.replace(split, sha256=swapped)
    with pytest.raises(RuntimeError, match="stand in another order now"):
        fine_tune(strategies["cpu"], built, first_head(), other, transform, tune_options())
