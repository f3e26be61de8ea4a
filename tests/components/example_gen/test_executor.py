"""One file at a time: its row, its record, and when the data is refused."""

import hashlib
import os

import pytest
import tensorflow as tf

from components import features
from components.errors import InputError
from components.example_gen.executor import (
    check_fingerprint,
    describe_dataset,
    make_example,
    read_source,
    refuse_unusable,
)
from components.example_gen.manifest import Row, fingerprint_sources, summarise_rows
from components.example_gen.sources import Source, list_images
from components.example_gen.split import split_by_content
from components.options import DataOptions
from tests import pictures

OPTIONS = DataOptions()


def source_of(tmp_path, content, name="cats/a.png", split=""):
    return Source(str(pictures.write(tmp_path / name, content)), name, "cats", split)


def test_an_image_has_a_row_with_all_that_is_known_of_it(tmp_path):
    content = pictures.encode(pictures.noise(16, 20))
    digest = hashlib.sha256(content).hexdigest()
    row, read = read_source(source_of(tmp_path, content), OPTIONS)
    side = split_by_content(digest, OPTIONS.eval_fraction)
    assert row == Row("cats/a.png", "cats", side, digest, len(content), "png", 16, 20, 3)
    assert read == content


@pytest.mark.parametrize("split", features.SPLITS)
def test_the_split_of_the_folder_wins(tmp_path, split):
    row, _ = read_source(source_of(tmp_path, pictures.encode(pictures.noise()), split=split), OPTIONS)
    assert row.split == split


def test_copies_of_a_picture_land_on_one_side_whatever_their_name(tmp_path):
    for seed in range(12):
        content = pictures.encode(pictures.noise(seed=seed))
        sides = {read_source(source_of(tmp_path, content, f"{name}.png"), OPTIONS)[0].split for name in "abcd"}
        assert len(sides) == 1


def test_a_bad_image_has_a_row_with_its_reason_and_no_bytes(tmp_path):
    content = pictures.encode(pictures.noise())[:-200]
    row, read = read_source(source_of(tmp_path, content), OPTIONS)
    assert (row.reason, row.split, read) == ("truncated", "", b"")
    assert row.detail
    assert row.sha256 == hashlib.sha256(content).hexdigest()


def test_a_file_that_is_gone_has_a_row(tmp_path):
    row, read = read_source(Source(str(tmp_path / "gone.png"), "cats/gone.png", "cats"), OPTIONS)
    assert (row.reason, row.detail, row.sha256, read) == ("unreadable", "No such file or directory", "", b"")


def test_a_side_car_is_ignored(tmp_path):
    row, read = read_source(source_of(tmp_path, b"cat, 3 years", "cats/notes.txt"), OPTIONS)
    assert (row.ignored, row.reason, row.split, read) == (True, "", "", b"")


def test_a_record_holds_the_features_of_the_contract():
    row = Row("cats/é.png", "été", "train", "ab" * 32, 3, "png", 16, 20, 4)
    parsed = tf.train.Example.FromString(make_example(row, b"xyz", 7)).features.feature
    values = {name: (list(f.bytes_list.value) or list(f.int64_list.value)) for name, f in parsed.items()}
    assert values == {
        features.IMAGE: [b"xyz"],
        features.LABEL_TEXT: ["été".encode()],
        features.LABEL: [7],
        features.FILENAME: ["cats/é.png".encode()],
        features.SHA256: [b"ab" * 32],
        features.FORMAT: [b"png"],
        features.HEIGHT: [16],
        features.WIDTH: [20],
        features.CHANNELS: [4],
        features.BYTE_SIZE: [3],
    }
    assert set(features.STATISTICS_FEATURES) <= set(values)
    for name, kind in features.STATISTICS_FEATURES.items():
        assert (kind == "BYTES") == bool(parsed[name].bytes_list.value)


def test_a_file_name_that_is_not_utf8_keeps_its_bytes():
    row = Row(os.fsdecode(b"cats/\xe9.png"), "cats", "train", "ab" * 32, 3, "png", 1, 1, 3)
    parsed = tf.train.Example.FromString(make_example(row, b"xyz", 0))
    assert parsed.features.feature[features.FILENAME].bytes_list.value[0] == b"cats/\xe9.png"


def rows_of(*sides, bad=0):
    rows = [Row(f"dogs/{i}", "dogs", side, str(i), 1) for i, side in enumerate(("train", "eval"))]
    rows += [Row(f"cats/{i}", "cats", side, f"c{i}", 1) for i, side in enumerate(sides)]
    return rows + [Row(f"cats/bad{i}.jpg", "cats", "", "", 0, reason="empty", detail="0 bytes") for i in range(bad)]


def refuse(rows):
    refuse_unusable(summarise_rows(rows, ["cats", "dogs"]), rows)


def test_a_class_without_usable_images_is_refused_with_the_first_files_and_reasons():
    with pytest.raises(InputError, match=r"class 'cats' has no usable image \(7 were rejected\)") as caught:
        refuse(rows_of(bad=7))
    lines = str(caught.value).splitlines()
    assert lines[1:6] == [f"  cats/bad{i}.jpg: empty (0 bytes)" for i in range(5)]
    assert lines[6:] == ["Replace the files, or remove the folder of that class."]


@pytest.mark.parametrize(("sides", "empty", "other"), [(["eval"], "train", "eval"), (["train"] * 3, "eval", "train")])
def test_a_class_on_one_side_only_is_refused(sides, empty, other):
    with pytest.raises(InputError) as caught:
        refuse(rows_of(*sides, bad=1))
    assert f"class 'cats' has no image on the {empty} side ({len(sides)} on the {other} side)" in str(caught.value)
    assert "Add images to that class" in str(caught.value)


def test_bad_images_beside_good_ones_are_no_reason_to_stop():
    refuse(rows_of("train", "eval", bad=100))


def test_the_fingerprint_of_what_was_read_is_that_of_the_folder(tmp_path):
    root = pictures.write_tree(tmp_path, {"cats": 2, "dogs": 2})
    pictures.write(root / "cats" / "empty.png", b"")
    os.symlink(root / "gone", root / "cats" / "broken.png")
    listing = list_images(str(root))
    rows = [read_source(source, OPTIONS)[0] for source in listing.sources]
    expected = fingerprint_sources(listing.sources)
    assert check_fingerprint(expected, listing, rows) == expected
    assert check_fingerprint("", listing, rows) == expected


def test_a_folder_that_changes_while_it_is_read_is_refused(tmp_path):
    listing = list_images(str(pictures.write_tree(tmp_path, {"cats": 2, "dogs": 2})))
    rows = [read_source(source, OPTIONS)[0] for source in listing.sources]
    with pytest.raises(InputError, match=r"changed while it was being read .*expected 999999999999\)") as caught:
        check_fingerprint("9" * 64, listing, rows)
    assert "Start the run again" in str(caught.value)


def test_the_closing_line_counts_and_names_the_reasons():
    dataset = summarise_rows(rows_of("train", "eval", bad=1234), ["cats", "dogs"])
    line = describe_dataset(dataset, 2.0)
    assert "2 train + 2 eval images" in line
    assert "1,234 quarantined: 1,234 empty" in line
    assert "619 files/s" in line
    assert "quarantined" not in describe_dataset(summarise_rows(rows_of("train", "eval"), ["cats", "dogs"]), 0.0)
