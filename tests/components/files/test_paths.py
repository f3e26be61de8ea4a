"""The same calls do the same on a local path and on a remote one (TensorFlow's file system in memory)."""

import errno
import os
import subprocess
import sys

import pytest
import tensorflow as tf

from components.files import paths


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path):
    return str(tmp_path / "root") if request.param == "local" else f"ram://{tmp_path}/root"


def test_remote_is_what_has_a_scheme():
    assert [paths.is_remote(path) for path in ("s3://b/k", "GS://b", "/a/b", "a:b", "")] == [True, True] + [False] * 3
    assert paths.scheme_of("S3://b/k") == "s3"
    assert [paths.join(*parts) for parts in (("s3://b/k/", "a"), ("s3://b/k", "/a"))] == ["s3://b/k/a", "s3://b/k//a"]


def test_a_file_is_written_found_listed_renamed_and_removed(folder):
    assert not paths.exists(folder)
    assert paths.list_names(folder) == paths.walk_files(folder) == []
    paths.make_folder(f"{folder}/a/b")
    paths.make_folder(f"{folder}/a/b")
    for name in ("x.txt", "a/y.txt", "a/b/z.bin"):
        paths.write_atomically(f"{folder}/{name}", name if name.endswith("txt") else b"\0\xff")
    assert paths.is_folder(folder)
    assert not paths.is_folder(f"{folder}/x.txt")
    assert paths.exists(f"{folder}/x.txt")
    assert paths.read_bytes(f"{folder}/a/y.txt") == b"a/y.txt"
    assert paths.list_names(f"{folder}/a", ".txt") == ["y.txt"]
    assert sorted(paths.walk_files(folder)) == ["a/b/z.bin", "a/y.txt", "x.txt"]
    paths.rename(f"{folder}/x.txt", f"{folder}/a/y.txt")
    assert paths.read_bytes(f"{folder}/a/y.txt") == b"x.txt"
    paths.remove(f"{folder}/a/b/z.bin")
    assert paths.walk_files(folder) == ["a/y.txt"]
    paths.remove_folder(f"{folder}/a")
    assert not paths.walk_files(folder)
    paths.remove_folder(f"{folder}/a")


def test_pieces_of_a_file_can_be_read(folder):
    paths.make_folder(folder)
    paths.write_atomically(f"{folder}/a", b"0123456789")
    with paths.opened(f"{folder}/a") as file:
        assert (file.read(3), file.read(3)) == (b"012", b"345")


@pytest.mark.parametrize("call", [paths.read_bytes, paths.remove])
def test_a_file_that_is_not_there_is_one_kind_of_error(folder, call):
    paths.make_folder(folder)
    with pytest.raises(FileNotFoundError):
        call(f"{folder}/none")


def test_a_file_is_no_folder_to_list(folder):
    paths.make_folder(folder)
    paths.write_atomically(f"{folder}/a", b"")
    assert paths.list_names(f"{folder}/a") == []


def test_an_atomic_write_replaces_or_leaves_alone(folder, monkeypatch):
    paths.make_folder(folder)
    paths.write_atomically(f"{folder}/a", b"one")
    paths.write_atomically(f"{folder}/a", b"two")

    def refuse(*_, **__):
        if paths.is_remote(folder):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tf.io.gfile, "rename", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space left on device"):
        paths.write_atomically(f"{folder}/a", b"three")
    monkeypatch.undo()
    assert paths.read_bytes(f"{folder}/a") == b"two"
    assert paths.list_names(folder) == ["a"]


def test_objects_that_stand_for_folders_are_no_files(monkeypatch):
    walked = [("gs://b/m", ["v"], ["graph", "/"]), ("gs://b/m/v", [], ["index", ""])]
    monkeypatch.setattr(tf.io.gfile, "walk", lambda _: walked)
    assert paths.walk_files("gs://b/m") == paths.walk_files("gs://b/m/") == ["graph", "v/index"]


def test_local_files_need_no_tensorflow(tmp_path):
    script = (
        "import sys; from components.files import digests, paths; root = sys.argv[1]\n"
        "paths.write_atomically(root + '/a', 'x'); paths.remove_folder(root + '/none')\n"
        "assert digests.digest_path(root) and paths.list_names(root) == ['a'] and paths.exists(root)\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == 0
