"""The manifest's rows, its counts, and the fingerprint of a folder."""

import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.executor import parse_row
from components.example_gen.manifest import Row, digest_sources, fingerprint_sources, summarise_rows
from components.example_gen.sources import list_images
from tests import pictures

words = st.text(max_size=12)
numbers = st.integers(0, 2**40)


def fingerprint(root):
    return fingerprint_sources(list_images(str(root)).sources)


@pytest.fixture
def tree(tmp_path):
    return pictures.write_tree(tmp_path / "data", {"cats": 3, "dogs": 2})


def test_the_fingerprint_follows_the_content_of_each_file(tree):
    before = fingerprint(tree)
    path = tree / "cats" / "001.png"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"!")
    changed = fingerprint(tree)
    path.write_bytes(content)
    assert changed != before
    assert fingerprint(tree) == before


def test_the_fingerprint_ignores_times_and_places(tree, tmp_path):
    before = fingerprint(tree)
    for path in tree.rglob("*.png"):
        os.utime(path, (1, 1))
    assert fingerprint(tree) == before
    assert fingerprint(shutil.copytree(tree, tmp_path / "elsewhere")) == before


@pytest.mark.parametrize(
    ("old", "new"), [("cats/000.png", "cats/zzz.png"), ("cats/000.png", "dogs/zzz.png"), ("cats", "tigers")]
)
def test_the_fingerprint_follows_names_and_labels(tree, old, new):
    before = fingerprint(tree)
    (tree / old).rename(tree / new)
    assert fingerprint(tree) != before


def test_the_fingerprint_follows_the_given_split(tmp_path):
    first = pictures.write_tree(tmp_path / "a", {"train/cats": 1, "train/dogs": 1, "val/cats": 1, "val/dogs": 1})
    before = fingerprint(first)
    sources = list_images(str(first)).sources
    swapped = [type(source)(source.path, source.name, source.label, "eval") for source in sources]
    assert fingerprint_sources(swapped) != before


def test_side_cars_outside_the_classes_do_not_change_the_fingerprint(tree):
    before = fingerprint(tree)
    (tree / "readme.txt").write_text("about")
    (tree / "cats" / ".DS_Store").write_bytes(b"junk")
    assert fingerprint(tree) == before


def test_a_file_that_cannot_be_read_still_has_a_fingerprint(tree):
    before = fingerprint(tree)
    os.symlink(tree / "gone", tree / "cats" / "broken.png")
    assert fingerprint(tree) != before


def test_the_number_of_readers_does_not_matter(tree):
    sources = list_images(str(tree)).sources
    assert fingerprint_sources(sources, threads=1) == fingerprint_sources(sources, threads=8)


def test_progress_counts_every_file(tree):
    counts = []
    fingerprint_sources(list_images(str(tree)).sources, counts.append)
    assert counts == [1, 2, 3, 4, 5]


def test_a_hash_too_few_is_an_error(tree):
    with pytest.raises(ValueError, match="shorter"):
        digest_sources(list_images(str(tree)).sources, ["0" * 64])


@given(
    st.builds(
        Row,
        name=st.text(min_size=1, max_size=12),
        **dict.fromkeys(("label", "split", "sha256", "format", "reason", "detail"), words),
        **dict.fromkeys(("bytes", "height", "width", "channels"), numbers),
        ignored=st.booleans(),
    )
)
def test_a_row_comes_back_from_its_line(row):
    line = row.to_json()
    assert len(line.splitlines()) == 1
    assert parse_row(line) == row


def test_a_row_says_only_what_there_is_to_say():
    assert Row("a.txt", "", "", "", 0, ignored=True).to_json() == '{"name": "a.txt", "ignored": true}'


def example(name, label, split, sha256, form="png"):
    return Row(name, label, split, sha256, bytes=10, format=form, height=1, width=1, channels=3)


def test_the_counts_add_up():
    rows = [
        example("1", "cats", "train", "aa"),
        example("2", "cats", "train", "aa", "jpeg"),
        example("3", "dogs", "train", "bb"),
        example("4", "dogs", "eval", "aa"),
        Row("5", "dogs", "", "cc", 3, reason="truncated"),
        Row("6", "dogs", "", "", 0, reason="empty"),
        Row("7", "dogs", "", "cc", 3, reason="truncated"),
        Row("8", "", "", "", 0, ignored=True),
    ]
    found = summarise_rows(iter(rows), ["cats", "dogs"])
    assert found == {
        "found": 8,
        "ignored": 1,
        "train": 3,
        "eval": 1,
        "quarantined": 3,
        "duplicates": 2,
        "classes": ["cats", "dogs"],
        "per_class": {"train": {"cats": 2, "dogs": 1}, "eval": {"cats": 0, "dogs": 1}},
        "reasons": {"truncated": 2, "empty": 1},
        "formats": {"png": 3, "jpeg": 1},
        "bytes": 40,
    }
    assert found["found"] == found["train"] + found["eval"] + found["quarantined"] + found["ignored"]
