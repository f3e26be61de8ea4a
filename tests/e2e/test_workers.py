"""`graft run` on two workers: one pipeline, one model, and both end alike."""

import json
import os
import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e
QUICK = ("--set", "trainer.epochs=3", "--set", "gates.quality.min_accuracy=0")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def start_both(workdir, *settings):
    """The chief's and the worker's exit code and output."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    command = [sys.executable, "-m", "pipeline", "run", "configs/sample.yaml", "--workdir", str(workdir), *settings]
    both = []
    for index in (0, 1):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        both.append(
            subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    try:
        outputs = [each.communicate(timeout=1500)[0] for each in both]
    finally:
        for each in both:
            each.kill()
    return [each.returncode for each in both], outputs


def test_two_workers_train_one_model_and_the_chief_pushes_it(tmp_path):
    codes, (chief, worker) = start_both(tmp_path, *QUICK)
    assert codes == [0, 0], chief + worker
    assert " ".join(["2", "replicas", "on", "2", "workers,", "batch", "32", "(16", "a", "replica)"]) in " ".join(
        chief.split()
    )
    assert "training" in worker
    assert "The chief's run is over, exit code 0" in worker
    assert len([path for path in (tmp_path / "serving").iterdir() if path.name.isdigit()]) == 1
    summary = json.loads((tmp_path / "runs" / "latest" / "summary.json").read_text("utf-8"))
    assert summary["status"] == "pushed"


def test_a_tf_config_that_is_no_json_is_refused_at_once():
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "configs/sample.yaml"],
        cwd=ROOT,
        env={**os.environ, "TF_CONFIG": "{worker"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: The environment variable TF_CONFIG: expected {")
    assert "Found no JSON" in done.stderr
    assert "Traceback" not in done.stderr
