"""The model that a run trained, though a gate refused it."""

import json
import shutil

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto

from components.contract import features
from components.errors import InputError
from pipeline.runs.candidate import find_candidate
from tests.conftest import picture_of
from tests.pictures import write
from tests.pipeline.runs.conftest import GATES, summary_of

FIRST, SECOND, THIRD = "20260101-100000-aaaa", "20260101-110000-bbbb", "20260102-100000-cccc"


def refuse(workdir, run_id, number, **fields):
    reasons = GATES["quality"]["reasons"]
    summary = summary_of(run_id, "not_blessed", 0.8, gates=GATES, reasons=reasons)
    return workdir.run(run_id, summary, candidate=workdir.model(number), **fields)


def test_the_newest_trained_model_is_found_with_the_gate_that_refused_it(workdir):
    refuse(workdir, FIRST, 7)
    refuse(workdir, SECOND, 8)
    workdir.run(THIRD, summary_of(THIRD, "data_refused"))
    found = find_candidate(workdir)
    assert found.run.run_id == SECOND
    assert found.path == workdir / "artifacts" / "Trainer" / "model" / "8" / "Format-Serving"
    assert found.notice == (
        f"candidate of run {SECOND}: not pushed, the quality gate refused it "
        "(accuracy 0.8000 is below gates.quality.min_accuracy 0.9000)"
    )
    assert found.skipped == (f"{THIRD}: it trained no model (data_refused)",)
    assert not found.pushed


def test_the_run_may_be_named(workdir):
    refuse(workdir, FIRST, 7)
    refuse(workdir, SECOND, 8)
    assert find_candidate(workdir, "20260101-10").path.parent.name == "7"


def test_a_pushed_model_says_its_version(workdir):
    workdir.run(FIRST, summary_of(FIRST, version=5, candidate=workdir.model()))
    found = find_candidate(workdir)
    assert found.pushed
    assert found.notice == f"candidate of run {FIRST}: pushed as version 5"


def test_models_that_are_gone_or_damaged_are_passed_over(workdir):
    refuse(workdir, FIRST, 7)
    refuse(workdir, SECOND, 8)
    refuse(workdir, THIRD, 9)
    models = workdir / "artifacts" / "Trainer" / "model"
    shutil.rmtree(models / "9")
    (models / "8" / "Format-Serving" / "saved_model.pb").write_bytes(b"graph 9")
    found = find_candidate(workdir)
    assert found.run.run_id == FIRST
    gone, damaged = found.skipped
    assert gone.startswith(f"{THIRD}: its model is gone")
    assert damaged.startswith(f"{SECOND}: its model is not as it was made")
    with pytest.raises(InputError, match=r"Expected a trained model of run .*-bbbb, found none"):
        find_candidate(workdir, SECOND)


def test_where_there_is_none_the_reasons_are_given(workdir):
    for number in range(5):
        workdir.run(f"2026010{number + 1}-100000-aaaa", summary_of("x", "data_refused"))
    with pytest.raises(InputError) as refused:
        find_candidate(workdir)
    assert str(refused.value).count("it trained no model (data_refused)") == 3
    assert "and 2 more" in str(refused.value)


def test_a_directory_without_runs_says_so(workdir):
    (workdir / "runs" / ".hidden").mkdir(parents=True)
    (workdir / ".lock").touch()
    with pytest.raises(InputError, match="has no runs yet"):
        find_candidate(workdir)


def test_a_model_in_an_object_store_is_named_with_the_way_out(workdir):
    workdir.run(FIRST, summary_of(FIRST, candidate={"path": "s3://b/model/7/Format-Serving", "content_sha256": "0"}))
    with pytest.raises(InputError, match="copy s3://b/model/7/Format-Serving here"):
        find_candidate(workdir)


def test_a_working_directory_that_was_moved_finds_its_own_model(workdir):
    refuse(workdir, FIRST, 7)
    moved = workdir.rename(workdir.with_name("elsewhere"))
    assert find_candidate(moved).path == moved / "artifacts" / "Trainer" / "model" / "7" / "Format-Serving"


def record(workdir, trainings):
    """ML Metadata as TFX leaves it: {run's time: (state of the Trainer's execution, its model)}."""
    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(workdir / "metadata.sqlite")
    store = metadata_store.MetadataStore(config)
    kinds = {
        "run": store.put_context_type(proto.ContextType(name="pipeline_run")),
        "trainer": store.put_execution_type(proto.ExecutionType(name="tfx.components.trainer.component.Trainer")),
        "other": store.put_execution_type(proto.ExecutionType(name="components.pusher.Pusher")),
        "model": store.put_artifact_type(proto.ArtifactType(name="Model")),
    }
    for time, (state, candidate) in trainings.items():
        context = proto.Context(type_id=kinds["run"], name=time)
        (context.id,) = store.put_contexts([context])
        model = proto.Artifact(type_id=kinds["model"], uri=candidate["path"].removesuffix("/Format-Serving"))
        model.custom_properties["content_sha256"].string_value = candidate["content_sha256"]
        event = proto.Event(type=proto.Event.OUTPUT)
        event.path.steps.add().key = "model"
        execution = proto.Execution(type_id=kinds["trainer"], last_known_state=state)
        store.put_execution(execution, [(model, event)], [context])
        store.put_execution(proto.Execution(type_id=kinds["other"], last_known_state=3), [], [context])


@pytest.mark.parametrize("state", [proto.Execution.COMPLETE, proto.Execution.CACHED])
def test_runs_whose_summary_says_nothing_of_it_are_found_through_ml_metadata(workdir, state):
    """Of an older Graft, killed, and failed after the Trainer."""
    older = summary_of(FIRST, "not_blessed")
    del older["candidate"]
    workdir.run(FIRST, older)
    workdir.run(SECOND)
    workdir.run(THIRD, summary_of(THIRD, "failed"))
    times = ("20260101-100007.123456", "20260101-110009.123456", "20260102-100001.123456")
    record(workdir, {time: (state, workdir.model(number)) for number, time in enumerate(times, 1)})
    found = [find_candidate(workdir, run_id).path.parent.name for run_id in (FIRST, SECOND, THIRD)]
    assert found == ["1", "2", "3"]
    assert "its run ended as interrupted" in find_candidate(workdir, SECOND).notice


def test_a_training_that_did_not_end_is_no_model(workdir):
    workdir.run(FIRST)
    record(workdir, {"20260101-100007.123456": (proto.Execution.FAILED, workdir.model())})
    with pytest.raises(InputError, match=r"it trained no model \(interrupted\)"):
        find_candidate(workdir)


def test_metadata_that_cannot_be_read_is_said(workdir):
    workdir.run(FIRST)
    (workdir / "metadata.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(InputError, match="ML Metadata cannot be asked"):
        find_candidate(workdir)


@pytest.fixture
def refused(workdir, trained):
    """A working directory whose only run trained a real model, which a gate refused."""
    place = workdir / "artifacts" / "Trainer" / "model" / "7"
    shutil.copytree(trained.model, place)
    from components.files.digests import digest_folder

    candidate = {"path": str(place / "Format-Serving"), "content_sha256": digest_folder(str(place))}
    summary = summary_of(FIRST, "not_blessed", gates=GATES, reasons=["too low"], candidate=candidate)
    workdir.run(FIRST, summary)
    return workdir


def test_predict_answers_with_it_and_says_that_a_gate_refused_it(refused, graft, tmp_path):
    image = write(tmp_path / "a.png", picture_of(0, 1))
    done = graft("predict", refused, image, "--candidate", "--format", "json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)[0]["label"] == "dark"
    assert f"Candidate of run {FIRST}: not pushed, the quality gate refused it (too low)" in done.stderr
    with pytest.raises(InputError, match="found none"):
        graft("predict", refused, image)
    with pytest.raises(InputError, match="--run x: expected --candidate with it"):
        graft("predict", refused, image, "--run", "x")


def test_serve_says_it_in_health_and_metadata(refused):
    from pipeline.serve.app import describe_metadata
    from pipeline.serve.batcher import Batcher
    from pipeline.serve.health import Health
    from pipeline.serve.host import Host
    from pipeline.serve.intake import Intake, IntakeLimits
    from pipeline.serve.rest import parse_target

    found = find_candidate(refused)
    host = Host(str(found.path), "", 2)
    host.notice = found.notice
    host.start()
    batcher = Batcher(2, 8)
    try:
        health = Health().describe(host, batcher, Intake(IntakeLimits()))
        metadata = describe_metadata(host, parse_target("GET", "/v1/models/graft/metadata"))
    finally:
        host.close()
        batcher.close()
    assert health["candidate"] == found.notice
    assert metadata["metadata"]["graft"] == {"candidate": found.notice}
    assert features.SERVE_BYTES in metadata["metadata"]["signature_def"]["signature_def"]
