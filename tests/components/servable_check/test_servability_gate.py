"""What is compared between serving and training, and every reason against an export."""

import numpy as np
import pytest

from components.contract.gates import FAIL, Check, Gate
from components.options.gates import ServabilityGateOptions
from components.servable_check.executor import describe_verdict
from components.servable_check.servability_gate import check_odd_inputs
from components.servable_check.servability_gate import judge_answers as check_answers

GATE = ServabilityGateOptions()
LABELS = ["cats", "dogs"]
MILLISECONDS = {"1": [10.0, 30.0, 20.0], "32": [200.0]}
EXPECTED = {"a": np.array([0.75, 0.25], np.float32), "b": np.array([0.125, 0.875], np.float32)}


def judge_answers(answer, expected, labels, gate, size_mb=12.34):
    measured, checks = check_answers(answer, expected, labels, size_mb, gate)
    return measured, Gate(tuple(checks)).reasons


def answer(**changes):
    """The probe's answer for two images, exactly as training has it; `changes` go into the first one."""
    rows = [
        {
            "sha256": name,
            "label": LABELS[int(row.argmax())],
            "probabilities": row.tolist(),
            "from_example": row.tolist(),
        }
        for name, row in EXPECTED.items()
    ]
    rows[0] |= changes
    return {"answers": rows, "load_seconds": 1.23456, "milliseconds": MILLISECONDS, "peak_rss_mb": 512.34}


def test_an_export_that_answers_as_training_did_has_no_reason_against_it():
    measured, reasons = judge_answers(answer(), EXPECTED, LABELS, GATE)
    assert reasons == []
    assert measured == {
        "images": 2,
        "max_difference": 0.0,
        "load_seconds": 1.235,
        "peak_rss_mb": 512.3,
        "size_mb": 12.3,
        "p50_milliseconds_1": 20.0,
        "p95_milliseconds_1": 29.0,
        "p50_milliseconds_32": 200.0,
        "p95_milliseconds_32": 200.0,
    }


def test_a_difference_to_training_is_a_reason_with_value_and_limit():
    measured, reasons = judge_answers(answer(probabilities=[0.7, 0.3]), EXPECTED, LABELS, GATE)
    assert measured["max_difference"] == pytest.approx(0.05)
    assert reasons[0] == (
        "serving_default differs from the training path by 0.05 in probability; "
        "gates.servability.max_difference is 0.0001"
    )


def test_a_difference_between_the_signatures_is_a_reason():
    _, reasons = judge_answers(answer(from_example=[0.70, 0.30]), EXPECTED, LABELS, GATE)
    assert reasons == [
        "serving_default differs from serve_examples by 0.05 in probability; gates.servability.max_difference is 0.0001"
    ]


def test_a_difference_within_the_limit_is_none():
    gate = ServabilityGateOptions(max_difference=0.1)
    assert judge_answers(answer(probabilities=[0.7, 0.3]), EXPECTED, LABELS, gate)[1] == []


def test_a_probability_that_is_no_number_is_a_reason():
    _, reasons = judge_answers(answer(probabilities=[float("nan"), 0.3]), EXPECTED, LABELS, GATE)
    assert "differs from the training path by nan" in reasons[0]


def test_a_label_that_is_not_the_most_probable_class_is_a_reason():
    _, reasons = judge_answers(answer(label="dogs"), EXPECTED, LABELS, GATE)
    assert reasons == ["1 labels are not the most probable class of labels.txt"]


def test_an_image_that_training_never_saw_is_a_reason():
    measured, reasons = judge_answers(answer(sha256="z"), EXPECTED, LABELS, GATE)
    assert reasons == ["1 of 2 replayed images are unknown to the Trainer"]
    assert measured["images"] == 2


def test_no_image_at_all_is_a_reason():
    nothing = {**answer(), "answers": [], "milliseconds": {}}
    measured, reasons = judge_answers(nothing, EXPECTED, LABELS, GATE)
    assert len(reasons) == 1
    assert measured["images"] == 0


@pytest.mark.parametrize("probabilities", [[0.2, 0.3, 0.5]])
def test_another_number_of_classes_is_a_reason_and_no_exception(probabilities):
    changed = answer(probabilities=probabilities, from_example=probabilities)
    assert judge_answers(changed, EXPECTED, LABELS, GATE)[1]


def test_images_beyond_those_that_training_answered_are_held_against_serve_examples():
    more = answer()
    more["answers"].append({**more["answers"][1], "sha256": "z"})
    assert judge_answers(more, EXPECTED, LABELS, GATE)[1] == []
    more["answers"][2]["from_example"] = more["answers"][0]["from_example"]
    assert "differs from serve_examples" in judge_answers(more, EXPECTED, LABELS, GATE)[1][0]


def test_every_reason_is_given():
    broken = answer(probabilities=[0.1, 0.9], label="cats")
    broken["answers"][1]["sha256"] = "z"
    assert len(judge_answers(broken, EXPECTED, LABELS, GATE)[1]) == 4


def test_the_closing_line_says_what_was_measured_or_the_first_reason():
    measured = {"images": 64, "max_difference": 3.2e-7, "load_seconds": 2.34, "p50_milliseconds_1": 21.3}
    line = describe_verdict(measured, Gate(()))
    assert "64 images" in line
    assert "3e-07 from training" in line
    assert line.endswith("loads in 2.3 s, 21 ms an image")
    assert (
        describe_verdict(measured, Gate((Check("a", 1, 0, FAIL, "it is broken"), Check("b", 1, 0, FAIL, "slow"))))
        == "not servable: it is broken"
    )


@pytest.mark.parametrize(
    ("option", "limit", "words"),
    [
        ("max_load_seconds", 1.0, "loading took 1.24 s; gates.servability.max_load_seconds is 1.0"),
        ("max_memory_mb", 512.0, "the serving process took 512 MB of memory; gates.servability.max_memory_mb is 512.0"),
        ("max_size_mb", 12.0, "the export takes 12 MB on disk; gates.servability.max_size_mb is 12.0"),
        ("max_milliseconds_1", 28.0, "one image took 29 ms (95th percentile); gates.servability.max_milliseconds_1"),
        ("max_milliseconds_32", 199.0, "a batch of 32 took 200 ms (95th percentile)"),
    ],
)
def test_every_cost_has_a_limit_and_none_only_records_it(option, limit, words):
    (reason,) = judge_answers(answer(), EXPECTED, LABELS, ServabilityGateOptions(**{option: limit}))[1]
    assert words in reason
    assert judge_answers(answer(), EXPECTED, LABELS, ServabilityGateOptions(**{option: None}))[1] == []


ANSWERED = {"outcome": "answered", "labels": ["cats"], "probabilities": [[0.9, 0.1]]}
ERROR = {"outcome": "error", "error": "InvalidArgumentError", "message": "Unknown image file format"}


@pytest.mark.parametrize(
    ("row", "clean"),
    [
        (ERROR, True),
        (ANSWERED, True),
        ({**ANSWERED, "probabilities": [[float("nan"), 0.1]]}, False),
        ({"outcome": "exception", "error": "MemoryError", "message": ""}, False),
    ],
)
def test_an_odd_input_gives_an_error_of_the_signature_or_an_answer(row, clean):
    (check, last) = check_odd_inputs({"odd_inputs": {"text": row}, "afterwards": ANSWERED})
    assert (check.verdict != FAIL) is clean
    assert last.verdict != FAIL


def test_a_process_that_dies_on_an_odd_input_is_a_reason():
    checks = list(check_odd_inputs({"odd_inputs": {}, "trying": "zeros_100mb"}))
    assert [check.reason for check in checks] == ["the odd input 'zeros_100mb' ended the process that served the model"]


def test_of_a_process_that_died_before_the_replay_that_alone_is_said():
    died = {"load_seconds": 1.23456, "tensorflow": "2", "odd_inputs": {"empty": ERROR}, "trying": "text"}
    measured, reasons = judge_answers(died, EXPECTED, LABELS, GATE)
    assert measured == {"load_seconds": 1.235}
    assert reasons == ["the odd input 'text' ended the process that served the model"]


def test_a_model_that_is_silent_afterwards_is_a_reason():
    (check,) = check_odd_inputs({"odd_inputs": {}, "afterwards": ERROR})
    assert (check.name, check.verdict) == ("afterwards", FAIL)
