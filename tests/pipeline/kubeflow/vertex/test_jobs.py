from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.auth import credentials
from google.cloud import aiplatform
from google.cloud.aiplatform_v1 import types

from tests.pipeline.kubeflow.conftest import NODES, VERTEX, Ended, make_config, write_pipeline
from tests.pipeline.kubeflow.vertex_server import VertexServer

Graft = Callable[..., Ended]
AT = ("--target", "vertex", "--project", "my-project", "--location", "europe-west4")
PARENT = "projects/my-project/locations/europe-west4"
NIGHTLY = "0 0 3 * * *"


@pytest.fixture
def vertex(monkeypatch: pytest.MonkeyPatch) -> Iterator[VertexServer]:
    """The client talks to a local server, without credentials and without looking for the bucket."""
    monkeypatch.setattr("google.auth.default", lambda **_: (credentials.AnonymousCredentials(), None))
    monkeypatch.setattr(
        "google.cloud.aiplatform.utils.gcs_utils.create_gcs_bucket_for_pipeline_artifacts_if_it_does_not_exist",
        lambda **_: None,
    )
    with VertexServer().running() as server:
        monkeypatch.setattr(
            "google.api_core.grpc_helpers.create_channel",
            lambda *_, **__: grpc.insecure_channel(f"127.0.0.1:{server.port}"),
        )
        yield server
    aiplatform.initializer.global_config.__init__()


@pytest.fixture
def pipeline_file(tmp_path: Path) -> Path:
    return write_pipeline(tmp_path / "flowers.yaml", platform=False)


def test_a_job_is_submitted_once(graft: Graft, vertex: VertexServer, pipeline_file: Path) -> None:
    arguments = ("submit", str(pipeline_file), *AT, "--name", "First run", "--param", "trainer_epochs=9")
    done = graft(*arguments, "--service-account", "trainer@my-project.iam")
    assert done.code == 0, done.err
    (job,) = vertex.jobs.values()
    assert job.name == f"{PARENT}/pipelineJobs/first-run"
    assert job.service_account == "trainer@my-project.iam"
    assert job.runtime_config.parameter_values["trainer_epochs"] == 9
    assert job.runtime_config.gcs_output_directory == "s3://bucket/root"
    assert "https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines/runs/first-run" in done.out
    again = graft(*arguments)
    assert again.out.startswith("Taken, it was submitted before: First run")
    assert len(vertex.jobs) == 1


def end(vertex: VertexServer, state: str) -> None:
    for job in vertex.jobs.values():
        job.state = types.PipelineState[f"PIPELINE_STATE_{state}"]


@pytest.mark.parametrize("fruitless", ["FAILED", "CANCELLED", "CANCELLING"])
def test_the_name_of_a_job_that_failed_can_be_run_again(
    graft: Graft, vertex: VertexServer, pipeline_file: Path, fruitless: str
) -> None:
    """Vertex never gives an id a second time."""
    name = "x" * 127 + "y"  # as long as an id may be
    arguments = ("submit", str(pipeline_file), *AT, "--name", name)
    for attempt in range(1, 4):
        done = graft(*arguments)
        assert done.code == 0, done.err
        assert done.out.startswith(f"Submitted: {name}\n")
        assert len(vertex.jobs) == attempt
        end(vertex, fruitless)
    assert [job.rpartition("/")[2] for job in vertex.jobs] == [name, "x" * 126 + "-2", "x" * 126 + "-3"]
    assert {job.display_name for job in vertex.jobs.values()} == {name}


@pytest.mark.parametrize("state", ["QUEUED", "PENDING", "RUNNING", "PAUSED", "SUCCEEDED"])
def test_any_other_job_holds_its_name(graft: Graft, vertex: VertexServer, pipeline_file: Path, state: str) -> None:
    arguments = ("submit", str(pipeline_file), *AT, "--name", "first")
    graft(*arguments)
    end(vertex, "FAILED")
    graft(*arguments)
    list(vertex.jobs.values())[-1].state = types.PipelineState[f"PIPELINE_STATE_{state}"]
    taken = graft(*arguments)
    assert taken.out.startswith("Taken, it was submitted before: first\n")
    assert "/runs/first-2" in taken.out
    assert len(vertex.jobs) == 2


def test_names_that_make_the_same_id_do_not_meet(graft: Graft, vertex: VertexServer, pipeline_file: Path) -> None:
    for name in ("first run", "First Run"):
        assert graft("submit", str(pipeline_file), *AT, "--name", name).out.startswith(f"Submitted: {name}")
    assert graft("submit", str(pipeline_file), *AT, "--name", "First Run").out.startswith("Taken")
    assert len(vertex.jobs) == 2


def test_a_job_that_is_taken_is_described_as_it_was_submitted(
    graft: Graft, vertex: VertexServer, pipeline_file: Path, tmp_path: Path
) -> None:
    name = (*AT, "--name", "first")
    first = graft("submit", str(pipeline_file), *name, "--param", "trainer_epochs=9").out
    again = graft("submit", str(pipeline_file), *name, "--param", "trainer_epochs=9").out
    other = graft("submit", str(write_pipeline(tmp_path / "o.yaml", epochs=50, platform=False)), *name).out
    for out in (again, other):
        assert out.splitlines()[1:5] == first.splitlines()[1:5]
    assert "  trainer_epochs 9" in first
    assert "differs from that" in other
    assert "differs" not in first + again


def test_schedules_are_found_on_every_page(graft: Graft, vertex: VertexServer, pipeline_file: Path) -> None:
    for number in range(5):
        graft("schedule", str(pipeline_file), *AT, "--cron", NIGHTLY, "--name", f"s{number}")
    assert all(f"s{number} " in graft("schedule", "list", *AT).out for number in range(5))
    assert graft("schedule", "delete", "s0", *AT).code == 0


@pytest.mark.parametrize(
    ("failed", "error", "code", "words"),
    [
        ("", "", 0, "Succeeded"),
        ("Trainer", "The replica workerpool0-0 exited with a non-zero status of 1.", 1, "non-zero status of 1"),
        ("Pusher", "The quality gate said no: accuracy 0.4", 3, "Not pushed: a gate said no"),
    ],
)
def test_waiting_ends_as_the_job_does(
    graft: Graft, vertex: VertexServer, pipeline_file: Path, failed: str, error: str, code: int, words: str
) -> None:
    Detail = types.PipelineTaskDetail  # noqa: N806

    def look(method: str) -> None:
        for job in vertex.jobs.values() if method == "GetPipelineJob" else ():
            job.state = types.PipelineState.PIPELINE_STATE_FAILED if failed else "PIPELINE_STATE_SUCCEEDED"
            job.job_detail = types.PipelineJobDetail(
                task_details=[
                    Detail(task_name=node, state=Detail.State.FAILED, error={"message": error})
                    if node == failed
                    else Detail(task_name=node, state=Detail.State.SUCCEEDED)
                    for node in NODES
                ]
            )

    vertex.fault = look
    done = graft("submit", str(pipeline_file), *AT, "--wait")
    assert done.code == code, done.err
    assert words in done.out
    assert "✓ Plan" in done.out


def test_schedules(graft: Graft, vertex: VertexServer, pipeline_file: Path, tmp_path: Path) -> None:
    def schedule(path: Path = pipeline_file, cron: str = NIGHTLY) -> Ended:
        return graft("schedule", str(path), *AT, "--cron", cron, "--name", "nightly")

    assert schedule().out.startswith("Created: schedule nightly, active")
    assert [one.cron for one in vertex.active()] == ["0 3 * * *"]
    assert schedule().out.startswith("Unchanged: schedule nightly, active")
    assert len(vertex.schedules) == 1
    assert schedule(cron="0 0 4 * * *").out.startswith("Updated")
    assert schedule(write_pipeline(tmp_path / "other.yaml", epochs=50, platform=False)).out.startswith("Updated")
    assert [one.cron for one in vertex.active()] == ["0 3 * * *"]
    assert len(vertex.schedules) == 1
    assert vertex.most_active == 1
    assert graft("schedule", "pause", "nightly", *AT).code == 0
    assert vertex.active() == []
    assert "paused" in graft("schedule", "list", *AT).out
    assert schedule(cron="0 0 5 * * *").out.startswith("Updated: schedule nightly, paused")
    assert vertex.active() == []
    assert graft("schedule", "resume", "nightly", *AT).code == 0
    assert len(vertex.active()) == 1
    assert "no schedule 'nightl'. Did you mean 'nightly'?" in graft("schedule", "delete", "nightl", *AT).err
    assert graft("schedule", "delete", "nightly", *AT).code == 0
    assert vertex.schedules == {}


def test_vertex_has_no_seconds(graft: Graft, vertex: VertexServer, pipeline_file: Path) -> None:
    done = graft("schedule", str(pipeline_file), *AT, "--cron", "15 0 3 * * *")
    assert done.code == 2
    assert "Vertex has no seconds; expected 0 as the first field, got '15'" in done.err
    graft("schedule", str(pipeline_file), *AT, "--cron", "0  30 4 ? *   MON")
    assert [one.cron for one in vertex.active()] == ["30 4 * * MON"]


def test_a_change_that_fails_is_taken_back(graft: Graft, vertex: VertexServer, pipeline_file: Path) -> None:
    graft("schedule", str(pipeline_file), *AT, "--cron", NIGHTLY)
    vertex.fault = lambda method: grpc.StatusCode.INVALID_ARGUMENT if method == "CreateSchedule" else None
    done = graft("schedule", str(pipeline_file), *AT, "--cron", "0 0 4 * * *")
    assert done.code == 2
    assert "refuses creating the schedule (400): injected" in done.err
    assert "The schedule is as it was before." in done.err
    assert [one.cron for one in vertex.active()] == ["0 3 * * *"]


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, 2, "gcloud auth application-default login"),
        (grpc.StatusCode.PERMISSION_DENIED, 2, "roles/aiplatform.user"),
        (grpc.StatusCode.NOT_FOUND, 2, "Is --location the region"),
        (grpc.StatusCode.INTERNAL, 1, "failed while submitting the job (500)"),
    ],
)
def test_refusals_in_words(
    graft: Graft, vertex: VertexServer, pipeline_file: Path, status: grpc.StatusCode, code: int, words: str
) -> None:
    vertex.fault = lambda method: status
    done = graft("submit", str(pipeline_file), *AT)
    assert done.code == code
    assert words in done.err
    assert "Vertex AI, project my-project, europe-west4," in done.err
    assert "Traceback" not in done.err


def test_a_file_for_kubernetes_is_refused(graft: Graft, vertex: VertexServer, tmp_path: Path) -> None:
    done = graft("submit", str(write_pipeline(tmp_path / "kfp.yaml")), *AT)
    assert done.code == 2
    assert "Compile it with --target vertex" in done.err


def test_a_region_is_needed(graft: Graft, pipeline_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_REGION", raising=False)
    done = graft("submit", str(pipeline_file), "--target", "vertex")
    assert done.code == 2
    assert "Add --location" in done.err


def test_what_graft_compiles_is_taken(graft: Graft, vertex: VertexServer, tmp_path: Path) -> None:
    config = make_config(VERTEX)
    (tmp_path / "config.yaml").write_text(config.to_yaml(), "utf-8")
    done = graft("submit", str(tmp_path / "config.yaml"), *AT, "--param", "trainer_epochs=3")
    assert done.code == 0, done.err
    (job,) = vertex.jobs.values()
    assert job.runtime_config.gcs_output_directory == "gs://bucket/root"
    assert job.runtime_config.parameter_values["trainer_epochs"] == 3
    assert "Trainer" in job.pipeline_spec["root"]["dag"]["tasks"]


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("pipeline.cli", ["google.cloud.aiplatform", "kfp", "kfp_server_api", "tensorflow"]),
        (
            "pipeline.kubeflow.kfp.client, pipeline.kubeflow.vertex.client",
            ["google.cloud.aiplatform", "tensorflow"],
        ),
    ],
)
def test_clients_are_imported_only_when_asked_for(modules: str, absent: list[str]) -> None:
    code = f"import sys, {modules}; print([m for m in {absent} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
