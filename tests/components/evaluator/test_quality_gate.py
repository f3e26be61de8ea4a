"""The quality gate's checks: what passes, what fails, what is undecided, and what is said."""

import numpy as np
import pytest

from components.contract.artifacts import Baseline
from components.contract.gates import FAIL, PASS, UNDECIDED, WARN, Gate
from components.evaluator.outcomes import Outcomes
from components.evaluator.quality_gate import EvaluatedBaseline, check_trivial, judge_candidate
from components.options.gates import QualityGateOptions

FIRST = EvaluatedBaseline(Baseline(reason="no version is being served yet"))


def outcomes_with(wrong, images=1000, labels=None):
    """Outcomes of two classes that are wrong on the given images."""
    labels = np.arange(images) % 2 if labels is None else labels
    predicted = labels.copy()
    wrong = np.asarray(sorted(wrong), int)
    predicted[wrong] = 1 - predicted[wrong]
    sure = np.full(images, 0.9)
    return Outcomes(labels, predicted, sure, sure, (predicted != labels).astype(int), 2)


def metrics_of(outcomes):
    per_class = {}
    for index, label in enumerate(("cats", "dogs")):
        inside = outcomes.labels == index
        per_class[label] = {"examples": int(inside.sum()), "accuracy": float(outcomes.right[inside].mean())}
    return {
        "accuracy": float(outcomes.right.mean()),
        "examples": len(outcomes.labels),
        "per_class": per_class,
        "slices": {"format": {"png": {"examples": len(outcomes.labels), "accuracy": float(outcomes.right.mean())}}},
    }


def served(outcomes, version=5):
    return EvaluatedBaseline(Baseline(version, True), outcomes)


def checks_of(candidate, before=FIRST, best=FIRST, **gate):
    found = judge_candidate(metrics_of(candidate), candidate, before, best, QualityGateOptions(**gate))
    return {check.name: check for check in found}


def passes(*arguments, **gate):
    return Gate(tuple(checks_of(*arguments, **gate).values())).passed


def test_a_first_model_needs_its_floor_and_more_than_chance_only():
    checks = checks_of(outcomes_with(range(50)), min_accuracy=0.9)
    expected = {"accuracy": PASS, "chance": PASS, "baseline": PASS}
    assert {name: check.verdict for name, check in checks.items()} == expected


def answers(matrix):
    """Outcomes with a confusion matrix, counts [actual][predicted]."""
    matrix = np.asarray(matrix)
    cells = np.repeat(np.arange(matrix.size), matrix.ravel())
    labels, predicted = np.divmod(cells, len(matrix))
    sure = np.full(len(labels), 0.9)
    return Outcomes(labels, predicted, sure, sure, (predicted != labels).astype(int), len(matrix))


def trivial_checks(matrix, **gate):
    classes = [f"class {index}" for index in range(len(matrix))]
    return {check.name: check for check in check_trivial(answers(matrix), classes, QualityGateOptions(**gate))}


def guesses(classes, images, seed, answer=None):
    """The confusion matrix of answers that have nothing to do with the image."""
    generator = np.random.default_rng(seed)
    matrix = np.zeros([classes, classes], int)
    for actual in generator.integers(0, classes, images):
        matrix[actual, generator.integers(0, classes) if answer is None else answer] += 1
    return matrix


@pytest.mark.parametrize(
    "matrix",
    [
        [[200, 0], [2, 0]],  # always the largest class: accuracy 0.99
        [[0, 200], [0, 2]],  # always the rarest
        [[198, 2], [2, 0]],  # nearly always
        [[900, 100, 0], [9, 1, 0], [9, 1, 0]],  # by the same shares whatever the class
        guesses(2, 1000, 1),
        guesses(200, 400, 2),
        guesses(200, 1000, 3, answer=7),
    ],
)
def test_a_model_that_does_not_look_at_the_image_is_refused_whatever_the_classes_and_their_sizes(matrix):
    check = trivial_checks(matrix)["chance"]
    assert (check.verdict, check.stops) == (FAIL, True)
    assert check.reason.startswith("not shown to be better than chance: mean recall of the classes ")
    assert trivial_checks(matrix, on_chance="push")["chance"].verdict == WARN


@pytest.mark.parametrize(
    "matrix",
    [
        [[198, 2], [1, 1]],
        [[560, 440], [440, 560]],  # weak, but certainly no chance
        [[3, 0], [0, 3]],
        [[5, 0], [1, 4]],
        np.eye(200, dtype=int),
        np.eye(200, dtype=int) + guesses(200, 200, 4),  # about half of 400 right, over 200 classes
    ],
)
def test_a_model_that_looks_at_the_image_passes_whatever_the_number_of_classes(matrix):
    check = trivial_checks(matrix)["chance"]
    assert check.verdict == PASS
    assert check.limit == pytest.approx(1 / len(matrix))


@pytest.mark.parametrize(
    ("matrix", "on_undecided", "stops"),
    [
        ([[2, 0], [0, 2]], "estimate", False),
        ([[2, 0], [0, 2]], "refuse", True),
        ([[2, 0], [2, 0]], "estimate", True),
        ([[2, 0], [2, 0]], "push", False),
        ([[50, 0], [0, 0]], "estimate", True),  # one class only shows nothing of any candidate
    ],
)
def test_an_eval_set_that_could_show_nothing_of_any_candidate_is_undecided(matrix, on_undecided, stops):
    check = trivial_checks(matrix, on_undecided=on_undecided)["chance"]
    assert (check.verdict, check.stops) == (UNDECIDED, stops)
    assert check.reason.startswith("eval set too small to show of any candidate that it is better than chance")


def test_always_answering_the_largest_class_is_named_where_it_would_be_right_more_often():
    checks = trivial_checks([[900, 90], [1, 9]])
    assert (checks["chance"].verdict, checks["largest_class"].verdict) == (PASS, WARN)
    assert "always answering 'class 0' would be right for 0.9900 of the eval images" in checks["largest_class"].reason
    assert "largest_class" not in trivial_checks([[989, 1], [1, 9]])


def test_classes_of_which_no_image_is_recognised_are_a_warning():
    matrix = np.diag([10, 10, 0, 0, 0, 0, 0, 0, 10])
    matrix[2:8, 0] = 3
    check = trivial_checks(matrix)["missed_classes"]
    assert (check.verdict, check.measured) == (WARN, 6)
    assert check.reason.startswith("no image is recognised of 6 of 9 classes: 'class 2' (0 of 3), ")
    assert "'class 6' (0 of 3) and 1 more; " in check.reason
    assert "trainer.class_weights: balanced" in check.reason
    assert "missed_classes" not in trivial_checks([[10, 1], [1, 10]])


def test_an_accuracy_below_its_floor_is_a_reason_with_value_and_limit():
    check = checks_of(outcomes_with(range(123)), min_accuracy=0.9)["accuracy"]
    assert (check.verdict, check.measured, check.limit) == (FAIL, pytest.approx(0.877), 0.9)
    assert check.reason == "accuracy 0.8770 is below gates.quality.min_accuracy 0.9000"


@pytest.mark.parametrize("wrong", [100, 99])
def test_the_floor_itself_is_allowed(wrong):
    assert passes(outcomes_with(range(wrong)), min_accuracy=0.9)


def test_an_accuracy_in_single_precision_meets_a_limit_of_the_same_value():
    candidate = outcomes_with([0], images=10)
    metrics = {**metrics_of(candidate), "accuracy": 0.8999999761581421}
    assert judge_candidate(metrics, candidate, FIRST, FIRST, QualityGateOptions(min_accuracy=0.9))[0].verdict == PASS


def test_a_class_below_its_own_floor_stops_where_chance_does_not_explain_it():
    candidate = outcomes_with(range(0, 200, 2))  # 100 of 500 cats
    checks = checks_of(candidate, min_class_accuracy=0.5, class_floors={"cats": 0.95})
    assert (checks["class/cats"].verdict, checks["class/dogs"].verdict) == (FAIL, PASS)
    assert "gates.quality.class_floors.cats 0.9500" in checks["class/cats"].reason


@pytest.mark.parametrize(("on_undecided", "stops"), [("estimate", True), ("push", False), ("refuse", True)])
def test_a_class_of_few_images_below_its_floor_is_undecided(on_undecided, stops):
    candidate = outcomes_with([0, 2], images=20)
    check = checks_of(candidate, min_class_accuracy=0.9, on_undecided=on_undecided)["class/cats"]
    assert (check.verdict, check.stops) == (UNDECIDED, stops)
    assert "10 images are too few to tell" in check.reason
    assert f"on_undecided: {on_undecided} says" in check.reason


def test_a_class_without_images_has_an_untested_floor():
    candidate = outcomes_with([], images=10, labels=np.zeros(10, int))
    metrics = metrics_of(outcomes_with([], images=10))
    metrics["per_class"]["dogs"] = {"examples": 0, "accuracy": None}
    found = judge_candidate(metrics, candidate, FIRST, FIRST, QualityGateOptions(min_class_accuracy=0.5))
    assert [check.verdict for check in found if check.name == "class/dogs"] == [WARN]


def test_a_slice_has_a_floor_where_one_is_asked_for():
    candidate = outcomes_with(range(300))
    assert checks_of(candidate, min_slice_accuracy=0.9)["slice/format/png"].verdict == FAIL
    assert "slice/format/png" not in checks_of(candidate)


@pytest.mark.parametrize(
    ("wrong", "images", "measured", "verdict"),
    [(300, 1000, 0.7, FAIL), (2, 20, 0.9, UNDECIDED), (40, 1000, 0.96, PASS), (40, 1000, None, WARN)],
)
def test_a_further_metric_has_a_floor_that_its_own_interval_decides(wrong, images, measured, verdict):
    candidate = outcomes_with(range(wrong), images)
    metrics = {**metrics_of(candidate), "macro_f1": measured, "k": 1}
    gate = QualityGateOptions(min={"macro_f1": 0.95})
    (check,) = (row for row in judge_candidate(metrics, candidate, FIRST, FIRST, gate) if row.name == "macro_f1")
    assert (check.verdict, check.stops) == (verdict, verdict in (FAIL, UNDECIDED))


def test_a_retrain_that_is_as_good_passes():
    before, candidate = outcomes_with(range(42)), outcomes_with(range(10, 52))
    check = checks_of(candidate, served(before))["accuracy_drop"]
    assert check.verdict == PASS
    assert check.measured == 0.0


def test_a_slightly_worse_model_within_the_tolerated_loss_passes_with_its_statistics():
    check = checks_of(outcomes_with(range(47)), served(outcomes_with(range(42))))["accuracy_drop"]
    assert (check.verdict, check.measured) == (PASS, pytest.approx(0.005))
    assert "5 images lost and 0 gained of 1,000 against the served version 5: a loss of 0.0050" in check.reason


def test_shuffled_labels_fail_with_their_statistics():
    check = checks_of(outcomes_with(range(500)), served(outcomes_with(range(42))))["accuracy_drop"]
    assert (check.verdict, check.measured) == (FAIL, pytest.approx(0.458))
    assert check.reason.startswith("worse than tolerated: 458 images lost and 0 gained of 1,000")
    assert "(McNemar, exact: p = " in check.reason


def test_a_large_set_that_cannot_show_a_candidate_to_be_within_the_loss_refuses_it():
    check = checks_of(outcomes_with(range(57)), served(outcomes_with(range(42))))["accuracy_drop"]
    assert (check.verdict, check.measured) == (FAIL, pytest.approx(0.015))
    assert check.reason.startswith("not shown to be within the tolerated loss")


@pytest.mark.parametrize(
    ("wrong", "on_undecided", "stops"),
    [
        ([1], "estimate", False),
        ([1, 3], "estimate", True),
        ([1], "refuse", True),
        ([1, 3], "push", False),
    ],
)
def test_an_eval_set_of_20_images_is_too_small(wrong, on_undecided, stops):
    checks = checks_of(outcomes_with(wrong, 20), served(outcomes_with([1], 20)), on_undecided=on_undecided)
    check = checks["accuracy_drop"]
    assert (check.verdict, check.stops) == (UNDECIDED, stops)
    assert check.reason.startswith("eval set too small to decide, about ")
    assert check.reason.endswith(f"as gates.quality.on_undecided: {on_undecided} says")
    assert checks["eval_images"].verdict == UNDECIDED
    assert "eval set too small: 20 images" in checks["eval_images"].reason
    assert "it takes 133 or more" in checks["eval_images"].reason


def test_a_tolerated_loss_of_nothing_is_decided_by_the_measured_one():
    before = served(outcomes_with(range(42)))
    checks = checks_of(outcomes_with(range(42)), before, max_accuracy_drop=0.0)
    assert (checks["accuracy_drop"].verdict, checks["accuracy_drop"].stops) == (UNDECIDED, False)
    assert "no number of images shows that nothing is lost" in checks["accuracy_drop"].reason
    assert (checks["eval_images"].verdict, checks["eval_images"].limit) == (PASS, None)
    assert checks_of(outcomes_with(range(43)), before, max_accuracy_drop=0.0)["accuracy_drop"].stops


def test_a_model_that_is_far_worse_fails_on_20_images_too_and_is_told_that_they_are_few():
    checks = checks_of(outcomes_with(range(12), 20), served(outcomes_with([], 20)))
    assert (checks["accuracy_drop"].verdict, checks["eval_images"].verdict) == (FAIL, UNDECIDED)


def test_one_class_may_not_pay_for_another():
    before, candidate = outcomes_with(range(1, 81, 2)), outcomes_with(range(0, 80, 2))
    checks = checks_of(candidate, served(before))
    assert checks["class_drop/cats"].verdict == FAIL
    assert (
        "class 'cats' lost 0.0800 of its accuracy (40 images lost, 0 gained of 500" in checks["class_drop/cats"].reason
    )
    assert "class_drop/cats" not in checks_of(candidate, served(before), max_class_drop=None)


def test_a_class_that_lost_no_more_than_chance_takes_is_a_warning():
    checks = checks_of(outcomes_with([0], 20), served(outcomes_with([1], 20)))
    assert (checks["class_drop/cats"].verdict, checks["class_drop/cats"].stops) == (WARN, False)


def test_ten_retrains_each_a_little_worse_are_stopped_by_the_decay_limit():
    best = served(outcomes_with(range(42)), 1)
    before, verdicts = best, []
    for number in range(1, 11):
        candidate = outcomes_with(range(42 + 3 * number))
        checks = checks_of(candidate, before, best)
        assert checks["accuracy_drop"].verdict == PASS
        verdicts.append(checks["decay"].verdict)
        before = served(candidate, number + 1)
    assert verdicts == [PASS] * 6 + [FAIL] * 4
    assert "below the best version ever pushed, 1 (on the same images; McNemar, exact: p = " in checks["decay"].reason


def test_without_the_best_model_its_recorded_accuracy_counts_and_that_is_said():
    gone = EvaluatedBaseline(Baseline(1, False, "version 1 is not in /serving", 0.96, 1000))
    check = checks_of(outcomes_with(range(80)), FIRST, gone)["decay"]
    assert (check.verdict, check.measured) == (FAIL, pytest.approx(0.04))
    assert "by its recorded accuracy 0.9600 on 1,000 images of then, since version 1 is not in /serving" in check.reason
    unknown = EvaluatedBaseline(Baseline(1, False, "version 1 is not in /serving"))
    assert checks_of(outcomes_with(range(80)), FIRST, unknown)["decay"].verdict == WARN


@pytest.mark.parametrize(("on_undecided", "stops"), [("estimate", False), ("push", False), ("refuse", True)])
def test_a_decay_that_chance_explains_is_undecided(on_undecided, stops):
    candidate, best = outcomes_with([0, 1], 40), served(outcomes_with([5], 40))
    check = checks_of(candidate, FIRST, best, on_undecided=on_undecided)["decay"]
    assert (check.verdict, check.stops) == (UNDECIDED, stops)
    assert check.reason.startswith("eval set too small to decide")


def test_where_the_best_version_is_the_served_one_it_is_run_once():
    best = EvaluatedBaseline(Baseline(5, False, "it is the version being served", 0.96, 1000))
    check = checks_of(outcomes_with(range(80)), served(outcomes_with(range(42))), best)["decay"]
    assert check.verdict == FAIL
    assert "on the same images" in check.reason


@pytest.mark.parametrize(("on_incomparable", "verdict"), [("push", WARN), ("refuse", FAIL)])
def test_a_version_that_cannot_be_compared_is_said(on_incomparable, verdict):
    other = EvaluatedBaseline(Baseline(5, False, "version 5 knows other classes: cats, owls"))
    check = checks_of(outcomes_with(range(42)), other, on_incomparable=on_incomparable)["baseline"]
    assert check.verdict == verdict
    assert check.reason == (
        "no comparable baseline: version 5 knows other classes: cats, owls; "
        f"gates.quality.on_incomparable: {on_incomparable} decides"
    )
