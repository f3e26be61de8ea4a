"""Lines for the anomalies that TFDV finds in real statistics."""

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.contract import features
from components.data_gate.anomalies import describe_domain, list_anomalies, list_missing_classes
from tests.components.data_gate.frames import changed, committed_schema, photographs, statistics_of


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
