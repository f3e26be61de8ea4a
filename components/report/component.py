"""The TFX node of Report: one page on data, model and verdicts, whether the model is pushed or not."""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.contract.artifacts import DataVerdict, Manifest, Page
from components.contract.nodes import PlainNode
from components.report.executor import Executor


class Report(PlainNode):
    """Gathers what tells whether to trust the model into one HTML file.

    The node does not wait for the Pusher: on a cluster the Pusher's task fails where a gate said no, and that is when
    the page is needed most. `passport` is that of the plan, as JSON; `features_dir` is the feature
    store; `data_path` is where the data was read from.
    """

    EXECUTOR = Executor
    INPUTS = {
        "examples": standard_artifacts.Examples,
        "manifest": Manifest,
        "data_verdict": DataVerdict,
        "model": standard_artifacts.Model,
        "model_run": standard_artifacts.ModelRun,
        "baseline_model": standard_artifacts.Model,
        "evaluation": standard_artifacts.ModelEvaluation,
        "infra_blessing": standard_artifacts.InfraBlessing,
    }
    OUTPUTS = {"page": Page}
    PARAMETERS = ("passport", "features_dir", "data_path", "source_fingerprint")
