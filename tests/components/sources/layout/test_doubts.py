"""No split is ever a class: folders are understood, or a person is asked; and the guide's tables say which."""

import re
from itertools import product
from pathlib import Path

import pytest

from components.errors import InputError
from components.options.data import DataOptions
from components.sources.find import list_sources
from components.sources.formats.folder_layouts import list_folders
from components.sources.layout.layouts import find_layout
from components.sources.layout.shapes import shape_of
from components.sources.listing import Source, Tree
from tests import trees

GUIDE = (Path(__file__).parents[4] / "docs" / "user-guide.md").read_text("utf-8")


def rows_of(table):
    """The rows of a table in the guide, each cell as the words between backticks in it, and as it stands."""
    lines = GUIDE.partition(f"\n{table}\n| ---")[2].partition("\n")[2].partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [[(re.findall("`([^`]+)`", cell), cell) for cell in row] for row in cells]


UNDERSTOOD = rows_of("| files | layout | classes | splits |")
ASKED = rows_of("| files | asked, since | answers |")


def listed(path, **options):
    return list_sources(str(path), DataOptions(**options))


def pack(tmp_path, names, container="folder"):
    return trees.pack(tmp_path, container, trees.contents(*names))


@pytest.mark.parametrize("container", ["folder", "zip"])
@pytest.mark.parametrize("row", UNDERSTOOD, ids=lambda row: row[0][0][0])
def test_what_the_guide_calls_understood_is(tmp_path, row, container):
    (names, _), ([layout], _), (classes, _), (_, splits) = row
    listing = listed(pack(tmp_path, names, container))
    assert (listing.layout, listing.labels) == (layout, classes)
    assert all(f"'{label}'" in listing.notes[0] for label in classes)
    sides = dict(re.findall("`([^`]+)` (train|eval|by content|aside)", splits))
    for source in listing.sources:
        said = [side for folder, side in sides.items() if folder in source.name.split("/")]
        assert [source.split or "by content"] == (said or ["by content"])
    aside = {folder for folder, side in sides.items() if side == "aside"}
    left = [name for name, _ in listing.ignored if name.endswith(".jpg")]
    assert all(aside & set(name.split("/")) for name in left)
    assert len(left) == sum(bool(aside & set(name.split("/"))) for name in names)


@pytest.mark.parametrize("row", ASKED, ids=lambda row: row[0][0][0])
def test_what_the_guide_calls_asked_is_and_each_answer_is_taken(tmp_path, row):
    (names, _), _, (answers, _) = row
    root = pack(tmp_path, names)
    with pytest.raises(InputError) as caught:
        listed(root)
    said = str(caught.value)
    assert root in said
    assert re.findall(r"--set data\.layout=(\w+)", said) == answers
    assert "manifest.csv with the columns path,label" in said
    for answer in answers:
        assert len(listed(root, layout=answer).labels) > 1
        assert all(f"'{label}'" in said for label in listed(root, layout=answer).labels)


def test_there_are_rows_to_test():
    assert len(UNDERSTOOD) > 10
    assert len(ASKED) > 10


TRAIN_WORDS = ["train", "Training", "trn", "entrenamiento", "训练"]
EVAL_WORDS = ["val", "Valid", "validation", "dev", "holdout", "Testing", "test", "eval", "prueba", "テスト"]
SPELLINGS = ["{}", "seg_{}", "{}1", "{}2017", "images-{}", "{}_set", "{}.v2", "my {}", "chest_xray_{}", "X{}"]
STRUCTURES = {
    "top": "{t}/cats/1;{t}/dogs/2;{e}/cats/3;{e}/dogs/4",
    "below": "cats/{t}/1;cats/{e}/2;dogs/{t}/3;dogs/{e}/4",
    "wrapped": "data/{t}/cats/1;data/{t}/dogs/2;data/{e}/cats/3;data/{e}/dogs/4",
    "twice": "{t}/{t}/cats/1;{t}/{t}/dogs/2;{e}/{e}/cats/3;{e}/{e}/dogs/4",
    "deep": "{t}/images/cats/1;{t}/images/dogs/2;{e}/images/cats/3;{e}/images/dogs/4",
    "sites": "a/{t}/cats/1;a/{t}/dogs/2;b/{e}/cats/3;b/{t}/dogs/4",
    "flat": "{t}/1;{t}/2;{e}/3;{e}/4",
    "no classes in eval": "{t}/cats/1;{t}/dogs/2;{e}/3",
    "no classes in train": "{t}/1;{e}/cats/2;{e}/dogs/3",
    "beside classes": "{t}/1;cats/2;dogs/3",
    "beside images": "{t}/cats/1;{t}/dogs/2;{e}/cats/3;masks/4",
    "in classes": "cats/1;cats/{t}/2;dogs/3;dogs/{e}/4",
    "in one class": "cats/{t}/1;cats/{e}/2;dogs/3",
    "in names": "cats {t}/1;cats {e}/2;dogs {t}/3;dogs {e}/4",
    "uneven": "{t}/cats/1;x/{e}/cats/2;x/{e}/dogs/3",
    "named files": "{t}/cat.0;{t}/cat.1;{t}/dog.0;{t}/dog.1;{e}/1",
    "numbered files": "{t}/1;{t}/2;{e}/1;{e}/2",
}
CLASSES = {"cats", "dogs", "cat", "dog"}
COMMON = {"top", "below", "wrapped", "twice", "deep"}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_split_in_any_structure_is_a_class_and_the_common_are_understood(structure, spelling):
    bare = spelling == "{}"  # spelled as they are, words meet in all pairs
    for t, e in product(TRAIN_WORDS, EVAL_WORDS) if bare else zip(TRAIN_WORDS * 2, EVAL_WORDS, strict=True):
        train, evaluation = spelling.format(t), spelling.format(e)
        names = [f"{name}.jpg" for name in STRUCTURES[structure].format(t=train, e=evaluation).split(";")]
        read = read_names(names)
        if structure in COMMON:
            assert read is not None
            assert {label for _, label, _ in read} == {"cats", "dogs"}
            assert {side for _, _, side in read} == {"train", "eval"}
        if read is None or (structure == "beside classes" and spelling == "X{}"):  # `Xtrn` alone may be anything
            continue
        assert {label for _, label, _ in read} <= CLASSES, names
        for name, _, side in read:
            assert side in ("", "eval" if evaluation in name.split("/") else "train"), names


def read_names(names):
    """(name, label, side) of each; None: a person is asked."""
    shape = shape_of(names)
    tree = Tree("data", [Source(name, "", name) for name in names])
    try:
        listing = list_folders(find_layout(names, shape), tree, shape, DataOptions())
    except InputError as error:
        assert "data.path: " in str(error)  # noqa: PT017
        return None
    return [(source.name, source.label, source.split) for source in listing.sources]


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        (
            ["cats/1", "dogs/2", "photos/cats/3", "photos/dogs/4"],
            "a set nested in itself: 'cats', 'dogs' again below 'pho",
        ),
        (["w/photos/cats/1", "w/photos/dogs/2", "w/cats/3", "w/dogs/4"], "a set nested in itself"),
        (["a/x/1", "a/y/2", "b/x/3", "b/y/4"], r"folders of the same names \('x', 'y'\) in 'a', 'b'"),
        (["a/X/1", "b/x/3", "b/y/4"], r"folders of the same names \('x'\) in 'a', 'b'"),
        (["a/0", "a/x/1", "a/y/2", "b/x/3", "b/y/4"], r"folders of the same names \('x', 'y'\) in 'a', 'b'"),
        (["a/x/u/1", "b/x/v/2", "c/y/w/3"], r"folders of the same names \('x'\) in 'a', 'b'"),
        (["s/train/a/1", "t/train/a/2", "t/val/b/3"], r"folders of the same names \('a'\) in 's', 't'"),
    ],
)
def test_names_that_recur_are_asked_about(tmp_path, names, doubt):
    with pytest.raises(InputError, match=doubt):
        listed(pack(tmp_path, [f"{name}.jpg" for name in names]))


@pytest.mark.parametrize(
    "names",
    [
        ["cats/1", "cats/old/2", "dogs/3", "dogs/old/4"],
        ["cats/cats/1", "dogs/dogs/2"],
        ["a/x/1", "b/y/2", "b/z/3"],
        ["n01/images/1", "n02/images/2"],
        ["train/a/x/1", "train/b/y/2", "val/a/x/3", "val/b/y/4"],
    ],
)
def test_plain_sets_are_not_asked_about(tmp_path, names):
    assert len(listed(pack(tmp_path, [f"{name}.jpg" for name in names])).labels) > 1


@pytest.mark.parametrize("folder", ["", "data/", "data/images/"])
def test_images_that_are_all_together_are_counted_and_the_way_out_is_said(tmp_path, folder):
    root = pack(tmp_path, [f"{folder}{index}.jpg" for index in range(1200)])
    words = r"images directly in .*, without classes\.\nMove the images of each class into a sub-folder"
    with pytest.raises(InputError, match=rf"1,200 {words}"):
        listed(root)


def test_what_is_left_aside_is_counted(tmp_path):
    names = ["train/a/1.jpg", "train/b/2.jpg", "val/3.jpg", "val/4.jpg", "5.jpg", "notes.txt"]
    understood = listed(pack(tmp_path, names)).notes
    assert understood[0].startswith("the class is the folder below the splits: 2 classes, 'a', 'b'")
    assert "'train': split by content, 'val': left aside" in understood[0]
    assert understood[1:] == [
        "left aside: 1 image in no class's folder",
        "left aside: 2 images in a split without class folders",
    ]
