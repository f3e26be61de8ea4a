"""Closing lines for TFX's own nodes, from what they left."""

from types import SimpleNamespace

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.contract import features
from pipeline.fingerprint import NODE_MODULES
from pipeline.run.notes import NOTES, describe_outputs
from tests import pictures


def outputs(name, folder):
    return {name: [SimpleNamespace(uri=str(folder))]}


def test_every_note_is_on_a_node_of_the_pipeline():
    assert set(NOTES) <= set(NODE_MODULES)


def test_statistics_are_counted_over_the_splits(tmp_path):
    for split, count in (("train", 1500), ("eval", 500)):
        found = statistics_pb2.DatasetFeatureStatisticsList()
        dataset = found.datasets.add(num_examples=count)
        for name in features.STATISTICS_FEATURES:
            dataset.features.add().path.step.append(name)
        pictures.write(tmp_path / f"Split-{split}" / "FeatureStats.pb", found.SerializeToString())
    line = describe_outputs("StatisticsGen", outputs("statistics", tmp_path), 2.0)
    assert line == f"{len(features.STATISTICS_FEATURES)} features of 2,000 examples, 1,000 examples/s"


def test_anomalies_are_counted_over_the_splits(tmp_path):
    for split, names in (("train", ["a", "b"]), ("eval", ["a"])):
        message = anomalies_pb2.Anomalies()
        for name in names:
            message.anomaly_info[name].description = "odd"
        pictures.write(tmp_path / f"Split-{split}" / "SchemaDiff.pb", message.SerializeToString())
    assert describe_outputs("ExampleValidator", outputs("anomalies", tmp_path), 1.0) == "3 anomalies in 2 splits"


@pytest.mark.parametrize("node", ["Transform", "ImportSchemaGen"])
def test_a_node_without_counts_says_what_it_made(node):
    assert len(describe_outputs(node, {}, 1.0)) > 10


def test_a_node_that_reports_by_itself_has_no_note():
    assert describe_outputs("Trainer", {}, 1.0) == ""
