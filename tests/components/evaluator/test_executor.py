"""TFMA on real exports: the Trainer's candidate against a model that always answers the first class."""

import hashlib
import io
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from sklearn.metrics import roc_auc_score
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from components.contract import features
from components.contract.artifacts import Baseline
from components.contract.gates import Override, override_for
from components.errors import InputError
from components.evaluator import executor, rows
from components.evaluator import metrics as table
from components.evaluator.analysis import list_records, open_records, works_here
from components.evaluator.areas import measure_areas, read_probabilities, remove_probabilities
from components.evaluator.batched_model import closing_models, open_model, why_not_runnable
from components.evaluator.executor import Executor, opening
from components.evaluator.kept_features import fill_in
from components.evaluator.measure import read_outcomes
from components.evaluator.metrics import METRICS, Metric
from components.evaluator.outcomes import outcomes_of
from components.evaluator.rows import make_rows
from components.options.gates import EvaluatorOptions, QualityGateOptions
from pipeline.beam import NO_IMAGE, name_runner
from pipeline.config.configuration import check_config
from pipeline.kubeflow.task.review import headline_numbers
from pipeline.report.summary import Summary, fill_summary
from tests.components.evaluator.toys import save_model, write_examples
from tests.conftest import CLASSES, EVAL_COUNT, artifact

pytestmark = pytest.mark.slow

OPTIONS = EvaluatorOptions(batch_size=4, slices=["class", "format", "size"], top_k=2, small_slice=5)


def baseline_artifact(folder, model, identifier, baseline):
    """What BaselineModel leaves: the model, linked, and what it is to the candidate."""
    folder.mkdir()
    if model is not None:
        (folder / "Format-Serving").symlink_to(model / "Format-Serving")
    (folder / features.BASELINE_FILE).write_text(json.dumps(asdict(baseline)))
    return artifact(standard_artifacts.Model, folder, identifier)


FIRST = Baseline(reason="no version is being served yet")


@pytest.fixture(scope="module", autouse=True)
def _asked_once():
    """The same models are asked once about the same images; what they left is copied for whoever asks again."""
    run, done = executor.ask_models, {}

    def run_or_copy(pipeline, examples, models, settings, output_path, kept):
        paths = {name: os.path.realpath(path) for name, path in models.items()}
        before = done.setdefault(repr((examples[0].uri, paths, settings, kept)), output_path)
        if before == output_path:
            run(pipeline, examples, models, settings, output_path, kept)
        else:
            shutil.copytree(before, output_path, ignore=shutil.ignore_patterns("metrics.json", "verdict.json"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executor, "ask_models", run_or_copy)
        patch.setattr(rows, "remove_folder", lambda _: None)
        patch.setattr(executor, "remove_probabilities", lambda _: None)
        yield


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Records, and models that are wrong on so many of 60 images: twice the same number, and a better one."""
    folder = tmp_path_factory.mktemp("toys")
    facts = (("a", 9, {"temperature": 2.0}), ("b", 9, {}), ("c", 1, {}))
    models = [Path(save_model(folder / name, range(wrong), **further).uri) for name, wrong, further in facts]
    return write_examples(folder / "examples", 60), *models


def evaluate(out, examples, model, baseline, best=None, recorded=(None, None), override=None, **gate):
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=name_runner([NO_IMAGE]), tmp_dir=str(out), unique_id="1"
    )
    made = {
        "evaluation": [artifact(standard_artifacts.ModelEvaluation, out / "evaluation")],
        "blessing": [artifact(standard_artifacts.ModelBlessing, out / "blessing")],
    }
    Executor(context).Do(
        {
            "examples": [examples],
            "model": [artifact(standard_artifacts.Model, model, 7)],
            "baseline_model": [
                baseline_artifact(
                    out / "baseline", baseline, 8, recorded[0] or (Baseline(5, True) if baseline else FIRST)
                )
            ],
            "best_model": [
                baseline_artifact(out / "best", best, 9, recorded[1] or (Baseline(3, True) if best else FIRST))
            ],
        },
        made,
        {
            "options": OPTIONS.to_json(),
            "gate": QualityGateOptions(**gate).to_json(),
            "override": override_for("quality", override),
        },
    )
    read = {
        name: json.loads((out / "evaluation" / name).read_text())
        for name in (features.EVALUATION_FILE, features.VERDICT_FILE)
    }
    return read[features.EVALUATION_FILE], read[features.VERDICT_FILE], made["blessing"][0]


@pytest.fixture(scope="module")
def compared(compared_folder, trained, stubborn_model, examples_artifact):
    return evaluate(compared_folder.parent, examples_artifact, trained.model, stubborn_model, on_chance="push")


@pytest.fixture(scope="module")
def compared_folder(tmp_path_factory):
    """What the Evaluator of `compared` leaves."""
    return tmp_path_factory.mktemp("compared") / "evaluation"


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


def test_features_of_every_eval_image_are_those_of_the_candidate(compared, trained, eval_records):
    """The baseline gives some, too: they are nobody's."""
    import tensorflow as tf

    embed = tf.saved_model.load(str(trained.path)).signatures[features.EMBED]
    expected = embed(tf.constant(eval_records.contents))[features.OUTPUT_FEATURES].numpy()
    digests = np.array([hashlib.sha256(content).digest() for content in eval_records.contents], "S32")
    values, found = np.zeros_like(expected), np.zeros(EVAL_COUNT, bool)
    folder = Path(compared[2].uri).parent / "evaluation"
    fill_in(str(folder), digests, values, found)
    assert found.all()
    np.testing.assert_allclose(values, expected, atol=1e-4)
    assert not (folder / "features.parts").exists()


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


def test_a_model_that_refuses_more_good_images_than_promised_is_not_blessed(toys, tmp_path):
    """The served version is of an older Graft, which tells no outliers; it can be compared with all the same."""
    examples, older, *_ = toys
    model = Path(save_model(tmp_path / "model", range(9), refused=range(0, 60, 2)).uri)
    metrics, verdict, blessing = evaluate(tmp_path, examples, model, older)
    assert (metrics["candidate"]["refused"], metrics["baseline"]["refused"]) == (0.5, None)
    assert metrics["candidate"]["intervals"]["refused"][0] < 0.5 < metrics["candidate"]["intervals"]["refused"][1]
    (reason,) = verdict["reasons"]
    assert reason.startswith("30 of 60 good eval images are called outliers: a share of 0.5000")
    assert blessing.get_int_custom_property("blessed") == 0
    assert metrics["baseline"]["examples"] == 60


def test_a_class_that_is_never_predicted_has_no_precision(compared):
    baseline = compared[0]["baseline"]
    assert baseline["accuracy"] == pytest.approx(1 / 3)
    assert baseline["confusion_matrix"] == [[5, 0, 0], [5, 0, 0], [5, 0, 0]]
    assert baseline["per_class"]["dark"]["precision"] == pytest.approx(1 / 3)
    assert baseline["per_class"]["dark"]["recall"] == 1.0
    assert baseline["per_class"]["light"]["precision"] is None
    assert baseline["per_class"]["light"]["recall"] == 0.0


def test_tfma_reads_its_folder_and_holds_the_same_numbers(compared, compared_folder):
    for model in ("candidate", "baseline"):
        result = tfma.load_eval_result(str(compared_folder), model_name=model)
        found = dict(result.slicing_metrics)[()][""][""]
        for name in ("examples", "accuracy", "log_loss"):
            assert found[name]["doubleValue"] == compared[0][model][name]
    assert [spec.name for spec in result.config.model_specs] == ["candidate", "baseline"]
    assert result.model_location.endswith("Format-Serving")


def test_the_areas_are_those_of_scikit_learn_over_both_models_files(compared, compared_folder, expected):
    labels, probabilities = expected
    for index, label in enumerate(CLASSES):
        area = roc_auc_score(labels == index, probabilities[:, index])
        assert compared[0]["candidate"]["per_class"][label]["auc"] == pytest.approx(area, abs=1e-6)
    assert {row["auc"] for row in compared[0]["baseline"]["per_class"].values()} == {0.5}  # always the same answer


def test_nothing_is_left_of_the_probabilities_of_all_classes(compared, compared_folder, tmp_path):
    left = shutil.copytree(compared_folder, tmp_path / "left")
    assert sum(len(batch) for batch in read_probabilities(str(left), "baseline")) == EVAL_COUNT
    remove_probabilities(str(left))
    assert not [name for name in os.listdir(left) if "probabilities" in name]
    outcomes = outcomes_of(read_outcomes(str(left / features.OUTCOMES_FILE)), "baseline", 3)
    with pytest.raises(RuntimeError, match="probabilities of each of 15 images once, found 0"):
        measure_areas(outcomes, read_probabilities(str(left), "baseline"))


def test_a_model_of_other_classes_is_no_candidate(toys):
    records = [bytes(record.numpy()) for path in list_records([toys[0]]) for record in open_records(path)]
    answers = {"candidate": {"probabilities": np.full([60, 3], 1 / 3, np.float32)}}
    with pytest.raises(
        ValueError, match=r"The candidate must .* each of 2 classes: expected .*\(60, 2\), got \(60, 3\)"
    ):
        make_rows(records, answers, {"candidate": 1.0}, [], 2)


def test_results_are_json_that_any_reader_takes(compared):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads(json.dumps(compared[0]), parse_constant=refuse)


def test_a_blessing_names_both_models(compared, trained, stubborn_model):
    _, verdict, blessing = compared
    assert (verdict["passed"], verdict["reasons"], verdict["override"]) == (True, [], None)
    assert set(verdict["judged"]) == {"examples", "model", "baseline_model", "best_model"}
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_string_custom_property("current_model") == str(trained.model)
    assert blessing.get_int_custom_property("current_model_id") == 7
    assert blessing.get_string_custom_property("baseline_model").endswith("/baseline")
    assert os.listdir(blessing.uri) == ["BLESSED"]


def test_without_a_baseline_there_is_one_model_and_its_limit_holds(alone):
    metrics, verdict, blessing = alone
    assert list(metrics) == ["candidate"]
    assert metrics["candidate"]["accuracy"] == pytest.approx(1 / 3)
    assert verdict["passed"] is False
    assert verdict["reasons"][0] == "accuracy 0.3333 is below gates.quality.min_accuracy 0.3400"
    assert verdict["reasons"][1].startswith("not shown to be better than chance: mean recall of the classes 0.3333")
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


def test_the_candidate_is_loaded_before_anyone_asks_it_where_beam_works_in_this_process(toys, monkeypatch):
    seen = []
    monkeypatch.setattr(executor, "open_model", lambda *given: seen.append(given))
    for here in (False, True):
        with opening("/a/model", [toys[0]], here):
            pass
    ((path, record),) = seen
    assert path == "/a/model"
    assert json.dumps("0.png")[1:-1].encode() in record


def test_a_candidate_that_cannot_be_loaded_ahead_is_the_error_of_who_asks_it(toys, tmp_path):
    with closing_models():
        with opening(str(tmp_path), [toys[0]], True):
            pass
        with pytest.raises(OSError, match=r"saved_model\.pb"):
            open_model(str(tmp_path))


@pytest.mark.parametrize(
    ("args", "here"),
    [
        ([], True),
        (["--direct_running_mode=multi_processing"], False),
        (["--direct_running_mode=multi_threading"], False),
        (["--runner=PortableRunner", "--job_endpoint=localhost:1", "--environment_type=LOOPBACK"], False),
    ],
)
def test_only_the_in_process_runner_asks_models_that_are_open_here(args, here):
    assert works_here(beam.Pipeline(argv=name_runner(args))) is here


def test_slices_are_those_that_were_asked_for_with_small_ones_marked(compared, expected):
    labels, probabilities = expected
    slices = compared[0]["candidate"]["slices"]
    assert list(slices) == ["class", "format", "size"]
    assert {name: row["examples"] for name, row in slices["class"].items()} == dict.fromkeys(sorted(CLASSES), 5)
    assert sum(row["examples"] for row in slices["format"].values()) == EVAL_COUNT
    assert set(slices["format"]) == {"png", "jpeg", "bmp", "gif"}
    assert list(slices["size"]) == ["under 128 px"]
    assert slices["size"]["under 128 px"]["accuracy"] == pytest.approx((probabilities.argmax(axis=1) == labels).mean())
    assert {row["small"] for row in slices["format"].values()} == {True}
    assert not slices["size"]["under 128 px"]["small"]


def test_the_rows_of_images_hold_what_each_model_answered(compared, expected, tmp_path_factory):
    labels, probabilities = expected
    candidate = compared[0]["candidate"]
    assert candidate["k"] == 2
    rank = (probabilities > probabilities[np.arange(len(labels)), labels][:, None]).sum(axis=1)
    assert candidate["top_k"] == pytest.approx((rank < 2).mean())
    assert candidate["intervals"]["accuracy"][0] < candidate["accuracy"] <= candidate["intervals"]["accuracy"][1]


def test_the_candidate_says_what_it_was_held_against(compared):
    assert compared[0]["candidate"]["held_against"] == {"baseline": None, "best": None}  # no recorded accuracy


BEST_EVER = (None, Baseline(3, True, "", 0.99, 15))


def test_the_best_version_ever_is_run_on_the_same_images(tmp_path, toys):
    metrics, verdict, blessing = evaluate(tmp_path, *toys, BEST_EVER, min_accuracy=0.0)
    # Right in 51 of 60, says 0.9, would say 0.81 / 0.82 before its temperature; the version of an older Graft has none.
    assert metrics["candidate"]["ece"] == pytest.approx(0.05, abs=1e-5)
    assert metrics["candidate"]["ece_uncalibrated"] == pytest.approx(0.81 / 0.82 - 51 / 60, abs=1e-5)
    assert metrics["baseline"]["ece_uncalibrated"] == metrics["baseline"]["ece"] == pytest.approx(0.05, abs=1e-5)
    checks = {row["name"]: row for row in verdict["checks"]}
    assert {name: round(row["accuracy"] * 60) for name, row in metrics.items()} == {
        "candidate": 51,
        "baseline": 51,
        "best": 59,
    }
    assert (checks["decay"]["verdict"], checks["decay"]["measured"]) == ("fail", pytest.approx(8 / 60))
    assert checks["accuracy_drop"]["measured"] == 0.0
    best = metrics["candidate"]["held_against"]["best"]
    difference = best.pop("difference")
    assert difference["accuracy"] == pytest.approx(-8 / 60)
    assert difference["lost"] - difference["gained"] == 8
    assert difference["images"] == 60
    low, high = difference["interval"]
    assert -0.3 < low < -8 / 60 < high < 0
    assert best == {
        "version": 3,
        "accuracy": 0.99,
        "examples": 15,
        "evaluated": True,
        "reason": "",
    }
    assert blessing.get_int_custom_property("blessed") == 0


def test_the_served_version_that_is_also_the_best_is_run_once(
    tmp_path, monkeypatch, compared, trained, stubborn_model, examples_artifact
):
    run, seen = executor.ask_models, []

    def noted(pipeline, examples, models, *rest):
        seen.extend(models)
        run(pipeline, examples, models, *rest)

    monkeypatch.setattr(executor, "ask_models", noted)
    recorded = (Baseline(5, True, "", 0.95, 60), Baseline(5, True, "", 0.95, 60))
    models = (trained.model, stubborn_model, stubborn_model)
    metrics, verdict, _ = evaluate(tmp_path, examples_artifact, *models, recorded, min_accuracy=0.0)
    assert seen == ["candidate", "baseline"]
    assert metrics["best"] == metrics["baseline"] == compared[0]["baseline"]
    checks = {row["name"]: row for row in verdict["checks"]}
    assert checks["decay"]["measured"] == pytest.approx(1 / 3 - metrics["candidate"]["accuracy"])
    assert metrics["candidate"]["held_against"]["best"]["evaluated"] is True


def test_a_served_version_that_is_broken_and_the_best_is_neither(tmp_path, stubborn_model, examples_artifact):
    broken = broken_model(tmp_path / "model", "signature")
    recorded = (Baseline(5, True, "", 0.9, 15), Baseline(5, True, "", 0.9, 15))
    models = (stubborn_model, broken, broken)
    metrics, _, _ = evaluate(tmp_path, examples_artifact, *models, recorded, min_accuracy=0.0, on_incomparable="push")
    assert set(metrics) == {"candidate"}
    held = metrics["candidate"]["held_against"]
    assert held["best"]["reason"] == held["baseline"]["reason"]
    assert held["best"]["reason"].startswith("version 5 cannot be evaluated: ")
    assert held["best"]["difference"] is held["baseline"]["difference"] is None


def broken_model(folder, kind):
    """A pushed version that cannot be evaluated."""
    import tensorflow as tf

    path = folder / "Format-Serving"
    if kind == "garbage":
        path.mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(b"no model")
        return folder
    module = tf.Module()
    width = {"width": 2}.get(kind, 3)
    module.call = tf.function(
        lambda examples: {"probabilities": tf.ones([tf.shape(examples)[0], width]) / (0.0 if kind == "nan" else 1.0)},
        input_signature=[tf.TensorSpec([None], tf.string, "examples")],
    )
    name = "other" if kind == "signature" else "serve_examples"
    tf.saved_model.save(module, str(path), signatures={name: module.call})
    return folder


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("garbage", "it does not work: "),
        ("signature", "it has no signature serve_examples"),
        ("width", "it answers with shape (1, 2) for one image of 3 classes"),
        ("nan", "its probabilities are no numbers"),
    ],
)
def test_a_pushed_version_that_cannot_be_evaluated_is_no_comparable_baseline(tmp_path, eval_records, kind, words):
    reason = why_not_runnable(str(broken_model(tmp_path, kind) / "Format-Serving"), 3, eval_records.serialized[0])
    assert reason.startswith(words)


def test_a_broken_baseline_is_said_and_the_run_goes_on(tmp_path, stubborn_model, examples_artifact):
    broken = broken_model(tmp_path / "model", "signature")
    metrics, verdict, blessing = evaluate(
        tmp_path, examples_artifact, stubborn_model, broken, on_chance="push", on_incomparable="push"
    )
    assert set(metrics) == {"candidate"}
    check = next(row for row in verdict["checks"] if row["name"] == "baseline")
    assert check["verdict"] == "warn"
    assert "version 5 cannot be evaluated: it has no signature serve_examples" in check["reason"]
    assert blessing.get_int_custom_property("blessed") == 1


def test_an_override_blesses_what_did_not_pass(tmp_path, stubborn_model, examples_artifact):
    override = Override(("quality",), "ann@lab", "2026-01-31T12:00:00Z", "why not")
    _, verdict, blessing = evaluate(
        tmp_path, examples_artifact, stubborn_model, None, override=override, min_accuracy=0.9
    )
    assert (verdict["passed"], verdict["override"]["who"]) == (False, "ann@lab")
    assert blessing.get_int_custom_property("blessed") == 1


def least_recall(outcomes, _k):
    return min(outcomes.right[outcomes.labels == index].mean() for index in range(outcomes.classes))


@pytest.fixture
def toy_row(monkeypatch):
    monkeypatch.setattr(table, "METRICS", (*METRICS, Metric("least_recall", "overall", of=least_recall, gate=True)))


@pytest.mark.parametrize(
    ("floor", "verdict", "words"),
    [
        (0.99, "fail", "least_recall 0.8333 is below gates.quality.min.least_recall 0.9900"),
        (0.85, "undecided", "60 images are too few to tell (up to 0."),
    ],
)
def test_a_metric_is_one_row_that_is_measured_judged_and_shown(tmp_path, toys, toy_row, floor, verdict, words):
    config = check_config({"gates": {"quality": {"min": {"least_recall": floor}, "max_decay": 1.0}}}, "a test")
    metrics, result, blessing = evaluate(tmp_path, *toys, BEST_EVER, **config.gates.quality.model_dump())
    check = next(row for row in result["checks"] if row["name"] == "least_recall")
    assert check["verdict"] == verdict
    assert words in check["reason"]
    assert [row["name"] for row in result["checks"] if row["stops"]] == ["least_recall"]
    assert blessing.get_int_custom_property("blessed") == 0
    share = 25 / 30  # 5 of the candidate's 9 are cats
    assert metrics["candidate"]["intervals"]["least_recall"][0] < share < 1
    folder = str(tmp_path / "evaluation")
    evaluation = artifact(standard_artifacts.ModelEvaluation, folder)
    served = artifact(standard_artifacts.Model, tmp_path / "baseline", version="5").mlmd_artifact
    summary = Summary("a run")
    fill_summary(summary, {"Evaluator": {"evaluation": evaluation}, "BaselineModel": {"baseline_model": served}}, [])
    assert summary.metrics["least_recall"] == pytest.approx(share)
    assert summary.gates["quality"]["checks"] == result["checks"]
    assert headline_numbers(folder)["least_recall"] == pytest.approx(share)


def test_a_toy_row_is_offered_where_a_floor_is_misspelt(toy_row):
    with pytest.raises(InputError, match=r"gates.quality.min: .* got 'least_recal'. Did you mean 'least_recall'\?"):
        check_config({"gates": {"quality": {"min": {"least_recal": 0.9}}}}, "a test")
