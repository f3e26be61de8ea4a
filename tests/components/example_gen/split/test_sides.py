"""The split that content, clusters, classes and memory decide."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract import features
from components.example_gen.split.duplicates import find_neighbours
from components.example_gen.split.sides import assign_sides

DIGESTS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
fractions = st.floats(0.001, 0.999)


def assign(digests, clusters, remembered=None, fraction=0.2, labels=None):
    count = len(digests)
    labels = labels or ["cats"] * count
    return assign_sides(digests, labels, np.asarray(clusters, int), remembered or [""] * count, fraction)


def share(sides):
    return sum(side == features.EVAL_SPLIT for side in sides) / len(sides)


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.9])
def test_the_share_is_what_was_asked_for(fraction):
    sides, bridging = assign(DIGESTS, range(len(DIGESTS)), fraction=fraction)
    assert share(sides) == fraction
    assert bridging == []


@pytest.mark.parametrize("size", [1, 2, 10, 100])
def test_the_share_does_not_depend_on_the_size_of_the_clusters(size):
    sides, _ = assign(DIGESTS, np.arange(len(DIGESTS)) // size)
    assert share(sides) == 0.2
    assert all(len(set(sides[start : start + size])) == 1 for start in range(0, len(sides), size))


def test_each_class_has_its_own_share():
    labels = [f"class {number % 7}" for number in range(700)]
    sides, _ = assign(DIGESTS[:700], range(700), labels=labels)
    assert set(Counter(label for label, side in zip(labels, sides, strict=True) if side == "eval").values()) == {20}


def test_a_class_that_is_added_moves_no_image_of_another():
    before, _ = assign(DIGESTS[:99], range(99))
    after, _ = assign(DIGESTS[:150], range(150), labels=["cats"] * 99 + ["dogs"] * 51)
    assert after[:99] == before


def test_the_sides_of_known_pictures_never_change():
    sides, _ = assign(DIGESTS[:20], range(20))
    assert [index for index, side in enumerate(sides) if side == "eval"] == [4, 7, 9, 16]


@pytest.mark.parametrize("side", features.SPLITS)
def test_newcomers_join_the_remembered_side_whatever_the_share(side):
    sides, bridging = assign(DIGESTS[:3], [0, 0, 0], ["", "", side])
    assert sides == [side] * 3
    assert bridging == []


def test_a_newcomer_between_two_sides_is_on_neither_and_moves_nobody():
    remembered = ["train", "", "eval", "", "train"]
    sides, bridging = assign(DIGESTS[:5], [0, 0, 0, 0, 1], remembered)
    assert sides == remembered
    assert bridging == [1, 3]


def test_a_copy_of_a_remembered_image_is_no_bridge():
    one, other, new = DIGESTS[:3]
    sides, bridging = assign([one, other, new, other], [0] * 4, ["train", "eval", "", ""])
    assert sides == ["train", "eval", "", "eval"]
    assert bridging == [2]


def test_a_copy_of_an_image_that_is_remembered_on_both_sides_is_a_bridge():
    sides, bridging = assign(DIGESTS[:1] * 3, [0] * 3, ["train", "eval", ""])
    assert sides == ["train", "eval", ""]
    assert bridging == [2]


def test_nothing_is_on_no_side():
    assert assign([], []) == ([], [])


def test_two_clusters_that_a_picture_joins_stay_where_they_were():
    """The edges are those of hashes: the newcomer is 10 bits from a train image and 10 from an eval image."""
    old, far, between = ("f" * 64, "0" * 5 + "f" * 59, "0" * 2 + "3" + "f" * 61)
    apart = find_neighbours(DIGESTS[:2], [old, far], ["", ""], 12)
    sides, _ = assign(DIGESTS[:2], apart.clusters)
    assert set(sides) == {"train", "eval"}
    joined = find_neighbours(DIGESTS[:3], [old, far, between], [""] * 3, 12)
    assert assign(DIGESTS[:3], joined.clusters, [*sides, ""]) == ([*sides, ""], [2])


@st.composite
def grown_sets(draw):
    """Contents in order of arrival, the sizes of the generations, and edges between any two contents."""
    contents = draw(st.lists(st.integers(0, 30), min_size=1, max_size=30))
    ends = draw(st.lists(st.integers(1, len(contents)), min_size=1, max_size=4, unique=True))
    pairs = st.tuples(st.integers(0, 30), st.integers(0, 30))
    return contents, sorted({*ends, len(contents)}), draw(st.lists(pairs, max_size=15))


def cluster(contents, edges):
    """Components over equal contents, and over those edges whose two ends are there."""
    label = {content: content for content in contents}
    for one, other in edges:
        if one in label and other in label:
            old, new = label[one], label[other]
            label = {content: new if known == old else known for content, known in label.items()}
    return np.array([label[content] for content in contents])


@settings(deadline=None, max_examples=200)
@given(grown_sets(), fractions)
def test_growing_moves_no_image_parts_no_copies_and_splits_no_new_cluster(grown, fraction):
    contents, ends, edges = grown
    sides: list[str] = []
    for end in ends:
        here = contents[:end]
        clusters = cluster(here, edges)
        remembered = sides + [""] * (end - len(sides))
        labels = [f"class {content % 3}" for content in here]
        found, bridging = assign([DIGESTS[content] for content in here], clusters, remembered, fraction, labels)
        assert all(new == old for new, old in zip(found, sides, strict=False) if old)
        for content in set(here):
            assert len({side for side, other in zip(found, here, strict=True) if other == content}) == 1
        for label in set(clusters):
            inside = np.flatnonzero(clusters == label)
            before = {remembered[index] for index in inside} - {""}
            assert len({found[index] for index in inside}) == 1 or before == set(features.SPLITS)
        assert bridging == [index for index, side in enumerate(found) if not side]
        sides = found


@settings(deadline=None)
@given(grown_sets(), fractions, st.randoms(use_true_random=False), st.lists(st.sampled_from(["", "train", "eval"])))
def test_the_order_of_the_images_does_not_matter(grown, fraction, random, known):
    contents, _, edges = grown
    remembered = (known + [""] * len(contents))[: len(contents)]
    order = random.sample(range(len(contents)), len(contents))

    def sides(contents, remembered):
        labels = [f"class {content % 3}" for content in contents]
        digests = [DIGESTS[content] for content in contents]
        return assign(digests, cluster(contents, edges), remembered, fraction, labels)[0]

    shuffled = sides([contents[index] for index in order], [remembered[index] for index in order])
    assert shuffled == [sides(contents, remembered)[index] for index in order]


@pytest.mark.parametrize("size", [1, 10])
def test_a_set_that_grows_keeps_its_share_and_moves_nobody(size):
    sides: list[str] = []
    for end in range(200, len(DIGESTS) + 1, 200):
        clusters = np.arange(end) // size
        grown, _ = assign(DIGESTS[:end], clusters, sides + [""] * (end - len(sides)))
        assert grown[: len(sides)] == sides
        assert share(grown) == 0.2
        sides = grown


def test_new_images_mend_a_share_that_an_earlier_rule_left():
    """20 images were remembered on train and 380 on eval."""
    old = ["train"] * 20 + ["eval"] * 380
    sides, _ = assign(DIGESTS, range(len(DIGESTS)), old + [""] * 3600)
    assert sides[:400] == old
    assert share(sides) == 0.2
