"""The temporary folder of a process, and what is left of one that was killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.process import scratch

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import tempfile, time
from pipeline.process import scratch
with scratch.own_folder():
    open(tempfile.mkdtemp() + "/half", "w").close()
    print(tempfile.gettempdir(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def holder(place):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(place)}
    process = subprocess.Popen([sys.executable, "-c", HOLDER], env=environment, stdout=subprocess.PIPE, text=True)
    folder = Path(process.stdout.readline().strip())
    assert folder.parent == place
    yield process, folder
    process.kill()
    process.communicate()


def test_all_temporary_files_are_in_one_folder_that_goes(place):
    with scratch.own_folder():
        own = Path(tempfile.gettempdir())
        assert own.parent == place
        assert Path(tempfile.mkdtemp()).parent == own
        assert subprocess.check_output(["mktemp", "-u"], text=True).startswith(f"{own}/")
    assert list(place.iterdir()) == []
    assert tempfile.gettempdir() == str(place)


def test_the_folder_of_a_live_process_stays_and_that_of_a_killed_one_goes(place, holder):
    process, folder = holder
    scratch.remove_leftovers(place)
    assert folder.is_dir()
    process.send_signal(signal.SIGKILL)
    process.wait()
    with scratch.own_folder():
        assert not folder.exists()


def test_what_is_not_ours_stays(place):
    target = place / "precious"
    target.mkdir()
    (place / f"{scratch.PREFIX}link").symlink_to(target)
    (place / f"{scratch.PREFIX}file").touch()
    (place / "graft-execute-old").mkdir()
    scratch.remove_leftovers(place)
    assert len(list(place.iterdir())) == 4


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_stays(place):
    folder = place / f"{scratch.PREFIX}theirs"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    scratch.remove_leftovers(place)
    assert folder.is_dir()


def test_without_a_usable_place_things_stay_as_they_are(place, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(place / "missing"))
    with scratch.own_folder():
        assert tempfile.gettempdir() == str(place / "missing")
