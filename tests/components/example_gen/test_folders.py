"""All files below a folder: links, loops, pipes, odd names, file systems of TensorFlow."""

import os
import re
import unicodedata
import uuid

import pytest

from components.errors import InputError
from components.example_gen import folders, remote
from components.example_gen.folders import LOOP, stat_file, walk_folder
from components.lines import LINES
from tests import trees

ODD_NAMES = [
    "a b.jpg",
    " .jpg",
    "'\"`$(x).jpg",
    "100%.jpg",
    "a#2.jpg",
    "-rf.jpg",
    "two\nlines.jpg",
    unicodedata.normalize("NFC", "é.jpg"),
    unicodedata.normalize("NFD", "é.jpg"),
    "日本語.jpg",
    "🐈.jpg",
    "x" * 251 + ".jpg",
    os.fsdecode(b"caf\xe9.jpg"),
]


def names(tree):
    return sorted(file.name for file in tree.files)


def test_files_come_with_their_facts(tmp_path):
    root = trees.pack(tmp_path, "folder", {"cats/1.jpg": b"12345", "x.txt": b""})
    tree = walk_folder(root)
    status = os.stat(tmp_path / "data" / "cats" / "1.jpg")
    found = next(file for file in tree.files if file.name == "cats/1.jpg")
    assert (found.size, found.mtime_ns, found.inode) == (5, status.st_mtime_ns, status.st_ino)
    assert found.path == f"{root}/cats/1.jpg"
    assert (names(tree), tree.folders, tree.container) == (["cats/1.jpg", "x.txt"], ["cats"], "folder")


def test_odd_names_are_kept_as_they_are(tmp_path):
    root = trees.pack(tmp_path, "folder", trees.contents(*(f"cats/{name}" for name in ODD_NAMES)))
    tree = walk_folder(root)
    assert names(tree) == sorted(f"cats/{name}" for name in ODD_NAMES)
    assert all(os.path.exists(file.path) for file in tree.files)


def test_links_are_followed_and_loops_are_refused(tmp_path):
    root = trees.pack(tmp_path, "folder", trees.contents("cats/1.jpg", "dogs/1.jpg", "cats/deep/2.jpg"))
    elsewhere = trees.pack(tmp_path / "elsewhere", "folder", trees.contents("3.jpg"))
    os.symlink(elsewhere, f"{root}/cats/more")
    os.symlink(elsewhere, f"{root}/dogs/same")
    os.symlink(f"{root}/cats/1.jpg", f"{root}/dogs/linked.jpg")
    os.symlink(root, f"{root}/cats/deep/loop")
    os.symlink("../deep", f"{root}/cats/deep/itself")
    os.symlink("../../..", f"{root}/dogs/above")
    tree = walk_folder(root)
    assert names(tree) == [
        *("cats/1.jpg", "cats/deep/2.jpg", "cats/deep/itself", "cats/deep/loop", "cats/more/3.jpg"),
        *("dogs/1.jpg", "dogs/above", "dogs/linked.jpg", "dogs/same/3.jpg"),
    ]
    assert {file.name for file in tree.files if file.problem == LOOP} == {
        "cats/deep/loop",
        "cats/deep/itself",
        "dogs/above",
    }
    linked = next(file for file in tree.files if file.name == "dogs/linked.jpg")
    assert linked.inode == os.stat(f"{root}/cats/1.jpg").st_ino


def test_links_to_nothing_are_left_for_the_reader(tmp_path):
    root = trees.pack(tmp_path, "folder", trees.contents("cats/1.jpg"))
    os.symlink("nowhere", f"{root}/cats/dangling.jpg")
    os.symlink("circle.jpg", f"{root}/cats/circle.jpg")
    tree = walk_folder(root)
    assert names(tree) == ["cats/1.jpg", "cats/circle.jpg", "cats/dangling.jpg"]
    assert [file.mtime_ns for file in tree.files if file.name != "cats/1.jpg"] == [0, 0]


def test_pipes_are_left_aside(tmp_path):
    root = trees.pack(tmp_path, "folder", trees.contents("cats/1.jpg"))
    os.mkfifo(f"{root}/cats/pipe.jpg")
    assert walk_folder(root).ignored == [("cats/pipe.jpg", "special")]


def test_a_folder_that_cannot_be_listed_is_one_source_with_the_reason(tmp_path, monkeypatch):
    root = trees.pack(tmp_path, "folder", trees.contents("cats/1.jpg", "dogs/a/1.jpg", "dogs/b/2.jpg"))
    scan = os.scandir

    def refuse(path):
        if path.endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(folders.os, "scandir", refuse)
    tree = walk_folder(root)
    assert names(tree) == ["cats/1.jpg", "dogs/a/", "dogs/b/2.jpg"]
    problem = next(file.problem for file in tree.files if file.problem)
    assert problem == "the folder cannot be listed: Permission denied"


def test_a_root_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folders.os, "scandir", refuse)
    with pytest.raises(InputError, match=r"cannot list .*: Permission denied\.\nGive a folder"):
        walk_folder(str(tmp_path))


def test_a_file_that_was_not_listed_is_looked_at(tmp_path):
    root = trees.pack(tmp_path, "folder", {"cats/1.jpg": b"123"})
    os.mkfifo(f"{root}/pipe")
    assert stat_file("x", f"{root}/cats/1.jpg").size == 3
    problems = [stat_file("x", f"{root}/{name}").problem for name in ("nowhere", "cats", "pipe", "cats/1.jpg/x")]
    assert problems == ["no such file", "a folder", "a pipe, a socket or a device", "Not a directory"]


@pytest.fixture
def ram():
    """A folder in TensorFlow's file system in memory."""
    import tensorflow as tf

    root = f"ram://{uuid.uuid4().hex}"
    for name in ("cats/1.jpg", "cats/deep/é 2.jpg", "dogs/3.jpg"):
        tf.io.gfile.makedirs(f"{root}/{name}".rpartition("/")[0])
        with tf.io.gfile.GFile(f"{root}/{name}", "wb") as file:
            file.write(name.encode())
    return root


def test_remote_folders_are_walked(ram):
    tree = walk_folder(ram)
    assert names(tree) == ["cats/1.jpg", "cats/deep/é 2.jpg", "dogs/3.jpg"]
    assert sorted(tree.folders) == ["cats", "cats/deep", "dogs"]
    assert {file.size for file in tree.files if file.name == "cats/1.jpg"} == {10}
    assert all(file.path == f"{ram}/{file.name}" for file in tree.files)


def test_remote_paths_are_told_apart(ram):
    assert [remote.kind_of(f"{ram}{rest}") for rest in ("", "/cats", "/cats/1.jpg", "/none")] == [
        "folder",
        "folder",
        "file",
        "",
    ]


def test_remote_files_can_be_read_anywhere(ram):
    with remote.open_file(f"{ram}/cats/1.jpg") as file:
        assert file.seek(-3, os.SEEK_END) == 7
        assert (file.read(), file.seek(5), file.read(2), file.tell()) == (b"jpg", 5, b"1.", 7)
    with pytest.raises(OSError, match="NotFound"):
        remote.open_file(f"{ram}/none")


def test_remote_files_that_are_not_there_have_a_problem(ram):
    assert [remote.stat_source("x", f"{ram}/{name}").problem for name in ("none", "cats")] == [
        "no such file",
        "a folder",
    ]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("1.16", "Install its plugin (pip install tensorflow-io), or copy"),
        ("1.21", "opens gs:// only: mount it, or copy"),
    ],
)
@pytest.mark.parametrize("scheme", ["s3", "nosuch"])
def test_a_missing_file_system_is_named_with_what_its_line_has(monkeypatch, scheme, line, advice):
    monkeypatch.setattr(remote, "current_line", lambda: LINES[line])
    words = rf"no file system for {scheme}:// is installed.*\n.*{re.escape(advice)}"
    with pytest.raises(InputError, match=words):
        remote.kind_of(f"{scheme}://bucket/data")
