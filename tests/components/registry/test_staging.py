"""Where a version is written before it has its name."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.registry import pointer
from components.registry.staging import (
    ABANDONED_SECONDS,
    LOCK_SUFFIX,
    PARTIAL_PREFIX,
    copy_tree,
    remove_abandoned,
    staged,
)

ROOT = Path(__file__).resolve().parents[3]
WRITER = """
import sys, time
from pathlib import Path
from components.registry.staging import staged
with staged(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    print(folder.name, flush=True)
    time.sleep(600)
"""


def start_writer(serving):
    """Another process that has begun to write a version; its folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(serving)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    return process, serving / process.stdout.readline().strip()


def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    writer, folder = start_writer(tmp_path)
    try:
        with staged(tmp_path) as ours:
            assert ours != folder
            assert (folder / "half").exists()
        assert (folder / "half").exists()
    finally:
        writer.kill()
        writer.wait()
    assert (folder / "half").exists()
    with staged(tmp_path) as ours:
        assert sorted(path.name for path in tmp_path.glob(f"{PARTIAL_PREFIX}*")) == [ours.name, ours.name + LOCK_SUFFIX]
    assert not list(tmp_path.glob(f"{PARTIAL_PREFIX}*"))


def test_a_failed_write_leaves_nothing(tmp_path):
    def fail():
        with staged(tmp_path) as folder:
            (folder / "half").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == [pointer.LOCK_FILE]


@pytest.mark.parametrize(
    ("host", "age", "stays"),
    [("elsewhere", 0.0, True), ("elsewhere", ABANDONED_SECONDS + 60, False), (socket.gethostname(), 0.0, False)],
)
def test_a_leftover_of_another_machine_waits_a_day(tmp_path, host, age, stays):
    """Its lock may not reach this machine, as on some network file systems."""
    folder, lock = tmp_path / f"{PARTIAL_PREFIX}x", tmp_path / f"{PARTIAL_PREFIX}x{LOCK_SUFFIX}"
    folder.mkdir()
    lock.write_text(host)
    os.utime(lock, (time.time() - age, time.time() - age))
    remove_abandoned(tmp_path)
    assert folder.exists() is lock.exists() is stays


def test_leftovers_of_an_older_graft_and_half_pointers_go(tmp_path):
    (tmp_path / f"{PARTIAL_PREFIX}1763000000" / "assets").mkdir(parents=True)
    (tmp_path / f".{pointer.POINTER_FILE}.1234").touch()
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_said_and_used(tmp_path, monkeypatch, caplog):
    import errno
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with staged(tmp_path) as folder:
        assert folder.is_dir()
    assert "has no locks ([Errno 37] No locks available): let one push at a time use it" in caplog.text


def test_remote_trees_are_read_by_tensorflow(tmp_path, monkeypatch):
    """The empty objects that stand for folders in an object store are no files."""
    import io

    import tensorflow as tf

    content = {"gs://b/m/saved_model.pb": b"graph", "gs://b/m/variables/index": b"i"}
    walked = [("gs://b/m", ["variables"], ["saved_model.pb", "/"]), ("gs://b/m/variables", [], ["index", ""])]
    monkeypatch.setattr(tf.io.gfile, "walk", lambda _: walked)
    monkeypatch.setattr(tf.io.gfile, "GFile", lambda path, _: io.BytesIO(content[path]))
    digests = copy_tree("gs://b/m/", tmp_path / "copy")
    assert list(digests) == ["saved_model.pb", "variables/index"]
    assert (tmp_path / "copy" / "variables" / "index").read_bytes() == b"i"
