"""The TensorFlow Lite file is held against the SavedModel, in a process of its own."""

import numpy as np
import pytest

from components.contract import features
from components.contract.gates import FAIL, PASS
from components.options.gates import ServabilityGateOptions
from components.servable_check.executor import run_probe
from components.servable_check.tflite import check_tflite, judge_tflite
from tests.conftest import CLASSES

GATE = ServabilityGateOptions()


def answer(lite, saved=(0.7, 0.2, 0.1), labels=CLASSES):
    return {"rows": [{"tflite": list(lite), "saved_model": list(saved)}] * 4, "labels": labels, "bytes": 2_000_000}


def verdicts(checks):
    return {check.name: check.verdict for check in checks}


def test_the_same_answers_pass_and_the_difference_is_recorded():
    measured, checks = judge_tflite(answer([0.70005, 0.19995, 0.1]), CLASSES, GATE)
    assert verdicts(checks) == {"tflite/parity": PASS, "tflite/labels": PASS}
    assert measured["tflite_max_difference"] == pytest.approx(5e-5)
    assert (measured["tflite_images"], measured["tflite_same_label"], measured["tflite_megabytes"]) == (4, 4, 2.0)


def test_other_answers_and_other_names_fail_with_the_limit():
    measured, checks = judge_tflite(answer([0.1, 0.2, 0.7], labels=["a", *CLASSES[1:]]), CLASSES, GATE)
    assert verdicts(checks) == {"tflite/parity": FAIL, "tflite/labels": FAIL}
    assert "differs from serving_default by 0.6 in probability" in checks[0].reason
    assert "gates.servability.max_difference is 0.0001" in checks[0].reason
    assert checks[1].reason.startswith("1 class names in model.tflite are not those of labels.txt")
    assert measured["tflite_same_label"] == 0


def test_answers_that_are_no_numbers_fail():
    _, checks = judge_tflite(answer([float("nan")] * 3), CLASSES, GATE)
    assert verdicts(checks)["tflite/parity"] == FAIL


def test_another_number_of_classes_fails():
    _, checks = judge_tflite(answer([0.5, 0.5]), CLASSES, GATE)
    assert [check.reason for check in checks] == ["model.tflite gives 2 probabilities; there are 3 classes"]


def request_for(model, eval_records):
    return {
        "model": str(model),
        "records": sorted(str(path) for path in eval_records.folder.iterdir()),
        "images": 6,
        "image_feature": features.IMAGE,
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory, transform, weights_file):
    """An export with its TensorFlow Lite file, as the Trainer leaves it."""
    from components.trainer.backbones.build import make_backbone
    from components.trainer.export.signatures import ServedModel, export_model
    from components.exports.tflite import export_tflite
    from components.trainer.heads.head import Head
    from tests.conftest import ALPHA, SIDE

    path = tmp_path_factory.mktemp("exported")
    kernel = np.random.default_rng(1).normal(0, 0.1, [1280, 3]).astype(np.float32)
    backbone = make_backbone("MobileNetV2", (SIDE, SIDE), ALPHA, weights_file)
    served = ServedModel(backbone, "avg", Head(kernel, np.zeros([3], np.float32)), transform, CLASSES)
    export_model(served, str(path), {"classes": CLASSES})
    export_tflite(str(path), CLASSES)
    return path


def test_a_real_export_passes_in_a_fresh_process(exported, eval_records):
    measured, checks = check_tflite(request_for(exported, eval_records), CLASSES, GATE, run_probe)
    assert verdicts(checks) == {"tflite/parity": PASS, "tflite/labels": PASS}, checks
    assert measured["tflite_images"] == 6
    assert 0 < measured["tflite_max_difference"] < 1e-4


def test_a_damaged_file_fails_and_says_why(exported, eval_records, tmp_path):
    import shutil

    shutil.copytree(exported, tmp_path / "model")
    (tmp_path / "model" / features.EXTRA_ASSETS / features.TFLITE_ASSET).write_bytes(b"no model")
    _, checks = check_tflite(request_for(tmp_path / "model", eval_records), CLASSES, GATE, run_probe)
    assert verdicts(checks) == {"tflite/loads": FAIL}
    assert "model.tflite: the export does not work in a fresh process" in checks[0].reason


def test_an_export_without_such_a_file_is_not_checked(trained, eval_records):
    assert check_tflite(request_for(trained.path, eval_records), CLASSES, GATE, run_probe) == ({}, [])
