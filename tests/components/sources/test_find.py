"""From a path to a list of what may be images: every layout, in folders and archives, and nothing unaccounted."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InputError
from components.options.data import DataOptions
from components.sources.find import list_sources, unique_names
from components.sources.listing import IGNORED
from components.sources.table import INGEST_FORMATS, read_source
from tests import trees
from tests.components.sources.formats.test_folders import ODD_NAMES

TABLE = b"""path,label,split
images/1.jpg,cats,train
images/2.jpg,dogs,train
images/3.jpg,cats,val
images/4.jpg,dogs,val
"""
SPLIT = [("cats", "eval"), ("cats", "train"), ("dogs", "eval"), ("dogs", "train")]


def records(side):
    frames = [trees.frame(trees.record(f"{side} {label}".encode(), label.encode())) for label in ("cats", "dogs")]
    return {f"{side}.tfrecord": b"".join(frames)}


CLASSES = {"train/1": b"cats", "train/2": b"dogs\n", "val/3": b"cats", "val/4": b"dogs"}
TINY = {
    "class_folders": (
        trees.contents("cats/1.jpg", "cats/sub/2.PNG", "dogs/3"),
        [("cats", ""), ("cats", ""), ("dogs", "")],
    ),
    "split_folders": (
        trees.contents("train/cats/1.jpg", "train/dogs/2.jpg", "val/cats/3.jpg", "val/dogs/4.jpg"),
        SPLIT,
    ),
    "nested_folders": (
        trees.contents("animals/cats/1.jpg", "things/cars/2.jpg"),
        [("animals/cats", ""), ("things/cars", "")],
    ),
    "leaf_folders": (
        trees.contents("a/cats/1.jpg", "a/dogs/2.jpg", "b/cats/3.jpg"),
        [("cats", ""), ("cats", ""), ("dogs", "")],
    ),
    "file_names": (
        trees.contents("cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg"),
        [("cat", ""), ("cat", ""), ("dog", ""), ("dog", "")],
    ),
    "manifest": ({"manifest.csv": TABLE} | trees.contents(*(f"images/{index}.jpg" for index in range(1, 5))), SPLIT),
    "tfrecord": (records("train") | records("eval"), SPLIT),
    "webdataset": (
        trees.contents("train/1.jpg", "train/2.jpg", "val/3.jpg", "val/4.jpg")
        | {f"{name}.cls": label for name, label in CLASSES.items()},
        SPLIT,
    ),
}


def listed(path, **options):
    return list_sources(str(path), DataOptions(**options))


def make(tmp_path, *names):
    (tmp_path / "data").mkdir(exist_ok=True)
    return trees.pack(tmp_path, "folder", trees.contents(*names))


@pytest.mark.parametrize("container", trees.CONTAINERS)
@pytest.mark.parametrize("layout", INGEST_FORMATS)
def test_every_layout_is_found_out_in_every_container(tmp_path, container, layout):
    files, expected = TINY[layout]
    files = {f"wrapper/{name}": content for name, content in files.items()} | trees.contents("wrapper/.DS_Store")
    path = trees.pack(tmp_path, container, files)
    listing = listed(path, layout=layout if layout == "leaf_folders" else "auto")  # which is never taken unasked
    assert listing.layout == layout
    assert listing.notes
    assert sorted((source.label, source.split) for source in listing.sources) == expected
    assert [source.name for source in listing.sources] == sorted(source.name for source in listing.sources)
    assert ("wrapper/.DS_Store", "hidden") in listing.ignored
    assert listing.container.split()[-1] == ("folder" if container == "folder" else "archive")
    assert listing.root == path
    for source in listing.sources:
        content = read_source(source, 1000)
        assert content.decode() in (source.name.removeprefix("wrapper/"), f"{source.split} {source.label}")
        assert source.size == len(content)
    forced = listed(path, layout=layout)
    assert (forced.sources, forced.layout) == (listing.sources, layout)


@pytest.mark.parametrize("container", trees.CONTAINERS[:4])
def test_a_remote_container_is_read_like_a_local_one(tmp_path, container, gs):
    local = trees.pack(tmp_path, container, TINY["class_folders"][0])
    remote = f"{gs.root}/data"
    if container == "folder":
        gs.put({f"data/{name}": content for name, content in TINY["class_folders"][0].items()})
    else:
        gs.put({"data": Path(local).read_bytes()})
    found = [[(source.name, source.label, source.size) for source in listed(path).sources] for path in (local, remote)]
    assert found[0] == found[1]
    assert [read_source(source, 100) for source in listed(remote).sources] == list(TINY["class_folders"][0].values())


@pytest.mark.parametrize("container", ["folder", "zip", "tar"])
def test_odd_names_are_listed_and_read(tmp_path, container):
    odd = [name for name in ODD_NAMES if container != "zip" or name.isprintable() or name == "two\nlines.jpg"]
    names = [f"{label}/{name}" for label in ("a 'b\" é", "日本") for name in odd]
    listing = listed(trees.pack(tmp_path, container, trees.contents(*names)))
    assert [source.name for source in listing.sources] == sorted(names)
    assert all(read_source(source, 1000) == os.fsencode(source.name) for source in listing.sources)


def test_what_lies_outside_classes_is_left_aside_with_the_reason(tmp_path):
    root = make(tmp_path, "cats/1.jpg", "dogs/2.jpg", "README", "notes.txt", ".git/config", "__MACOSX/cats/1.jpg")
    os.mkfifo(f"{root}/cats/pipe")
    listing = listed(root)
    assert listing.ignored == [
        (".git/config", "hidden"),
        ("README", "outside_classes"),
        ("__MACOSX/cats/1.jpg", "system"),
        ("cats/pipe", "special"),
        ("notes.txt", "outside_classes"),
    ]
    assert {why for _, why in listing.ignored} <= IGNORED.keys()


def test_problems_of_listing_are_sources(tmp_path):
    root = make(tmp_path, "cats/1.jpg", "dogs/2.jpg")
    os.symlink(root, f"{root}/top")
    os.symlink("../cats", f"{root}/cats/loop")
    os.symlink("..", f"{root}/.hidden")
    os.symlink("nowhere", f"{root}/dogs/dangling.jpg")
    listing = listed(root)
    loop = "a link to one of its own parent folders"
    assert [(source.name, source.label, source.problem) for source in listing.sources] == [
        ("cats/1.jpg", "cats", ""),
        ("cats/loop", "cats", loop),
        ("dogs/2.jpg", "dogs", ""),
        ("dogs/dangling.jpg", "dogs", ""),
        ("top", "", loop),
    ]
    assert listing.ignored == [(".hidden", "hidden")]
    assert listing.labels == ["cats", "dogs"]


def test_a_class_folder_that_cannot_be_listed_keeps_its_class(tmp_path, monkeypatch):
    from components.sources.formats import folders

    root = make(tmp_path, "cats/1.jpg", "dogs/2.jpg")
    scan = os.scandir

    def refuse(path):
        if path.endswith("dogs"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(folders.os, "scandir", refuse)
    assert [(source.name, source.label) for source in listed(root).sources] == [
        ("cats/1.jpg", "cats"),
        ("dogs/", "dogs"),
    ]


def test_two_members_of_one_name_have_two_names(tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("cats/1.jpg", "cats/1.jpg", "dogs/1.jpg", "cats/1.jpg#2", "dogs/.x", "dogs/.x", "../evil.jpg"):
            archive.addfile(*trees.tar_member(name, b"x"))
    listing = listed(tmp_path / "a.tar")
    assert [(source.name, source.label) for source in listing.sources] == [
        ("../evil.jpg", ""),
        ("cats/1.jpg", "cats"),
        ("cats/1.jpg#2", "cats"),
        ("cats/1.jpg#3", "cats"),
        ("dogs/1.jpg", "dogs"),
    ]
    assert listing.ignored == [("dogs/.x", "hidden"), ("dogs/.x#2", "hidden")]


def test_many_members_of_one_name_take_no_longer_than_others():
    names = unique_names(["a"] * 100_000)
    assert len(set(names)) == 100_000
    assert names[:3] == ["a", "a#2", "a#3"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"found no images in .* \(0 other files\)"),
        (["readme.txt"], r"found no images in .* \(1 other files: 1 \.txt\)"),
        (["readme.txt", "1.jpg", "2.jpg"], r"2 images directly in .*, without classes"),
        (["cats/1.jpg", "cats/2.jpg"], r"at least two classes, found one in .*: 'cats' with 2 files"),
        (["cats/1.jpg", "dogs/.hidden"], "class 'dogs' has no image: its folder in .* is empty"),
    ],
)
def test_folders_that_cannot_be_learned_from_are_refused_with_what_to_do(tmp_path, names, message):
    root = make(tmp_path, *names)
    with pytest.raises(InputError, match=message) as caught:
        listed(root)
    assert root in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_a_tree_with_nothing_but_problems_says_one(tmp_path):
    root = make(tmp_path)
    os.symlink(root, f"{root}/top")
    with pytest.raises(InputError, match=r"found no images in .*; top: a link to one of its own parent folders"):
        listed(root)


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected a folder of images, found nothing at .*nowhere") as caught:
        listed(tmp_path / "nowhere")
    assert "--data DIR" in str(caught.value)


@pytest.mark.parametrize("name", ["a.xyz", "a.jpg", "broken.tar.gz"])
def test_a_file_of_another_kind_is_refused_with_what_is_expected(tmp_path, name):
    (tmp_path / name).write_bytes((b"\x1f\x8b" if name.endswith("gz") else b"Hello") * 10)
    with pytest.raises(InputError, match=r"found a file at .* that is not\n") as caught:
        listed(tmp_path / name)
    for known in (".zip", ".tar.gz", ".csv", ".jsonl", ".tfrecord", "or is damaged"):
        assert known in str(caught.value)


def test_a_pipe_is_no_data(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"cannot read .*pipe: a pipe, a socket or a device"):
        listed(tmp_path / "pipe")


@pytest.mark.parametrize("layout", ["split_folders", "manifest", "tfrecord"])
def test_a_layout_that_the_data_does_not_have_is_refused(tmp_path, layout):
    root = make(tmp_path, "cats/1.jpg", "dogs/2.jpg")
    with pytest.raises(
        InputError, match=rf"data.layout: {layout} expects .*; nothing like it was found in {root}"
    ) as caught:
        listed(root, layout=layout)
    assert "data.layout: auto" in str(caught.value)


@pytest.mark.parametrize("name", ["labels.csv", "a.tfrecord"])
def test_a_single_file_has_only_its_own_layout(tmp_path, name):
    (tmp_path / "labels.csv").write_text("path,label\na.jpg,cats\nb.jpg,dogs\n")
    (tmp_path / "a.tfrecord").write_bytes(b"")
    with pytest.raises(InputError, match=r"data.layout: class_folders expects"):
        listed(tmp_path / name, layout="class_folders")


@pytest.mark.parametrize("label", [b"caf\xe9", b"two\nlines", "two\u2028lines".encode()])
def test_class_names_that_no_label_file_can_hold_are_refused(tmp_path, label):
    root = make(tmp_path, "cats/1.jpg", f"{os.fsdecode(label)}/1.jpg")
    with pytest.raises(InputError, match=r"cannot name a class: expected UTF-8 on one line\.\nRename"):
        listed(root)


def test_labels_of_a_manifest_and_of_records_are_held_to_the_same(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "m.jsonl").write_text('{"path": "a", "label": "b\\nc"}\n{"path": "b", "label": "c"}\n')
    (tmp_path / "a.tfrecord").write_bytes(b"".join(trees.frame(trees.record(b"x", label)) for label in (b"a", b"\xff")))
    for name in ("m.jsonl", "a.tfrecord"):
        with pytest.raises(InputError, match=r"cannot name a class"):
            listed(tmp_path / name)


PARTS = st.sampled_from(
    [
        "a",
        "b",
        "train",
        "val",
        "test",
        "x y",
        ".h",
        "__MACOSX",
        "manifest",
        "é",
        "n.jpg",
        "1.png",
        "t.txt",
        "Thumbs.db",
        "#2",
    ]
)
TREES = st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), max_size=10)
SEEDS = [
    [],
    ["c/0.jpg", "d/0.jpg"],
    ["w/train/c/0.jpg", "w/val/c/0.jpg", "w/val/d/0.jpg", "w/test/d/0.jpg"],
    ["x/c/0.jpg", "y/d/0.jpg"],
]
REFUSALS = "found no images|two classes|nothing like it|is empty|or is damaged|cannot tell|without classes"


@given(
    names=TREES,
    seed=st.sampled_from(SEEDS),
    container=st.sampled_from(["folder", "tar", "zip"]),
    layout=st.sampled_from(["auto", *list(INGEST_FORMATS)[:3]]),
)
def test_every_file_of_a_random_tree_is_accounted(tmp_path_factory, names, seed, container, layout):
    names = sorted({*names, *seed})
    names = [name for name in names if not any(other.startswith(f"{name}/") for other in names)]
    place = tmp_path_factory.mktemp("tree")
    (place / "data").mkdir()
    path = trees.pack(place, container, trees.contents(*names))
    try:
        listing = listed(path, layout=layout)
    except InputError as error:
        assert re.search(REFUSALS, str(error))  # noqa: PT017
        return
    found = [source.name for source in listing.sources] + [name for name, _ in listing.ignored]
    assert sorted(found) == names
    assert all(source.label in listing.folders for source in listing.sources)
    assert {why for _, why in listing.ignored} <= IGNORED.keys()
    assert len({bool(source.split) for source in listing.sources}) == 1
