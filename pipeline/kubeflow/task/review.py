"""What Kubeflow's UI shows of an evaluation: headline numbers and one page, made of the Evaluator's two files."""

from __future__ import annotations

import html
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
STYLE = "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}td,th{padding:3px 10px;text-align:right}"


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
    """Fills the artifacts of the UI: numbers as metadata of a `system.Metrics`, a page as a `system.HTML`."""
    for name, artifact in shown.items():
        folder = outputs["evaluation"][0].uri
        if artifact.type.schema_title == "system.HTML":
            write_page(Path(to_local(artifact.uri)), folder)
        else:
            artifact.metadata.update(headline_numbers(folder))
        answer.artifacts[name].artifacts.add().CopyFrom(artifact)


def headline_numbers(folder: str) -> dict[str, float]:
    """Reads the candidate's overall numbers, and the served model's accuracy, from an evaluation."""
    metrics = _read(folder, features.EVALUATION_FILE)
    numbers = {name: value for name, value in metrics["candidate"].items() if _is_number(value)}
    if "baseline" in metrics:
        numbers["served_accuracy"] = metrics["baseline"]["accuracy"]
    return numbers


def write_page(path: Path, folder: str) -> None:
    """Writes a page on an evaluation: verdict, numbers, classes, confusion matrix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(make_page(_read(folder, features.EVALUATION_FILE), _read(folder, features.VERDICT_FILE)), "utf-8")


def make_page(metrics: dict[str, Any], verdict: dict[str, Any]) -> str:
    """Makes the page as HTML, without scripts and without anything from elsewhere."""
    candidate = metrics["candidate"]
    classes = candidate.get("per_class", {})
    columns = [name for name in next(iter(classes.values()), {}) if _some_have(classes, name)]
    baseline = metrics.get("baseline", {})
    numbers = [[name, value, baseline.get(name, "")] for name, value in candidate.items() if _is_number(value)]
    matrix = [[label, *row] for label, row in zip(classes, candidate.get("confusion_matrix", []), strict=False)]
    return "".join(
        [
            f'<!DOCTYPE html><meta charset="utf-8"><title>Evaluation</title><style>{STYLE}</style>',
            f"<h1>{'The quality gate said yes' if verdict['passed'] else 'The quality gate said no'}</h1>",
            *(f"<p>{html.escape(str(reason))}</p>" for reason in verdict.get("reasons", [])),
            _table("Numbers", ["", "candidate", "served"], numbers),
            _table("Classes", ["", *columns], [[k, *(row.get(c) for c in columns)] for k, row in classes.items()]),
            _table("Confusion matrix: rows are true, columns predicted", ["", *classes], matrix),
        ]
    )


def _table(title: str, head: list[str], rows: list[list[Any]]) -> str:
    lines = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows)
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return f"<h2>{html.escape(title)}</h2><table><tr>{heads}</tr>{lines}</table>" if rows else ""


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else html.escape(str(value))


def _some_have(rows: dict[str, dict[str, Any]], name: str) -> bool:
    return any(row.get(name) is not None for row in rows.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read(folder: str, name: str) -> dict[str, Any]:
    with fileio.open(os.path.join(folder, name), "r") as file:
        return dict(json.load(file))
