"""From a folder to a list of files: layouts, and what is left aside."""

import os

import pytest

from components.errors import InputError
from components.example_gen.sources import EVAL_FOLDERS, IGNORED_NAMES, TRAIN_FOLDERS, list_images


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return str(root)


def names(listing):
    return [(source.name, source.label, source.split) for source in listing.sources]


def test_class_folders_leave_the_split_to_the_content(tmp_path):
    listing = list_images(make(tmp_path, "dogs/2.jpg", "cats/b.jpg", "cats/a.jpg"))
    assert names(listing) == [("cats/a.jpg", "cats", ""), ("cats/b.jpg", "cats", ""), ("dogs/2.jpg", "dogs", "")]
    assert listing.layout == "class folders"
    assert listing.labels == ["cats", "dogs"]
    assert next(source.path for source in listing.sources) == str(tmp_path / "cats" / "a.jpg")


@pytest.mark.parametrize("evaluation", EVAL_FOLDERS)
@pytest.mark.parametrize("train", [TRAIN_FOLDERS[0], TRAIN_FOLDERS[1].upper()])
def test_split_folders_give_the_split(tmp_path, train, evaluation):
    root = make(
        tmp_path, f"{train}/cats/1.jpg", f"{train}/dogs/2.jpg", f"{evaluation}/cats/3.jpg", f"{evaluation}/dogs/4.jpg"
    )
    listing = list_images(root)
    assert listing.layout == "split folders"
    assert {(label, split) for _, label, split in names(listing)} == {
        (label, split) for label in ("cats", "dogs") for split in ("train", "eval")
    }
    assert {name for name, _, split in names(listing) if split == "eval"} == {
        f"{evaluation}/cats/3.jpg",
        f"{evaluation}/dogs/4.jpg",
    }


def test_a_test_folder_is_left_aside_where_there_is_a_validation_folder(tmp_path):
    folders = [f"{split}/{label}/1.jpg" for split in ("train", "validation", "test") for label in ("cats", "dogs")]
    listing = list_images(make(tmp_path, *folders))
    assert {source.name.partition("/")[0] for source in listing.sources} == {"train", "validation"}


def test_folders_named_like_splits_may_be_classes(tmp_path):
    listing = list_images(make(tmp_path, "train/1.jpg", "test/2.jpg", "bus/3.jpg"))
    assert listing.layout == "class folders"
    assert listing.labels == ["bus", "test", "train"]


def test_a_train_folder_alone_is_no_split(tmp_path):
    listing = list_images(make(tmp_path, "train/cats/1.jpg", "train/dogs/1.jpg", "other/3.jpg"))
    assert listing.layout == "class folders"
    assert listing.labels == ["other", "train"]


def test_hidden_and_system_files_are_left_aside_at_every_depth(tmp_path):
    listing = list_images(
        make(
            tmp_path,
            *("cats/1.jpg", "cats/.DS_Store", "cats/Thumbs.db", "cats/sub/desktop.ini", "cats/.cache/9.jpg"),
            *("dogs/1.jpg", "__MACOSX/cats/1.jpg", ".git/config", "readme.txt", "dogs/__MACOSX/1.jpg"),
        )
    )
    assert [source.name for source in listing.sources] == ["cats/1.jpg", "dogs/1.jpg"]
    assert {"cats/.DS_Store", "cats/Thumbs.db", "cats/sub/desktop.ini", "readme.txt"} <= set(listing.ignored)
    assert {name.lower() for name in IGNORED_NAMES} == IGNORED_NAMES


def test_files_in_folders_below_a_class_belong_to_it(tmp_path):
    listing = list_images(make(tmp_path, "cats/a/b/1.jpg", "cats/a/2.jpg", "dogs/1.jpg"))
    assert names(listing)[:2] == [("cats/a/2.jpg", "cats", ""), ("cats/a/b/1.jpg", "cats", "")]


def test_links_are_followed_and_loops_are_not(tmp_path):
    make(tmp_path / "data", "cats/1.jpg", "dogs/1.jpg")
    make(tmp_path / "elsewhere", "2.jpg")
    os.symlink(tmp_path / "elsewhere", tmp_path / "data" / "cats" / "more")
    os.symlink(tmp_path / "data" / "cats", tmp_path / "data" / "cats" / "loop")
    os.symlink(tmp_path / "data" / "cats" / "1.jpg", tmp_path / "data" / "dogs" / "linked.jpg")
    listing = list_images(str(tmp_path / "data"))
    assert [source.name for source in listing.sources] == [
        "cats/1.jpg",
        "cats/more/2.jpg",
        "dogs/1.jpg",
        "dogs/linked.jpg",
    ]


def test_a_pipe_is_no_image_and_does_not_hold_the_run(tmp_path):
    make(tmp_path, "cats/1.jpg", "dogs/1.jpg")
    os.mkfifo(tmp_path / "cats" / "pipe.jpg")
    assert "cats/pipe.jpg" not in [source.name for source in list_images(str(tmp_path)).sources]


def test_the_order_does_not_depend_on_the_file_system(tmp_path):
    found = [f"{label}/{name}.jpg" for label in ("b", "a", "C") for name in ("z", "1", "Z", "é")]
    listing = list_images(make(tmp_path, *found))
    assert [source.name for source in listing.sources] == sorted(found)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "found no images"),
        (["readme.txt", "1.jpg"], r"found no images in .* \(2 other files\)"),
        (["cats/1.jpg"], r"at least two classes, found one in .*: 'cats'"),
        (["cats/1.jpg", "dogs/.hidden"], "class 'dogs' has no image: its folder in .* is empty"),
    ],
)
def test_folders_that_cannot_be_learned_from_are_refused_with_what_to_do(tmp_path, files, message):
    with pytest.raises(InputError, match=message) as caught:
        list_images(make(tmp_path, *files))
    assert str(tmp_path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected a folder of images, found nothing at .*nowhere") as caught:
        list_images(str(tmp_path / "nowhere"))
    assert "--data DIR" in str(caught.value)


def test_a_file_is_no_folder(tmp_path):
    make(tmp_path, "a.jpg")
    with pytest.raises(InputError, match="found a file at"):
        list_images(str(tmp_path / "a.jpg"))


def test_split_folders_without_classes_in_one_of_them_are_class_folders(tmp_path):
    listing = list_images(make(tmp_path, "train/cats/1.jpg", "train/dogs/1.jpg", "val/1.jpg"))
    assert listing.layout == "class folders"


@pytest.mark.parametrize("label", [b"caf\xe9", b"two\nlines", "two\u2028lines".encode()])
def test_class_names_that_no_label_file_can_hold_are_refused(tmp_path, label):
    make(tmp_path, "cats/1.jpg")
    folder = os.path.join(os.fsencode(tmp_path), label)
    os.mkdir(folder)
    with open(os.path.join(folder, b"1.jpg"), "wb") as file:
        file.write(b"x")
    with pytest.raises(InputError, match="class"):
        list_images(str(tmp_path))
