"""The TFX node of DataGate."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.contract.artifacts import DataVerdict, Manifest
from components.data_gate.executor import Executor


class DataGateSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `DataGate`."""

    PARAMETERS = {
        name: ExecutionParameter(type=str)
        for name in ("options", "data", "serving_dir", "version", "override", "source_fingerprint")
    }
    INPUTS = {
        "anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
        "manifest": ChannelParameter(type=Manifest),
    }
    OUTPUTS = {"verdict": ChannelParameter(type=DataVerdict)}


class DataGate(base_component.BaseComponent):
    """Stops the run where the data is too dirty, does not fit the schema, or is unlike the data being served."""

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        anomalies: types.BaseChannel,
        statistics: types.BaseChannel,
        schema: types.BaseChannel,
        manifest: types.BaseChannel,
        **properties: str,
    ) -> None:
        """Makes the node.

        Args:
            anomalies: of ExampleValidator.
            statistics: of StatisticsGen.
            schema: with drift and skew comparators.
            manifest: of ImageExampleGen.
            **properties: `options`: a `DataGateOptions` as JSON; `data`: a `DataOptions` as JSON, of which
                `max_bad_fraction` and `classes` count here; `serving_dir`: where versions are pushed; `version`: to
                compare with, `served`, `none` or a number; `override`: of `gates.override_for`; `source_fingerprint`:
                digest of the code behind this node.
        """
        super().__init__(
            DataGateSpec(
                anomalies=anomalies,
                statistics=statistics,
                schema=schema,
                manifest=manifest,
                verdict=types.Channel(type=DataVerdict),
                **properties,
            )
        )
