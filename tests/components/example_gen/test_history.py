"""What is remembered of files and sides, and when it is believed."""

import os
import random
import sqlite3
import time
from dataclasses import replace

import pytest

from components.example_gen.history import SETTLED_NS, map_classes, open_history
from components.example_gen.manifest import Row
from components.images.findings import Inspection
from components.sources.listing import Source

NOW = time.time_ns()
OLD = NOW - 2 * SETTLED_NS
SOURCE = Source("cats/a.jpg", "cats", "/data/cats/a.jpg", size=7, mtime_ns=OLD, inode=3)
FOUND = Inspection("ab" * 32, 7, "jpeg", 4, 5, 3, 1.5, 2.25, "cd" * 32, ("rotated", "wrong_suffix"))


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "data.sqlite")


def recall(path, *sources, inspector="v1"):
    with open_history(path) as memory:
        return list(memory.recall(sources, inspector))


def remember(path, *pairs, inspector="v1", started=NOW):
    with open_history(path) as memory:
        memory.remember(pairs, inspector, started)


def test_nothing_is_known_at_first(path):
    assert recall(path, SOURCE) == [None]


def test_what_was_found_comes_back(path):
    bad = Inspection("ee" * 32, 7, reason="truncated", detail="cut")
    other = replace(SOURCE, path="/data/b.jpg")
    remember(path, (SOURCE, FOUND), (other, bad))
    assert recall(path, other, SOURCE) == [bad, FOUND]


@pytest.mark.parametrize("change", [{"size": 8}, {"mtime_ns": OLD + 1}, {"inode": 4}, {"path": "/data/cats/b.jpg"}])
def test_a_file_that_is_not_the_same_is_read_again(path, change):
    remember(path, (SOURCE, FOUND))
    assert recall(path, replace(SOURCE, **change)) == [None]


@pytest.mark.parametrize("text", ['{"sha256": "ab", "bytes": 7}', "[]", "null", '["ab", 7]'])
def test_what_an_older_graft_wrote_is_read_again(path, text):
    remember(path, (SOURCE, FOUND))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE files SET inspection = ?", (text,))
    assert recall(path, SOURCE) == [None]


def test_another_inspector_reads_again(path):
    remember(path, (SOURCE, FOUND))
    assert recall(path, SOURCE, inspector="v2") == [None]


def test_a_new_label_or_name_is_no_reason_to_read_again(path):
    remember(path, (SOURCE, FOUND))
    assert recall(path, replace(SOURCE, name="x", label="dogs", split="eval")) == [FOUND]


def test_a_file_that_changed_just_before_it_was_read_is_not_trusted(path):
    remember(path, (replace(SOURCE, mtime_ns=NOW - SETTLED_NS), FOUND))
    assert recall(path, replace(SOURCE, mtime_ns=NOW - SETTLED_NS)) == [None]


def test_a_file_without_a_known_time_is_not_trusted(path):
    remember(path, (replace(SOURCE, mtime_ns=0), FOUND))
    assert recall(path, replace(SOURCE, mtime_ns=0)) == [None]


def test_what_could_not_be_read_is_tried_again(path):
    remember(path, (SOURCE, Inspection(reason="unreadable", detail="Permission denied")))
    assert recall(path, SOURCE) == [None]


def test_members_of_an_archive_are_told_apart(path):
    members = [replace(SOURCE, kind="zip", name=name, path="/data/a.zip") for name in ("a.jpg", "b.jpg")]
    remember(path, (members[0], FOUND))
    assert recall(path, *members) == [FOUND, None]


def test_a_name_that_is_not_utf8_is_remembered(path):
    odd = replace(SOURCE, path=os.fsdecode(b"/data/\xe9.jpg"))
    remember(path, (odd, FOUND))
    assert recall(path, odd) == [FOUND]


def test_an_image_keeps_its_first_side(path):
    with open_history(path) as memory:
        memory.keep_sides([("aa", "train"), ("bb", "eval")], 0.2)
        memory.keep_sides([("aa", "eval"), ("cc", "eval")], 0.2)
        assert memory.sides(["cc", "aa", "dd", "bb"], 0.2) == ["eval", "train", "", "eval"]


def test_another_fraction_is_another_split(path):
    with open_history(path) as memory:
        memory.keep_sides([("aa", "train")], 0.2)
        assert memory.sides(["aa"], 0.3) == [""]


def test_reading_only_changes_nothing(path):
    remember(path, (SOURCE, FOUND))
    before = os.stat(path)
    with open_history(path, writable=False) as memory:
        memory.remember([(replace(SOURCE, path="/x"), FOUND)], "v1", NOW)
        memory.keep_sides([("aa", "train")], 0.2)
        assert list(memory.recall([SOURCE, replace(SOURCE, path="/x")], "v1")) == [FOUND, None]
    assert os.stat(path).st_mtime_ns == before.st_mtime_ns
    assert os.listdir(os.path.dirname(path)) == ["data.sqlite"]


def test_reading_only_makes_no_file(path):
    with open_history(path, writable=False) as memory:
        assert list(memory.recall([SOURCE], "v1")) == [None]
    assert not os.path.exists(path)


def test_without_a_path_it_lasts_as_long_as_it_is_open():
    with open_history("") as memory:
        memory.remember([(SOURCE, FOUND)], "v1", NOW)
        assert list(memory.recall([SOURCE], "v1")) == [FOUND]


def test_a_file_that_is_no_database_is_set_aside(path):
    with open(path, "wb") as file:
        file.write(b"not a database" * 100)
    assert recall(path, SOURCE) == [None]
    kept, new = sorted(os.listdir(os.path.dirname(path)), key=len, reverse=True)
    assert kept.startswith("data.sqlite.corrupt-")
    assert new == "data.sqlite"


def test_no_flipped_byte_becomes_knowledge(path):
    """A file whose row is damaged is read again, an image whose side is damaged was never seen."""
    remember(path, (SOURCE, FOUND))
    with open_history(path) as memory:
        memory.keep_sides([("ab" * 32, "train")], 0.2)
    with open(path, "rb") as file:
        content = file.read()
    used = [place for place, byte in enumerate(content) if byte]
    for flip in range(300):
        number = random.Random(flip)
        damaged = bytearray(content)
        damaged[number.choice(used)] ^= 1 << number.randrange(8)
        with open(path, "wb") as file:
            file.write(damaged)
        with open_history(path) as memory:
            assert next(iter(memory.recall([SOURCE], "v1"))) in (FOUND, None), flip
            assert memory.sides(["ab" * 32], 0.2)[0] in ("train", ""), flip


@pytest.fixture
def follow(tmp_path):
    """Maps the classes of one run after the other; images are given as {class: digests}."""

    def call(images):
        rows = [Row(f"{label}/{digest}", label, sha256=digest) for label, found in images.items() for digest in found]
        with open_history(str(tmp_path / "m")) as memory:
            mapped = map_classes(sorted(images), rows, memory)
            memory.keep_classes(mapped.places, [(row.sha256, row.label) for row in rows])
        return mapped

    return call


def test_at_first_the_order_is_that_of_the_names(follow):
    assert follow({"b": "1", "a": "2"}).classes == ["a", "b"]


def test_a_new_class_comes_last_and_moves_none(follow):
    follow({"b": "1", "d": "2"})
    mapped = follow({"a": "3", "b": "1", "c": "4", "d": "2"})
    assert mapped.classes == ["b", "d", "a", "c"]
    assert mapped.new == ["a", "c"]
    assert mapped.describe() == "new class 'a'; new class 'c'"
    assert follow({"a": "3", "b": "1", "c": "4", "d": "2"}).describe() == ""


def test_a_class_that_is_gone_is_said_and_has_its_place_when_it_comes_back(follow):
    follow({"a": "1", "b": "2", "c": "3"})
    mapped = follow({"b": "2", "c": "3"})
    assert (mapped.classes, mapped.gone, mapped.describe()) == (["b", "c"], ["a"], "class 'a' is gone")
    assert follow({"a": "1", "b": "2", "c": "3"}).classes == ["a", "b", "c"]


def test_a_class_whose_images_were_of_another_is_renamed_and_takes_its_place(follow):
    follow({"cat": "123", "dog": "456"})
    mapped = follow({"dog": "456", "zebra": "12", "felis": "123"})
    assert mapped.classes == ["felis", "dog", "zebra"]
    assert mapped.renamed == {"cat": "felis"}
    assert (mapped.new, mapped.gone) == (["zebra"], [])
    assert mapped.describe() == "class 'cat' is now 'felis'; new class 'zebra'"


def test_a_few_common_images_make_no_new_name(follow):
    follow({"cat": "123", "dog": "456"})
    mapped = follow({"dog": "456", "lion": "1789"})
    assert (mapped.renamed, mapped.new, mapped.gone) == ({}, ["lion"], ["cat"])


@pytest.mark.parametrize(("old", "new"), [("cafe\u0301", "café"), ("Cat", "cat"), ("cats ", "cats"), ("\uff41", "a")])
def test_a_class_that_is_only_spelled_otherwise_has_its_place(follow, old, new):
    follow({old: "1", "zebra": "2"})
    mapped = follow({new: "9", "zebra": "2", "ant": "3"})
    assert mapped.renamed == {old: new}
    assert (mapped.new, mapped.gone) == (["ant"], [])
    assert mapped.classes.index(new) == sorted([old, "zebra"]).index(old)


class Walked(list):
    """Rows that count how often somebody goes through them."""

    walks = 0

    def __iter__(self):
        self.walks += 1
        return super().__iter__()


def test_all_classes_renamed_at_once_take_one_walk_over_the_images(tmp_path):
    pairs = [(f"{number:02d}", f"x{number:02d}") for number in range(40)]
    with open_history(str(tmp_path / "m")) as memory:
        memory.keep_classes([old for old, _ in pairs], [(f"{old}-{i}", old) for old, _ in pairs for i in range(3)])
        rows = Walked(Row(f"{new}/{i}", new, sha256=f"{old}-{i}") for old, new in pairs for i in range(3))
        mapped = map_classes([new for _, new in pairs], rows, memory)
    assert mapped.renamed == dict(pairs)
    assert mapped.classes == [new for _, new in pairs]
    assert rows.walks == 1
