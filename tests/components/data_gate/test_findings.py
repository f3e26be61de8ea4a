"""Anomalies, drift and skew that TFDV finds in real statistics with the committed schema."""

import pandas as pd
import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.contract import features
from components.data_gate.findings import (
    chance,
    describe_change,
    describe_domain,
    list_anomalies,
    list_missing_classes,
    measure_shifts,
)
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


def lines_for(table, classes=None):
    import tensorflow_data_validation as tfdv

    schema = committed_schema(classes)
    rows = list_anomalies(tfdv.validate_statistics(statistics_of(table), schema), schema, "train")
    return [row.describe() for row in rows]


def test_photographs_fit_the_schema():
    assert lines_for(photographs(50)) == []
    assert lines_for(photographs(50), ["dogs", "cats"]) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"share": 0.1, "format": "webp"},
            "train split, image/format: examples contain values missing from the schema: webp (~10%); "
            "allowed: jpeg, png, gif, bmp",
        ),
        ({"width": 70_000}, "train split, image/width: unexpectedly large value: 70000; allowed: 1 to 65535"),
        ({"height": 0}, "train split, image/height: unexpectedly small value: 0; allowed: 1 to 65535"),
        ({"channels": 5}, "train split, image/channels: unexpectedly large value: 5; allowed: 1 to 4"),
        ({"bytes": 0}, "train split, image/bytes: unexpectedly small value: 0; allowed: 1 or more"),
    ],
)
def test_a_line_has_the_feature_the_measured_value_and_what_is_allowed(change, line):
    assert lines_for(changed(photographs(50), **change)) == [line]


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("brightness", 256.0, "0 to 255"), ("contrast", -1.0, "0 to 127.5"), ("aspect_ratio", 0.0, "1e-05 to 65535")],
)
def test_numbers_out_of_range_are_anomalies(name, value, allowed):
    (line,) = lines_for(changed(photographs(50), **{name: value}))
    assert line.startswith(f"train split, image/{name}: unexpectedly ")
    assert line.endswith(f"; allowed: {allowed}")


def test_new_labels_are_anomalies_where_the_classes_are_given():
    table = changed(photographs(50), 0.1, label="été")
    assert lines_for(table) == []
    assert lines_for(table, ["dogs", "cats"]) == [
        "train split, image/class/text: examples contain values missing from the schema: été (~10%); "
        "allowed: cats, dogs"
    ]


def test_a_feature_that_is_missing_or_new_is_an_anomaly():
    table = photographs(50)
    assert lines_for(table.drop(columns=features.BRIGHTNESS)) == [
        "train split, image/brightness: column is completely missing; allowed: 0 to 255"
    ]
    assert lines_for(table.assign(surprise=1)) == [
        "train split, surprise: new column (column in data but not in schema)"
    ]


def test_anomalies_of_the_whole_set_have_a_line():
    found = anomalies_pb2.Anomalies()
    found.dataset_anomaly_info.description = "Low num examples"
    (row,) = list_anomalies(found, committed_schema(), "eval")
    assert row.describe() == "eval split: Low num examples"


def test_long_lists_of_allowed_values_are_cut():
    schema = committed_schema([f"class {number:04d}" for number in range(1200)])
    label = next(feature for feature in schema.feature if feature.name == features.LABEL_TEXT)
    assert describe_domain(label, schema).endswith("class 0008, class 0009 and 1,190 more")


def test_expected_classes_without_an_image_are_listed_once():
    dataset = {"per_class": {"train": {"cats": 3, "dogs": 0, "ants": 1}, "eval": {"cats": 0, "dogs": 0, "ants": 1}}}
    assert list_missing_classes(dataset, ["dogs", "cats", "été", "dogs"]) == ["dogs", "été"]
    assert list_missing_classes(dataset, None) == []
