"""Intervals and tests against published numbers, brute force and simulation."""

import numpy as np
import pytest
from scipy import stats

from components.contract.statistics import (
    Pair,
    bootstrap_cells,
    count_pairs,
    fewest_images,
    images_for_share,
    images_needed,
    loss_bounds,
    loss_score,
    unpaired_worse_p,
    wilson_interval,
    worse_p,
)
from components.evaluator.metrics import macro_f1_of


def test_pairs_count_what_was_lost_and_gained():
    pair = count_pairs(np.array([True, True, True, False, False]), np.array([True, False, False, True, False]))
    assert pair == Pair(5, 2, 1)
    assert pair.loss == 0.2
    assert Pair(0, 0, 0).loss == 0.0


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    [(15, 20, 0.5313, 0.8881), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_wilson_interval_is_the_published_one(right, images, low, high):
    """81 of 263: Newcombe 1998, Statistics in Medicine 17:857, table I."""
    assert wilson_interval(right, images, 0.95) == pytest.approx((low, high), abs=1e-4)


def test_without_an_image_anything_is_likely():
    assert wilson_interval(0, 0, 0.95) == (0.0, 1.0)


@pytest.mark.parametrize("loss", [-0.3, -0.02, 0.0, 0.02, 0.1, 0.4])
@pytest.mark.parametrize("pair", [Pair(50, 12, 2), Pair(44, 1, 0), Pair(168, 0, 5), Pair(1000, 40, 30)])
def test_the_score_is_that_of_the_most_likely_shares_under_the_hypothesis(pair, loss):
    """Tango's closed form against a search for the shares of lost and gained images with that loss."""
    gained = np.linspace(max(0.0, -loss), (1 - loss) / 2, 400_001)[1:-1]
    lost = gained + loss
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = (
            pair.lost * np.log(lost)
            + pair.gained * np.log(gained)
            + (pair.images - pair.lost - pair.gained) * np.log1p(-lost - gained)
        )
    best = np.nanargmax(np.where(lost > 0, likelihood, -np.inf))
    variance = pair.images * (lost[best] + gained[best] - loss**2)
    expected = (pair.lost - pair.gained - pair.images * loss) / np.sqrt(variance)
    assert loss_score(pair, loss) == pytest.approx(expected, rel=0.01, abs=0.02)


Z = stats.norm.ppf(0.95)


@pytest.mark.parametrize(
    ("pair", "bounds", "p"),
    [
        (Pair(100, 3, 1), (-0.017371692780003833, 0.0641914601448379), 0.3125),
        (Pair(20, 0, 0), (-0.11915783736096497, 0.11915783736096497), 1.0),
        (Pair(1000, 480, 3), (0.4507528695834404, 0.5032757336502955), 7.519891375499725e-139),
        (Pair(30, 0, 30), (-1.0, -0.834551383749802), 1.0),
        (Pair(7, 7, 0), (0.44247460909491654, 1.0), 0.0078125),
        (Pair(1000, 40, 30), (-0.003828656538495956, 0.024120519704189824), 0.140989460896828),
        (Pair(168, 0, 5), (-0.05986890464320371, -0.013441019544404575), 1.0),
    ],
)
def test_bounds_and_p_are_those_of_earlier_versions(pair, bounds, p):
    """Made by bisection and the binomial's tail, before SciPy's root finder and test took their place."""
    assert loss_bounds(pair, 0.95) == pytest.approx(bounds, abs=1e-9)
    assert worse_p(pair) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize(
    ("right", "images", "confidence", "interval"),
    [
        (15, 20, 0.95, (0.531299122381256, 0.8881382985923343)),
        (0, 10, 0.95, (0.0, 0.2775327998628892)),
        (10, 10, 0.95, (0.7224672001371107, 1.0)),
        (81, 263, 0.95, (0.2552885198782742, 0.36620957698280004)),
        (957, 1000, 0.9, (0.9451576645931276, 0.9663761410857311)),
    ],
)
def test_intervals_are_those_of_earlier_versions(right, images, confidence, interval):
    assert wilson_interval(right, images, confidence) == pytest.approx(interval, abs=1e-9)


@pytest.mark.parametrize("pair", [Pair(100, 3, 1), Pair(20, 0, 0), Pair(1000, 480, 3), Pair(30, 0, 30), Pair(7, 7, 0)])
def test_the_bounds_are_where_the_test_turns(pair):
    low, high = loss_bounds(pair, 0.95)
    assert -1.0 <= low <= pair.loss + 1e-9 <= high + 2e-9 <= 1.0 + 2e-9
    if high < 1.0 - 1e-6:
        assert loss_score(pair, high - 1e-6) > -Z > loss_score(pair, high + 1e-6)
    if low > -1.0 + 1e-6:
        assert loss_score(pair, low - 1e-6) > Z > loss_score(pair, low + 1e-6)


def test_a_candidate_on_the_margin_passes_one_time_in_twenty():
    """The promise of the test: a true loss of the margin is let through with 5 %, whatever the churn."""
    draw = np.random.default_rng(5)
    for images, churn in ((400, 0.05), (1000, 0.03), (1000, 0.1)):
        shares = [(churn + 0.02) / 2, (churn - 0.02) / 2]
        drawn = draw.multinomial(images, [*shares, 1 - sum(shares)], 1500)
        passed = [loss_bounds(Pair(images, int(lost), int(gained)), 0.95)[1] <= 0.02 for lost, gained, _ in drawn]
        assert 0.02 <= np.mean(passed) <= 0.07


def test_who_is_right_more_often_is_the_exact_binomial_test():
    assert worse_p(Pair(1000, 9, 3)) == pytest.approx(stats.binomtest(9, 12, 0.5, "greater").pvalue)
    assert worse_p(Pair(1000, 0, 9)) == worse_p(Pair(1000, 0, 0)) == 1.0
    assert worse_p(Pair(1000, 480, 3)) < 1e-100


def test_an_equal_candidate_passes_on_a_set_of_the_size_that_is_asked_for():
    draw = np.random.default_rng(6)
    needed = images_needed(Pair(1000, 20, 20), 0.02, 0.95)
    assert 1000 < needed < 1300
    needed = int(needed)
    drawn = draw.multinomial(needed, [0.02, 0.02, 0.96], 1000)
    passed = [loss_bounds(Pair(needed, int(lost), int(gained)), 0.95)[1] <= 0.02 for lost, gained, _ in drawn]
    assert np.mean(passed) > 0.93


def test_the_fewest_images_are_those_that_show_a_candidate_that_never_differs():
    fewest = int(fewest_images(0.02, 0.95))
    assert fewest == 133
    assert loss_bounds(Pair(fewest, 0, 0), 0.95)[1] <= 0.02 < loss_bounds(Pair(fewest - 1, 0, 0), 0.95)[1]
    assert images_needed(Pair(10, 0, 0), 0.0, 0.95) == np.inf


def test_a_share_far_from_its_limit_takes_few_images():
    assert images_for_share(0.5, 0.9, 0.95) < images_for_share(0.85, 0.9, 0.95) < images_for_share(0.89, 0.9, 0.95)


def test_shares_on_different_images_are_held_against_both_sizes():
    assert unpaired_worse_p(0.93, 1000, 0.96, 1000) == pytest.approx(0.0016, abs=3e-4)
    assert unpaired_worse_p(0.93, 30, 0.96, 30) > 0.3
    assert unpaired_worse_p(0.97, 1000, 0.96, 1000) > 0.5


def test_the_bootstrap_over_cells_is_the_one_over_images():
    matrix = np.array([[45, 5, 0], [3, 40, 7], [0, 2, 48]])
    actual, predicted = np.repeat(np.indices((3, 3)).reshape(2, -1), matrix.ravel(), axis=1)
    draw, again = np.random.default_rng(7), []
    for _ in range(1000):
        chosen = draw.integers(0, len(actual), len(actual))
        cells = np.bincount(actual[chosen] * 3 + predicted[chosen], minlength=9).reshape(3, 3)
        again.append(macro_f1_of(cells))

    def measure(counts):
        return macro_f1_of(counts.reshape(3, 3))

    found = bootstrap_cells(matrix.ravel(), measure, 0.95)
    assert found == pytest.approx(tuple(np.quantile(again, [0.025, 0.975])), abs=0.01)
    assert found == bootstrap_cells(matrix.ravel(), measure, 0.95)
    assert bootstrap_cells(np.zeros(4, int), measure, 0.95) == (0.0, 1.0)
