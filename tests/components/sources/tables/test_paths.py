"""Which file a row means: never another one, and one hint where the whole table is off."""

import unicodedata

import pytest

from components.errors import InputError
from components.options.data import DataOptions
from components.sources.find import list_sources
from tests import trees


def listed(root, table, rows, header="path,label"):
    text = "\n".join([header, *(f"{path},{label}" for path, label in rows)]) + "\n"
    (root / "data" / table).parent.mkdir(parents=True, exist_ok=True)
    (root / "data" / table).write_bytes(text.encode("utf-8", "surrogateescape"))
    return list_sources(str(root / "data"), DataOptions(layout="manifest"))


def problems_of(listing):
    return {source.name: source.problem for source in listing.sources}


def pack(tmp_path, *names):
    trees.pack(tmp_path, "folder", trees.contents(*names))


TRAIN = [f"train/{number}.jpg" for number in range(30)]


@pytest.mark.parametrize("row", ["train/99.jpg", "99", "99.jpg"])
def test_a_row_whose_file_is_missing_is_not_given_another_one(tmp_path, row):
    pack(tmp_path, *TRAIN, "test/99.jpg")
    names = {"train/99.jpg": TRAIN, "99.jpg": [f"{i}.jpg" for i in range(30)], "99": range(30)}[row]
    listing = listed(tmp_path, "labels.csv", [*((name, "ab"[i % 2]) for i, name in enumerate(names)), (row, "a")])
    assert problems_of(listing) == dict.fromkeys(TRAIN, "") | {row: "no such file"}


def test_the_same_name_in_several_folders_is_not_guessed(tmp_path):
    pack(tmp_path, "x/1.jpg", "y/1.jpg", "x/2.jpg", "z/3.jpg")
    listing = listed(tmp_path, "labels.csv", [("1.jpg", "a"), ("2.jpg", "b"), ("3.jpg", "b")])
    assert problems_of(listing) == {
        "1.jpg": "no single file is meant: x/1.jpg, y/1.jpg",
        "x/2.jpg": "",
        "z/3.jpg": "",
    }


@pytest.mark.parametrize("table", ["train_labels.csv", "train/labels.csv", "notes/train.csv"])
def test_the_same_name_in_the_folder_that_the_table_speaks_of(tmp_path, table):
    pack(tmp_path, *(f"{side}/{number}.jpg" for side in ("train", "test") for number in range(4)))
    listing = listed(tmp_path, table, [(number, "ab"[number % 2]) for number in range(4)], "id,label")
    assert problems_of(listing) == {f"train/{number}.jpg": "" for number in range(4)}


def test_ids_over_several_folders(tmp_path):
    names = [f"part_{1 + number % 2}/HAM_{number:03}.jpg" for number in range(20)]
    pack(tmp_path, *names)
    rows = [(name.partition("/")[2].removesuffix(".jpg"), "ab"[i % 3 == 0]) for i, name in enumerate(names)]
    assert problems_of(listed(tmp_path, "metadata.csv", rows, "image_id,dx")) == dict.fromkeys(names, "")


def test_letters_of_either_case_and_form(tmp_path):
    pack(tmp_path, "Bär/CAFÉ.JPG", unicodedata.normalize("NFD", "b/é.jpg"), "c/A.jpg", "c/a.jpg", "d/x.jpg", "d/X.JPG")
    rows = [("bär/café.jpg", "a"), ("b/é.jpg", "b"), ("c/a.jpg", "a"), ("c/A.jpg", "b"), ("D/x.jPG", "b")]
    found = problems_of(listed(tmp_path, "labels.csv", rows))
    assert found.pop("D/x.jPG").startswith("no single file is meant: d/")
    decomposed = unicodedata.normalize("NFD", "b/é.jpg")
    assert found == {"Bär/CAFÉ.JPG": "", decomposed: "", "c/a.jpg": "", "c/A.jpg": ""}


def test_windows_text(tmp_path):
    pack(tmp_path, "é.jpg", "b.jpg")
    (tmp_path / "data" / "labels.csv").write_bytes("path,label\né.jpg,Bär\nb.jpg,dogs\n".encode("cp1252"))
    listing = list_sources(str(tmp_path / "data"), DataOptions())
    assert {source.name: (source.label, source.problem) for source in listing.sources} == {
        "é.jpg": ("Bär", ""),
        "b.jpg": ("dogs", ""),
    }
    assert listing.notes == ["labels.csv: the path in 'path', the class in 'label', read as Windows-1252"]


@pytest.mark.parametrize("base", ["C:\\Users\\me\\pets\\", "/home/me/pets/", "gs://bucket/pets/", "x/y/"])
def test_what_is_cut_off_is_said_once(tmp_path, base):
    names = ["cats/1.jpg", "cats/2.jpg", "dogs/3.jpg"]
    pack(tmp_path, *names)
    listing = listed(tmp_path, "labels.csv", [(base + name, name[:4]) for name in [*names, "dogs/4.jpg"]])
    assert sorted(problems_of(listing).values()) == ["", "", "", "no such file"]
    cut = {"C": "Users/me/pets/", "/": "home/me/pets/", "g": "bucket/pets/", "x": "x/y/"}[base[0]]
    assert listing.notes[0].endswith(f"; its paths begin with {cut}, which is not here and was left out")


def test_a_table_that_is_off_as_a_whole_is_one_fault(tmp_path):
    pack(tmp_path, "cats/1.jpg")
    table = tmp_path / "data" / "labels.csv"
    table.write_text("path,label\n" + "".join(f"a/{i}.jpg,x{i % 2}\n" for i in range(80)))
    with pytest.raises(InputError, match=r"none of the 80 rows of .* first is 'a/0.jpg': no such") as error:
        list_sources(str(table), DataOptions())
    assert len(str(error.value).splitlines()) == 3


def test_a_table_alone_beside_the_folder_of_its_images(tmp_path):
    pack(tmp_path, "images/1.jpg", "images/2.jpg")
    listed(tmp_path, "annotations/labels.csv", [("1.jpg", "a"), ("2.jpg", "b")])
    listing = list_sources(str(tmp_path / "data" / "annotations" / "labels.csv"), DataOptions())
    assert problems_of(listing) == {"../images/1.jpg": "", "../images/2.jpg": ""}


def test_a_table_alone_does_not_look_into_other_folders(tmp_path):
    pack(tmp_path, "images/1.jpg", "images/2.jpg")
    listed(tmp_path, "other/labels.csv", [("1.jpg", "a"), ("2.jpg", "b")])
    with pytest.raises(InputError, match=r"none of the 2 rows of .*labels.csv names a file"):
        list_sources(str(tmp_path / "data" / "other" / "labels.csv"), DataOptions())


def test_a_remote_table_and_its_bucket(gs):
    root = f"{gs.root}/data"
    text = "".join(f"gs://other/pets/{name},{name[:4]}\n" for name in ("cats/1.jpg", "dogs/2.jpg"))
    files = {"import.csv": text, "cats/1.jpg": "1", "dogs/2.jpg": "2"}
    gs.put({f"data/{name}": content.encode() for name, content in files.items()})
    for path, options in ((root, DataOptions(layout="manifest")), (f"{root}/import.csv", DataOptions())):
        assert problems_of(list_sources(path, options)) == {"cats/1.jpg": "", "dogs/2.jpg": ""}
