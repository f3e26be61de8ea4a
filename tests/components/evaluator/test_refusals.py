"""The check of the promised share of refused images: what passes, what fails, and what is said."""

import numpy as np
import pytest

from components.contract.gates import FAIL, PASS, UNDECIDED, WARN, warnings_of
from components.contract.statistics import fewest_to_refuse
from components.evaluator.outcomes import Outcomes, rate_typicality
from components.evaluator.refusals import check_refused
from components.options.gates import QualityGateOptions


def outcomes_with(refused, images=1000, **answers):
    """Outcomes of a model that calls the first images outliers."""
    zeros = np.zeros(images, int)
    outlier = np.where(np.arange(images) < refused, 0.01, 0.5)
    return Outcomes(zeros, zeros, zeros, zeros, zeros, 2, **{"outlier": outlier, "known": outlier > 0.05, **answers})


def check(outcomes, **gate):
    (found,) = check_refused(outcomes, QualityGateOptions(**gate))
    return found


@pytest.mark.parametrize(
    ("refused", "images", "limit", "verdict"),
    [
        *[(49, 1000, 0.05, PASS), (50, 1000, 0.05, PASS)],
        *[(60, 1000, 0.05, PASS), (70, 1000, 0.05, FAIL)],  # chance explains the one and not the other
        *[(2, 20, 0.05, PASS), (3, 20, 0.05, FAIL)],
        *[(0, 1000, 0.0, PASS), (1, 1000, 0.0, FAIL)],
        *[(1000, 1000, 0.05, FAIL), (0, 19, 0.05, PASS)],
    ],
)
def test_more_than_promised_fails_where_chance_does_not_explain_it(refused, images, limit, verdict):
    found = check(outcomes_with(refused, images), max_refused=limit)
    assert (found.verdict, found.measured, found.limit) == (verdict, refused / images, limit)
    assert found.stops == (verdict == FAIL)


def test_the_promise_is_held_by_the_images_that_it_was_calibrated_on():
    """Of further images more are refused by chance: of 10,000, 6.5 % at 500 that were calibrated on is no fault."""
    known = np.ones(10_000, bool)
    known[:25] = known[500:1125] = False
    outlier = np.where(known, 0.5, 0.01)
    later = outcomes_with(0, 10_000, known=known, outlier=outlier)
    (found,) = check_refused(later, QualityGateOptions(), 500)
    assert (found.verdict, found.measured) == (PASS, 0.05)
    assert check(later).verdict == FAIL
    known[:50] = False
    (found,) = check_refused(later, QualityGateOptions(), 500)
    assert (found.verdict, found.measured) == (FAIL, 0.1)
    outlier[-1] = np.nan
    (found,) = check_refused(later, QualityGateOptions(), 500)
    assert found.reason.startswith("`outlier` is no number in 0..1 for 1 of 10,000 eval images")


def test_a_broken_promise_is_said_with_both_numbers():
    reason = check(outcomes_with(310)).reason
    assert "310 of 1,000 good eval images are called outliers: a share of 0.3100 (0.2865 or more at 95%" in reason
    assert "gates.quality.max_refused promises at most 0.0500" in reason
    assert "train again (--no-cache)" in reason


@pytest.mark.parametrize("odd", [np.nan, np.inf, -0.1, 1.5])
def test_an_answer_that_is_no_share_fails_even_where_all_are_known(odd):
    answers = {"outlier": np.array([odd, *[0.5] * 999]), "known": np.ones(1000, bool)}
    found = check(outcomes_with(0, **answers))
    assert (found.verdict, found.measured) == (FAIL, 1)
    assert found.reason == "`outlier` is no number in 0..1 for 1 of 1,000 eval images: the export is broken"


def test_too_few_images_to_refuse_any_is_told_and_stops_nothing():
    found = check(outcomes_with(0, 18))
    assert (found.verdict, found.stops) == (UNDECIDED, False)
    assert "18 images, and with fewer than 19 every image is `known`" in found.reason
    assert warnings_of([found]) == [found.reason]
    assert [fewest_to_refuse(share) for share in (0.05, 0.1, 0.01, 0.3)] == [19, 9, 99, 3]


def test_a_model_that_refuses_nothing_where_it_should_is_told_of():
    found = check(outcomes_with(0))
    assert found.verdict == WARN
    assert found.reason.endswith("where about 50 are expected: `outlier` does not tell images apart")


def test_a_model_that_does_not_say_is_not_checked():
    assert not list(check_refused(outcomes_with(0, outlier=None, known=None), QualityGateOptions()))
    assert rate_typicality({"probabilities": [[0.5, 0.5]]}, 1) == {"outlier": None, "known": None}
