"""A class keeps its index; what is new, gone or renamed is said."""

import pytest

from components.example_gen.classes import map_classes
from components.example_gen.history import open_history
from components.example_gen.manifest import Row


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
