"""Classes in the names of files."""

import pytest

from components.sources.layout.filenames import SYSTEM_NAMES, label_of_name, may_be_classes, tell_classes, why_ignored
from components.sources.listing import IGNORED


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("train/cat.0.jpg", "cat"),
        ("yellow_lily_12.jpg", "yellow_lily"),
        ("dog (3).png", "dog"),
        ("Abyssinian-100.jpg", "Abyssinian"),
        ("cat7.jpg", "cat"),
        ("1.jpg", ""),
        ("cat.jpg", ""),
        ("_1.jpg", ""),
        ("A_test.jpg", ""),
    ],
)
def test_the_class_stands_before_the_number(name, label):
    assert label_of_name(name) == label


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg"], True),
        (["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg", "readme.jpg"], False),
        (["cat.0.jpg", "cat.1.jpg"], False),
        (["cat.0.jpg", "dog.0.jpg", "cow.0.jpg"], False),
        (["cat_0.jpg", "cat_1.jpg", "dog_0.jpg", "dog_1.jpg"], False),
        (["IMG.0001.jpg", "IMG.0002.jpg", "DSC.1.jpg", "DSC.2.jpg"], False),
        ([], False),
    ],
)
def test_only_plain_names_of_two_classes_tell_them_unasked(names, told):
    assert tell_classes(names) is told


def test_names_that_cameras_give_are_no_classes():
    assert may_be_classes(["cat", "dog"], 4)
    assert not may_be_classes(["IMG", "DSC"], 100)
    assert not may_be_classes(["a", "b", "c"], 4)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("cats/1.jpg", ""),
        ("cats/.1.jpg", "hidden"),
        (".git/a/b", "hidden"),
        ("cats/._1.jpg", "hidden"),
        ("cats/.DS_Store", "hidden"),
        ("cats/Thumbs.db", "system"),
        ("cats/DESKTOP.INI", "system"),
        ("__MACOSX/cats/1.jpg", "system"),
    ],
)
def test_hidden_and_system_files_are_left_aside(name, why):
    assert why_ignored(name) == why
    assert not why or why in IGNORED


@pytest.mark.parametrize("name", sorted(SYSTEM_NAMES))
def test_names_of_systems_count_in_any_case_and_at_any_depth(name):
    for spelling in (name, name.upper(), name.title()):
        assert why_ignored(spelling) == "system"
        assert why_ignored(f"cats/{spelling}/1.jpg") == "system"


@pytest.mark.parametrize("name", ["cats/1.jpg@SynoResource", "FOUND.000/1.jpg", "cats/1.jpg:Zone.Identifier"])
def test_names_that_systems_derive_are_theirs(name):
    assert why_ignored(name) == "system"


@pytest.mark.parametrize(
    "name", ["icon/1.jpg", "lost/1.jpg", "recycle/1.jpg", "found/1.jpg", "cats/@1.jpg", "tmp/1.jpg"]
)
def test_names_of_classes_are_left_alone(name):
    assert why_ignored(name) == ""
