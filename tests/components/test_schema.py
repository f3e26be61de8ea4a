"""The committed schema agrees with the names and types of the contract."""

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx.types import standard_artifacts

from components import features
from components.example_gen.executor import make_example
from components.example_gen.manifest import Row
from components.schema import SCHEMA_FILE, ImportSchemaGen
from tests.conftest import artifact

INTEGERS = {features.LABEL, features.HEIGHT, features.WIDTH, features.CHANNELS, features.BYTE_SIZE}


@pytest.fixture(scope="module")
def schema():
    return text_format.Parse(SCHEMA_FILE.read_text("utf-8"), schema_pb2.Schema())


def written_features():
    import tensorflow as tf

    row = Row("a", "cats", "train", "ab" * 32, 1, "png", 1, 1, 3)
    return set(tf.train.Example.FromString(make_example(row, b"x", 0)).features.feature)


def test_the_schema_names_what_is_written_and_nothing_else(schema):
    names = [feature.name for feature in schema.feature]
    assert len(names) == len(set(names))
    assert set(names) == written_features()


def test_types_agree_with_the_contract(schema):
    types = {feature.name: schema_pb2.FeatureType.Name(feature.type) for feature in schema.feature}
    assert {name for name, kind in types.items() if kind == "INT"} == INTEGERS
    assert {name: types[name] for name in features.STATISTICS_FEATURES} == features.STATISTICS_FEATURES


def test_every_feature_is_dense_with_one_value(schema):
    import tensorflow as tf

    spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    assert set(spec) == written_features()
    for name, row in spec.items():
        assert row == tf.io.FixedLenFeature([1], tf.int64 if name in INTEGERS else tf.string, None)


def test_only_what_statistics_see_must_be_present(schema):
    asked = {feature.name for feature in schema.feature if feature.HasField("presence")}
    assert asked == set(features.STATISTICS_FEATURES)


def test_the_formats_are_those_that_are_written(schema):
    domain = next(row for row in schema.string_domain if row.name == "format")
    assert tuple(domain.value) == features.FORMATS


def test_the_node_imports_the_schema_and_keeps_its_digest_in_the_cache_key(schema, tmp_path):
    node = ImportSchemaGen(schema_file=str(SCHEMA_FILE), source_fingerprint="abc")
    assert node.exec_properties == {"schema_file": str(SCHEMA_FILE), "source_fingerprint": "abc"}
    made = artifact(standard_artifacts.Schema, tmp_path)
    node.EXECUTOR_SPEC.executor_class().Do({}, {"schema": [made]}, node.exec_properties)
    assert text_format.Parse((tmp_path / "schema.pbtxt").read_text(), schema_pb2.Schema()) == schema
