"""Copies, near-duplicates and groups, held against a comparison of all pairs."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen.split import hamming
from components.example_gen.split.duplicates import Leak, exact_groups, find_neighbours

DISTANCES = (0, 3, 8, 12, 15, 16, 19, 31)  # fewer bands, 16 bands, and 16 bands with a flipped bit


def digest(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def flip(text, bits):
    return f"{int(text, 16) ^ sum(1 << int(bit) for bit in bits):064x}"


def differ(one, other):
    return bin(int(one, 16) ^ int(other, 16)).count("1")


def by_first(components):
    return sorted(sorted(component) for component in components)


def partition(labels):
    return by_first([np.flatnonzero(labels == label).tolist() for label in np.unique(labels)])


def components(count, edges):
    """The connected components, by walking the edges."""
    labels = list(range(count))
    for one, other in edges:
        old, new = labels[one], labels[other]
        labels = [new if label == old else label for label in labels]
    return partition(np.array(labels))


@st.composite
def sets(draw):
    """Few images with planted copies, neighbours at distance d and just beyond, chains, groups, and no hashes."""
    distance = draw(st.sampled_from(DISTANCES))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    hashes, digests = [], []
    for number in range(draw(st.integers(1, 25))):
        kind = draw(st.sampled_from(["new", "copy", "same hash", "at", "beyond", "flat"])) if hashes else "new"
        origin = int(random.integers(len(hashes))) if hashes else 0
        flips = {"at": distance, "beyond": distance + 1}.get(kind, 0)
        if kind == "new" or (kind != "flat" and not hashes[origin]):
            text = random.bytes(32).hex()
        else:
            text = "" if kind == "flat" else flip(hashes[origin], random.choice(256, flips, replace=False))
        hashes.append(text)
        digests.append(digests[origin] if kind == "copy" and text == hashes[origin] else digest(number))
    count = len(hashes)
    groups = draw(st.lists(st.sampled_from(["", "", "", "a", "b"]), min_size=count, max_size=count))
    sides = draw(st.lists(st.sampled_from(["train", "eval", ""]), min_size=count, max_size=count))
    return SimpleNamespace(digests=digests, hashes=hashes, groups=groups, sides=sides, distance=distance)


def relation(images, one, other):
    """What connects two images: the kind and distance of a `Leak`, or None."""
    if images.digests[one] == images.digests[other]:
        return "copy", 0
    if images.hashes[one] and images.hashes[other]:
        bits = differ(images.hashes[one], images.hashes[other])
        if bits <= images.distance:
            return "near", bits
    return ("group", None) if images.groups[one] and images.groups[one] == images.groups[other] else None


def neighbours(images):
    return find_neighbours(images.digests, images.hashes, images.groups, images.distance)


def all_pairs(count):
    return [(one, other) for one in range(count) for other in range(one)]


@pytest.fixture(params=[1024, 2], ids=["buckets", "crowds"], scope="module")
def _crowds(request):
    """Properties hold for small buckets and, with the limit lowered, for crowds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "CROWD", request.param)
        patch.setattr(hamming, "PAIRS_HELD", 512)
        yield


@pytest.mark.usefixtures("_crowds")
@settings(deadline=None, max_examples=80)
@given(sets())
def test_clusters_near_groups_and_leaks_are_those_of_all_pairs(images):
    found = neighbours(images)
    check_clusters(images, found.clusters)
    check_near_groups(images, found.near_groups())
    check_leaks(images, found.leaks(images.sides))


def check_clusters(images, clusters):
    count = len(images.digests)
    edges = [pair for pair in all_pairs(count) if relation(images, *pair)]
    assert partition(clusters) == components(count, edges)


def check_near_groups(images, groups):
    """They are the components of hashes with two digests."""
    hashed = [
        (one, other) for one, other in all_pairs(len(images.hashes)) if images.hashes[one] and images.hashes[other]
    ]
    edges = [
        (one, other) for one, other in hashed if differ(images.hashes[one], images.hashes[other]) <= images.distance
    ]
    found = components(len(images.hashes), edges)
    expected = [group for group in found if len({images.digests[index] for index in group}) > 1]
    assert groups == expected


def check_leaks(images, leaks):
    """They are the train images with a direct eval neighbour."""
    evaluation = [index for index, side in enumerate(images.sides) if side == "eval"]
    expected = {}
    for index, side in enumerate(images.sides):
        found = [relation(images, index, other) for other in evaluation] if side == "train" else []
        if kinds := {kind for kind, _ in filter(None, found)}:
            expected[index] = next(kind for kind in ("copy", "near", "group") if kind in kinds)
    assert {leak.train: leak.kind for leak in leaks} == expected
    assert [leak.train for leak in leaks] == sorted(expected)
    for leak in leaks:
        assert images.sides[leak.evaluation] == "eval"
        same_group = images.groups[leak.train] == images.groups[leak.evaluation] != ""
        assert same_group if leak.kind == "group" else relation(images, leak.train, leak.evaluation)
        if leak.kind == "near":
            assert leak.distance == differ(images.hashes[leak.train], images.hashes[leak.evaluation])


def test_a_leak_names_the_nearest_eval_image():
    text = digest("picture")
    hashes = [
        flip(text, range(9)),
        text,
        flip(text, range(4)),
        flip(text, range(252, 256)),
        flip(text, range(100, 116)),
    ]
    found = find_neighbours([digest(number) for number in range(5)], hashes, [""] * 5, 15)
    assert found.leaks(["eval", "train", "eval", "eval", "train"]) == [Leak(1, 2, "near", 4)]


@pytest.mark.parametrize("distance", [1, 2, 7, 8, 9, 14, 15, 16, 17, 23, 24, 30, 31, 32, 47])
def test_flips_that_are_spread_over_all_bands_are_found(distance):
    text = digest("picture")
    hashes = [text, flip(text, range(distance)), flip(text, range(128, 129 + distance))]
    found = find_neighbours([digest(number) for number in range(3)], hashes, [""] * 3, distance)
    assert found.near_groups() == [[0, 1]]
    assert found.leaks(["train", "eval", "train"]) == [Leak(0, 1, "near", distance)]


def test_equal_hashes_of_different_bytes_leak_at_distance_0():
    found = find_neighbours([digest(1), digest(2)], [digest("same")] * 2, ["", ""], 15)
    assert found.leaks(["eval", "train"]) == [Leak(1, 0, "near", 0)]
    assert found.near_groups() == [[0, 1]]


def test_without_a_distance_only_copies_and_groups_connect():
    digests = [digest(1), digest(1), digest(2), digest(3), digest(4)]
    found = find_neighbours(digests, [digest("same")] * 5, ["", "", "a", "a", ""], None)
    assert partition(found.clusters) == [[0, 1], [2, 3], [4]]
    assert found.near_groups() == []
    assert found.leaks(["train", "eval", "train", "eval", "train"]) == [
        Leak(0, 1, "copy", 0),
        Leak(2, 3, "group", None),
    ]


def test_a_chain_is_one_cluster_but_only_its_links_are_neighbours():
    text = digest("picture")
    hashes = [text, flip(text, range(10)), flip(text, range(20))]
    found = find_neighbours([digest(number) for number in range(3)], hashes, [""] * 3, 15)
    assert partition(found.clusters) == [[0, 1, 2]]
    assert found.leaks(["train", "train", "eval"]) == [Leak(1, 2, "near", 10)]


def test_images_without_a_hash_are_no_neighbours():
    found = find_neighbours([digest(1), digest(2)], ["", ""], ["", ""], 15)
    assert partition(found.clusters) == [[0], [1]]
    assert found.near_groups() == found.leaks(["train", "eval"]) == []


def test_nothing_has_no_neighbours():
    found = find_neighbours([], [], [], 15)
    assert found.clusters.shape == (0,)
    assert found.near_groups() == found.leaks([]) == exact_groups([]) == []


def test_exact_groups_are_ordered_by_their_first_index():
    one, two, three = digest(1), digest(2), digest(3)
    assert exact_groups([two, three, one, one, two, one]) == [[0, 4], [2, 3, 5]]


@settings(deadline=None)
@given(st.lists(st.integers(0, 5).map(digest), max_size=12))
def test_exact_groups_are_all_indices_of_a_repeated_digest(digests):
    repeated = {text: [index for index, other in enumerate(digests) if other == text] for text in digests}
    assert exact_groups(digests) == [group for group in repeated.values() if len(group) > 1]


@pytest.mark.parametrize("text", ["abc", "g" * 64, "0" * 63, "0" * 65])
def test_what_is_no_digest_is_refused(text):
    with pytest.raises(ValueError, match=r"64 hex digits|non-hexadecimal"):
        exact_groups([digest(1), text])


@pytest.mark.parametrize("distance", [15, 20])
def test_a_burst_beside_strangers_that_share_a_band_is_one_cluster(distance):
    """3,000 like frames, and 1,500 hashes that share 16 bits with them and nothing else."""
    random = np.random.default_rng(1)
    first = random.integers(0, 2, 256, dtype=np.uint8)
    burst = np.tile(first, (3000, 1))
    burst[np.arange(3000), random.integers(0, 256, 3000)] ^= 1
    strangers = random.integers(0, 2, (1500, 256), dtype=np.uint8)
    strangers[:, ::16] = first[::16]
    hashes = [row.tobytes().hex() for row in np.packbits(np.concatenate([burst, strangers]), axis=1)]
    digests = [digest(number) for number in range(4500)]
    found = find_neighbours(digests, hashes, [""] * 4500, distance)
    assert found.near_groups() == [list(range(3000))]
    leaks = found.leaks(["train", "eval"] * 2250)
    assert [leak.train for leak in leaks] == list(range(0, 3000, 2))
    assert all(leak.distance == differ(hashes[leak.train], hashes[leak.evaluation]) <= 2 for leak in leaks)
