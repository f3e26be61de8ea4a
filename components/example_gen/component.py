"""The TFX node of ImageExampleGen."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.contract.artifacts import Manifest
from components.example_gen.executor import Executor


class ImageExampleGenSpec(ComponentSpec):
    """Execution properties and outputs of `ImageExampleGen`."""

    PARAMETERS = {
        "data_path": ExecutionParameter(type=str),
        "options": ExecutionParameter(type=str),
        "data_fingerprint": ExecutionParameter(type=str),
        "memory": ExecutionParameter(type=str),
        "source_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "manifest": ChannelParameter(type=Manifest),
    }


class ImageExampleGen(base_beam_component.BaseBeamComponent):
    """From a folder of images to tf.Example records in the splits `train` and `eval`.

    A plain Beam executor without a driver: TFX's file-based ExampleGen needs its driver for spans and fingerprints,
    which Kubeflow Pipelines never calls. The content's fingerprint is an execution property instead, so that an
    unchanged folder is cached and one changed picture is not.
    """

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self, data_path: str, options: str, data_fingerprint: str, source_fingerprint: str, memory: str = ""
    ) -> None:
        """Makes the node.

        Args:
            data_path: folder, manifest, TFRecords or archive, readable where the node runs.
            options: a `DataOptions` as JSON.
            data_fingerprint: `manifest.digest_rows` of the data; empty: not checked.
            memory: file of what earlier scans found out, see `memory.py`; empty: none.
            source_fingerprint: digest of the code behind this node, part of the cache key.
        """
        super().__init__(
            ImageExampleGenSpec(
                data_path=data_path,
                options=options,
                data_fingerprint=data_fingerprint,
                memory=memory,
                source_fingerprint=source_fingerprint,
                examples=types.Channel(type=standard_artifacts.Examples),
                manifest=types.Channel(type=Manifest),
            )
        )
