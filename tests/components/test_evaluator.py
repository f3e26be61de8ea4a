"""What the Evaluator makes of numbers: configuration, verdict and the terminal's line."""

import json

import pytest

from components import features
from components.evaluator import BASELINE, CANDIDATE, METRICS, _value, describe_metrics, make_eval_config
from components.evaluator import judge as judge_checks
from components.gates import FAIL, Check, Gate
from components.options import QualityGateOptions

GATE = QualityGateOptions(min_accuracy=0.9, max_accuracy_drop=0.02)


def judge(metrics, baseline, gate):
    result = Gate(tuple(judge_checks(metrics, baseline, gate)))
    return result.passed, result.reasons


def test_a_good_candidate_passes():
    assert judge({"accuracy": 0.95}, None, GATE) == (True, [])
    assert judge({"accuracy": 0.95}, {"accuracy": 0.96}, GATE) == (True, [])


def test_too_low_an_accuracy_is_a_reason_with_value_and_limit():
    blessed, reasons = judge({"accuracy": 0.8765}, None, GATE)
    assert not blessed
    assert reasons == ["accuracy 0.8765 is below gates.quality.min_accuracy 0.9000"]


def test_a_loss_against_the_served_model_is_a_reason_with_both_values_and_the_limit():
    blessed, reasons = judge({"accuracy": 0.93}, {"accuracy": 0.97}, GATE)
    assert not blessed
    assert reasons == [
        "accuracy 0.9300 is 0.0400 below the served model's 0.9700; gates.quality.max_accuracy_drop is 0.0200"
    ]


def test_every_reason_is_given():
    assert len(judge({"accuracy": 0.5}, {"accuracy": 0.97}, GATE)[1]) == 2


@pytest.mark.parametrize(
    ("accuracy", "before"),
    [
        (0.9, None),
        (0.9, 0.92),
        (0.93, 0.95),
        (0.95, 0.97),
        (1.0, 1.0),
    ],
)
def test_the_limits_themselves_are_allowed(accuracy, before):
    baseline = None if before is None else {"accuracy": before}
    assert judge({"accuracy": accuracy}, baseline, GATE) == (True, [])


def test_an_accuracy_in_single_precision_meets_a_limit_of_the_same_value():
    """TFMA gives 9 of 10 as 0.8999999761581421."""
    assert judge({"accuracy": 0.8999999761581421}, None, GATE) == (True, [])


def test_no_two_metrics_share_a_name():
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("with_baseline", [False, True])
def test_a_row_of_the_table_is_asked_of_every_model(metric, with_baseline):
    config = make_eval_config(3, with_baseline)
    found = [
        spec
        for spec in config.metrics_specs
        for wanted in spec.metrics
        if json.loads(wanted.config)["name"] == metric.name and wanted.class_name == metric.class_name
    ]
    assert len(found) == 1
    assert list(found[0].model_names) == [CANDIDATE] + [BASELINE] * with_baseline
    assert list(found[0].binarize.class_ids.values) == ([0, 1, 2] if metric.over == "per_class" else [])


def test_models_are_asked_through_the_served_signature():
    config = make_eval_config(3, with_baseline=True)
    assert [(spec.name, spec.is_baseline) for spec in config.model_specs] == [(CANDIDATE, False), (BASELINE, True)]
    assert {spec.signature_name for spec in config.model_specs} == {features.SERVE_EXAMPLES}
    assert {spec.label_key for spec in config.model_specs} == {features.LABEL}
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], [features.LABEL_TEXT]]


@pytest.mark.parametrize(
    ("stored", "value"), [({"doubleValue": 0.25}, 0.25), ({}, 0.0), ({"doubleValue": "NaN"}, None)]
)
def test_an_undefined_value_is_none_and_an_unwritten_one_is_zero(stored, value):
    assert _value({"precision": stored}, "precision") == value


def test_counts_are_whole_numbers():
    count = _value({"examples": {"doubleValue": 1000.0}}, "examples")
    assert (count, type(count)) == (1000, int)


def test_the_closing_line_has_accuracy_count_and_verdict():
    ours = {"accuracy": 0.91234, "examples": 12345, "auc": 0.98765}
    line = describe_metrics({CANDIDATE: ours}, Gate(()))
    assert line == "accuracy 0.912 of 12,345, AUC 0.988, blessed"
    compared = describe_metrics(
        {CANDIDATE: {**ours, "auc": None}, BASELINE: {"accuracy": 0.95}}, Gate((Check("a", 1, 0, FAIL),))
    )
    assert compared == "accuracy 0.912 of 12,345 (served 0.950), not blessed"
