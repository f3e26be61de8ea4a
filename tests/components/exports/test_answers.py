"""A form that must equal the SavedModel, and one that may lose a little: what each is told, at its limits."""

import numpy as np
import pytest

from components.contract.gates import FAIL, PASS, UNDECIDED
from components.exports.answers import Reference, judge_accuracy, judge_parity
from components.options.gates import ServabilityGateOptions

CLASSES = ["cats", "dogs", "it's <b>"]
SURE = {0: [0.9, 0.1, 0.0], 1: [0.1, 0.9, 0.0]}


def answer(rows, labels=CLASSES):
    named = [{"sha256": str(number), "probabilities": list(row)} for number, row in enumerate(rows)]
    return {"rows": named, "labels": labels, "bytes": 2_000_000, "milliseconds": 1.5}


def parity(found, saved=(0.7, 0.2, 0.1), labels=CLASSES):
    reference = Reference(CLASSES, {str(number): np.array(saved) for number in range(4)})
    return judge_parity("tflite", "model.tflite", answer([found] * 4, labels), reference, ServabilityGateOptions())


def accuracy(found, truth, trained=None, **options):
    """Judges a form that answers `found`, against a SavedModel that is right unless `trained` says otherwise."""
    trained = truth if trained is None else trained
    reference = Reference(
        CLASSES,
        trained={str(number): np.array(SURE[label]) for number, label in enumerate(trained)},
        truth={str(number): label for number, label in enumerate(truth)},
    )
    rows = answer([SURE[label] for label in found])
    return judge_accuracy("tflite-int8", "q.tflite", rows, reference, ServabilityGateOptions(**options))


def verdicts(checks):
    return {check.name: check.verdict for check in checks}


def test_the_same_answers_pass_and_the_difference_is_recorded():
    measured, checks = parity([0.70005, 0.19995, 0.1])
    assert verdicts(checks) == {"tflite/parity": PASS, "tflite/labels": PASS}
    assert measured.pop("tflite_max_difference") == pytest.approx(5e-5)
    assert measured == {
        "tflite_images": 4,
        "tflite_megabytes": 2.0,
        "tflite_milliseconds": 1.5,
        "tflite_same_label": 4,
    }


def test_other_answers_and_other_names_fail_with_the_limit():
    measured, checks = parity([0.1, 0.2, 0.7], labels=["a", *CLASSES[1:]])
    assert verdicts(checks) == {"tflite/parity": FAIL, "tflite/labels": FAIL}
    assert "model.tflite differs from serving_default by 0.6 in probability" in checks[0].reason
    assert "gates.servability.max_difference is 0.0001" in checks[0].reason
    assert checks[1].reason.startswith("1 class names in model.tflite are not those of labels.txt")
    assert measured["tflite_same_label"] == 0


def test_answers_that_are_no_numbers_fail():
    _, checks = parity([float("nan")] * 3)
    assert verdicts(checks)["tflite/parity"] == FAIL
    reference = Reference(CLASSES, trained={"0": np.array(SURE[0])}, truth={"0": 0})
    rows = answer([[float("nan")] * 3])
    _, checks = judge_accuracy("tflite-int8", "q.tflite", rows, reference, ServabilityGateOptions())
    assert [check.reason for check in checks] == ["q.tflite gives probabilities that are no numbers"]


def test_no_answer_at_all_fails():
    _, checks = judge_parity("onnx", "model.onnx", answer([]), Reference(CLASSES), ServabilityGateOptions())
    assert verdicts(checks) == {"onnx/images": FAIL}
    _, checks = judge_accuracy("onnx", "model.onnx", answer([]), Reference(CLASSES), ServabilityGateOptions())
    assert verdicts(checks) == {"onnx/images": FAIL}


def test_another_number_of_classes_fails():
    _, checks = parity([0.5, 0.5])
    assert [check.reason for check in checks] == ["model.tflite gives 2 probabilities; there are 3 classes"]


def test_no_loss_on_many_images_passes_with_its_interval():
    truth = [0, 1] * 500
    measured, checks = accuracy(truth, truth)
    assert verdicts(checks) == {"tflite-int8/loss": PASS, "tflite-int8/labels": PASS}
    assert measured["tflite_int8_accuracy"] == 1.0
    assert measured["tflite_int8_accuracy_interval"] == [pytest.approx(0.9973, abs=1e-4), 1.0]
    assert measured["tflite_int8_same_label"] == 1000


def test_a_larger_loss_that_chance_does_not_explain_fails_with_what_to_do():
    truth = [0, 1] * 500
    _, (loss, _) = accuracy([1] * 40 + truth[40:], truth)  # of the first forty, twenty are lost
    assert (loss.verdict, loss.measured, loss.limit) == (FAIL, 0.02, 0.01)
    assert loss.reason.startswith("q.tflite: worse than tolerated: 20 images lost and 0 gained of 1,000 against the ")
    assert "gates.servability.max_loss is 0.0100" in loss.reason
    assert "Leave `tflite-int8` out of exports, or take a backbone that is made for whole numbers" in loss.reason
    _, (loss, _) = accuracy([1] * 40 + truth[40:], truth, max_loss=0.05)
    assert loss.verdict == PASS


def test_images_gained_make_up_for_images_lost():
    truth, trained = [0, 1] * 500, [1] * 8 + [0, 1] * 496  # the SavedModel is wrong about four
    _, (loss, _) = accuracy([0, 1] * 4 + [1] * 8 + [0, 1] * 492, truth, trained)
    assert (loss.measured, loss.verdict) == (0.0, PASS)
    assert "4 images lost and 4 gained" in loss.reason


@pytest.mark.parametrize(("on_undecided", "stops"), [("push", False), ("estimate", True), ("refuse", True)])
def test_one_image_of_fifty_decides_nothing_unless_asked_for(on_undecided, stops):
    truth = [0, 1] * 25
    _, (loss, _) = accuracy([1, 1, *truth[2:]], truth, on_undecided=on_undecided)
    assert (loss.verdict, loss.measured, loss.stops) == (UNDECIDED, 0.02, stops)
    assert loss.reason.startswith("q.tflite: eval set too small to decide")
    assert f"as gates.servability.on_undecided: {on_undecided} says" in loss.reason


def test_an_eval_image_that_was_not_asked_about_fails():
    reference = Reference(CLASSES, trained=dict.fromkeys(("0", "1"), np.array(SURE[0])), truth={"0": 0, "1": 0})
    _, (only,) = judge_accuracy("tflite-int8", "q.tflite", answer([SURE[0]]), reference, ServabilityGateOptions())
    assert (only.name, only.verdict) == ("tflite-int8/images", FAIL)
    assert only.reason == "q.tflite was not asked about 1 of 2 eval images"
