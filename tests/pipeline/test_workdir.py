"""The working directory: who may write into it, and the newest run."""

import json
import subprocess
import sys

import pytest

from components.errors import InputError
from pipeline.workdir import Workdir


def test_it_is_made_with_all_folders_above_it(tmp_path):
    workdir = Workdir(tmp_path / "a" / "b")
    workdir.create()
    workdir.create()
    assert [path.name for path in workdir.root.iterdir()] == ["runs"]
    assert workdir.serving == tmp_path / "a" / "b" / "serving"


@pytest.mark.parametrize("place", ["file", "file/below", "full"])
def test_a_place_that_cannot_be_written_is_refused_with_the_reason(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "runs").touch()
    root = tmp_path / place
    with pytest.raises(InputError) as caught:
        Workdir(root).create()
    first, fix = str(caught.value).splitlines()
    assert first.startswith(f"--workdir: cannot write into {root}: ")
    assert first.rstrip(".").endswith(("Not a directory", "File exists"))
    assert fix == "Choose a folder that you may write, or change its permissions."


HOLD = (
    "import sys; from pathlib import Path; from pipeline.workdir import Workdir\n"
    "with Workdir(Path(sys.argv[1])).locked():\n    print('locked', flush=True); sys.stdin.read()"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path`."""
    Workdir(tmp_path).create()
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def enter(workdir):
    with workdir.locked():
        return True


def test_a_second_run_is_refused_and_told_who_is_there(holder, tmp_path):
    with pytest.raises(InputError) as caught:
        enter(Workdir(tmp_path))
    text = str(caught.value)
    assert text.startswith(f"--workdir: another run is using {tmp_path} (process {holder.pid}, since 20")
    assert text.endswith("Wait until it is done, or use another --workdir.")


def test_a_killed_run_leaves_no_lock(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert enter(Workdir(tmp_path))


def test_the_lock_is_free_after_the_run(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.create()
    assert enter(workdir)
    assert enter(workdir)


def test_latest_names_the_newest_run(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.create()
    runs = [workdir.new_run() for _ in range(3)]
    assert len(set(runs)) == 3
    (runs[-1] / "summary.json").write_text(json.dumps({"schema": 1}))
    assert (tmp_path / "runs" / "latest" / "summary.json").read_text() == '{"schema": 1}'
    assert (tmp_path / "runs" / "latest").readlink() == type(tmp_path)(runs[-1].name)
    assert sorted(path.name for path in workdir.runs.iterdir()) == sorted([*(run.name for run in runs), "latest"])


def test_a_moved_working_directory_keeps_its_latest_run(tmp_path):
    workdir = Workdir(tmp_path / "old")
    workdir.create()
    (workdir.new_run() / "note").write_text("x")
    (tmp_path / "old").rename(tmp_path / "new")
    assert (tmp_path / "new" / "runs" / "latest" / "note").read_text() == "x"
