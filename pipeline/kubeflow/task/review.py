"""What Kubeflow's UI shows beside the executors' outputs: the Evaluator's headline numbers, and the page of Report."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from kfp.pipeline_spec import pipeline_spec_pb2 as proto
from tfx import types
from tfx.dsl.io import fileio

from components.contract import features
from pipeline.kubeflow.task.pod import to_local

UI_NAMESPACE = "system."


def take_ui_outputs(given: proto.ExecutorInput) -> dict[str, proto.RuntimeArtifact]:
    """Takes out the declared outputs that are the UI's and not the executor's, by name."""
    shown = {}
    for name, found in given.outputs.artifacts.items():
        if found.artifacts[0].type.schema_title.startswith(UI_NAMESPACE):
            shown[name] = proto.RuntimeArtifact()
            shown[name].CopyFrom(found.artifacts[0])
    for name in shown:
        del given.outputs.artifacts[name]
    return shown


def show(
    shown: dict[str, proto.RuntimeArtifact], outputs: dict[str, list[types.Artifact]], answer: proto.ExecutorOutput
) -> None:
    """Fills the artifacts of the UI: numbers as metadata of a `system.Metrics`, the page as a `system.HTML`."""
    for name, artifact in shown.items():
        if artifact.type.schema_title == "system.HTML":
            page = Path(to_local(artifact.uri))
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(_read(outputs["page"][0].uri, features.REPORT_FILE), "utf-8")
        else:
            artifact.metadata.update(headline_numbers(outputs["evaluation"][0].uri))
        answer.artifacts[name].artifacts.add().CopyFrom(artifact)


def headline_numbers(folder: str) -> dict[str, float]:
    """Reads the candidate's overall numbers, and the served model's accuracy, from an evaluation."""
    metrics = json.loads(_read(folder, features.EVALUATION_FILE))
    numbers = {name: value for name, value in metrics["candidate"].items() if _is_number(value)}
    if "baseline" in metrics:
        numbers["served_accuracy"] = metrics["baseline"]["accuracy"]
    return numbers


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read(folder: str, name: str) -> str:
    with fileio.open(os.path.join(folder, name), "r") as file:
        return str(file.read())
