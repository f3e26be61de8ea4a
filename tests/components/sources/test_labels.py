"""All labels pass one place: what is one class becomes one, and twins are refused together."""

import json
import unicodedata

import pytest

from components.errors import InputError
from components.options.data import DataOptions
from components.sources.find import list_sources
from tests import trees

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
SAME = [(COMPOSED, DECOMPOSED), ("cats", "cats "), (" cats", "cats\u00a0")]
TWINS = [
    ("Cat", "cat"),
    ("cat dog", "cat  dog"),
    ("\uff43\uff41\uff54", "cat"),
    (f"{DECOMPOSED.upper()} ", COMPOSED),
    ("a\u200bb", "ab"),
]


def as_folder(place, labels):
    return trees.pack(place, "folder", trees.contents(*(f"{label}/{n}.jpg" for n, label in enumerate(labels))))


def as_zip(place, labels):
    return trees.pack(place, "zip", trees.contents(*(f"{label}/{n}.jpg" for n, label in enumerate(labels))))


def as_splits(place, labels):
    names = [f"{side}/{label}/{n}.jpg" for side in ("train", "val") for n, label in enumerate(labels)]
    return trees.pack(place, "tar", trees.contents(*names))


def as_nested(place, labels):
    return trees.pack(place, "folder", trees.contents(*(f"t{n}/{label}/1.jpg" for n, label in enumerate(labels))))


def as_table(place, labels):
    rows = [json.dumps({"path": f"{n}.jpg", "label": label}) for n, label in enumerate(labels)]
    (place / "m.jsonl").write_text("\n".join(rows), "utf-8")
    (place / "0.jpg").touch()
    return str(place / "m.jsonl")


def as_records(place, labels):
    frames = (trees.frame(trees.record(b"x", label.encode())) for label in labels)
    (place / "a.tfrecord").write_bytes(b"".join(frames))
    return str(place / "a.tfrecord")


FLAT = [as_folder, as_zip, as_splits, as_table, as_records]


def listed(path, **options):
    return list_sources(path, DataOptions(**options))


@pytest.mark.parametrize("labels", SAME, ids=map(ascii, SAME))
@pytest.mark.parametrize("write", FLAT)
def test_names_that_differ_in_form_or_blanks_are_one_class(tmp_path, write, labels):
    listing = listed(write(tmp_path, [*labels, "other"]))
    name = unicodedata.normalize("NFC", labels[0]).strip()
    assert listing.labels == sorted([name, "other"])
    assert write in (as_table, as_records) or ": 2 classes, " in listing.notes[0]
    assert {source.label for source in listing.sources} == {name, "other"}
    assert not listing.folders or listing.folders == {name, "other"}
    said = [line for line in listing.notes if line.startswith("one class: ")]
    trimmed = write is as_table and labels[0].strip() == labels[1].strip()  # tables trim what stands in their cells
    assert len(said) == (not trimmed)
    assert all(ascii(label) in line for line in said for label in labels if write is not as_table)


@pytest.mark.parametrize("labels", TWINS, ids=map(ascii, TWINS))
@pytest.mark.parametrize("write", FLAT)
def test_twins_are_refused_together(tmp_path, write, labels):
    with pytest.raises(InputError, match=r"differ in case, width or blanks only: one class, or several\?\n") as caught:
        listed(write(tmp_path, [*labels, "other"]))
    assert all(f"'{unicodedata.normalize('NFC', label).strip()}'" in str(caught.value) for label in labels)


def test_paths_that_differ_in_case_only_are_twins_too(tmp_path):
    names = ("Animals/cats/1.jpg", "animals/Cats/2.jpg", "things/cars/3.jpg")
    root = trees.pack(tmp_path, "tar", trees.contents(*names))
    with pytest.raises(InputError, match=r"differ in case|folders of the same names"):
        listed(root)
    with pytest.raises(InputError, match=r"'Animals/cats' and 'animals/Cats' in .* differ in case"):
        listed(root, layout="nested_folders")


@pytest.mark.parametrize("write", FLAT)
def test_expected_classes_are_held_against_what_is_found(tmp_path, write):
    root = write(tmp_path, [DECOMPOSED, "dogs"])
    assert listed(root, classes=[f" {COMPOSED}", "dogs"]).labels == sorted([COMPOSED, "dogs"])
    assert DataOptions(classes=[DECOMPOSED, "dogs "]).classes == [COMPOSED, "dogs"]
    with pytest.raises(InputError, match=r"'Dogs' and 'dogs' in .* and data.classes differ in case"):
        listed(root, classes=[COMPOSED, "Dogs"])


@pytest.mark.parametrize("label", [" ", "\u200b", "\u00a0 "])
@pytest.mark.parametrize("write", [as_folder, as_records])
def test_blank_names_are_refused(tmp_path, write, label):
    with pytest.raises(InputError, match="cannot name a class"):
        listed(write(tmp_path, [label, "dogs", "cats"]))


@pytest.mark.parametrize("write", [as_folder, as_nested, as_table])
def test_plain_names_are_left_as_they_are(tmp_path, write):
    listing = listed(write(tmp_path, ["Cat dog", "犬", "été"]))
    assert sorted(label.rpartition("/")[2] for label in listing.labels) == sorted(["Cat dog", "犬", "été"])
