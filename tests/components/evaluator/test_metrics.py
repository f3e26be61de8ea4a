"""The metrics that are computed from each image's outcome, against scikit-learn and by hand."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as known

from components.contract.statistics import bootstrap_cells
from components.errors import InputError
from components.evaluator.areas import measure_areas
from components.evaluator.measure import measure_slice
from components.evaluator.metrics import (
    METRICS,
    calibration,
    check_floor_names,
    ece,
    ece_uncalibrated,
    f1_of,
    gate_metrics,
    list_metrics,
    log_loss_interval,
    macro_f1_interval,
    macro_f1_of,
    refused,
    refused_interval,
    top_k,
)
from components.evaluator.outcomes import Outcomes, group_rows, rate_images
from components.evaluator.slices import group_images, slice_of

CLASSES = 4


@pytest.fixture(scope="module")
def drawn():
    """Labels and probabilities of 500 images, right in two thirds."""
    draw = np.random.default_rng(1)
    labels = draw.integers(0, CLASSES, 500)
    scores = draw.normal(size=(500, CLASSES)) + 2.0 * np.eye(CLASSES)[labels]
    return labels, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def outcomes_from(labels, probabilities, temperature=1.0):
    columns = rate_images(probabilities, np.asarray(labels), temperature)
    outlier = (1 + np.arange(len(labels))) / (len(labels) + 1)
    typicality = {"outlier": outlier, "known": outlier > 0.1}
    return Outcomes(labels=np.asarray(labels), classes=probabilities.shape[1], **columns, **typicality)


def test_the_refused_share_is_that_of_the_images_that_are_not_known(drawn):
    outcomes = outcomes_from(*drawn)
    assert refused(outcomes) == pytest.approx((~outcomes.known).mean())
    assert refused(outcomes.take(np.array([0, 0, 299]))) == pytest.approx(2 / 3)
    low, high = refused_interval(outcomes, 1, 0.95)
    assert low < refused(outcomes) < high
    older = replace(outcomes, outlier=None, known=None)
    assert refused(older) is refused_interval(older, 1, 0.95) is None
    assert older.take(np.array([1, 2])).known is None


def test_the_confusion_matrix_and_f1_are_those_of_scikit_learn(drawn):
    outcomes = outcomes_from(*drawn)
    labels, predicted = drawn[0], drawn[1].argmax(axis=1)
    np.testing.assert_array_equal(outcomes.matrix, known.confusion_matrix(labels, predicted))
    assert macro_f1_of(outcomes.matrix) == pytest.approx(known.f1_score(labels, predicted, average="macro"))
    assert f1_of(outcomes.matrix) == pytest.approx(known.f1_score(labels, predicted, average=None))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_is_that_of_scikit_learn(drawn, k):
    expected = known.top_k_accuracy_score(*drawn, k=k) if k < CLASSES else 1.0
    assert top_k(outcomes_from(*drawn), k) == pytest.approx(expected)


def test_a_class_that_is_nowhere_has_no_f1_and_no_share_in_the_mean():
    matrix = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    assert macro_f1_of(matrix) == pytest.approx((16 / 19 + 18 / 21) / 2)
    assert macro_f1_of(np.zeros((2, 2))) == 0.0


def test_confidence_that_is_accuracy_is_calibrated():
    labels = np.array([0] * 8 + [1] * 2)
    sure = np.tile([0.8, 0.2], (10, 1))
    assert ece(outcomes_from(labels, sure)) == pytest.approx(0.0)
    assert ece(outcomes_from(labels, np.tile([1.0, 0.0], (10, 1)))) == pytest.approx(0.2)
    (row,) = calibration(outcomes_from(labels, sure))
    assert (row["examples"], row["accuracy"]) == (10, 0.8)
    assert row["low"] <= 0.8 <= row["high"]


@pytest.mark.parametrize("metric", list_metrics("overall"), ids=lambda metric: metric.name)
def test_an_interval_holds_what_was_measured_and_a_gate_metric_has_one(drawn, metric):
    outcomes = outcomes_from(*drawn)
    measured = {"accuracy": outcomes.right.mean(), "log_loss": known.log_loss(*drawn)}
    interval = metric.interval(outcomes, 2, 0.95)
    assert interval is not None or not metric.gate
    if interval is not None:
        value = measured[metric.name] if metric.tfma else metric.measure(outcomes, 2)
        assert interval[0] < value < interval[1]


def test_metrics_without_an_interval_say_so(drawn):
    outcomes = outcomes_from(*drawn)
    without = {metric.name for metric in list_metrics("overall") if metric.interval(outcomes, 2, 0.95) is None}
    assert without == {"examples", "ece", "ece_uncalibrated", "calibration"}
    assert log_loss_interval(outcomes, 1, 0.9)[0] > log_loss_interval(outcomes, 1, 0.99)[0]


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_the_error_before_the_temperature_comes_back_from_the_served_probabilities(drawn, temperature):
    labels, before = drawn
    cooled = np.exp(np.log(before) / temperature)
    served = outcomes_from(labels, cooled / cooled.sum(axis=1, keepdims=True), temperature)
    plain = outcomes_from(labels, before)
    np.testing.assert_allclose(served.uncalibrated, plain.probability)
    assert ece_uncalibrated(served) == pytest.approx(ece(plain)) == ece_uncalibrated(plain)
    assert ece(served) != pytest.approx(ece(plain), abs=0.01)
    some = np.array([3, 3, 7])
    np.testing.assert_array_equal(served.take(some).uncalibrated, served.uncalibrated[some])
    assert ece_uncalibrated(replace(served, uncalibrated=None)) == ece(served)  # an older Graft kept none


@pytest.mark.parametrize("size", [1, 7, 500])
def test_the_areas_are_those_of_scikit_learn_however_the_images_come(drawn, size):
    labels, probabilities = drawn[0].copy(), np.round(drawn[1], 2).astype(np.float32)  # many are equal
    labels[labels == 3] = 0  # a class without an image
    outcomes = outcomes_from(labels, probabilities)
    shuffled = probabilities[np.random.default_rng(2).permutation(500)]
    found = measure_areas(outcomes, (shuffled[start : start + size] for start in range(0, 500, size)))
    expected = [known.roc_auc_score(labels == index, probabilities[:, index]) for index in range(3)]
    assert found[:3] == pytest.approx(expected, abs=1e-9)
    assert found[3] is None


def test_an_area_of_no_numbers_or_of_one_class_alone_is_undefined(drawn):
    probabilities = drawn[1].astype(np.float32)
    alone = outcomes_from(np.zeros(500, int), probabilities)
    assert measure_areas(alone, iter([probabilities])) == [None] * CLASSES
    broken = probabilities.copy()
    broken[7, 2] = np.nan
    areas = measure_areas(outcomes_from(drawn[0], broken), iter([broken]))
    assert [area is None for area in areas] == [False, False, True, False]


def test_the_bootstrap_over_cells_is_of_the_macro_f1(drawn):
    outcomes = outcomes_from(*drawn)
    cells = np.flatnonzero(outcomes.matrix)

    def measure(counts):
        matrix = np.zeros(outcomes.matrix.size)
        matrix[cells] = counts
        return macro_f1_of(matrix.reshape(outcomes.matrix.shape))

    expected = bootstrap_cells(outcomes.matrix.ravel()[cells], measure, 0.9)
    assert macro_f1_interval(outcomes, 1, 0.9) == pytest.approx(expected, abs=1e-12)


def test_rows_of_each_number_stay_in_their_order():
    found = group_rows(np.array([2, 0, 2, 2, 0]), 4)
    assert [list(rows) for rows in found] == [[1, 4], [], [0, 2, 3], []]
    assert group_rows(np.array([], int), 2)[1].size == 0


def test_the_bootstrap_over_images_is_that_over_the_confusion_matrix(drawn):
    outcomes, plain = outcomes_from(*drawn), replace(gate_metrics()["macro_f1"], interval_of=None)
    assert plain.interval(outcomes, 1, 0.9) == pytest.approx(macro_f1_interval(outcomes, 1, 0.9), abs=0.005)
    assert plain.interval(outcomes, 1, 0.9) == plain.interval(outcomes, 1, 0.9)


def test_no_two_rows_share_a_name_and_place():
    assert len({(metric.name, metric.over) for metric in METRICS}) == len(METRICS)
    assert all(bool(metric.tfma) != bool(metric.of) for metric in METRICS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("macro_f", r"got 'macro_f'. Did you mean 'macro_f1'\?\nThere are top_k, macro_f1\."),
        ("accuracy", r"got 'accuracy'. Its floor is gates.quality.min_accuracy."),
        ("log_loss", r"got 'log_loss'\.\nThere are top_k, macro_f1\."),
    ],
)
def test_a_floor_is_taken_for_gate_metrics_only(name, words):
    with pytest.raises(InputError, match=f"gates.quality.min: expected metrics that take a floor, {words}"):
        check_floor_names([name])
    check_floor_names(gate_metrics())


def test_a_slice_says_its_size_and_whether_that_is_small(drawn):
    outcomes = outcomes_from(*drawn)
    inside = np.arange(20)
    row = measure_slice(outcomes, inside, 0.95, 30)
    assert (row["examples"], row["small"]) == (20, True)
    assert row["accuracy"] == pytest.approx(outcomes.right[:20].mean())
    assert row["interval"][0] < row["accuracy"] < row["interval"][1]
    assert not measure_slice(outcomes, inside, 0.95, 20)["small"]


VALUES = {"image/class/text": "cats", "image/height": 300, "image/width": 127, "image/format": "jpeg", "camera": 2}


@pytest.mark.parametrize(
    ("name", "place"),
    [("class", "cats"), ("size", "under 128 px"), ("format", "jpeg"), ("image/format", "jpeg"), ("camera", "2")],
)
def test_an_example_falls_into_a_slice_of_each_kind(name, place):
    assert slice_of(name, VALUES) == place


@pytest.mark.parametrize(("side", "place"), [(128, "128-255 px"), (1023, "512-1,023 px"), (1024, "1,024 px or more")])
def test_sizes_are_cut_at_powers_of_two(side, place):
    assert slice_of("size", {"image/height": side, "image/width": 5000}) == place


def test_numbers_of_many_values_are_cut_at_the_quartiles():
    groups = group_images("bytes", [str(number) for number in range(100)] + [None])
    assert [len(inside) for inside in groups.values()] == [25, 25, 25, 25, 1]
    assert next(iter(groups)) == "quarter 1: 0 to 24.75"
    assert {int(i) for i in groups["(none)"]} == {100}


def test_few_values_stay_as_they_are():
    groups = group_images("channels", ["3", "1", "3"])
    assert {name: list(inside) for name, inside in groups.items()} == {"1": [1], "3": [0, 2]}


def test_a_feature_that_no_example_has_is_refused():
    with pytest.raises(InputError, match=r"evaluator\.slices: expected class, size or a feature .* got 'flavour'"):
        group_images("flavour", [None, None])
