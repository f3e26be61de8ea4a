"""The search for near hashes finds each pair, into however many bands hashes are cut, and does not grow as pairs do."""

import numpy as np
import pytest

from components.example_gen.split import hamming


def make_hashes(count, distance):
    """Hashes at random, of which the first half has a neighbour at exactly this distance in the second."""
    random = np.random.default_rng(count)
    words = random.integers(0, 2**64, (count, hamming.WORDS), np.uint64)
    flips = random.permuted(np.tile(np.arange(hamming.BITS) < distance, (count // 2, 1)), axis=1)
    words[count // 2 :] = words[: count // 2] ^ np.packbits(flips, axis=1).view(np.uint64)
    return words


@pytest.mark.parametrize("bands", [11, 12, 13, 14, 15, 16])
def test_every_pair_is_found_however_many_bands_there_are(monkeypatch, bands):
    monkeypatch.setattr(hamming, "choose_bands", lambda count, distance: bands)
    words, half = make_hashes(80, 31), np.arange(80) < 40
    components = hamming.connect_near(words, 31)
    np.testing.assert_array_equal(components[half], components[~half])
    assert len(np.unique(components)) == 40
    asked, nearest = hamming.nearest_across(words, half, ~half, 31)
    np.testing.assert_array_equal(asked + 40, nearest)
    assert len(np.unique(hamming.connect_near(make_hashes(80, 32), 31))) == 80


def test_fewer_bands_are_best_for_more_hashes():
    assert [hamming.choose_bands(count, 31) for count in (1_000, 1_000_000)] == [16, 11]
    assert [hamming.choose_bands(count, 7) for count in (1_000, 1_000_000)] == [8, 8]


def test_the_work_does_not_grow_as_the_pairs_do():
    def work(count):
        return hamming.estimate_work(count, 31, hamming.choose_bands(count, 31))

    assert work(1_000_000) < 4**1.4 * work(250_000)
    assert work(1_000_000) < work(125_000) * 8**1.5


def test_the_pairs_compared_are_those_of_the_estimate(monkeypatch):
    compared, count_bits = [], hamming._count_bits
    monkeypatch.setattr(hamming, "_count_bits", lambda words: (compared.append(len(words)), count_bits(words))[1])
    monkeypatch.setattr(hamming, "LOOKUP", 0)
    monkeypatch.setattr(hamming, "choose_bands", lambda count, distance: 16)
    words = np.random.default_rng(0).integers(0, 2**64, (4000, hamming.WORDS), np.uint64)
    hamming.connect_near(words, 15)
    assert sum(compared) == pytest.approx(hamming.estimate_work(4000, 15, 16), rel=0.2)
