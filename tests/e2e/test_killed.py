"""A run that is killed leaves nothing half-pushed, and the next one finishes the job from what was complete."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import NODES, graft, read_summary, served_versions, start_graft

pytestmark = pytest.mark.e2e


def start_run(workdir: Path, node: str = "") -> subprocess.Popen[str]:
    """Starts a run and waits until it has a record and, where one is named, a node is running."""
    latest = workdir / "runs" / "latest"
    before = latest.resolve()
    process = start_graft("run", "configs/sample.yaml", "--workdir", workdir)
    deadline = time.monotonic() + 300
    while process.poll() is None:
        assert time.monotonic() < deadline, f"no {node or 'record'} after 300 s"
        log = latest.resolve() / "log.txt"
        said = log.read_text("utf-8", errors="replace") if log.parent != before and log.exists() else ""
        if said and (not node or f"node {node} begins" in said):
            break
        time.sleep(0.02)
    return process


@pytest.fixture
def scratch_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of the commands."""
    folder = tmp_path_factory.mktemp("scratch")
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def records(workdir: Path) -> list[dict]:
    """The summaries of all runs, in their order."""
    runs = sorted(run for run in (workdir / "runs").iterdir() if not run.is_symlink())
    return [json.loads((run / "summary.json").read_text("utf-8")) for run in runs]


def test_each_run_goes_on_where_a_killed_one_ended_and_the_last_finishes(tmp_path: Path, scratch_folder: Path) -> None:
    for node in ("Trainer", "Evaluator", "Pusher"):
        process = start_run(tmp_path, node)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"the run ended before {node} began"
        for version in served_versions(tmp_path):
            assert (tmp_path / "serving" / version / "passport.json").is_file()
        assert [folder.name[:13] for folder in scratch_folder.iterdir()] == ["graft-scratch"]

    finished = graft("run", "configs/sample.yaml", "--workdir", tmp_path)
    summary = read_summary(tmp_path)
    assert finished.code == 0, finished.out + finished.err
    assert summary["status"] in ("pushed", "unchanged")
    assert list(scratch_folder.iterdir()) == []
    assert [run["status"] for run in records(tmp_path)] == [*["interrupted"] * 3, summary["status"]]
    assert set(NODES[: NODES.index("Pusher")]) <= set(summary["cached"])
    for node in NODES[: NODES.index("Trainer")]:  # complete before the first run was killed: made once by all four
        (output, *_) = (folder for folder in tmp_path.glob(f"artifacts/**/{node}/*") if folder.name[0] != ".")
        assert len(list(output.iterdir())) == 1, node
    assert served_versions(tmp_path) == [str(summary["model"]["version"])]


def test_interrupted_runs_say_so(tmp_path: Path) -> None:
    """Each goes on where the one before was interrupted."""
    for node, number in (("", signal.SIGINT), ("StatisticsGen", signal.SIGTERM), ("Trainer", signal.SIGHUP)):
        process = start_run(tmp_path, node)
        time.sleep(0.5)
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 128 + number
        assert err == "Interrupted. The next run continues from what is complete.\n"
        summary = read_summary(tmp_path)
        assert summary["status"] == "interrupted"
        assert number.name in summary["reasons"][0]
        assert served_versions(tmp_path) == []
        assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in started)


def test_a_machine_without_semaphores_or_room_is_named(tmp_path: Path) -> None:
    """In a mount namespace of its own, where the machine allows one."""
    apart = ("unshare", "--mount", "sh", "-c")
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no mount namespace")
    read_only = 'mount -t tmpfs -o ro tmpfs /dev/shm; exec "$@"'
    done = graft("run", "configs/sample.yaml", "--workdir", tmp_path / "a", within=(*apart, read_only, "sh"))
    assert done.code == 2
    assert done.err.startswith("Error: /dev/shm: ")
    (tmp_path / "b").mkdir()
    kept = f"code=$?; cp -rL {tmp_path}/b/runs {tmp_path}; exit $code"
    small = f'mount -t tmpfs -o size=4500k tmpfs {tmp_path}/b; "$@"; {kept}'
    done = graft("run", "configs/sample.yaml", "--workdir", tmp_path / "b", within=(*apart, small, "sh"))
    assert done.code == 1
    assert done.err.startswith(f"Failed: no space is left on a disk: {tmp_path}/b/")
    assert len(done.err.splitlines()) == 2
    assert read_summary(tmp_path)["status"] == "failed"
