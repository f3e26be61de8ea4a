"""A row of retrains through the real nodes: compared with what is served, judged, pushed or not.

The models are toys that are wrong on chosen images of 1,000; TFMA, the gate and the push are the real ones.
"""

import json

import pytest
from tfx.dsl.components.base import base_beam_executor, base_executor
from tfx.types import standard_artifacts

from components import baseline_model, pusher
from components.contract import features
from components.contract.artifacts import DataVerdict, Manifest, contents_of, record_contents
from components.evaluator import batched_model
from components.evaluator import executor as evaluator
from components.evaluator.batched_model import load_model
from components.options.gates import EvaluatorOptions, QualityGateOptions
from components.registry import versions
from pipeline.beam import NO_IMAGE, name_runner
from tests.components.evaluator.toys import CLASSES, save_model, write_examples
from tests.conftest import artifact

pytestmark = pytest.mark.e2e

DATASET = {"train": 2, "eval": 1000, "quarantined": 0, "classes": CLASSES}


class Line:
    """A serving directory, and what a run does to it: BaselineModel, Evaluator, Pusher."""

    def __init__(self, root):
        self.root, self.serving, self.runs = root, root / "serving", 0
        self.manifest = artifact(Manifest, root / "manifest")
        (root / "manifest").mkdir()
        (root / "manifest" / features.DATASET_FILE).write_text(json.dumps(DATASET))
        (root / "manifest" / features.MANIFEST_FILE).write_text("")
        (root / "statistics").mkdir()
        self.statistics = artifact(standard_artifacts.ExampleStatistics, root / "statistics")
        (root / "model_run").mkdir()
        (root / "model_run" / features.HISTORY_FILE).write_text("{}")
        self.model_run = artifact(standard_artifacts.ModelRun, root / "model_run")
        made = {"manifest": self.manifest, "statistics": self.statistics, "model_run": self.model_run}
        record_contents({name: [value] for name, value in made.items()})

    def retrain(self, wrong, examples, **gate):
        """A candidate that is wrong on these images; gives whether it was pushed, and the quality gate's checks."""
        self.runs += 1
        folder = self.root / f"run-{self.runs}"
        model = save_model(folder / "model", wrong)
        record_contents({"model": [model], "examples": [examples]})
        baselines = {
            name: [artifact(standard_artifacts.Model, folder / name)] for name in ("baseline_model", "best_model")
        }
        properties = {"serving_dir": str(self.serving), "version": "served", "best": ""}
        baseline_model.Executor().Do({"model": [model]}, baselines, properties)
        record_contents(baselines)
        evaluation = artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")
        blessing = artifact(standard_artifacts.ModelBlessing, folder / "blessing")
        context = base_beam_executor.BaseBeamExecutor.Context(
            name_runner([NO_IMAGE]), tmp_dir=str(folder), unique_id="1"
        )
        evaluator.Executor(context).Do(
            {"examples": [examples], "model": [model], **baselines},
            {"evaluation": [evaluation], "blessing": [blessing]},
            {
                "options": EvaluatorOptions(batch_size=500, slices=["class"]).to_json(),
                "gate": QualityGateOptions(**gate).to_json(),
                "override": "",
            },
        )
        verdict = json.loads((folder / "evaluation" / features.VERDICT_FILE).read_text())
        pushed = self.push(folder, model, blessing, evaluation)
        return pushed, {row["name"]: row for row in verdict["checks"]}

    def push(self, folder, model, blessing, evaluation):
        infra = artifact(standard_artifacts.InfraBlessing, folder / "infra", blessed=1)
        data = artifact(DataVerdict, folder / "data")
        pushed = artifact(standard_artifacts.PushedModel, folder / "pushed")
        facts = {"manifest": [self.manifest], "statistics": [self.statistics]}
        for made, judged in ((infra, {"model": [model]}), (data, facts)):
            (folder / made.uri).mkdir()
            verdict = {"passed": True, "override": None, "judged": contents_of(judged)}
            (folder / made.uri / features.VERDICT_FILE).write_text(json.dumps(verdict))
        (folder / "infra" / "INFRA_BLESSED").touch()
        inputs = {
            "model": model,
            "model_blessing": blessing,
            "infra_blessing": infra,
            "manifest": self.manifest,
            "statistics": self.statistics,
            "evaluation": evaluation,
            "data_verdict": data,
            "model_run": self.model_run,
        }
        passport = {"schema": 1, "name": "toys", "model_key": f"key {self.runs}", "parent": None}
        custom = json.dumps({"serving_dir": str(self.serving), "passport": passport})
        pusher.Executor(base_executor.BaseExecutor.Context()).Do(
            {name: [value] for name, value in inputs.items()}, {"pushed_model": [pushed]}, {"custom_config": custom}
        )
        return bool(pushed.get_int_custom_property("pushed"))


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    return write_examples(tmp_path_factory.mktemp("thousand"), 1000)


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    return write_examples(tmp_path_factory.mktemp("twenty"), 20)


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    """Lists the models that the Evaluator loads."""
    paths = list[str]()
    monkeypatch.setattr(batched_model, "load_model", lambda path: paths.append(path) or load_model(path))
    return paths


def test_shuffled_labels_are_refused_and_a_slightly_worse_model_is_pushed(tmp_path, thousand, twenty, loaded):
    line = Line(tmp_path)
    assert line.retrain(range(42), thousand)[0]

    pushed, checks = line.retrain(range(500), thousand)  # as good as guessing: labels were shuffled
    assert not pushed
    assert checks["accuracy_drop"]["verdict"] == "fail"
    assert checks["accuracy_drop"]["reason"].startswith(
        "worse than tolerated: 458 images lost and 0 gained of 1,000 against the served version"
    )
    assert "McNemar, exact: p = " in checks["accuracy_drop"]["reason"]

    slightly_worse = [*range(10, 42), *range(900, 915)]  # 10 gained, 15 lost
    pushed, checks = line.retrain(slightly_worse, thousand)
    assert pushed
    assert (checks["accuracy_drop"]["verdict"], checks["accuracy_drop"]["measured"]) == ("pass", pytest.approx(0.005))
    assert len(versions.list_versions(line.serving)) == 2

    pushed, checks = line.retrain([*slightly_worse, 3], twenty)
    assert checks["accuracy_drop"]["verdict"] == "undecided"
    assert "eval set too small to decide, about " in checks["accuracy_drop"]["reason"]
    assert "20 images cannot show of any candidate" in checks["eval_images"]["reason"]
    assert not pushed  # one of 20 images lost is more than 2 %: the measured loss decides
    assert_only_candidates(loaded, runs=4)


def assert_only_candidates(loaded, runs):
    """Of what was pushed, every answer is known since it was a candidate."""
    assert [path.split("/")[-3:] for path in loaded] == [
        [f"run-{number}", "model", "Format-Serving"] for number in range(1, runs + 1)
    ]


def test_ten_retrains_each_three_tenths_of_a_point_worse_are_stopped_by_the_decay_limit(tmp_path, thousand, loaded):
    line = Line(tmp_path)
    assert line.retrain(range(42), thousand)[0]
    first = versions.served_version(line.serving)
    for number in range(1, 11):
        pushed, checks = line.retrain(range(42 + 3 * number), thousand)
        assert checks["accuracy_drop"]["verdict"] == "pass"
        if not pushed:
            break
    assert number == 7
    assert (checks["decay"]["verdict"], checks["decay"]["measured"]) == ("fail", pytest.approx(0.021))
    assert f"0.0210 below the best version ever pushed, {first} (on the same images" in checks["decay"]["reason"]
    assert len(versions.list_versions(line.serving)) == 7
    assert_only_candidates(loaded, runs=8)
