"""Which class and which side a file belongs to, told from names alone."""

import pytest

from components.sources.layout import layouts, shapes
from components.sources.layout.layouts import EVAL_FOLDERS, TRAIN_FOLDERS


def read(*names, folders=(), layout=None):
    """The layout, and (label, split, ignored) of each name."""
    shape = shapes.shape_of(names, folders)
    found = layout or layouts.find_layout(list(names), shape)
    plan = layouts.plan_folders(shape, found, names)
    return found, [tuple(plan.places.get(name.rpartition("/")[0], layouts.OUTSIDE)) for name in names]


def labels(*names, **options):
    found, places = read(*names, **options)
    return found, [label for label, _, _ in places]


@pytest.mark.parametrize(
    ("names", "layout", "expected"),
    [
        (["cats/1.jpg", "dogs/2.jpg"], "class_folders", ["cats", "dogs"]),
        (["cats/a/b/1.jpg", "cats/2.jpg", "dogs/x/1.jpg"], "class_folders", ["cats", "cats", "dogs"]),
        (["cats/1.JPG", "dogs/2.txt"], "class_folders", ["cats", "dogs"]),
        (["cats/1", "dogs/2"], "class_folders", ["cats", "dogs"]),
        (["cats/1.jpg", "dogs/2.jpg", "notes.txt"], "class_folders", ["cats", "dogs", ""]),
        (["data/cats/1.jpg", "data/dogs/1.jpg"], "class_folders", ["cats", "dogs"]),
        (["a/b/cats/1.jpg", "a/b/dogs/1.jpg", "README"], "class_folders", ["cats", "dogs", ""]),
        (["a/LICENSE", "a/cats/1.jpg", "a/dogs/1.jpg"], "class_folders", ["", "cats", "dogs"]),
        (["animals/cats/1.jpg", "things/cars/2.jpg"], "nested_folders", ["animals/cats", "things/cars"]),
        (["animals/cats/1.jpg", "animals/dogs/2.jpg"], "class_folders", ["cats", "dogs"]),
        (["n01/images/1.jpg", "n02/images/2.jpg"], "nested_folders", ["n01", "n02"]),
        (["n01/images/1.jpg", "n01/boxes.txt", "n02/images/2.jpg"], "nested_folders", ["n01", "", "n02"]),
        (["a/x/cats/1.jpg", "b/x/dogs/2.jpg"], "nested_folders", ["a/cats", "b/dogs"]),
        (["a/x/1.jpg", "a/x/y/2.jpg", "b/z/3.jpg"], "nested_folders", ["a/x", "a/x/y", "b/z"]),
        (["a/x/1.jpg", "a/x/meta/info.txt", "b/z/3.jpg"], "nested_folders", ["a/x", "a/x", "b/z"]),
        (["a/x/1.jpg", "b/z/wrong.suffix"], "nested_folders", ["a/x", "b/z"]),
        (["train/1.jpg", "test/2.jpg", "bus/3.jpg"], "class_folders", ["train", "test", "bus"]),
        (["train/cats/1.jpg", "train/dogs/1.jpg", "other/3.jpg"], "class_folders", ["train", "train", "other"]),
        (["train/cats/1.jpg", "train/dogs/1.jpg", "val/1.jpg"], "split_folders", ["cats", "dogs", ""]),
        (["train/cats/1.jpg", "train/dogs/1.jpg"], "class_folders", ["cats", "dogs"]),
    ],
)
def test_the_class_is_told_by_the_folders(names, layout, expected):
    assert labels(*names) == (layout, expected)


@pytest.mark.parametrize("evaluation", EVAL_FOLDERS)
@pytest.mark.parametrize("train", [TRAIN_FOLDERS[0], TRAIN_FOLDERS[1].upper()])
def test_split_folders_give_the_split(train, evaluation):
    names = [f"{train}/cats/1.jpg", f"{evaluation}/cats/a/2.jpg", f"{evaluation}/1.jpg", "more/1.txt"]
    found, places = read(*names)
    assert found == "split_folders"
    assert places[:2] == [("cats", "train", ""), ("cats", "eval", "")]
    assert [why for _, _, why in places[2:]] == ["outside_classes"] * 2


def test_images_beside_split_folders_are_left_aside_where_split_folders_are_asked_for():
    _, places = read("train/cats/1.jpg", "val/cats/2.jpg", "more/3.jpg", layout="split_folders")
    assert places == [("cats", "train", ""), ("cats", "eval", ""), ("", "", "outside_classes")]


def test_a_test_folder_is_left_aside_where_there_is_a_validation_folder():
    names = [f"{split}/{label}/1.jpg" for split in ("train", "validation", "test") for label in ("cats", "dogs")]
    found, places = read(*names, "test/1.jpg", "test/deep/er/2.jpg")
    assert found == "split_folders"
    assert [split for _, split, _ in places[:4]] == ["train", "train", "eval", "eval"]
    assert {why for _, _, why in places[4:]} == {"test_folder"}


def test_a_test_folder_without_classes_is_left_aside_too():
    _, places = read("train/cats/1.jpg", "val/cats/1.jpg", "test/1.jpg")
    assert places[2] == ("", "", "test_folder")


def test_several_folders_of_one_side_are_one_side():
    _, places = read("train/cats/1.jpg", "training/cats/1.jpg", "val/cats/1.jpg", "eval/dogs/1.jpg")
    assert [(label, split) for label, split, _ in places] == [
        ("cats", "train"),
        ("cats", "train"),
        ("cats", "eval"),
        ("dogs", "eval"),
    ]


def test_a_class_is_called_the_same_in_each_split_folder():
    found, places = read("w/train/big/cats/1.jpg", "w/train/big/dogs/1.jpg", "w/val/big/cats/1.jpg", "w/val/x.txt")
    assert found == "split_folders"
    assert [label for label, _, _ in places] == ["cats", "dogs", "cats", ""]


def test_nested_classes_below_split_folders_can_be_forced():
    names = ["train/cats/a/1.jpg", "train/cats/1.jpg", "val/dogs/1.jpg"]
    assert labels(*names, layout="nested_folders")[1] == ["cats/a", "cats", "dogs"]
    assert labels(*names, layout="split_folders")[1] == ["cats", "cats", "dogs"]
    assert labels(*names, layout="class_folders")[1] == ["train", "train", "val"]


def test_split_folders_cannot_be_forced_where_there_are_none():
    assert layouts.plan_folders(shapes.shape_of(["cats/1.jpg", "dogs/1.jpg"]), "split_folders") is None


@pytest.mark.parametrize(
    ("names", "folders", "expected"),
    [
        (["cats/1.jpg"], ["cats", "dogs"], {"cats", "dogs"}),
        (["data/cats/1.jpg"], ["data", "data/cats", "data/dogs"], {"cats", "dogs"}),
        (["a/b/1.jpg", "c/d/1.jpg"], ["a/b", "a/empty", "c/d"], {"a/b", "a/empty", "c/d"}),
        (["train/cats/1.jpg", "val/cats/1.jpg"], ["train/cats", "val/dogs"], {"cats", "dogs"}),
    ],
)
def test_empty_folders_are_classes_without_images(names, folders, expected):
    shape = shapes.shape_of(names, folders)
    assert layouts.plan_folders(shape, layouts.find_layout(names, shape)).labels == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["manifest.csv", "cats/1.jpg", "dogs/1.jpg"], "manifest.csv"),
        (["data/manifest.jsonl", "data/images/1.jpg"], "data/manifest.jsonl"),
        (["cats/manifest.csv", "cats/1.jpg", "dogs/1.jpg"], ""),
        (["labels.csv", "cats/1.jpg"], ""),
    ],
)
def test_a_manifest_at_the_root_says_everything(names, expected):
    assert layouts.find_manifest(names, shapes.shape_of(names)) == expected


def test_a_level_that_only_repeats_the_split_is_dropped_and_a_class_of_its_name_is_none():
    names = ["train/train/cats/1.jpg", "train/train/dogs/1.jpg", "val/val1/cats/1.jpg", "val/val1/dogs/1.jpg"]
    assert labels(*names) == ("split_folders", ["cats", "dogs", "cats", "dogs"])
    names = ["train/train/1.jpg", "train/car/1.jpg", "val/train/1.jpg", "val/car/1.jpg"]
    assert labels(*names) == ("split_folders", ["train", "car", "train", "car"])
