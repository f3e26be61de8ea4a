"""The training loop against Keras, step by step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.heads.standard import Scale
from components.trainer.training.schedule import Recipe
from components.trainer.training.step import Loop, LoopState, adam, start_state, unpack
from tests.components.trainer.toys import toy, toy_options

SMOOTHING, L2, WEIGHTS = 0.1, 0.02, np.array([0.5, 1.0, 2.0])
WIDTHS = (8, 5, 3)
SCALE = Scale(np.linspace(-1, 2, 8), np.linspace(0.5, 3, 8))


def keras_model(state, widths):
    layers = [keras.Input([widths[0]])]
    for number, width in enumerate(widths[1:]):
        last = number == len(widths) - 2
        regularizer = keras.regularizers.L2(L2)
        layers.append(keras.layers.Dense(width, None if last else "relu", kernel_regularizer=regularizer))
    model = keras.Sequential(layers)
    model.set_weights([array for layer in unpack(state.params, widths) for array in layer])
    return model


@pytest.fixture
def loop(strategies):
    values, split = toy(count=40, noise=2.0)

    def make(devices="cpu", widths=WIDTHS, **options):
        recipe = Recipe.of(toy_options(**{"dropout": 0.0, "l2": L2, "label_smoothing": SMOOTHING, **options}))
        made = Loop(strategies[devices], recipe, widths, values, split.labels, WEIGHTS, SCALE)
        return made, SCALE.apply(values), split.labels

    return make


@pytest.mark.parametrize("widths", [(8, 3), WIDTHS])
@pytest.mark.parametrize("devices", ["cpu", "cpu:4"])
def test_an_epoch_without_dropout_is_what_keras_does(loop, devices, widths):
    """Loss with weights, smoothing and penalty, gradient and Adam; the last batch is short."""
    mine, values, labels = loop(devices, widths)
    state, order, rates = start_state(widths, 7), np.random.default_rng(0).permutation(40), np.linspace(0.1, 0.01, 5)
    after, epoch = mine.run_epoch(state, order, rates, 9, 0)
    model = keras_model(state, widths)
    optimizer = keras.optimizers.Adam()
    loss_of = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=SMOOTHING)
    losses = []
    for step, rate in enumerate(rates):
        rows = order[step * 9 : step * 9 + 9]
        with tf.GradientTape() as tape:
            targets = tf.one_hot(labels[rows], 3)
            loss = loss_of(targets, model(values[rows]), sample_weight=WEIGHTS[labels[rows]]) + sum(model.losses)
        losses.append(float(loss) * len(rows))
        optimizer.learning_rate = rate
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    for (kernel, bias), layer in zip(unpack(after.params, widths), model.layers, strict=True):
        np.testing.assert_allclose(kernel, layer.kernel.numpy(), atol=2e-5)
        np.testing.assert_allclose(bias, layer.bias.numpy(), atol=2e-5)
    assert epoch.loss == pytest.approx(sum(losses) / 40, rel=1e-5)
    assert epoch.broken_at is None


@pytest.mark.parametrize("devices", ["cpu", "cpu:2", "cpu:4"])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_rows_are_measured_as_keras_measures(loop, devices, count):
    mine, values, labels = loop(devices, dropout=0.9)
    state, rows = start_state(WIDTHS, 1), np.arange(count)
    loss, accuracy = mine.measure(state.params, rows)
    logits = keras_model(state, WIDTHS)(values[rows], training=False)
    loss_of = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=SMOOTHING)
    wanted = loss_of(tf.one_hot(labels[rows], 3), logits, sample_weight=WEIGHTS[labels[rows]])
    assert loss == pytest.approx(float(wanted), rel=1e-5)
    assert accuracy == pytest.approx(float(np.mean(np.argmax(logits, axis=1) == labels[rows])))


def test_more_rows_than_a_batch_of_the_measurement_are_all_counted(loop, monkeypatch):
    mine, _, _ = loop("cpu:2")
    params, rows = start_state(WIDTHS, 1).params, np.arange(40)
    whole = mine.measure(params, rows)
    monkeypatch.setattr("components.trainer.training.step.MEASURE_BATCH", 7)
    assert mine.measure(params, rows) == pytest.approx(whole, rel=1e-12)


def test_dropout_is_drawn_anew_each_step_and_keeps_the_mean(loop):
    """A kernel at a learning rate of 0: the loss differs only by what was dropped."""
    mine, _, _ = loop(widths=(8, 3), dropout=0.5, l2=0.0)
    state = start_state((8, 3), 1)._replace(params=np.arange(27) / 27)
    rows, still = np.arange(40), np.zeros(1)
    losses = [mine.run_epoch(state, rows, still, 40, first)[1].loss for first in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]
    mask = draw_masks(mine, 50)
    assert set(np.unique(mask)) == {0.0, 2.0}
    assert mask.mean() == pytest.approx(1, abs=0.02)


def draw_masks(loop, steps):
    """The masks of the first steps, one after the other; traced once."""

    @tf.function
    def draw(step):
        return loop._strategy.run(lambda: loop._mask(tf.stack([1, step]), 0, 40, 40))

    return np.concatenate([draw(tf.constant(step, tf.int64)).numpy() for step in range(steps)])


def test_adam_is_that_of_keras():
    random = np.random.default_rng(2)
    start = random.normal(size=20)
    variable, optimizer = keras.Variable(start, dtype="float64"), keras.optimizers.Adam(0.1)
    state = LoopState(tf.constant(start), tf.zeros(20, tf.float64), tf.zeros(20, tf.float64))
    for step in range(30):
        gradient = tf.constant(random.normal(size=20) * 10.0 ** random.integers(-4, 4))
        optimizer.apply([gradient], [variable])
        state = adam(state, gradient, tf.constant(0.1, tf.float64), tf.constant(step))
    np.testing.assert_allclose(state.params, variable.numpy(), atol=2e-5)  # Keras keeps the learning rate in float32


def test_the_first_weights_are_those_of_a_dense_layer_and_the_last_layer_is_zero():
    state = start_state((100, 20, 4), 3)
    (kernel, bias), last = unpack(state.params, (100, 20, 4))
    limit = np.sqrt(6 / 120)
    assert np.abs(kernel).max() == pytest.approx(limit, rel=0.05)
    assert not any(part.any() for part in (bias, *last, start_state((100, 4), 3).params))
    np.testing.assert_array_equal(state.params, start_state((100, 20, 4), 3).params)
    assert (state.params != start_state((100, 20, 4), 4).params).any()


def test_the_broken_step_is_told(loop):
    mine, values, _ = loop(widths=(8, 3))
    rates = np.array([0.01, 0.01, 1e300, 0.01])
    _, epoch = mine.run_epoch(start_state((8, 3), 1), np.arange(len(values)), rates, 10, 0)
    assert epoch.broken_at == 2
