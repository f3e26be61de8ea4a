"""The draw: each class has its share of eval, whatever the sizes of the units."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen.split.stratify import draw_eval

SIZES = {
    "ones": [1] * 400,
    "pairs": [2] * 200,
    "tens": [10] * 40,
    "hundreds": [100] * 12,
    "mixed": [1] * 150 + [2] * 40 + [10] * 15 + [100] * 2,
    "one of most": [240] + [1] * 160,
    "two": [5, 5],
}


def draw(units, seed=0, fraction=0.2, placed=None, classes=None):
    draws = random.Random(seed).sample(range(10**9), len(units))
    classes = classes or 1 + max((label for unit in units for label, _ in unit), default=0)
    table = np.zeros((classes, 2), int) if placed is None else np.array(placed)
    return draw_eval(units, draws, table, fraction)


def shares(units, on_eval):
    """The share of eval of each class."""
    total, found = Counter(), Counter()
    for unit, side in zip(units, on_eval, strict=True):
        for label, count in unit:
            total[label] += count
            found[label] += count * side
    return {label: found[label] / total[label] for label in total}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_a_class_has_its_share_up_to_half_its_smallest_unit_that_is_left(sizes, fraction, seed):
    units = [[(0, size)] for size in sizes]
    on_eval = draw(units, seed, fraction)
    off = abs(shares(units, on_eval)[0] - fraction) * sum(sizes)
    forced = sum(on_eval) in (1, len(sizes) - 1)  # a side would have none otherwise
    assert forced or off <= max(sizes) / 2 + 1e-6
    assert 0 < sum(on_eval) < len(sizes)


def test_units_of_one_size_fall_alike_whatever_it_is():
    """Over many draws, a unit of ten is on eval as often as one image."""
    for size in (1, 10, 100):
        counts = np.zeros(20)
        for seed in range(400):
            counts += draw([[(0, size)]] * 20, seed)
        assert counts.sum() == 400 * 4
        assert abs(counts / 400 - 0.2).max() < 0.08


def test_a_unit_that_is_larger_than_the_room_goes_to_train():
    for seed in range(20):
        on_eval = draw([[(0, 60)]] + [[(0, 1)]] * 40, seed)
        assert (on_eval[0], sum(on_eval)) == (False, 20)


@pytest.mark.parametrize(("images", "classes", "each"), [(6, 200, 1), (10, 5, 2), (2, 3, 1), (3, 4, 1), (7, 9, 1)])
def test_few_images_in_many_classes_are_drawn_within_each(images, classes, each):
    units = [[(label, 1)] for label in range(classes) for _ in range(images)]
    for seed in range(5):
        found = shares(units, draw(units, seed))
        assert found == dict.fromkeys(range(classes), each / images)


def test_a_class_of_one_unit_is_on_train():
    for seed in range(10):
        assert draw([[(0, 1)], [(1, 7)], [(2, 1)], [(2, 1)]], seed)[:2] == [False, False]


@pytest.mark.parametrize("seed", range(5))
def test_patients_with_images_of_several_classes_stay_whole_and_every_class_has_its_share(seed):
    numbers = random.Random(seed)
    units = []
    for _ in range(120):
        labels = Counter(min(int(numbers.expovariate(0.7)), 6) for _ in range(numbers.randint(1, 40)))
        units.append(sorted(labels.items()))
    for label, share in shares(units, draw(units, seed)).items():
        assert share == pytest.approx(0.2, abs=0.06), label


def test_what_is_there_already_counts():
    crowded = draw([[(0, 1)]] * 100, placed=[[20, 380]])
    assert sum(crowded) == 0
    assert sum(draw([[(0, 1)]] * 100, placed=[[400, 0]])) == 100
    assert sum(draw([[(0, 1)]] * 100, placed=[[320, 80]])) == 20
    assert draw([], placed=[[3, 0]], classes=1) == []


single = st.tuples(st.integers(0, 3), st.sampled_from([1, 1, 2, 3, 10, 100])).map(lambda pair: [pair])
several = st.dictionaries(st.integers(0, 4), st.integers(1, 9), min_size=1).map(lambda unit: sorted(unit.items()))
fractions = st.floats(0.01, 0.99)


@settings(deadline=None, max_examples=300)
@given(st.lists(single, max_size=40), fractions, st.integers())
def test_each_class_that_has_two_units_is_on_both_sides(units, fraction, seed):
    on_eval = draw(units, seed, fraction, classes=4)
    for label in range(4):
        sides = [side for unit, side in zip(units, on_eval, strict=True) if unit[0][0] == label]
        assert len(sides) < 2 or set(sides) == {False, True}


@settings(deadline=None, max_examples=300)
@given(st.lists(several, max_size=25), fractions, st.randoms(use_true_random=False))
def test_the_order_of_units_does_not_matter(units, fraction, numbers):
    draws = numbers.sample(range(10**6), len(units))
    on_eval = draw_eval(units, draws, np.zeros((5, 2), int), fraction)
    order = numbers.sample(range(len(units)), len(units))
    shuffled = [units[index] for index in order], [draws[index] for index in order]
    assert draw_eval(*shuffled, np.zeros((5, 2), int), fraction) == [on_eval[index] for index in order]


def test_groups_that_tie_classes_together_are_untied_where_that_can_be():
    """Class 0 has its two units in common with classes that also need one of them on either side."""
    units = [[(0, 1), (1, 1)], [(0, 1), (2, 1)], [(1, 1)], [(2, 1), (3, 4)], [(3, 1)]]
    for seed in range(30):
        for fraction in (0.1, 0.2, 0.5, 0.9):
            assert all(0 < share < 1 for share in shares(units, draw(units, seed, fraction)).values())


def test_groups_that_cannot_be_untied_end_the_draw_all_the_same():
    """Three classes of two groups each, in a triangle: two sides cannot part all three."""
    on_eval = draw([[(0, 1), (1, 1)], [(1, 1), (2, 1)], [(2, 1), (0, 1)]])
    assert 0 < sum(on_eval) < 3
