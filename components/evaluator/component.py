"""The TFX node of the Evaluator.

TFX's own cannot be told that there is no baseline, and lets its batches grow; this one has the same outputs.
"""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.contract.nodes import BeamNode
from components.evaluator.executor import Executor


class Evaluator(BeamNode):
    """Evaluates the candidate, and pushed versions on the same images, and blesses the candidate or not.

    `baseline_model` and `best_model` are the served and the best baseline of BaselineModel, or typed "none"s. `options`
    is an `EvaluatorOptions`, `gate` a `QualityGateOptions`.
    """

    EXECUTOR = Executor
    INPUTS = {
        "examples": standard_artifacts.Examples,
        "model": standard_artifacts.Model,
        "baseline_model": standard_artifacts.Model,
        "best_model": standard_artifacts.Model,
    }
    OUTPUTS = {"evaluation": standard_artifacts.ModelEvaluation, "blessing": standard_artifacts.ModelBlessing}
    PARAMETERS = ("options", "gate", "override", "source_fingerprint")
