"""TFMA on real exports: the Trainer's candidate against a model that always answers the first class."""

import io
import json
import os

import numpy as np
import pytest
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from components import features
from components.errors import InputError
from components.evaluator import METRICS, Executor, read_classes
from components.options import EvaluatorOptions, QualityGateOptions
from pipeline.dag import BEAM_ARGS
from tests.conftest import CLASSES, EVAL_COUNT, artifact


def evaluate(out, examples, model, baseline, **gate):
    context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=BEAM_ARGS, tmp_dir=str(out), unique_id="1")
    made = {
        "evaluation": [artifact(standard_artifacts.ModelEvaluation, out / "evaluation")],
        "blessing": [artifact(standard_artifacts.ModelBlessing, out / "blessing")],
    }
    Executor(context).Do(
        {
            "examples": [examples],
            "model": [artifact(standard_artifacts.Model, model, 7)],
            "baseline_model": [
                artifact(standard_artifacts.Model, baseline or out / "none", 8, exists=int(bool(baseline)))
            ],
        },
        made,
        {
            "options": EvaluatorOptions(batch_size=4).to_json(),
            "gate": QualityGateOptions(**gate).to_json(),
            "override": "",
        },
    )
    read = {
        name: json.loads((out / "evaluation" / name).read_text())
        for name in (features.EVALUATION_FILE, features.VERDICT_FILE)
    }
    return read[features.EVALUATION_FILE], read[features.VERDICT_FILE], made["blessing"][0]


@pytest.fixture(scope="module")
def compared(tmp_path_factory, trained, stubborn_model, examples_artifact):
    return evaluate(
        tmp_path_factory.mktemp("compared"), examples_artifact, trained.model, stubborn_model, min_accuracy=0.0
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory, stubborn_model, examples_artifact):
    return evaluate(tmp_path_factory.mktemp("alone"), examples_artifact, stubborn_model, None, min_accuracy=0.34)


@pytest.fixture(scope="module")
def expected(trained):
    """What the training path answered: labels and predictions of every eval image."""
    with np.load(io.BytesIO((trained.run / features.PREDICTIONS_FILE).read_bytes())) as stored:
        return stored["labels"], stored["probabilities"]


def test_accuracy_and_loss_are_those_of_the_training_path(compared, expected):
    labels, probabilities = expected
    candidate = compared[0]["candidate"]
    assert candidate["examples"] == EVAL_COUNT
    assert candidate["accuracy"] == pytest.approx((probabilities.argmax(axis=1) == labels).mean())
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert candidate["log_loss"] == pytest.approx(loss, rel=1e-3)


def test_the_confusion_matrix_counts_every_image(compared, expected):
    labels, probabilities = expected
    matrix = np.zeros([3, 3], int)
    np.add.at(matrix, (labels, probabilities.argmax(axis=1)), 1)
    assert compared[0]["candidate"]["confusion_matrix"] == matrix.tolist()


def test_precision_and_recall_of_a_class_agree_with_the_confusion_matrix(compared):
    candidate = compared[0]["candidate"]
    matrix = np.array(candidate["confusion_matrix"])
    for index, label in enumerate(CLASSES):
        row = candidate["per_class"][label]
        assert row["recall"] == pytest.approx(matrix[index, index] / matrix[index].sum())
        if matrix[:, index].sum():
            assert row["precision"] == pytest.approx(matrix[index, index] / matrix[:, index].sum())
        assert row["accuracy"] == pytest.approx(row["recall"])
        assert row["examples"] == matrix[index].sum()


def test_the_area_is_the_mean_over_the_classes(compared, expected):
    labels, probabilities = expected
    candidate = compared[0]["candidate"]
    for index, label in enumerate(CLASSES):
        mine, others = probabilities[labels == index, index], probabilities[labels != index, index]
        exact = (mine[:, None] > others).mean() + 0.5 * (mine[:, None] == others).mean()
        assert candidate["per_class"][label]["auc"] == pytest.approx(exact, abs=0.02)
    areas = [candidate["per_class"][label]["auc"] for label in CLASSES]
    assert candidate["auc"] == pytest.approx(np.mean(areas))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("model", ["candidate", "baseline"])
def test_a_row_of_the_table_is_in_the_result(compared, metric, model):
    found = compared[0][model]
    if metric.over == "per_class":
        assert list(found["per_class"]) == CLASSES
        assert all(metric.name in row for row in found["per_class"].values())
    else:
        assert found[metric.name] is not None


def test_a_class_that_is_never_predicted_has_no_precision(compared):
    baseline = compared[0]["baseline"]
    assert baseline["accuracy"] == pytest.approx(1 / 3)
    assert baseline["confusion_matrix"] == [[5, 0, 0], [5, 0, 0], [5, 0, 0]]
    assert baseline["per_class"]["dark"]["precision"] == pytest.approx(1 / 3)
    assert baseline["per_class"]["dark"]["recall"] == 1.0
    assert baseline["per_class"]["light"]["precision"] is None
    assert baseline["per_class"]["light"]["recall"] == 0.0


def test_results_are_json_that_any_reader_takes(compared):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads(json.dumps(compared[0]), parse_constant=refuse)


def test_a_blessing_names_both_models(compared, trained, stubborn_model):
    _, verdict, blessing = compared
    assert (verdict["passed"], verdict["reasons"], verdict["override"]) == (True, [], None)
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_string_custom_property("current_model") == str(trained.model)
    assert blessing.get_int_custom_property("current_model_id") == 7
    assert blessing.get_string_custom_property("baseline_model") == str(stubborn_model)
    assert os.listdir(blessing.uri) == ["BLESSED"]


def test_without_a_baseline_there_is_one_model_and_its_limit_holds(alone):
    metrics, verdict, blessing = alone
    assert list(metrics) == ["candidate"]
    assert metrics["candidate"]["accuracy"] == pytest.approx(1 / 3)
    assert verdict["passed"] is False
    assert verdict["reasons"] == ["accuracy 0.3333 is below gates.quality.min_accuracy 0.3400"]
    assert blessing.get_int_custom_property("blessed") == 0
    assert blessing.get_string_custom_property("baseline_model") == ""


def test_an_empty_eval_split_is_refused_with_what_to_do(tmp_path, stubborn_model, examples_artifact):
    empty = artifact(standard_artifacts.Examples, tmp_path / "examples")
    empty.copy_from(examples_artifact)
    empty.uri = str(tmp_path / "examples")
    folder = tmp_path / "examples" / "Split-eval"
    folder.mkdir(parents=True)
    (folder / "data_tfrecord-00000-of-00001").touch()
    assert artifact_utils.get_split_uri([empty], "eval") == str(folder)
    with pytest.raises(InputError, match=r"The eval split holds no example: nothing to evaluate"):
        evaluate(tmp_path, empty, stubborn_model, None)


def test_class_names_come_from_the_export(trained):
    assert read_classes(artifact(standard_artifacts.Model, trained.model)) == CLASSES
