"""All files below a folder: links, loops, pipes, odd names."""

import os
import unicodedata

import pytest

from components.errors import InputError
from components.sources.formats import folders
from components.sources.formats.folders import FOLDER_LOOP, stat_file, walk_folder
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
    assert {file.name for file in tree.files if file.problem == FOLDER_LOOP} == {
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


def make_workdir(folder):
    """What a run has made before it looks at its data again."""
    (folder / "runs" / "1").mkdir(parents=True)
    (folder / "sample" / "cats").mkdir(parents=True)
    for name in (".lock", "data.sqlite", "sample/cats/1.png"):
        (folder / name).touch()


def test_working_directories_below_the_images_are_passed_over(tmp_path):
    for label in ("cats", "dogs"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").touch()
    before = walk_folder(str(tmp_path))
    make_workdir(tmp_path / "work" / "pets")
    make_workdir(tmp_path / "cats" / "work" / "deep")
    after = walk_folder(str(tmp_path))
    assert sorted(after.folders) == sorted(before.folders) == ["cats", "dogs"]
    assert {file.name for file in after.files} == {"cats/1.png", "dogs/1.png"}
    (tmp_path / "work" / "notes.txt").touch()  # a folder that holds something else, too, stays
    assert sorted(walk_folder(str(tmp_path)).folders) == ["cats", "dogs", "work"]
    assert walk_folder(str(tmp_path / "work" / "pets")).files  # one that is asked for by its name
