"""The TFX node of ServableCheck: a standard InfraBlessing, as TFX's InfraValidator gives it, without a container."""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.contract.nodes import PlainNode
from components.servable_check.executor import Executor


class ServableCheck(PlainNode):
    """Loads the export in a fresh process and compares its answers with the training path's, of `model_run`.

    `gate` is a `ServabilityGateOptions`.
    """

    EXECUTOR = Executor
    INPUTS = {
        "model": standard_artifacts.Model,
        "model_run": standard_artifacts.ModelRun,
        "examples": standard_artifacts.Examples,
    }
    OUTPUTS = {"blessing": standard_artifacts.InfraBlessing}
    PARAMETERS = ("gate", "override", "source_fingerprint")
