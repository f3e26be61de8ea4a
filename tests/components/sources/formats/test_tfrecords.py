"""TFRecord files: framing, damage, features, sides."""

import contextlib
import gzip
import io
import os

import pytest

from components.errors import InputError
from components.options.data import DataOptions
from components.sources.content.streams import Unreadable
from components.sources.find import list_sources
from components.sources.formats.entries import find_picture
from components.sources.formats.tfrecords import are_records, is_tfrecord_name, side_of_name, walk_frames
from components.sources.layout.shapes import shape_of
from components.sources.listing import Source, Tree
from components.sources.table import read_source
from tests import pictures, trees

CATS, DOGS = trees.record(b"cat's image", b"cats"), trees.record(b"dog's image", b"dogs")


def listed(path, **options):
    return list_sources(str(path), DataOptions(**options))


def write(path, *frames):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"".join(frames)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def walk(content, limit=1000):
    return list(walk_frames(io.BytesIO(content), limit))


def test_the_framing_is_tensorflows(tmp_path):
    import tensorflow as tf

    for compression in ("", "GZIP"):
        path = str(tmp_path / f"a{compression}.tfrecord")
        with tf.io.TFRecordWriter(path, compression) as writer:
            for record in (CATS, DOGS, CATS):
                writer.write(record)
        listing = listed(path)
        assert [(source.label, read_source(source, 100)) for source in listing.sources] == [
            ("cats", b"cat's image"),
            ("dogs", b"dog's image"),
            ("cats", b"cat's image"),
        ]
    assert list(tf.data.TFRecordDataset(str(write(tmp_path / "b", trees.frame(b"abc")))).as_numpy_iterator()) == [
        b"abc"
    ]


def test_records_are_named_by_their_place_in_the_file(tmp_path):
    listing = listed(write(tmp_path / "a.tfrecord", trees.frame(CATS), trees.frame(DOGS)))
    first = listing.sources[0]
    assert [source.name for source in listing.sources] == ["a.tfrecord/00000000", "a.tfrecord/00000001"]
    assert (first.kind, first.size, first.path) == ("tfrecord", 11, str(tmp_path / "a.tfrecord"))
    assert first.position == trees.frame(CATS).index(b"cat's image")
    assert (first.mtime_ns, first.inode) == (os.stat(first.path).st_mtime_ns, os.stat(first.path).st_ino)
    assert (listing.layout, listing.container) == ("tfrecord", "TFRecord file")


def test_damaged_framing_ends_the_walk():
    whole = trees.frame(b"one") + trees.frame(b"two")
    for content in (whole[:-1], whole[:-8], whole[:22], whole[:19] + b"x" * 40, whole + b"\0"):
        frames = walk(content)
        start = 19 * (len(frames) - 1)
        assert frames[-1].problem == f"damaged record at byte {start}; what follows is lost"
        assert frames[-1].is_end
        assert not any(frame.problem for frame in frames[:-1])


def test_a_wrong_checksum_costs_one_record():
    frames = walk(trees.frame(b"one") + trees.frame(b"two", checksum_off_by=1) + trees.frame(b"three"))
    assert [(frame.data, frame.problem) for frame in frames] == [
        (b"one", ""),
        (b"", "the record's checksum is wrong"),
        (b"three", ""),
    ]


def test_a_long_record_is_passed_over():
    frames = walk(trees.frame(b"x" * 1001) + trees.frame(b"two"))
    assert [(frame.data, frame.problem) for frame in frames] == [
        (b"", "a record of 1,001 bytes, limit 1,000"),
        (b"two", ""),
    ]


def test_a_length_beyond_all_measure_is_damage():
    import struct

    from components.sources.content.packing import mask_checksum

    for length in (10**9, 2**63 - 5, 2**64 - 1):
        header = struct.pack("<Q", length)
        frames = walk(header + struct.pack("<I", mask_checksum(header)) + b"x" * 100)
        assert [frame.problem for frame in frames] == ["damaged record at byte 0; what follows is lost"]


def test_a_cut_gzip_file_gives_what_is_there(tmp_path):
    images = [os.urandom(3000) for _ in range(20)]
    frames = [trees.frame(trees.record(image, b"dogs" if index % 2 else b"cats")) for index, image in enumerate(images)]
    path = write(tmp_path / "a.tfrecord.gz", *frames)
    os.truncate(path, os.path.getsize(path) // 2)
    listing = listed(path)
    lost = [source for source in listing.sources if source.problem]
    assert [source.name for source in lost] == ["a.tfrecord.gz/rest"]
    assert "damaged record at byte" in lost[0].problem
    assert [read_source(source, 5000) for source in listing.sources[:-1]] == images[: len(listing.sources) - 1]
    assert len(listing.sources) > 8


def test_features_are_found_by_name():
    options = DataOptions(image_feature="image", label_feature="label")
    record = trees.example(image=b"IMG", label=7, other=1.5)
    picture = find_picture(record, options)
    assert (picture.label, record[picture.offset : picture.offset + picture.size]) == ("7", b"IMG")
    assert find_picture(trees.example(image=b"", label="é".encode()), options)[:3:2] == ("é", 0)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (trees.example(label=1), "no feature 'image' among 'label'"),
        (trees.example(image=b"x", more=1), "no feature 'label' among 'image', 'more'"),
        (trees.example(image=[b"x", b"y"], label=1), "feature 'image' has 2 byte strings instead of one"),
        (trees.example(image=1, label=1), "feature 'image' has 0 byte strings instead of one"),
        (trees.example(image=b"x", label=[]), "feature 'label' has 0 texts or integers instead of one"),
        (trees.example(image=b"x", label=1.5), "feature 'label' has 0 texts or integers instead of one"),
        (trees.example(image=b"x", label=[1, 2]), "feature 'label' has 2 texts or integers instead of one"),
        (b"\xff\xff\xff", "no tf.Example"),
    ],
    ids=range(8),
)
def test_records_that_are_not_as_expected(tmp_path, record, problem):
    options = {"image_feature": "image", "label_feature": "label"}
    assert find_picture(record, DataOptions(**options)).problem == problem
    with pytest.raises(InputError) as caught:
        listed(write(tmp_path / "a.tfrecord", trees.frame(record)), **options)
    assert f"the first record of a.tfrecord is not as expected: {problem}.\n" in str(caught.value)
    assert "the class: data.image_feature and data.label_feature." in str(caught.value)
    good = [trees.frame(trees.example(image=b"x", label=label)) for label in (0, 1)]
    listing = listed(write(tmp_path / "b.tfrecord", *good, trees.frame(record)), **options)
    assert [source.problem for source in listing.sources] == ["", "", problem]
    assert listing.labels[:2] == ["0", "1"]


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("Split-train/data_tfrecord-00000-of-00001.gz", "train"),
        ("Split-eval/data_tfrecord-00000-of-00001.gz", "eval"),
        ("x/validation/train.tfrecord", "eval"),
        ("train/eval/a.tfrecord", "eval"),
        ("train.tfrecord", "train"),
        ("test_cards-train.tfrecord-00000-of-00001", "train"),
        ("pets-val-000012", "eval"),
        ("cifar10-test.tfrecord-00000-of-00001", "test"),
        ("my_val_data.tfrecords", "eval"),
        ("a.tfrecord", ""),
        ("trains/evaluate.tfrecord", ""),
    ],
)
def test_the_side_is_told_by_folder_or_file(name, side):
    assert side_of_name(name) == side


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Split-train/data_tfrecord-0-of-1.gz", "Split-eval/data_tfrecord-0-of-1.gz"], ["eval", "train"]),
        (["train.tfrecord", "val.tfrecord"], ["train", "eval"]),
        (["train.tfrecord", "test.tfrecord"], ["eval", "train"]),
        (["train.tfrecord", "val.tfrecord", "test.tfrecord"], ["train", "eval"]),
        (["train-1.tfrecord", "train-2.tfrecord"], ["", ""]),
        (["a.tfrecord", "b.tfrecord"], ["", ""]),
    ],
)
def test_sides_count_where_both_are_there(tmp_path, names, expected):
    for name in names:
        write(tmp_path / "data" / name, trees.frame(CATS), trees.frame(DOGS))
    (tmp_path / "data" / "dataset_info.json").write_text("{}")
    listing = listed(tmp_path / "data")
    assert [source.split for source in listing.sources] == [split for split in expected for _ in range(2)]
    aside = [("test.tfrecord", "test_folder")] if len(names) == 3 else []
    assert listing.ignored == [("dataset_info.json", "not_a_record"), *aside]


def test_a_file_without_a_side_beside_files_with_one_is_refused(tmp_path):
    for name in ("train.tfrecord", "val.tfrecord", "extra.tfrecord"):
        write(tmp_path / name, trees.frame(CATS), trees.frame(DOGS))
    with pytest.raises(InputError, match=r"extra.tfrecord in .* does not say on which side it is, while .*\nPut the"):
        listed(tmp_path)


def test_a_file_that_cannot_be_read_is_one_source(tmp_path):
    write(tmp_path / "a.tfrecord", trees.frame(CATS), trees.frame(DOGS))
    os.symlink("nowhere", tmp_path / "b.tfrecord")
    listing = listed(tmp_path)
    assert [(source.name, source.problem) for source in listing.sources[2:]] == [
        ("b.tfrecord", "No such file or directory")
    ]


def test_records_are_told_by_content_too(tmp_path):
    listing = listed(write(tmp_path / "examples", trees.frame(CATS), trees.frame(DOGS)))
    assert listing.layout == "tfrecord"


@pytest.mark.parametrize("container", trees.CONTAINERS)
@pytest.mark.parametrize("packed", [False, True])
def test_records_in_archives(tmp_path, container, packed):
    content = trees.frame(CATS) + trees.frame(DOGS)
    files = {f"w/{side}/a.tfrecord": gzip.compress(content) if packed else content for side in ("train", "eval")}
    listing = listed(trees.pack(tmp_path, container, files))
    assert [(source.name, source.label, source.split) for source in listing.sources] == [
        ("w/eval/a.tfrecord/00000000", "cats", "eval"),
        ("w/eval/a.tfrecord/00000001", "dogs", "eval"),
        ("w/train/a.tfrecord/00000000", "cats", "train"),
        ("w/train/a.tfrecord/00000001", "dogs", "train"),
    ]
    assert [read_source(source, 100) for source in listing.sources[::-1]] == [b"dog's image", b"cat's image"] * 2


def test_remote_records(gs):
    path = f"{gs.root}/a.tfrecord"
    gs.put({"a.tfrecord": gzip.compress(trees.frame(CATS) + trees.frame(DOGS))})
    assert [read_source(source, 100) for source in listed(path).sources] == [b"cat's image", b"dog's image"]


@pytest.mark.parametrize("seed", range(5))
def test_damaged_files_never_crash(tmp_path, seed):
    import random

    dice = random.Random(seed)
    whole = b"".join(trees.frame(record) for record in (CATS, DOGS) * 10)
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            content[dice.randrange(len(CATS) * 3, len(content))] = dice.randrange(256)
        (tmp_path / "a.tfrecord").write_bytes(content)
        listing = listed(tmp_path / "a.tfrecord")
        assert len(listing.sources) >= 2
        for source in listing.sources:
            with contextlib.suppress(Unreadable):
                assert source.problem or read_source(source, 100)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("empty", [b"", trees.example()], ids=["no bytes", "no features"])
def test_an_empty_record_is_empty_wherever_it_stands(tmp_path, place, empty):
    from components.example_gen.scan import inspect_source, limits_of

    records = [CATS, DOGS]
    records.insert(place, empty)
    listing = listed(write(tmp_path / "a.tfrec", *map(trees.frame, records)))
    assert [source.label for source in listing.sources if source.label] == ["cats", "dogs"]
    found = inspect_source(listing.sources[place], limits_of(DataOptions()))
    assert (found.reason, found.flags) == ("empty", ())


PNG = pictures.encode(pictures.noise())


@pytest.mark.parametrize(
    ("record", "features"),
    [
        (trees.example(image=PNG, label=1), ("image", "label")),
        (trees.example(image=PNG, id=b"x", **{"class": 1}), ("image", "class")),
        (trees.example(image=PNG, image_name=b"x.jpg", target=1, width=3.5), ("image", "target")),
        (trees.example(picture=PNG, label=b"1"), ("picture", "label")),
        (trees.example(image__encoded=PNG, image__class__label=1), ("image/encoded", "image/class/label")),
    ],
    ids=range(5),
)
def test_the_usual_other_features_are_found(tmp_path, record, features):
    listing = listed(write(tmp_path / "a.tfrec", trees.frame(record), trees.frame(of_class_two(record))))
    assert read_source(listing.sources[0], 10_000) == PNG
    assert listing.sources[0].label == "1"
    image, label = features
    assert listing.notes == [f"the image is the feature '{image}' of each record, the class '{label}'"]


def of_class_two(record):
    """The same record of another class."""
    import tensorflow as tf

    example = tf.train.Example.FromString(record)
    for name in ("label", "class", "target", "image/class/label"):
        if name in example.features.feature:
            feature = example.features.feature[name]
            if feature.int64_list.value:
                feature.int64_list.value[:] = [2]
            else:
                feature.bytes_list.value[:] = [b"2"]
    return example.SerializeToString()


@pytest.mark.parametrize(
    ("record", "options", "problem"),
    [
        (trees.example(image=PNG, mask=PNG, label=1), {}, "no feature 'image/encoded' among 'image', 'label', 'mask'"),
        (trees.example(image=PNG, label=1, target=2), {}, "no feature 'image/class/text' among"),
        (trees.example(image=PNG, kind=1), {}, "no feature 'image/class/text' among 'image', 'kind'"),
        (trees.example(image=b"no picture", label=1), {}, "no feature 'image/encoded' among"),
        (trees.example(image=PNG, label=1), {"image_feature": "img"}, "no feature 'img' among"),
        (trees.example(image=PNG, label=1), {"label_feature": "kind"}, "no feature 'kind' among"),
    ],
    ids=range(6),
)
def test_features_are_not_guessed_where_several_could_be_meant_or_others_are_asked_for(
    tmp_path, record, options, problem
):
    with pytest.raises(InputError, match=problem):
        listed(write(tmp_path / "a.tfrec", trees.frame(record)), **options)


def test_a_folder_of_tfds_is_read_as_it_is(tmp_path):
    for split, labels in (("train", [0, 1, 1]), ("test", [1, 0])):
        frames = [trees.frame(trees.example(image=PNG, label=label, file_name=b"a.png")) for label in labels]
        write(tmp_path / "d" / f"pets-{split}.tfrecord-00000-of-00001", *frames)
    for name, text in (("dataset_info.json", "{}"), ("features.json", "{}"), ("label.labels.txt", "cat\ndog\n")):
        (tmp_path / "d" / name).write_text(text)
    listing = listed(tmp_path)
    assert [(source.split, source.label) for source in listing.sources] == [
        *(("eval", "dog"), ("eval", "cat")),
        *(("train", "cat"), ("train", "dog"), ("train", "dog")),
    ]
    assert listing.ignored == [
        ("d/dataset_info.json", "not_a_record"),
        ("d/features.json", "not_a_record"),
        ("d/label.labels.txt", "class_names"),
    ]


@pytest.mark.parametrize("name", ["{}/00-224x224-798.tfrec", "{}00-1234.tfrec", "{}-part-00000", "flowers_{}_3.record"])
def test_splits_as_kaggle_and_others_name_them(tmp_path, name):
    for split in ("train", "val", "test"):
        write(tmp_path / "data" / name.format(split), trees.frame(CATS), trees.frame(DOGS))
    listing = listed(tmp_path / "data")
    assert sorted(source.split for source in listing.sources) == ["eval", "eval", "train", "train"]
    assert listing.ignored == [(name.format("test"), "test_folder")]


@pytest.mark.parametrize(
    "name",
    [
        *("a.tfrecord", "x/a.tfrecords", "a.tfrecord.gz", "data_tfrecord-00000-of-00001", "a.TFRecord"),
        *("data_tfrecord-00000-of-00001.gz", "a.tfrecord-00000-of-00003", "a.tfrecord-00000-of-00003.gz"),
    ],
)
def test_tfrecords_are_told_by_their_names_where_no_image_is(name):
    for names, expected in ([name, "notes.txt"], True), ([name, "cats/1.jpg", "dogs/1.jpg"], False):
        tree = Tree("/", [Source(one, "", one) for one in names])
        assert are_records(tree, shape_of(names)) == expected


@pytest.mark.parametrize("name", ["tfrecord.txt", "a.tfrecord.idx", "my_tfrecord"])
def test_other_names_are_no_tfrecords(name):
    assert not is_tfrecord_name(name)
