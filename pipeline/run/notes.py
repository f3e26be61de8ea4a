"""Closing lines for TFX's own nodes, which report nothing themselves: a node is a row of `NOTES`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.contract import features

Outputs = dict[str, list[Any]]


def describe_outputs(node: str, outputs: Outputs, seconds: float) -> str:
    """One line on what a node made, with counts and throughput; empty for a node that reports by itself."""
    return NOTES[node](outputs, seconds) if node in NOTES else ""


def _statistics(outputs: Outputs, seconds: float) -> str:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    examples = columns = 0
    for path in sorted(Path(outputs["statistics"][0].uri).glob("Split-*/FeatureStats.pb")):
        dataset = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes()).datasets[0]
        examples, columns = examples + dataset.num_examples, len(dataset.features)
    return f"{columns} features of {examples:,} examples, {examples / max(seconds, 1e-3):,.0f} examples/s"


def _anomalies(outputs: Outputs, seconds: float) -> str:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    paths = Path(outputs["anomalies"][0].uri).glob("Split-*/SchemaDiff.pb")
    count = sum(len(anomalies_pb2.Anomalies.FromString(path.read_bytes()).anomaly_info) for path in paths)
    return f"{count} anomalies in {len(features.SPLITS)} splits"


NOTES: dict[str, Callable[[Outputs, float], str]] = {
    "StatisticsGen": _statistics,
    "ExampleValidator": _anomalies,
    "ImportSchemaGen": lambda outputs, seconds: "components/schema.pbtxt",
    "Transform": lambda outputs, seconds: "graph of decode and resize, no pass over the data",
}
