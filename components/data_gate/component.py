"""The TFX node of DataGate."""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.contract.artifacts import DataVerdict, Manifest
from components.contract.nodes import PlainNode
from components.data_gate.executor import Executor


class DataGate(PlainNode):
    """Stops the run where the data is too dirty, does not fit the schema, or is unlike the data being served.

    `options` is a `DataGateOptions`; of `data`, a `DataOptions`, `max_bad_fraction`, `max_flat_fraction` and `classes`
    count here. `version` is that of `serving_dir` to compare with: `served`, `none` or a number.
    """

    EXECUTOR = Executor
    INPUTS = {
        "anomalies": standard_artifacts.ExampleAnomalies,
        "statistics": standard_artifacts.ExampleStatistics,
        "schema": standard_artifacts.Schema,
        "manifest": Manifest,
    }
    OUTPUTS = {"verdict": DataVerdict}
    PARAMETERS = ("options", "data", "serving_dir", "version", "override", "source_fingerprint")
