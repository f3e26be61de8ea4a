"""Ingest to push through Beam's portable job service, its workers in processes of their own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Run, graft, read_summary, served_versions

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


@pytest.fixture
def job_service(tmp_path):
    """Addresses of a job service and of its pool, and the file that names each worker."""
    workers, out = tmp_path / "workers.txt", tmp_path / "out.txt"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),  # the workers import our functions, as those in the image do
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # the pool starts `python`
    }
    command = [sys.executable, str(Path(__file__).with_name("job_service.py")), str(workers)]
    with open(out, "wb") as printed, open(tmp_path / "err.txt", "wb") as errors:
        process = subprocess.Popen(command, env=environment, stdout=printed, stderr=errors)
    try:
        while len(out.read_text().splitlines()) < 2:
            assert process.poll() is None, (tmp_path / "err.txt").read_text()
            time.sleep(0.1)
        yield (*out.read_text().splitlines(), workers)
    finally:
        process.terminate()
        process.wait()


def test_two_workers_with_nothing_shared_but_the_disk_make_the_same_model(tmp_path, job_service, sample_run: Run):
    job_endpoint, pool, workers = job_service
    arguments = [
        f"--job_endpoint={job_endpoint}",
        "--environment_type=EXTERNAL",
        f"--environment_config={pool}",
        "--job_server_timeout=3600",
    ]
    settings = ("--set", "beam.runner=PortableRunner", "--set", f"beam.args={arguments}")
    finished = graft("run", "configs/sample.yaml", "--workdir", tmp_path / "work", *settings)
    assert finished.code == 0, finished.out + finished.err
    summary = read_summary(tmp_path / "work")
    assert summary["status"] == "pushed"
    assert summary["model"]["weights_sha256"] == sample_run.summary["model"]["weights_sha256"]
    ours, theirs = summary["metrics"], sample_run.summary["metrics"]
    for name in ("accuracy", "examples", "confusion_matrix"):
        assert ours[name] == theirs[name]
    for name in ("log_loss", "auc"):  # sums over bundles, in whatever order they come
        assert ours[name] == pytest.approx(theirs[name], abs=1e-6)
    assert summary["dataset"]["fingerprint"] == sample_run.summary["dataset"]["fingerprint"]
    jobs: dict[str, int] = {}
    for line in workers.read_text().splitlines():
        jobs[line.split()[1]] = jobs.get(line.split()[1], 0) + 1
    assert len(jobs) >= 3  # ingest, statistics, evaluation; Transform has nothing to compute
    assert set(jobs.values()) == {2}


def test_a_runner_of_no_table_runs_every_pipeline_by_its_full_name(tmp_path, monkeypatch, sample_run: Run):
    monkeypatch.setenv("TOY_RUNNER", str(tmp_path / "toy.txt"))
    runner = ("--set", "beam.runner=tests.e2e.toy_runner.ToyRunner")
    finished = graft("run", "configs/sample.yaml", "--workdir", tmp_path / "work", *runner)
    assert finished.code == 0, finished.out + finished.err
    assert (tmp_path / "toy.txt").read_text() == 3 * "a pipeline\n"  # ingest, statistics, evaluation
    made = read_summary(tmp_path / "work")["model"]
    assert made["weights_sha256"] == sample_run.summary["model"]["weights_sha256"]


def test_features_of_beams_workers_make_the_same_model_which_is_pushed_once(tmp_path, sample_run: Run):
    command = ("run", "configs/sample.yaml", "--workdir", tmp_path / "work")
    spread = graft(*command, "--set", "trainer.feature_pass=beam")
    assert spread.code == 0, spread.out + spread.err
    made = read_summary(tmp_path / "work")["model"]
    assert made["weights_sha256"] == sample_run.summary["model"]["weights_sha256"]
    packs = list((tmp_path / "work" / "features").glob("*/*.parquet"))
    assert len(packs) == 7  # of 128 images, named after their content
    local = graft(*command)
    assert local.code == 0, local.out + local.err
    summary = read_summary(tmp_path / "work")
    assert summary["status"] == "unchanged"
    assert "Trainer" not in summary["cached"]
    assert "0 features computed, 896 from the store" in " ".join(local.out.split())
    assert served_versions(tmp_path / "work") == [str(made["version"])]
