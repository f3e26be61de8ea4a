"""The training step, and the epochs of the head that are made of it, against Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.heads.epochs import EpochGraph, KeptFeatures
from components.trainer.heads.scaling import Scale
from components.trainer.training.schedule import Recipe
from components.trainer.training.step import AdamState, Batch, TrainingStep, adam, start_head, unpack_layers
from tests.components.trainer.toys import toy, toy_options

SMOOTHING, L2, WEIGHTS = 0.1, 0.02, np.array([0.5, 1.0, 2.0])
WIDTHS = (8, 5, 3)
SCALE = Scale(np.linspace(-1, 2, 8), np.linspace(0.5, 3, 8))


def keras_model(params, widths):
    layers = [keras.Input([widths[0]])]
    for number, width in enumerate(widths[1:]):
        last = number == len(widths) - 2
        regularizer = keras.regularizers.L2(L2)
        layers.append(keras.layers.Dense(width, None if last else "relu", kernel_regularizer=regularizer))
    model = keras.Sequential(layers)
    model.set_weights([array for layer in unpack_layers(params, widths) for array in layer])
    return model


@pytest.fixture
def epochs(strategies):
    values, split = toy(count=40, noise=2.0)

    def make(devices="cpu", widths=WIDTHS, batch_size=9, **options):
        wish = {"dropout": 0.0, "l2": L2, "label_smoothing": SMOOTHING, "batch_size": batch_size, **options}
        source, strategy = KeptFeatures(values, SCALE), strategies[devices]
        step = TrainingStep(strategy, Recipe.of(toy_options(**wish)), widths, split.labels, WEIGHTS, source)
        return EpochGraph(step, batch_size, strategy.num_replicas_in_sync), SCALE.apply(values), split.labels

    return make


@pytest.fixture
def step(strategies):
    """A step of a head without a penalty, half of whose features are dropped."""
    values, split = toy(count=40, noise=2.0)
    recipe = Recipe.of(toy_options(dropout=0.5, l2=0.0, batch_size=40))
    return TrainingStep(strategies["cpu"], recipe, (8, 3), split.labels, WEIGHTS, KeptFeatures(values, SCALE))


@pytest.mark.parametrize(("devices", "widths"), [("cpu", (8, 3)), ("cpu:4", WIDTHS)])
def test_an_epoch_without_dropout_is_what_keras_does(epochs, devices, widths):
    """Loss with weights, smoothing and penalty, gradient and Adam; the last batch is short."""
    mine, values, labels = epochs(devices, widths)
    state, order = AdamState.first(start_head(widths, 7)), np.random.default_rng(0).permutation(40)
    rates = np.linspace(0.1, 0.01, 5)
    after, means, broken = mine.run_epoch(state, order, rates, 0)
    model = keras_model(state.params, widths)
    optimizer = keras.optimizers.Adam()
    loss_of = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=SMOOTHING)
    losses, right = [], 0
    for step, rate in enumerate(rates):
        rows = order[step * 9 : step * 9 + 9]
        with tf.GradientTape() as tape:
            targets, logits = tf.one_hot(labels[rows], 3), model(values[rows])
            loss = loss_of(targets, logits, sample_weight=WEIGHTS[labels[rows]]) + sum(model.losses)
        losses.append(float(loss) * len(rows))
        right += int((np.argmax(logits, axis=1) == labels[rows]).sum())
        optimizer.learning_rate = rate
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    for (kernel, bias), layer in zip(unpack_layers(after.params, widths), model.layers, strict=True):
        np.testing.assert_allclose(kernel, layer.kernel.numpy(), atol=2e-5)
        np.testing.assert_allclose(bias, layer.bias.numpy(), atol=2e-5)
    assert means == pytest.approx([sum(losses) / 40, right / 40], rel=1e-5)
    assert broken is None


@pytest.mark.parametrize(("devices", "count"), [("cpu", 40), ("cpu:4", 3)])
def test_rows_are_measured_as_keras_measures(epochs, devices, count):
    mine, values, labels = epochs(devices, dropout=0.9)
    params, rows = start_head(WIDTHS, 1), np.arange(count)
    loss, accuracy = mine.measure(params, rows)
    logits = keras_model(params, WIDTHS)(values[rows], training=False)
    loss_of = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=SMOOTHING)
    wanted = loss_of(tf.one_hot(labels[rows], 3), logits, sample_weight=WEIGHTS[labels[rows]])
    assert loss == pytest.approx(float(wanted), rel=1e-5)
    assert accuracy == pytest.approx(float(np.mean(np.argmax(logits, axis=1) == labels[rows])))


def test_more_rows_than_a_batch_of_the_measurement_are_all_counted(epochs, monkeypatch):
    mine, _, _ = epochs("cpu:2")
    params, rows = start_head(WIDTHS, 1), np.arange(40)
    whole = mine.measure(params, rows)
    monkeypatch.setattr("components.trainer.heads.epochs.MEASURE_BATCH", 7)
    assert mine.measure(params, rows) == pytest.approx(whole, rel=1e-12)


def test_dropout_is_drawn_anew_each_step_and_keeps_the_mean(step):
    """A kernel at a learning rate of 0: the loss differs only by what was dropped."""
    state, batch = AdamState.first(np.arange(27) / 27), Batch(tf.range(40, dtype=tf.int64))
    losses = [step.learn(state, batch, 0.0, number)[1][0] for number in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]
    mask = draw_masks(step, 20)
    assert set(np.unique(mask)) == {0.0, 2.0}
    assert mask.mean() == pytest.approx(1, abs=0.02)


def draw_masks(step, steps):
    """The masks of the first steps, one after the other; traced once."""

    @tf.function
    def draw(number):
        return step._strategy.run(lambda: step._mask(number, 0, 40))

    return np.concatenate([draw(tf.constant(number, tf.int64)).numpy() for number in range(steps)])


def test_adam_is_that_of_keras():
    random = np.random.default_rng(2)
    start = random.normal(size=20)
    variable, optimizer = keras.Variable(start, dtype="float64"), keras.optimizers.Adam(0.1)
    state = AdamState(tf.constant(start), tf.zeros(20, tf.float64), tf.zeros(20, tf.float64))
    for step in range(30):
        gradient = tf.constant(random.normal(size=20) * 10.0 ** random.integers(-4, 4))
        optimizer.apply([gradient], [variable])
        state = adam(state, gradient, tf.constant(0.1, tf.float64), tf.constant(step))
    np.testing.assert_allclose(state.params, variable.numpy(), atol=2e-5)  # Keras keeps the learning rate in float32


def test_the_first_weights_are_those_of_a_dense_layer_and_the_last_layer_is_zero():
    params = start_head((100, 20, 4), 3)
    (kernel, bias), last = unpack_layers(params, (100, 20, 4))
    limit = np.sqrt(6 / 120)
    assert np.abs(kernel).max() == pytest.approx(limit, rel=0.05)
    assert not any(part.any() for part in (bias, *last, start_head((100, 4), 3)))
    np.testing.assert_array_equal(params, start_head((100, 20, 4), 3))
    assert (params != start_head((100, 20, 4), 4)).any()


def test_parameters_of_the_source_stand_before_those_of_the_head():
    params = np.arange(5 + 12.0)
    ((kernel, bias),) = unpack_layers(params, (3, 3), start=5)
    assert (kernel.ravel().tolist(), bias.tolist()) == ([*range(5, 14)], [14, 15, 16])


def test_steps_that_begin_before_the_one_ahead_has_ended_change_no_bit(epochs, monkeypatch):
    found = []
    for ahead in (1, 4):
        monkeypatch.setattr("components.trainer.heads.epochs.AHEAD", ahead)
        mine, values, _ = epochs(dropout=0.5)
        state, rates = AdamState.first(start_head(WIDTHS, 1)), np.full(5, 0.01)
        after, means, _ = mine.run_epoch(state, np.arange(len(values)), rates, 0)
        found.append([*(part.tobytes() for part in after), means.tobytes()])
    assert found[0] == found[1]


def test_the_broken_step_is_told(epochs):
    mine, values, _ = epochs(widths=(8, 3), batch_size=10)
    rates = np.array([0.01, 0.01, 1e300, 0.01])
    assert mine.run_epoch(AdamState.first(start_head((8, 3), 1)), np.arange(len(values)), rates, 0)[2] == 2
