"""A run that is killed leaves nothing half-pushed, and the next one finishes the job from what was complete."""

import signal
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import NODES, graft, read_summary, served_versions, start_graft

pytestmark = pytest.mark.e2e


def kill_at(node: str, workdir: Path, *args: object) -> None:
    """Starts a run and sends SIGKILL as soon as a node is running."""
    process = start_graft("run", "configs/sample.yaml", "--workdir", workdir, *args)
    log = workdir / "runs" / "latest" / "log.txt"
    marker = f"node {node} begins"
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and marker in log.read_text("utf-8", errors="replace"):
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, f"the run ended before {node} began"


@pytest.mark.parametrize("node", ["Trainer", "Evaluator", "Pusher"])
def test_next_run_finishes_what_a_killed_one_began(node: str, tmp_path: Path) -> None:
    kill_at(node, tmp_path)
    for version in served_versions(tmp_path):
        assert (tmp_path / "serving" / version / "passport.json").is_file()
    done_before = NODES[: NODES.index("Transform")]

    finished = graft("run", "configs/sample.yaml", "--workdir", tmp_path)
    summary = read_summary(tmp_path)
    assert finished.code == 0, finished.out + finished.err
    assert summary["status"] in ("pushed", "unchanged")
    assert set(done_before) <= set(summary["cached"])
    if node == "Pusher":
        assert {"Trainer", "Evaluator"} <= set(summary["cached"])
    assert served_versions(tmp_path) == [str(summary["model"]["version"])]


@pytest.mark.parametrize("node", ["", "StatisticsGen"])
def test_interrupted_run_says_so_and_exits_130(node: str, tmp_path: Path) -> None:
    process = start_graft("run", "configs/sample.yaml", "--workdir", tmp_path)
    log = tmp_path / "runs" / "latest" / "log.txt"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and (not node or f"node {node} begins" in log.read_text("utf-8", errors="replace")):
            break
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Interrupted. The next run continues from what is complete." in err
    assert read_summary(tmp_path)["status"] == "failed"
    assert served_versions(tmp_path) == []
