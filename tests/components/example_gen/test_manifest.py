"""The manifest's rows, its counts, and the fingerprint of the data."""

import os
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.history import open_history
from components.example_gen.manifest import Row, digest_rows, parse_row, summarise_rows
from components.example_gen.scan import scan_data
from components.images.findings import FLAGS, REASONS
from components.options.data import DataOptions
from components.sources.find import list_sources
from components.sources.listing import IGNORED
from tests import pictures

words = st.text(max_size=12)
numbers = st.integers(0, 2**40)
fractions = st.floats(0, 255).map(lambda value: round(value, 2))


def fingerprint(root):
    with open_history("") as memory:
        return scan_data(list_sources(str(root), DataOptions()), DataOptions(), memory).dataset["fingerprint"]


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


def test_side_cars_do_not_change_the_fingerprint(tree):
    before = fingerprint(tree)
    (tree / "readme.txt").write_text("about")
    (tree / "cats" / "notes.txt").write_text("about cats")
    (tree / "cats" / ".DS_Store").write_bytes(b"junk")
    assert fingerprint(tree) == before


def test_a_file_that_cannot_be_read_still_has_a_fingerprint(tree):
    before = fingerprint(tree)
    os.symlink(tree / "gone", tree / "cats" / "broken.png")
    assert fingerprint(tree) != before


@pytest.mark.parametrize("change", [{"split": "eval"}, {"group": "g"}, {"label": "x"}, {"name": "b"}, {"sha256": "c"}])
def test_the_digest_follows_all_that_the_data_says(change):
    values = {"name": "a", "label": "l", "split": "train", "group": "", "sha256": "s"}
    assert digest_rows([Row(**values)]) != digest_rows([Row(**{**values, **change})])
    assert digest_rows([Row(**values)]) == digest_rows([Row(**values, bytes=7, reason="empty")])


@given(
    st.builds(
        Row,
        name=st.text(min_size=1, max_size=12),
        **dict.fromkeys(("label", "split", "group", "sha256", "format", "picture_hash", "detail"), words),
        **dict.fromkeys(("bytes", "height", "width", "channels"), numbers),
        **dict.fromkeys(("brightness", "contrast"), fractions),
        flags=st.lists(st.sampled_from(sorted(FLAGS)), unique=True).map(tuple),
        reason=st.sampled_from(["", *REASONS]),
        ignored=st.sampled_from(["", *IGNORED]),
    )
)
def test_a_row_comes_back_from_its_line(row):
    line = row.to_json()
    assert len(line.splitlines()) == 1
    assert parse_row(line) == row


def test_a_row_says_only_what_there_is_to_say():
    assert Row("a.txt", ignored="hidden").to_json() == '{"name": "a.txt", "ignored": "hidden"}'


def example(name, label, split, form="png", flags=()):
    return Row(name, label, split, sha256=name, bytes=10, format=form, height=1, width=1, channels=3, flags=flags)


def rejected(name, label, reason):
    return Row(name, label, sha256=name, bytes=3, reason=reason, detail="because")


def test_the_counts_add_up():
    rows = [
        example("1", "cats", "train"),
        example("2", "cats", "train", "jpeg", ("rotated", "wrong_suffix")),
        example("3", "dogs", "train", "webp", ("converted", "wrong_suffix")),
        replace(example("4", "dogs", "eval"), label_found="cats"),
        rejected("5", "dogs", "truncated"),
        rejected("6", "dogs", "empty"),
        rejected("7", "dogs", "truncated"),
        rejected("8", "cats", "duplicate_of"),
        Row("9", ignored="hidden"),
        rejected("10", "cats", "excluded"),
    ]
    found = summarise_rows(iter(rows), ["cats", "dogs"])
    assert found == {
        "found": 10,
        "ignored": 1,
        "train": 3,
        "eval": 1,
        "quarantined": 5,
        "duplicates": 1,
        "corrected": 1,
        "excluded": 1,
        "classes": ["cats", "dogs"],
        "per_class": {"train": {"cats": 2, "dogs": 1}, "eval": {"cats": 0, "dogs": 1}},
        "bad": {"cats": 0, "dogs": 3},
        "bad_without_class": 0,
        "reasons": {"duplicate_of": 1, "empty": 1, "excluded": 1, "truncated": 2},
        "ignored_reasons": {"hidden": 1},
        "formats": {"jpeg": 1, "png": 2, "webp": 1},
        "flags": {"converted": 1, "rotated": 1, "wrong_suffix": 2},
        "flat": {},
        "blank": {},
        "bytes": 40,
    }
    assert found["found"] == found["train"] + found["eval"] + found["quarantined"] + found["ignored"]
