"""Files, folders, globs and manifests, one path at a time."""

import glob
import os

import pytest

from components.errors import InputError
from pipeline.predict.inputs import count_inputs, find_inputs
from tests import pictures


def found(*paths):
    return list(find_inputs([str(path) for path in paths]))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ("b.PNG", "sub/deep/a.jpeg", "noname", "notes.txt", ".hidden.png", "fake.jpg"):
        content = b"words" if name in ("notes.txt", "fake.jpg") else pictures.encode(pictures.noise())
        pictures.write(tmp_path / name, content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_means_all_images_below_it(tree):
    os.mkfifo(tree / "pipe")
    assert [os.path.relpath(path) for path in found(tree)] == ["b.PNG", "fake.jpg", "noname", "sub/deep/a.jpeg"]


@pytest.mark.parametrize(
    "folder", ["@eaDir", "$RECYCLE.BIN", "lost+found", ".ipynb_checkpoints", "sub/System Volume Information"]
)
def test_what_systems_write_is_in_no_walk_and_no_glob_unless_it_is_named(tree, folder):
    pictures.write(tree / folder / "b.png", pictures.encode(pictures.noise()))
    assert [os.path.relpath(path) for path in found(tree)] == ["b.PNG", "fake.jpg", "noname", "sub/deep/a.jpeg"]
    assert found("**/b.*") == ["b.PNG"]
    assert found(f"{folder}/b.png") == [f"{folder}/b.png"]
    assert found(f"{glob.escape(folder)}/*.png") == [f"{folder}/b.png"]


def test_files_are_taken_as_they_are_given_even_missing_ones(tree):
    assert found("gone.png", "b.txt", "gone.png") == ["gone.png", "b.txt", "gone.png"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.PNG", ["b.PNG"]),
        ("**/*.jp*g", ["fake.jpg", "sub/deep/a.jpeg"]),
        ("su?", ["sub/deep/a.jpeg"]),
        ("[bn]*", ["b.PNG", "noname", "notes.txt"]),
        ("*.gif", []),
    ],
)
def test_a_glob_means_what_it_matches(tree, pattern, names):
    assert found(pattern) == names


def test_a_name_with_brackets_that_exists_is_a_name(tree):
    pictures.write(tree / "b[1].png", b"x")
    assert found("b[1].png") == ["b[1].png"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "label,Path\ncat,b.PNG\ndog,/abs/c.png\n"),
        ("list.csv", 'path;label\n"b.PNG";cat\n/abs/c.png;dog\n'),
        ("list.tsv", "path\tlabel\nb.PNG\tcat\n/abs/c.png\tdog\n"),
        ("list.jsonl", '{"path": "b.PNG", "label": 3}\n\n{"path": "/abs/c.png"}\n'),
        ("list.csv", "\ufeffpath\nb.PNG\n/abs/c.png\n"),
        ("list.csv", "label,File Name\ncat,b.PNG\ndog,/abs/c.png\n"),
        ("list.jsonl", '{"file_name": "b.PNG", "label": 3}\n{"image": "/abs/c.png"}\n'),
    ],
)
def test_a_manifest_names_paths_from_where_it_is(tree, name, text):
    pictures.write(tree / "sub" / name, text.encode())
    assert found(tree / "sub" / name) == [str(tree / "sub" / "b.PNG"), "/abs/c.png"]
    assert count_inputs([str(tree / "sub" / name)]) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.csv", "where,label\nb.PNG,cat\n", r"found the columns where, label\.\nExpected a header with .*`path`"),
        ("list.csv", "", r"found the columns none"),
        ("list.csv", "label,path\ncat\n", r"line 2 has no path"),
        ("list.jsonl", '{"path": "a"}\n["b"]\n', r"line 2 has no path"),
        ("list.jsonl", "path\n", r"line 1 is no JSON"),
        ("list.csv", "path\n\udcff\n", r"is no manifest: .*utf-8"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_line(tree, name, text, message):
    path = pictures.write(tree / name, text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        found(path)


def test_nothing_to_ask_about_is_refused(tmp_path):
    pictures.write(tmp_path / "notes.txt", b"words")
    with pytest.raises(InputError, match=f"found no image in {tmp_path}"):
        count_inputs([str(tmp_path)])


def test_a_folder_gives_formats_that_are_only_named_too(tmp_path):
    names = ["1.CR2", "2.svg", "3.pgm", "4", "notes.txt"]
    for name in names:
        (tmp_path / name).write_bytes(b"%PDF-1.7" if name == "4" else b"text")
    assert [os.path.basename(path) for path in find_inputs([str(tmp_path)])] == names[:4]
