"""DataGate: an anomaly in the data stops the run, with the reasons (TFX's own ExampleValidator stops nothing)."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import io_utils

from components import features
from components.errors import GateRefused
from components.options import DataGateOptions

progress = logging.getLogger("graft.progress")


class DataVerdict(types.Artifact):
    """What DataGate decided, and why."""

    TYPE_NAME = "GraftDataVerdict"


class Executor(base_executor.BaseExecutor):
    """Reads the anomalies of every split and decides."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the verdict.

        Raises:
            GateRefused: there are anomalies and the options say `stop`.
        """
        options = DataGateOptions.from_json(exec_properties["options"])
        anomalies = artifact_utils.get_single_instance(input_dict["anomalies"])
        reasons = [
            reason
            for split in artifact_utils.decode_split_names(anomalies.split_names)
            for reason in read_reasons(artifact_utils.get_split_uri([anomalies], split), split)
        ]
        if reasons and options.on_anomaly == "stop":
            raise GateRefused("data", reasons)
        verdict = artifact_utils.get_single_instance(output_dict["verdict"])
        io_utils.write_string_file(
            os.path.join(verdict.uri, features.VERDICT_FILE), json.dumps({"passed": True, "warnings": reasons})
        )
        progress.info("no anomaly" if not reasons else f"{len(reasons)} warnings: {reasons[0]}", extra={"done": True})


def read_reasons(uri: str, split: str) -> list[str]:
    """A line for each anomaly that ExampleValidator wrote for one split."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    path = os.path.join(uri, "SchemaDiff.pb")
    if not fileio.exists(path):
        return []
    with fileio.open(path, "rb") as file:
        anomalies = anomalies_pb2.Anomalies.FromString(file.read())
    reasons = [f"{split} split, {name}: {info.description}" for name, info in sorted(anomalies.anomaly_info.items())]
    if anomalies.HasField("dataset_anomaly_info"):
        reasons.append(f"{split} split: {anomalies.dataset_anomaly_info.description}")
    return reasons


class DataGateSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `DataGate`."""

    PARAMETERS = {"options": ExecutionParameter(type=str), "source_fingerprint": ExecutionParameter(type=str)}
    INPUTS = {"anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies)}
    OUTPUTS = {"verdict": ChannelParameter(type=DataVerdict)}


class DataGate(base_component.BaseComponent):
    """Stops the run where the data does not fit the schema."""

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, anomalies: types.BaseChannel, options: str, source_fingerprint: str) -> None:
        """Makes the node.

        Args:
            anomalies: of ExampleValidator.
            options: a `DataGateOptions` as JSON.
            source_fingerprint: digest of the code behind this node, part of the cache key.
        """
        super().__init__(
            DataGateSpec(
                anomalies=anomalies,
                options=options,
                source_fingerprint=source_fingerprint,
                verdict=types.Channel(type=DataVerdict),
            )
        )
