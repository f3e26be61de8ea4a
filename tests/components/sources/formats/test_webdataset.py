"""WebDataset shards: samples, their classes, and what is said where one half is missing."""

import gzip
import json

import pytest

from components.errors import InputError
from components.options.data import DataOptions
from components.sources.find import list_sources
from components.sources.table import read_source
from tests import trees
from tests.components.sources.test_nested import archive

LIMIT = 1000


def listed(path, **options):
    return list_sources(str(path), DataOptions(**options))


def samples(*labels, field="cls", start=0):
    """Files of samples, one a label."""
    files = {}
    for index, label in enumerate(labels, start):
        files[f"{index:06d}.jpg"] = f"image {index}".encode()
        files[f"{index:06d}.{field}"] = label
    return files


def pairs(listing):
    return [(source.label, read_source(source, LIMIT).decode()) for source in listing.sources]


@pytest.mark.parametrize("form", ["path", "folder", "tar", "zip"])
@pytest.mark.parametrize("packing", ["tar", "tar.gz"])
@pytest.mark.parametrize("field", ["cls", "class", "label", "cls.txt", "CLS"])
def test_the_class_is_beside_the_image(tmp_path, form, packing, field):
    first, second = samples(b"0", b"1\n", field=field), samples(b"1", b"0", field=field, start=2)
    if form == "path":
        path = trees.pack(tmp_path, packing, first | second)
    else:
        shards = {
            f"w/shard-{index:06d}.{packing}": archive(packing, files) for index, files in enumerate((first, second))
        }
        path = trees.pack(tmp_path, form, shards)
    listing = listed(path)
    assert listing.layout == "webdataset"
    assert sorted(pairs(listing)) == [("0", "image 0"), ("0", "image 3"), ("1", "image 1"), ("1", "image 2")]
    assert {why for _, why in listing.ignored} == {"beside_sample"}
    assert len(listing.ignored) == 4
    assert listing.notes[0].startswith("WebDataset samples: the class of 1.jpg is in 1.")


@pytest.mark.parametrize("key", ["label", "class", "cls", "class_name"])
def test_the_class_may_be_in_json(tmp_path, key):
    labels = [json.dumps({"width": 3, key: label}).encode() for label in ("cats", 7, "cats")]
    assert pairs(listed(trees.pack(tmp_path, "tar", samples(*labels, field="json")))) == [
        ("cats", "image 0"),
        ("7", "image 1"),
        ("cats", "image 2"),
    ]


def test_json_of_another_use_changes_no_class_folder(tmp_path):
    files = trees.contents("cats/1.jpg", "dogs/2.jpg") | {"cats/1.json": b'{"shapes": []}', "dogs/2.json": b"[1]"}
    for container in trees.CONTAINERS[:3]:
        listing = listed(trees.pack(tmp_path, container, files))
        assert (listing.layout, listing.labels) == ("class_folders", ["cats", "dogs"])


def test_shards_may_tell_their_split(tmp_path):
    shards = {
        f"{name}-{index:04d}.tar": archive("tar", samples(b"0", b"1"))
        for name in ("x-train", "x-val")
        for index in (0, 1)
    }
    listing = listed(trees.pack(tmp_path, "folder", shards))
    assert [source.split for source in listing.sources] == ["train"] * 4 + ["eval"] * 4
    assert len({source.name for source in listing.sources}) == 8
    assert sorted(pairs(listing)) == sorted([("0", "image 0"), ("1", "image 1")] * 4)
    test = shards | {"x-test-0000.tar": archive("tar", samples(b"0", b"1"))}
    listing = listed(trees.pack(tmp_path, "folder", test))
    assert [why for _, why in listing.ignored].count("test_folder") == 4
    with pytest.raises(InputError, match="does not say on which side it is"):
        listed(trees.pack(tmp_path, "folder", shards | {"more.tar": archive("tar", samples(b"0"))}))


def test_samples_that_are_not_whole_are_in_the_ledger(tmp_path):
    files = samples(b"0", b"1", b"0", b"1") | {
        "a.jpg": b"image a",
        "b.cls": b"1",
        "c.jpg": b"image c",
        "c.png": b"mask",
        "c.cls": b"1",
        "d.jpg": b"image d",
        "d.cls": b"\xff\xfe",
        "e.jpg": b"image e",
        "e.cls": b" \n",
        "readme.txt": b"hello",
    }
    listing = listed(trees.pack(tmp_path, "tar", files))
    problems = {source.name: source.problem for source in listing.sources if source.problem}
    assert sorted(problems) == ["a.jpg", "b.cls", "c.jpg", "c.png", "d.jpg", "e.jpg"]
    assert problems["a.jpg"].startswith("no class: expected a field cls")
    assert problems["b.cls"] == "a class without an image"
    assert problems["c.jpg"] == "several images in one sample: jpg, png"
    assert problems["d.jpg"].startswith("no class: .cls cannot be read: ")
    assert sorted([source.name for source in listing.sources] + [name for name, _ in listing.ignored]) == sorted(files)


def test_a_field_with_a_dot_is_no_second_image(tmp_path):
    files = samples(b"0", b"1") | {"000000.seg.png": b"mask", "000000.txt": b"a caption"}
    listing = listed(trees.pack(tmp_path, "tar", files))
    assert pairs(listing) == [("0", "image 0"), ("1", "image 1")]
    assert len(listing.ignored) == 4


def test_two_samples_of_one_name_in_a_shard_are_both_there(tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "a.tar", "w") as packed:
        for label in (b"0", b"1"):
            packed.addfile(*trees.tar_member("x.jpg", b"image " + label))
            packed.addfile(*trees.tar_member("x.cls", label))
    assert pairs(listed(tmp_path / "a.tar")) == [("0", "image 0"), ("1", "image 1")]


def test_a_list_beside_the_shards_names_the_classes(tmp_path):
    files = {"a.tar": archive("tar", samples(b"0", b"1", b"1")), "classnames.txt": b"cats\ndogs\n\n"}
    listing = listed(trees.pack(tmp_path, "folder", files))
    assert [label for label, _ in pairs(listing)] == ["cats", "dogs", "dogs"]
    assert ("classnames.txt", "class_names") in listing.ignored
    assert listing.notes[1] == "the names of the classes, by their numbers, are in classnames.txt"


@pytest.mark.parametrize("names", [b"cats\n", b"cats\ncats\n", b"\xff\n\xfe\n", b""])
def test_a_list_that_does_not_fit_names_nothing(tmp_path, names):
    files = {"a.tar": archive("tar", samples(b"0", b"1")), "classes.txt": names}
    assert listed(trees.pack(tmp_path, "folder", files)).labels == ["0", "1"]


def test_a_bomb_for_a_class_is_not_read(tmp_path):
    files = samples(b"0", b"1", bytes(50 << 20))
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(archive("tar", files)))
    *_, bomb = listed(path).sources
    assert bomb.problem == "no class: .cls cannot be read: 52,428,800 bytes, limit 1,024"
