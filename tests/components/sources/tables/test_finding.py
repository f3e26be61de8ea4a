"""Which table labels a folder or an archive: taken where it is clear, asked for where it is not."""

import json

import pytest

from components.errors import InputError
from components.options.data import DataOptions
from components.sources.find import list_sources
from tests import trees

CLASSES = trees.contents("cats/1.jpg", "cats/2.jpg", "dogs/3.jpg", "dogs/4.jpg")
FLAT = trees.contents("images/1.jpg", "images/2.jpg", "images/3.jpg", "images/4.jpg")
LABELS = b"id,label\n1,cats\n2,cats\n3,dogs\n4,dogs\n"
TURNED = b"id,label\n1,dogs\n2,cats\n3,dogs\n4,dogs\n"
BOTH = ["folder", "zip", "tar.gz"]


def listed(root, **options):
    return list_sources(root, DataOptions(**options))


def labels_of(listing):
    return {source.name: source.label for source in listing.sources}


def sides_of(listing):
    return {source.name: (source.label, source.split) for source in listing.sources}


@pytest.mark.parametrize("container", BOTH)
@pytest.mark.parametrize("name", ["train.csv", "labels.csv", "images/metadata.csv", "w/x.csv", "train_labels.csv"])
def test_a_table_labels_images_whose_folders_do_not(tmp_path, container, name):
    wrapper = "w/" if name.startswith("w/") else ""
    files = {f"{wrapper}{image}": content for image, content in FLAT.items()} | {name: LABELS}
    listing = listed(trees.pack(tmp_path, container, files))
    expected = dict(zip(sorted(FLAT), ["cats", "cats", "dogs", "dogs"], strict=True))
    assert labels_of(listing) == {f"{wrapper}{image}": label for image, label in expected.items()}
    assert listing.ignored == [(name, "manifest")]


@pytest.mark.parametrize("container", BOTH)
def test_a_competition_as_kaggle_packs_it(tmp_path, container):
    files = {f"train/{number}.jpg": b"" for number in range(1, 5)} | {
        f"test/{number}.jpg": b"" for number in range(5, 8)
    }
    files |= {
        "train.csv": LABELS,
        "test.csv": b"id\n5\n6\n7\n",
        "sample_submission.csv": b"id,label\n5,cats\n6,cats\n7,cats\n",
    }
    listing = listed(trees.pack(tmp_path, container, files))
    assert labels_of(listing) == {
        "train/1.jpg": "cats",
        "train/2.jpg": "cats",
        "train/3.jpg": "dogs",
        "train/4.jpg": "dogs",
    }
    assert {why for name, why in listing.ignored if name.startswith("test/")} == {"not_in_manifest"}


@pytest.mark.parametrize("container", BOTH)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "file_name,label\n{0}.jpg,cats\n{1}.jpg,dogs\n"),
        (
            "metadata.jsonl",
            '{{"file_name": "{0}.jpg", "label": "cats"}}\n{{"file_name": "{1}.jpg", "label": "dogs"}}\n',
        ),
        ("_classes.csv", "filename, cats, dogs\n{0}.jpg, 1, 0\n{1}.jpg, 0, 1\n"),
    ],
)
def test_a_table_in_each_split_folder(tmp_path, container, name, text):
    files = trees.contents("train/1.jpg", "train/2.jpg", "valid/3.jpg", "valid/4.jpg", "test/5.jpg", "test/6.jpg")
    files |= {
        f"{side}/{name}": text.format(*pair).encode()
        for side, *pair in [("train", 1, 2), ("valid", 3, 4), ("test", 5, 6)]
    }
    listing = listed(trees.pack(tmp_path, container, files))
    assert sides_of(listing) == {
        "train/1.jpg": ("cats", "train"),
        "train/2.jpg": ("dogs", "train"),
        "valid/3.jpg": ("cats", "eval"),
        "valid/4.jpg": ("dogs", "eval"),
    }
    assert ("test/5.jpg", "test_folder") in listing.ignored


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["train_labels.csv", "test_labels.csv"], ["images_a", "images_b"]),
        (["annotations/instances_train2017.csv", "annotations/instances_val2017.csv"], ["train2017", "val2017"]),
    ],
)
def test_a_table_a_side_by_their_names(tmp_path, names, folders):
    files = {
        f"{folder}/{number}.jpg": b"" for folder, pair in zip(folders, [(1, 2), (3, 4)], strict=True) for number in pair
    }
    files |= dict(zip(names, [b"id,label\n1,cats\n2,dogs\n", b"id,label\n3,cats\n4,dogs\n"], strict=True))
    assert [side for _, side in sides_of(listed(trees.pack(tmp_path, "folder", files))).values()] == 2 * [
        "train"
    ] + 2 * ["eval"]


@pytest.mark.parametrize("container", BOTH)
@pytest.mark.parametrize("layout", ["cats/1.jpg", "train/cats/1.jpg", "animals/small/cats/1.jpg"])
def test_folders_and_a_table_that_say_the_same(tmp_path, container, layout):
    prefix = layout.removesuffix("cats/1.jpg")
    files = {f"{prefix}{name}": content for name, content in CLASSES.items()} | {"labels.csv": LABELS}
    if prefix == "train/":
        files |= {f"val/{name.replace('.', '9.')}": content for name, content in CLASSES.items()}
    listing = listed(trees.pack(tmp_path, container, files))
    assert listing.layout.endswith("_folders")
    assert listing.notes[-1] == "the classes of the folders are those that the table labels.csv gives"


@pytest.mark.parametrize("numbers", [b"id,label\n1,0\n2,0\n3,1\n4,1\n"])
def test_numbers_for_the_same_classes_are_the_same(tmp_path, numbers):
    assert listed(trees.pack(tmp_path, "folder", CLASSES | {"labels.csv": numbers})).layout == "class_folders"


@pytest.mark.parametrize("container", BOTH)
@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TURNED, "The table labels.csv gives its images other classes than the folders.\nGo by the table: "),
        (b"id,label\n1,a\n2,b\n3,a\n4,b\n", "gives its images other classes than the folders"),
        (b"id,label\n1,dogs\n2,dogs\n3,owls\n4,owls\n", "gives its images other classes than the folders"),
        (
            b"id,label,split\n1,cats,train\n2,cats,val\n3,dogs,train\n4,dogs,val\n",
            "The table labels.csv gives a split beside the cl",
        ),
        (
            b"id,label,patient_id\n1,cats,7\n2,cats,7\n3,dogs,8\n4,dogs,9\n",
            "The table labels.csv gives a group beside the classes",
        ),
        (
            b"id,score,colour\n1,.5,red\n2,.4,red\n3,.3,blue\n4,1,blue\n",
            "The table labels.csv names images, but expected a column of",
        ),
    ],
)
def test_folders_and_a_table_that_say_different_things(tmp_path, container, table, message):
    root = trees.pack(tmp_path, container, CLASSES | {"labels.csv": table})
    with pytest.raises(InputError, match=message) as error:
        listed(root)
    assert "or go by the folders: --set data.layout=class_folders." in str(error.value)
    assert labels_of(listed(root, layout="class_folders"))["cats/1.jpg"] == "cats"
    if b"label" in table:
        way = f"--data {root}/labels.csv" if container == "folder" else "--set data.layout=manifest"
        assert way in str(error.value)
        listing = listed(f"{root}/labels.csv") if container == "folder" else listed(root, layout="manifest")
        assert (listing.layout, len(listing.sources)) == ("manifest", 4)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.csv", "author,year\nme,2026\n"),
        ("results.csv", "epoch,loss,accuracy\n1,0.5,0.9\n2,0.4,0.95\n"),
        ("results.csv", "model,label\nresnet,0.9\nvgg,0.8\n"),
        ("notes.json", '{"author": "me", "files": ["1.jpg"]}'),
        ("config.json", "[1, 2, 3]"),
        ("list.csv", "path\ncats/1.jpg\ndogs/3.jpg\n"),
        ("bad.csv", '"path,label\n'),
        ("bytes.csv", "\0\0\0"),
        ("empty.csv", ""),
        ("empty.json", ""),
        ("deep.json", "[" * 100_000),
        ("sample_submission.csv", "id,label\n1,dogs\n3,dogs\n"),
        ("cats/1.json", '{"path": "1.jpg", "label": "dogs"}'),
        ("cats/deeper/labels.csv", "id,label\n1,dogs\n3,cats\n"),
    ],
)
def test_a_table_that_labels_no_image_here_changes_nothing(tmp_path, name, text):
    listing = listed(trees.pack(tmp_path, "folder", CLASSES | {name: text.encode()}))
    assert (listing.layout, listing.labels) == ("class_folders", ["cats", "dogs"])
    assert not any(name in note for note in listing.notes)


def test_a_table_of_other_images_is_said(tmp_path):
    others = {"other.csv": b"path,label\nnone/7.jpg,a\nnone/8.jpg,b\n"}
    listing = listed(trees.pack(tmp_path / "classes", "folder", CLASSES | others))
    assert (listing.layout, listing.notes[-1]) == (
        "class_folders",
        "other.csv names images, but none of these: not used",
    )
    flat = trees.pack(tmp_path / "flat", "folder", FLAT | others)
    with pytest.raises(
        InputError, match=r"The table other.csv names images, but none of them is there.\nGo by the table"
    ):
        listed(flat)
    with pytest.raises(
        InputError, match=r"the table other.csv in .* names images, but none of them is there.\nMend its"
    ):
        listed(flat, layout="manifest")


def test_a_table_an_image_is_no_table(tmp_path):
    side_cars = {f"cats/{number}.json": b'{"path": "1.jpg", "label": "dogs"}' for number in range(60)}
    assert listed(trees.pack(tmp_path, "folder", CLASSES | side_cars)).layout == "class_folders"


@pytest.mark.parametrize("container", BOTH)
def test_several_tables_are_named(tmp_path, container):
    root = trees.pack(tmp_path, container, FLAT | {"a.csv": LABELS, "b.csv": TURNED})
    for layout in ("auto", "manifest"):
        with pytest.raises(
            InputError, match=r"several tables in .* label its images: a.csv, b.csv.\nSay which: "
        ) as error:
            listed(root, layout=layout)
        assert (f"--data {root}/a.csv" if container == "folder" else "unpack the archive") in str(error.value)


@pytest.mark.parametrize("lost", ["cats/.5.jpg", "cats/none.jpg"])
def test_a_table_that_names_more_than_the_folders_have_is_taken_if_it_has_all_of_theirs(tmp_path, lost):
    rows = [*CLASSES, lost]
    table = ("path,label\n" + "".join(f"{row},{row[:4]}\n" for row in rows)).encode()
    root = trees.pack(tmp_path, "folder", CLASSES | {"cats/.5.jpg": b"5", "labels.csv": table})
    listing = listed(root)
    assert (listing.layout, sorted(source.name for source in listing.sources)) == ("manifest", sorted(rows))
    with pytest.raises(InputError, match=r"The table labels.csv gives classes to other files than the folders"):
        listed(trees.pack(tmp_path, "folder", {"dogs/5.jpg": b"5"}))


@pytest.mark.parametrize("layout", ["auto", "manifest"])
def test_a_column_that_is_not_known_is_asked_for(tmp_path, layout):
    table = b"id,score,colour\n1,.5,red\n2,.4,red\n3,.3,blue\n4,1,blue\n"
    root = trees.pack(tmp_path, "folder", FLAT | {"labels.csv": table})
    with pytest.raises(
        InputError, match=r"expected a column of classes.*, in labels.csv, found the columns: id, score, colo"
    ):
        listed(root, layout=layout)
    listing = listed(root, layout=layout, label_column="Colour")
    assert listing.labels == ["blue", "red"]
    with pytest.raises(InputError, match=r"expected the column 'color'.* Did you mean 'colour'"):
        listed(root, layout=layout, label_column="color")


def test_a_path_column_may_be_named(tmp_path):
    rows = [{"file_name": "old.jpg", "now": f"{number}.jpg", "label": "ab"[number % 2]} for number in range(1, 5)]
    root = trees.pack(tmp_path, "folder", FLAT | {"labels.json": json.dumps(rows).encode()})
    assert len({source.name for source in listed(f"{root}/labels.json", path_column="now").sources}) == 4


def test_without_a_table_the_layout_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"data.layout: manifest expects a table such as manifest.csv"):
        listed(trees.pack(tmp_path, "folder", CLASSES), layout="manifest")
