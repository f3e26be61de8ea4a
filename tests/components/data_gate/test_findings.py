"""Two sets of images: alike but for chance, or not. Real statistics, the committed schema."""

import pandas as pd
import pytest

from components.contract import features
from components.data_gate.findings import chance, describe_change, measure_shifts
from tests.components.data_gate.frames import (
    camera,
    changed,
    committed_schema,
    darkened,
    photographs,
    statistics_of,
)

MEASURED = set(features.STATISTICS_FEATURES) - {features.LABEL}


def shifts(now, before, kind="drift", **options):
    return measure_shifts(statistics_of(now), statistics_of(before), committed_schema(), kind, **options)


def over(now, before, **options):
    return {shift.feature.removeprefix("image/") for shift in shifts(now, before, **options) if shift.is_over}


@pytest.mark.parametrize("kind", ["drift", "skew"])
def test_every_feature_is_compared_in_time_and_between_the_splits(kind):
    found = shifts(photographs(60), photographs(60), kind)
    assert [shift.feature for shift in found] == sorted(MEASURED)
    assert all(shift.value == pytest.approx(0, abs=1e-6) for shift in found)


@pytest.mark.parametrize("counts", [(1500, 1500), (150, 150), (240, 60), (120, 30), (30, 30)])
def test_chance_does_not_cry_wolf(counts):
    for seed in range(3):
        assert over(photographs(counts[0], 2 * seed), photographs(counts[1], 2 * seed + 1)) == set()


def test_more_of_the_same_is_no_drift():
    before = photographs(3000)
    assert over(pd.concat([before, photographs(100, 1)]), before) == set()


def test_one_odd_image_among_many_is_no_drift():
    before = photographs(1000)
    odd = camera(changed(before, 0.001, bytes=9_000_000, channels=1, format="png"), 12_000, 600, 0.001)
    assert over(odd, before) == set()
    assert over(before, odd) == set()


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        (lambda x: darkened(x, 0.7), {"brightness", "contrast"}),
        (lambda x: camera(x, 640, 480), {"width", "height", "aspect_ratio"}),
        (lambda x: changed(x, width=lambda w: w * 2, height=lambda h: h * 2), {"width", "height"}),
        (lambda x: changed(x, bytes=lambda b: b // 3), {"bytes"}),
        (lambda x: changed(x, 0.4, format="png"), {"format"}),
        (lambda x: changed(x, 0.5, channels=1), {"channels"}),
        (lambda x: changed(x, 0.5, label="dogs"), {"class/text"}),
        (lambda x: changed(x, 0.3, label="birds"), {"class/text"}),
    ],
)
@pytest.mark.parametrize("count", [300, 3000])
def test_a_real_change_is_caught(change, caught, count):
    assert over(change(photographs(count, 1)), photographs(count)) == caught


def test_small_sets_are_given_more_room():
    assert chance(150, 150) == pytest.approx(0.1155, abs=1e-4)
    assert chance(30, 30) > chance(300, 30) > chance(300, 300) > chance(10**6, 10**6) > 0
    limits = {shift.feature: shift.limit for shift in shifts(photographs(100), photographs(400))}
    assert limits[features.BRIGHTNESS] == pytest.approx(0.1 + chance(100, 400))
    assert limits[features.WIDTH] == pytest.approx(0.2 + chance(100, 400))


def test_the_limit_of_numbers_can_be_set():
    dark, before = darkened(photographs(300, 1), 0.7), photographs(300)
    assert over(dark, before, max_divergence=0.5) == set()
    limits = {shift.feature: shift.limit for shift in shifts(dark, before, max_divergence=0.5)}
    assert limits[features.WIDTH] == pytest.approx(0.5 + chance(300, 300))
    assert limits[features.FORMAT] == pytest.approx(0.1 + chance(300, 300))


def test_a_line_says_where_what_how_much_and_the_limit():
    before = photographs(1000)
    by_name = {shift.feature: shift for shift in shifts(changed(darkened(before, 0.5), 0.4, label="birds"), before)}
    line = by_name[features.BRIGHTNESS].describe("train split", "that of version 7")
    assert line.startswith("train split, image/brightness: unlike that of version 7 (median 11")
    assert " -> 5" in line
    assert line.endswith(f"Jensen-Shannon divergence {by_name[features.BRIGHTNESS].value:.3f}, limit 0.145)")
    assert by_name[features.LABEL_TEXT].describe("eval split", "the train split") == (
        "eval split, image/class/text: unlike the train split "
        "('birds' 0.0% -> 40.0%; largest change of a share 0.400, limit 0.145)"
    )


def test_changes_are_put_in_words():
    def feature(name, table):
        return next(row for row in statistics_of(table).datasets[0].features if row.path.step[0] == name)

    before = photographs(100)
    sizes = [feature(features.BYTE_SIZE, changed(before, bytes=size)) for size in (900, 21_000)]
    assert describe_change(*sizes) == "median 900 -> 21,000"
    channels = [feature(features.CHANNELS, table) for table in (before, changed(before, 0.25, channels=1))]
    assert describe_change(*channels) == "mean 3 -> 2.5"
    assert describe_change(None, channels[0]) == describe_change(channels[0], None) == ""
