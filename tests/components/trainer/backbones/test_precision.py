"""Half precision in both stages: it is really computed with, and what is measured and exported is float32."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.options.trainer import FineTuneOptions, TrainerOptions
from components.trainer.backbones.build import make_backbone
from components.trainer.backbones.precision import START, LossScale, build_half
from components.trainer.features.augment import Augmentation
from components.trainer.features.data import pixel_batches, read_split
from components.trainer.fine_tune.epochs import FineTuning, TrunkFeatures
from components.trainer.fine_tune.inputs import Images
from components.trainer.fine_tune.layers import unfreeze
from components.trainer.fine_tune.stage import fine_tune
from components.trainer.heads.head import Head, hold_out
from components.trainer.training.checkpoints import TrainingState
from components.trainer.training.schedule import Recipe
from components.trainer.training.step import AdamState, Batch, TrainingStep
from tests.conftest import ALPHA, SIDE, WIDTH

LAST = {"from_layer": "block_3_depthwise", "learning_rate": 1e-3, "epochs": 2, "batch_size": 8}
HALF = ("mixed_bfloat16", "mixed_float16")


@pytest.fixture(scope="module")
def options(trunk):
    """For a precision, and options of the stage."""

    def make(precision, **wish):
        tuning = FineTuneOptions(**{**LAST, **wish})
        rest = {"validation_fraction": 0.3, "schedule": "constant", "tensorboard": False, "fine_tune": tuning}
        return TrainerOptions(backbone=trunk, backbone_scaling="-1..1", precision=precision, dropout=0, **rest)

    return make


@pytest.fixture(scope="module")
def split(train_records):
    return read_split(train_records.pattern)


@pytest.fixture(scope="module")
def exact(trunk):
    return make_backbone(trunk, (SIDE, SIDE), {}, "imagenet", "-1..1")


def first_head():
    kernel = np.random.default_rng(1).normal(size=(WIDTH, 3)) * 0.05
    return Head(kernel.astype(np.float32), np.zeros(3, np.float32), {"loss": [1.0]})


@pytest.fixture(scope="module")
def batch(split, transform):
    index, pixels = next(iter(pixel_batches(split, transform, 6)))
    return Batch(index, (pixels, tf.zeros([6, 0])))


@pytest.fixture(scope="module")
def first_step(strategies, split, exact, batch):
    """Learns from a batch, and measures it: the gradient, the sums, whether it is sane, the sums as measured."""

    def take(half=None, scale=1.0):
        trunk, head = unfreeze(exact, "avg", FineTuneOptions(**LAST), half), first_head()
        recipe, source = Recipe.of(TrainerOptions(dropout=0.0, batch_size=6)), TrunkFeatures(trunk, Augmentation())
        step = TrainingStep(strategies["cpu"], recipe, head.widths, split.labels, np.ones(3), source)
        params = np.concatenate([trunk.read(), head.params()])
        after, sums, sane = step.learn(AdamState.first(params), batch, 1e-3, 0, scale)
        return after.mean.numpy(), sums, sane, step.measure(params, batch)

    return take


@pytest.fixture(scope="module")
def exact_step(first_step):
    return first_step()


@pytest.mark.parametrize("precision", HALF)
def test_a_step_learns_in_half_precision_and_measures_in_float32(options, first_step, exact_step, precision):
    half = build_half(options(precision), (SIDE, SIDE))
    assert {variable.dtype for variable in half.model.weights} == {"float32"}
    assert half.model.get_layer("block_3_project").compute_dtype == precision.removeprefix("mixed_")
    assert keras.config.dtype_policy().name == "float32"
    gradient, sums, sane, measured = first_step(half, LossScale.first(precision).value)
    wanted, exactly, _, expected = exact_step
    assert sane
    assert 1e-7 < abs(sums[0] - exactly[0]) < 0.05 * exactly[0]
    assert np.linalg.norm(gradient - wanted) < 0.2 * np.linalg.norm(wanted)
    assert (gradient != wanted).any()
    np.testing.assert_array_equal(measured, expected)


def test_the_second_stage_in_half_precision_helps_and_is_exact_when_measured(
    strategies, split, transform, options, trunk
):
    chosen = options("mixed_bfloat16", epochs=1)
    backbone = make_backbone(trunk, (SIDE, SIDE), {}, "imagenet", "-1..1")
    done = fine_tune(strategies["cpu"], backbone, first_head(), split, transform, chosen)
    assert done.kept
    assert done.backbone.model.compute_dtype == "float32"
    trunk = unfreeze(done.backbone, "avg", chosen.fine_tune)
    images = Images(split, hold_out(split, 0.3), transform, Augmentation())
    params = np.concatenate([trunk.read(), done.head.params()])
    assert FineTuning(strategies["cpu"], trunk, done.head, images, chosen).measure(params)["loss"] == pytest.approx(
        done.after["loss"], rel=1e-5
    )


@pytest.fixture
def epoch(strategies, split, transform, options, exact, monkeypatch):
    """The states of an epoch whose steps are only sane up to a scale, and the scales that were tried."""

    def run(largest):
        scales = []

        def learn(_, state, batch, rate, step, scale):
            scales.append(scale)
            return state, np.zeros(2), scale <= largest

        monkeypatch.setattr(TrainingStep, "learn", learn)
        trunk, held = unfreeze(exact, "avg", FineTuneOptions(**LAST)), np.arange(len(split)) < 5
        chosen = options("mixed_float16", checkpoint_steps=1)
        training = FineTuning(
            strategies["cpu"], trunk, first_head(), Images(split, held, transform, Augmentation()), chosen
        )
        return training.run_epoch(training.start(np.zeros(sum(trunk.sizes) + (WIDTH + 1) * 3))), scales

    return run


def test_an_overflow_takes_the_step_again_with_half_the_scale(epoch):
    states, scales = epoch(START / 4)
    state = next(states)
    assert scales == [START, START / 2, START / 4]
    assert state.loss_scale == (START / 4, 1)
    assert TrainingState.from_bytes(state.to_bytes()).loss_scale == state.loss_scale


def test_numbers_that_no_scale_makes_finite_stop_the_run(epoch):
    states, scales = epoch(0.5)
    with pytest.raises(InputError, match=r"loss is not finite at step 1 \(epoch 1, learning rate 0\.001\)") as caught:
        next(states)
    assert "Or trainer.precision: mixed_bfloat16, which holds larger numbers" in str(caught.value)
    assert scales[-1] == 1.0


def test_the_scale_grows_after_many_good_steps_and_shrinks_to_one():
    scale = LossScale.first("mixed_float16")
    for _ in range(2000):
        assert scale.value == START
        scale = scale.after_step("mixed_float16")
    assert scale == LossScale(2 * START, 0)
    values = []
    while scale is not None:
        values.append(scale.value)
        scale = scale.smaller()
    assert values == [2.0**power for power in range(16, -1, -1)]
    assert LossScale.first("mixed_bfloat16") == LossScale(1.0).after_step("float32") == LossScale()


def test_a_row_of_the_table_is_built_to_compute_in_half_precision_too():
    options = TrainerOptions(backbone="MobileNetV2", backbone_args=ALPHA, weights="none", precision="mixed_bfloat16")
    model = build_half(options, (SIDE, SIDE)).model
    assert {layer.compute_dtype for layer in model.layers if layer.weights} == {"bfloat16"}
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert model.compute_output_spec(keras.KerasTensor((1, SIDE, SIDE, 3))).dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_a_saved_model_folder_is_refused(tmp_path):
    pixels = keras.Input((SIDE, SIDE, 3))
    keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels)).export(str(tmp_path / "trunk"), verbose=False)
    options = TrainerOptions(backbone=str(tmp_path / "trunk"), precision="mixed_float16")
    with pytest.raises(InputError, match="'mixed_float16' needs a backbone made of Keras layers") as caught:
        build_half(options, (SIDE, SIDE))
    assert "or use float32" in str(caught.value)


def test_a_state_without_a_scale_is_that_of_float32():
    state = TrainingState.first(np.arange(2.0))
    assert dataclasses.astuple(LossScale()) == state.loss_scale == TrainingState.from_bytes(state.to_bytes()).loss_scale
