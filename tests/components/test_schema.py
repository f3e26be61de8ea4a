"""The committed schema agrees with the names and types of the contract."""

import json

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx.types import standard_artifacts

from components.contract import features
from components.example_gen.manifest import Row
from components.example_gen.records import make_example
from components.schema import SCHEMA_FILE, ImportSchemaGen, expect_classes
from tests.conftest import artifact

FLOATS = {features.BRIGHTNESS, features.CONTRAST, features.ASPECT_RATIO}
INTEGERS = {features.LABEL, features.HEIGHT, features.WIDTH, features.CHANNELS, features.BYTE_SIZE}


@pytest.fixture(scope="module")
def schema():
    return text_format.Parse(SCHEMA_FILE.read_text("utf-8"), schema_pb2.Schema())


def written_features():
    import tensorflow as tf

    row = Row("a", "cats", "train", sha256="ab" * 32, bytes=1, format="png", height=1, width=1, channels=3)
    return set(tf.train.Example.FromString(make_example(row, b"x", 0)).features.feature)


def test_the_schema_names_what_is_written_and_nothing_else(schema):
    names = [feature.name for feature in schema.feature]
    assert len(names) == len(set(names))
    assert set(names) == written_features()


def test_types_agree_with_the_contract(schema):
    types = {feature.name: schema_pb2.FeatureType.Name(feature.type) for feature in schema.feature}
    assert {name for name, kind in types.items() if kind == "INT"} == INTEGERS
    assert {name for name, kind in types.items() if kind == "FLOAT"} == FLOATS
    assert {name: types[name] for name in features.STATISTICS_FEATURES} == features.STATISTICS_FEATURES


def test_every_feature_is_dense_with_one_value(schema):
    import tensorflow as tf

    spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    assert set(spec) == written_features()
    for name, row in spec.items():
        kind = tf.int64 if name in INTEGERS else tf.float32 if name in FLOATS else tf.string
        assert row == tf.io.FixedLenFeature([1], kind, None)


def test_only_what_statistics_see_must_be_present(schema):
    asked = {feature.name for feature in schema.feature if feature.HasField("presence")}
    assert asked == set(features.STATISTICS_FEATURES)


def test_the_formats_are_those_that_are_written(schema):
    domain = next(row for row in schema.string_domain if row.name == "format")
    assert tuple(domain.value) == features.FORMATS


def test_all_that_statistics_see_is_compared_but_the_index_of_the_label(schema):
    for kind in ("drift_comparator", "skew_comparator"):
        compared = {feature.name for feature in schema.feature if feature.HasField(kind)}
        assert compared == set(features.STATISTICS_FEATURES) - {features.LABEL}


def test_numbers_are_compared_over_quantiles_where_one_odd_image_weighs_little(schema):
    for feature in schema.feature:
        for comparator in (feature.drift_comparator, feature.skew_comparator):
            if feature.name in INTEGERS | FLOATS and feature.name != features.LABEL:
                source = comparator.jensen_shannon_divergence.source.type
                assert source == schema_pb2.HistogramSelection.QUANTILES, feature.name


def execute(tmp_path, classes):
    node = ImportSchemaGen(schema_file=str(SCHEMA_FILE), classes=classes, source_fingerprint="abc")
    made = artifact(standard_artifacts.Schema, tmp_path)
    node.EXECUTOR_SPEC.executor_class().Do({}, {"schema": [made]}, node.exec_properties)
    return text_format.Parse((tmp_path / "schema.pbtxt").read_text("utf-8"), schema_pb2.Schema())


def test_the_node_keeps_classes_and_the_schemas_digest_in_the_cache_key():
    node = ImportSchemaGen(schema_file=str(SCHEMA_FILE), classes='["a"]', source_fingerprint="abc")
    assert node.exec_properties == {
        "schema_file": str(SCHEMA_FILE),
        "classes": '["a"]',
        "source_fingerprint": "abc",
    }


def test_without_classes_the_schema_is_imported_as_it_is(schema, tmp_path):
    assert execute(tmp_path, "null") == schema


def test_classes_become_the_domain_of_the_label(schema, tmp_path):
    imported = execute(tmp_path, json.dumps(["été", "cats", "a 'b'", "cats"]))
    assert list(tmp_path.iterdir()) == [tmp_path / "schema.pbtxt"]
    domain = next(row for row in imported.string_domain if row.name == "classes")
    assert list(domain.value) == ["a 'b'", "cats", "été"]
    label = next(feature for feature in imported.feature if feature.name == features.LABEL_TEXT)
    assert label.domain == "classes"
    expect_classes(schema_copy := schema_pb2.Schema.FromString(schema.SerializeToString()), ["cats", "été", "a 'b'"])
    assert imported == schema_copy
