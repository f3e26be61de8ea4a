"""The record of an executed pipeline."""

import shutil
from pathlib import Path

import pytest

from pipeline.kubeflow.local.execute import TaskResult, Walk, describe_failure
from pipeline.kubeflow.local.launcher import Result
from pipeline.kubeflow.local.record import _keep_logs, _note_failure, collect_artifacts
from pipeline.kubeflow.local.stores import open_store
from pipeline.report.summary import Summary

NO = {"passed": False, "checks": [], "reasons": ["too low"], "override": None}
YES = {"passed": True, "checks": [], "reasons": [], "override": None}


def failed(tmp_path: Path, name: str, code: int, verdict: dict) -> Walk:
    log = tmp_path / "log"
    log.write_text("first\nlast words\n", "utf-8")
    return Walk(failed=[(name, Result(code, {}, {}, log, ["python"], verdict=verdict))])


@pytest.mark.parametrize(
    ("gates", "verdict", "status"),
    [
        ({}, {"data": NO}, "data_refused"),
        ({"data": YES, "quality": NO, "servability": YES}, {"quality": NO}, "not_blessed"),
        ({"data": YES, "quality": YES, "servability": NO}, {"servability": NO}, "not_servable"),
    ],
)
def test_a_gates_no_is_recorded_as_after_a_local_run(tmp_path, gates, verdict, status):
    summary = Summary("run", gates=dict(gates))
    _note_failure(summary, failed(tmp_path, "Pusher", 3, verdict))
    assert summary.status == status
    assert summary.reasons == ["too low"]
    assert summary.gates == {**gates, **verdict}


def test_any_other_failure_is_recorded_with_its_task(tmp_path):
    summary = Summary("run")
    _note_failure(summary, failed(tmp_path, "Trainer", 137, {}))
    assert summary.status == "failed"
    assert summary.reasons == ["Trainer: exit code 137: last words"]


def test_the_log_that_a_failure_names_is_kept(tmp_path):
    scratch, run = tmp_path / "scratch", tmp_path / "run"
    scratch.mkdir()
    run.mkdir()
    for name in ("Plan", "Trainer"):
        (scratch / f"{name}.log").write_text(f"{name}'s words\n", "utf-8")
    result = Result(1, {}, {}, scratch / "Trainer.log", ["python"])
    _keep_logs(scratch, run, Walk(failed=[("Trainer", result)]))
    shutil.rmtree(scratch)
    text = "\n".join(describe_failure("Trainer", result))
    assert str(run / "logs" / "Trainer.log") in text
    assert "Trainer's words" in text
    assert (run / "log.txt").read_text() == "=== Plan\nPlan's words\n=== Trainer\nTrainer's words\n"


def test_small_artifacts_are_fetched_with_their_properties_and_large_ones_stay(tmp_path):
    store = open_store(str(tmp_path / "root"))
    for name in ("verdict", "model"):
        store.write(f"{store.root}/{name}/file", name)
    content = {
        "verdict": {"uri": f"{store.root}/verdict", "metadata": {"pushed": 1.0, "where": "/serving/1"}},
        "model": {"uri": f"{store.root}/model"},
    }
    found = collect_artifacts(Walk(done={"Node": TaskResult(content, {})}), store, tmp_path / "shown")["Node"]
    assert Path(found["verdict"].uri, "file").read_text() == "verdict"
    assert found["verdict"].custom_properties["pushed"].int_value == 1
    assert found["verdict"].custom_properties["where"].string_value == "/serving/1"
    assert found["model"].uri == str(tmp_path / "root" / "model")  # where `--candidate` finds it
    assert sorted(path.name for path in (tmp_path / "shown" / "Node").iterdir()) == ["verdict"]
