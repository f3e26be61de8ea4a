"""`summary.json`: from what the nodes left to one file."""

import hashlib
import json

import pytest
from ml_metadata.proto import metadata_store_pb2

from components.contract import features
from components.registry import versions
from pipeline.report.summary import SAVED_MODEL, Summary, fill_summary, peak_rss_mb

DATA_VERDICT = {
    "passed": True,
    "reasons": [],
    "warnings": ["eval split: dark"],
    "notes": [],
    "measured": {"version": 5},
}
DATASET = {"train": 8, "eval": 2, "quarantined": 1, "duplicates": 0, "classes": ["cats", "dogs"]}
PASSPORT = json.dumps({"model": {"weights_sha256": "w" * 64}})
METRICS = {"accuracy": 0.9, "per_class": {}, "examples": 2}


def node(folder, files=(), **properties):
    """An artifact as ML Metadata has it, with these files in it."""
    made = metadata_store_pb2.Artifact(uri=str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in dict(files).items():
        (folder / name).write_text(json.dumps(content))
    for name, value in properties.items():
        kind = "int_value" if isinstance(value, int) else "string_value"
        setattr(made.custom_properties[name], kind, value)
    return made


@pytest.fixture
def artifacts(tmp_path):
    """What a run leaves that pushed version 7."""
    version = tmp_path / "serving" / "7"
    version.mkdir(parents=True)
    (version / versions.PASSPORT_FILE).write_text(PASSPORT)
    verdict = {"passed": True, "reasons": []}
    return {
        "ImageExampleGen": {"manifest": node(tmp_path / "m", {features.DATASET_FILE: DATASET})},
        "DataGate": {"verdict": node(tmp_path / "d", {features.VERDICT_FILE: DATA_VERDICT})},
        "Trainer": {
            "model_run": node(tmp_path / "r", {features.HISTORY_FILE: {"head": {"loss": [1]}, "replicas": 2}}),
            "model": node(tmp_path / "t", content_sha256="c" * 64),
        },
        "BaselineModel": {"baseline_model": node(tmp_path / "b", version="5")},
        "Evaluator": {
            "evaluation": node(
                tmp_path / "e",
                {
                    features.EVALUATION_FILE: {"candidate": METRICS, "baseline": {**METRICS, "accuracy": 0.8}},
                    features.VERDICT_FILE: verdict,
                },
            )
        },
        "ServableCheck": {
            "blessing": node(tmp_path / "s", {features.VERDICT_FILE: {**verdict, "measured": {"images": 2}}})
        },
        "Pusher": {"pushed_model": node(tmp_path / "p", pushed=1, pushed_destination=str(version))},
    }


def refuse(artifacts, tmp_path, where, reason):
    folder = {"quality": "e", "servability": "s"}[where]
    verdict = {"passed": False, "reasons": [reason]}
    (tmp_path / folder / features.VERDICT_FILE).write_text(json.dumps(verdict))
    artifacts["Pusher"]["pushed_model"] = node(tmp_path / "p", pushed=0)


def filled(artifacts, before=()):
    summary = Summary("run-1")
    fill_summary(summary, artifacts, list(before))
    return summary


def test_a_pushed_run_says_everything(artifacts, tmp_path):
    summary = filled(artifacts)
    assert summary.status == "pushed"
    assert summary.dataset == DATASET
    assert summary.metrics == METRICS
    assert summary.baseline == {"version": 5, **METRICS, "accuracy": 0.8}
    assert summary.model == {
        "version": 7,
        "path": str(tmp_path / "serving" / "7"),
        "weights_sha256": "w" * 64,
        "passport_sha256": hashlib.sha256(PASSPORT.encode()).hexdigest(),
        "card": None,
    }
    assert summary.trainer == {"replicas": 2}
    assert summary.candidate == {"path": str(tmp_path / "t" / "Format-Serving"), "content_sha256": "c" * 64}
    assert set(summary.gates) == {"data", "quality", "servability"}
    assert summary.gates["data"] == DATA_VERDICT
    assert summary.reasons == []


def test_a_version_that_was_there_before_is_unchanged(artifacts):
    assert filled(artifacts, before=[5, 7]).status == "unchanged"


@pytest.mark.parametrize(("where", "status"), [("quality", "not_blessed"), ("servability", "not_servable")])
def test_a_refused_model_has_the_status_and_reasons_of_its_gate(artifacts, tmp_path, where, status):
    refuse(artifacts, tmp_path, where, "it is 0.1, the limit is 0.2")
    summary = filled(artifacts, before=[5])
    assert (summary.status, summary.reasons, summary.model) == (status, ["it is 0.1, the limit is 0.2"], None)


def test_reasons_of_both_gates_are_given(artifacts, tmp_path):
    refuse(artifacts, tmp_path, "quality", "too bad")
    refuse(artifacts, tmp_path, "servability", "too slow")
    summary = filled(artifacts)
    assert (summary.status, summary.reasons) == ("not_blessed", ["too bad", "too slow"])


def test_without_a_baseline_there_is_none(artifacts, tmp_path):
    (tmp_path / "e" / features.EVALUATION_FILE).write_text(json.dumps({"candidate": METRICS}))
    assert filled(artifacts).baseline is None


@pytest.mark.parametrize("nodes", [[], ["ImageExampleGen"], ["ImageExampleGen", "DataGate", "Trainer"]])
def test_a_run_that_stopped_early_says_as_much_as_there_is(artifacts, nodes):
    summary = filled({name: artifacts[name] for name in nodes})
    assert summary.status == "failed"
    assert bool(summary.dataset) is ("ImageExampleGen" in nodes)
    assert bool(summary.trainer) is (summary.candidate is not None) is ("Trainer" in nodes)
    assert summary.model is None


def test_the_file_has_the_fields_of_the_contract(tmp_path):
    path = Summary("run-1", status="pushed", seconds={"total": 1.5}).write(tmp_path)
    assert path == tmp_path / "summary.json"
    content = json.loads(path.read_text("utf-8"))
    assert set(content) >= {
        *("schema", "run_id", "status", "dataset", "metrics", "baseline", "seconds", "cached", "model"),
        *("peak_rss_mb", "reasons"),
    }
    assert (content["schema"], content["run_id"], content["status"]) == (1, "run-1", "pushed")
    assert content["peak_rss_mb"] == pytest.approx(peak_rss_mb(), rel=0.5)
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    Summary("run-1").write(tmp_path)
    broken = Summary("run-2", metrics={"accuracy": object()})
    with pytest.raises(TypeError, match="not JSON serializable"):
        broken.write(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["run_id"] == "run-1"


def test_the_saved_model_lies_where_tfx_puts_it(tmp_path):
    from tfx.utils import path_utils

    assert path_utils.serving_model_dir(str(tmp_path)) == str(tmp_path / SAVED_MODEL)
