"""The split that content, clusters and memory decide."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import features
from components.example_gen.duplicates import find_neighbours
from components.example_gen.split import assign_sides, split_by_content

DIGESTS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
digests = st.binary(max_size=8).map(lambda content: hashlib.sha256(content).hexdigest())
fractions = st.floats(0.001, 0.999)
IN_EVAL = "00000000" + "f" * 56
IN_TRAIN = "ffffffff" + "0" * 56


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.9])
def test_the_share_is_what_was_asked_for(fraction):
    found = sum(split_by_content(digest, fraction) == features.EVAL_SPLIT for digest in DIGESTS) / len(DIGESTS)
    assert found == pytest.approx(fraction, abs=0.025)


@given(digests, fractions)
def test_the_same_content_is_always_on_the_same_side(digest, fraction):
    assert split_by_content(digest, fraction) == split_by_content(digest, fraction) in features.SPLITS


@given(digests, fractions, fractions)
def test_a_larger_share_only_moves_images_towards_eval(digest, one, other):
    small, large = sorted((one, other))
    if split_by_content(digest, small) == features.EVAL_SPLIT:
        assert split_by_content(digest, large) == features.EVAL_SPLIT


def test_the_sides_of_known_pictures_never_change():
    assert split_by_content("00000000" + "f" * 56, 0.001) == "eval"
    assert split_by_content("7fffffff" + "0" * 56, 0.5) == "eval"
    assert split_by_content("80000000" + "0" * 56, 0.5) == "train"
    assert split_by_content("ffffffff" + "0" * 56, 0.999) == "train"


def test_images_alone_fall_by_their_content():
    sides, bridging = assign_sides(DIGESTS, np.arange(len(DIGESTS)), [""] * len(DIGESTS), 0.2)
    assert sides == [split_by_content(digest, 0.2) for digest in DIGESTS]
    assert bridging == []


def test_a_cluster_falls_where_its_smallest_digest_does():
    assert assign_sides([IN_TRAIN, IN_EVAL, IN_TRAIN], np.array([7, 7, 3]), [""] * 3, 0.2) == (
        ["eval", "eval", "train"],
        [],
    )


@pytest.mark.parametrize("side", features.SPLITS)
def test_newcomers_join_the_remembered_side_whatever_their_digest(side):
    sides, bridging = assign_sides([IN_TRAIN, IN_EVAL, DIGESTS[0]], np.zeros(3, int), ["", "", side], 0.2)
    assert sides == [side] * 3
    assert bridging == []


def test_a_newcomer_between_two_sides_is_on_neither_and_moves_nobody():
    remembered = ["train", "", "eval", "", "train"]
    sides, bridging = assign_sides(DIGESTS[:5], np.array([0, 0, 0, 0, 1]), remembered, 0.2)
    assert sides == remembered
    assert bridging == [1, 3]


def test_a_copy_of_a_remembered_image_is_no_bridge():
    one, other, new = DIGESTS[:3]
    sides, bridging = assign_sides([one, other, new, other], np.zeros(4, int), ["train", "eval", "", ""], 0.2)
    assert sides == ["train", "eval", "", "eval"]
    assert bridging == [2]


def test_a_copy_of_an_image_that_is_remembered_on_both_sides_is_a_bridge():
    sides, bridging = assign_sides([IN_EVAL] * 3, np.zeros(3, int), ["train", "eval", ""], 0.2)
    assert sides == ["train", "eval", ""]
    assert bridging == [2]


def test_nothing_is_on_no_side():
    assert assign_sides([], np.array([], int), [], 0.2) == ([], [])


def test_two_clusters_that_a_picture_joins_stay_where_they_were():
    """The edges are those of hashes: the newcomer is 10 bits from a train image and 10 from an eval image."""
    old, far, between = ("f" * 64, "0" * 5 + "f" * 59, "0" * 2 + "3" + "f" * 61)
    apart = find_neighbours([IN_TRAIN, IN_EVAL], [old, far], ["", ""], 12)
    sides, _ = assign_sides([IN_TRAIN, IN_EVAL], apart.clusters, ["", ""], 0.2)
    assert sides == ["train", "eval"]
    joined = find_neighbours([IN_TRAIN, IN_EVAL, DIGESTS[0]], [old, far, between], [""] * 3, 12)
    assert assign_sides([IN_TRAIN, IN_EVAL, DIGESTS[0]], joined.clusters, [*sides, ""], 0.2) == ([*sides, ""], [2])


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
        found, bridging = assign_sides([DIGESTS[content] for content in here], clusters, remembered, fraction)
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

    def assign(contents, remembered):
        return assign_sides([DIGESTS[each] for each in contents], cluster(contents, edges), remembered, fraction)[0]

    shuffled = assign([contents[index] for index in order], [remembered[index] for index in order])
    assert shuffled == [assign(contents, remembered)[index] for index in order]
