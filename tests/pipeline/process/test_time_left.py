"""The time left: near the truth at a steady pace, and never absurd."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.process.time_left import LONGEST, PATIENCE, TimeLeft, in_words


def steady(rate, total, until, step=0.5):
    """Counts at a steady pace; gives what is told after each count, with the truth."""
    left, now = TimeLeft(), 100.0
    while now - 100.0 <= until:
        done = min(int(rate * (now - 100.0)), total)
        left.count(done, total, now)
        yield left.seconds(now), (total - rate * (now - 100.0)) / rate, now - 100.0
        now += step


@pytest.mark.parametrize("rate", [0.7, 13, 900])
def test_at_a_steady_pace_it_is_near_the_truth_and_falls(rate):
    told = [(left, true) for left, true, _ in steady(rate, int(rate * 100), 95) if left is not None]
    assert len(told) > 150
    late = told[20:]
    assert all(abs(left - true) < 3 + 0.1 * true + 2 / rate for left, true in late)
    assert late[-1][0] < late[0][0] / 5


def test_nothing_is_said_at_first_and_at_the_end():
    told = list(steady(10, 100, 20))
    assert all(left is None for left, _, after in told if after < PATIENCE)
    assert any(left is not None for left, _, after in told if PATIENCE <= after < 9)
    assert told[-1][0] is None


def test_another_thing_begins_anew():
    left = TimeLeft()
    for second in range(20):
        left.count(second, 100, float(second))
    assert left.seconds(20.0) is not None
    left.count(0, 1000, 21.0)
    assert left.seconds(21.0) is None
    left.count(1, 1000, 22.0)
    assert left.seconds(22.0) is None  # the pace of the thing before says nothing of this one
    left.count(5, 500, 23.0)
    left.count(255, 500, 33.0)
    assert left.seconds(33.0) == pytest.approx(245 * 10 / 250)


def test_what_comes_before_the_first_one_and_a_few_of_many_tell_no_pace():
    """A scan loads TensorFlow for 16 s before its first file."""
    left = TimeLeft()
    left.count(0, 300, 0.0)
    left.count(1, 300, 16.0)
    assert left.seconds(16.5) is left.seconds(22.0) is None
    left.count(3, 300, 23.0)
    assert left.seconds(23.0) is None
    left.count(151, 300, 26.0)
    assert left.seconds(26.0) == pytest.approx(149 * 10 / 150)


def test_few_slow_things_are_told_once_there_is_a_pace():
    left = TimeLeft()
    left.count(1, 10, 60.0)
    assert left.seconds(90.0) is None
    left.count(2, 10, 120.0)
    assert left.seconds(120.0) == pytest.approx(480.0)


def test_a_halt_makes_it_longer_and_a_faster_pace_shorter():
    left = TimeLeft()
    for second in range(31):
        left.count(second, 100, float(second))
    before = left.seconds(30.0)
    assert left.seconds(90.0) > before
    for second in range(91, 131):
        left.count(min(30 + 2 * (second - 90), 100), 200, float(second))
    assert left.seconds(130.0) < 100


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 10**6), st.floats(0, 10**4)), max_size=40
    )
)
def test_whatever_is_counted_it_is_positive_and_finite_or_not_told(counts):
    left, now = TimeLeft(), 0.0
    for done, total, wait, look in counts:
        now += wait
        left.count(done, total, now)
        now += look
        seconds = left.seconds(now)
        assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= LONGEST)
        assert seconds is None or not in_words(seconds).startswith(("about 0", "about -"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "about 1 s"),
        (7.4, "about 7 s"),
        (43, "about 45 s"),
        (54.9, "about 55 s"),
        (96.9, "about 95 s"),
        (100, "about 2 min"),
        (3570, "about 1 h 00 min"),
        (4800, "about 1 h 20 min"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert in_words(seconds) == words
