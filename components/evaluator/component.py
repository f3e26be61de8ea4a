"""The TFX node of the Evaluator.

TFX's own cannot be told that there is no baseline, and lets its batches grow; this one has the same outputs.
"""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.evaluator.executor import Executor


class EvaluatorSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `Evaluator`."""

    PARAMETERS = {name: ExecutionParameter(type=str) for name in ("options", "gate", "override", "source_fingerprint")}
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model),
        "best_model": ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class Evaluator(base_beam_component.BaseBeamComponent):
    """Evaluates the candidate, and pushed versions on the same images, and blesses the candidate or not."""

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        best_model: types.BaseChannel,
        **properties: str,
    ) -> None:
        """Makes the node.

        Args:
            examples: with an `eval` split.
            model: the candidate.
            baseline_model: of `BaselineModel`: the served version, or a typed "none".
            best_model: likewise: the best version ever pushed.
            **properties: `options`: an `EvaluatorOptions` as JSON; `gate`: a `QualityGateOptions` as JSON; `override`:
                of `gates.override_for`; `source_fingerprint`: digest of the code behind this node.
        """
        super().__init__(
            EvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                best_model=best_model,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
                **properties,
            )
        )
