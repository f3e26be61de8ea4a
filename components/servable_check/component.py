"""The TFX node of ServableCheck: a standard InfraBlessing, as TFX's InfraValidator gives it, without a container."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.servable_check.executor import Executor


class ServableCheckSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `ServableCheck`."""

    PARAMETERS = {name: ExecutionParameter(type=str) for name in ("gate", "override", "source_fingerprint")}
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_run": ChannelParameter(type=standard_artifacts.ModelRun),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}


class ServableCheck(base_component.BaseComponent):
    """Loads the export in a fresh process and compares its answers with the training path's."""

    SPEC_CLASS = ServableCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_run: types.BaseChannel,
        examples: types.BaseChannel,
        **properties: str,
    ) -> None:
        """Makes the node.

        Args:
            model: the export.
            model_run: of the Trainer, with what the training path answered for the eval split.
            examples: with an `eval` split.
            **properties: `gate`: a `ServabilityGateOptions` as JSON; `override`: of `gates.override_for`;
                `source_fingerprint`: digest of the code behind this node.
        """
        super().__init__(
            ServableCheckSpec(
                model=model,
                model_run=model_run,
                examples=examples,
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
                **properties,
            )
        )
