"""Evaluator: TFMA over every eval example through the served signature, against the model that is being served.

TFX's own Evaluator lets its batches grow (Beam tunes them by speed, not by memory) and cannot be told that there is no
baseline; this one reads with a fixed batch and takes a typed "none". A metric is a row of `METRICS`.
"""

from __future__ import annotations

import json
import logging
import math
import os
from dataclasses import dataclass
from typing import Any, Literal

import apache_beam as beam
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.util import tfxio_utils
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import io_utils, path_utils

from components import features
from components.errors import InputError
from components.gates import FAIL, PASS, Check, Gate, Override, Verdict
from components.options import EvaluatorOptions, QualityGateOptions

CANDIDATE, BASELINE = "candidate", "baseline"
ROUNDING = 1e-6  # TFMA's accuracies are float32: 9 of 10 right is 0.89999998
progress = logging.getLogger("graft.progress")

# Only what metrics and slices need: the image stays in its record, which goes to the model as it is.
_SCHEMA = f"""
  feature {{ name: "{features.LABEL}" type: INT value_count {{ min: 1 max: 1 }} }}
  feature {{ name: "{features.LABEL_TEXT}" type: BYTES value_count {{ min: 1 max: 1 }} }}
"""


@dataclass(frozen=True)
class Metric:
    """One row: the name in `summary.json`, the TFMA or Keras class, and over what it is taken.

    `overall` metrics are one number; `per_class` ones are taken one class against the rest; a `plot` is a table.
    """

    name: str
    class_name: str
    over: Literal["overall", "per_class", "plot"]
    higher_is_better: bool = True


METRICS = (
    Metric("examples", "ExampleCount", "overall"),
    Metric("accuracy", "SparseCategoricalAccuracy", "overall"),
    Metric("log_loss", "SparseCategoricalCrossentropy", "overall", higher_is_better=False),
    Metric("auc", "AUC", "per_class"),
    Metric("confusion_matrix", "MultiClassConfusionMatrixPlot", "plot"),
)


def make_eval_config(classes: int, with_baseline: bool) -> tfma.EvalConfig:
    """TFMA's configuration: the models' specs, the metrics of the table, slices by class.

    Args:
        classes: how many; per-class metrics are binarised over all of them.
        with_baseline: whether a second model is compared.
    """
    names = [CANDIDATE] + ([BASELINE] if with_baseline else [])
    models = [
        tfma.ModelSpec(
            name=name,
            is_baseline=name == BASELINE,
            signature_name=features.SERVE_EXAMPLES,
            label_key=features.LABEL,
            prediction_key=features.OUTPUT_PROBABILITIES,
            model_type=tfma.TF_GENERIC,
        )
        for name in names
    ]
    return tfma.EvalConfig(
        model_specs=models,
        slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=[features.LABEL_TEXT])],
        metrics_specs=[_metrics_spec(metric, classes, names) for metric in METRICS],
    )


def _metrics_spec(metric: Metric, classes: int, model_names: list[str]) -> tfma.MetricsSpec:
    configuration: dict[str, Any] = {"name": metric.name}
    spec = tfma.MetricsSpec(
        model_names=model_names,
        metrics=[tfma.MetricConfig(class_name=metric.class_name, config=json.dumps(configuration))],
    )
    if metric.over == "per_class":
        spec.binarize.class_ids.values.extend(range(classes))
    return spec


def judge(metrics: dict[str, Any], baseline: dict[str, Any] | None, gate: QualityGateOptions) -> list[Check]:
    """Holds the candidate against its limits.

    Args:
        metrics: the candidate's, as `read_metrics` gives them.
        baseline: the served model's on the same images, or None.
        gate: the limits.
    """
    accuracy = metrics["accuracy"]
    verdict: Verdict = PASS if accuracy >= gate.min_accuracy - ROUNDING else FAIL
    reason = f"accuracy {accuracy:.4f} is below gates.quality.min_accuracy {gate.min_accuracy:.4f}"
    checks = [Check("accuracy", accuracy, gate.min_accuracy, verdict, "" if verdict == PASS else reason)]
    if baseline:
        drop = baseline["accuracy"] - accuracy
        verdict = PASS if drop <= gate.max_accuracy_drop + ROUNDING else FAIL
        reason = (
            f"accuracy {accuracy:.4f} is {drop:.4f} below the served model's "
            f"{baseline['accuracy']:.4f}; gates.quality.max_accuracy_drop is {gate.max_accuracy_drop:.4f}"
        )
        checks.append(Check("accuracy_drop", drop, gate.max_accuracy_drop, verdict, "" if verdict == PASS else reason))
    return checks


class Executor(base_beam_executor.BaseBeamExecutor):
    """Evaluates candidate and baseline on the same images, and blesses the candidate or says why not."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes TFMA's outputs, `metrics.json` and `verdict.json`; marks the blessing."""
        options = EvaluatorOptions.from_json(exec_properties["options"])
        gate = QualityGateOptions.from_json(exec_properties["gate"])
        evaluation = artifact_utils.get_single_instance(output_dict["evaluation"])
        models = {CANDIDATE: artifact_utils.get_single_instance(input_dict["model"])}
        baseline = artifact_utils.get_single_instance(input_dict["baseline_model"])
        if baseline.get_int_custom_property("exists"):
            models[BASELINE] = baseline
        classes = read_classes(models[CANDIDATE])
        config = make_eval_config(len(classes), BASELINE in models)
        with self._make_beam_pipeline() as pipeline:
            run_tfma(pipeline, input_dict["examples"], models, config, options.batch_size, evaluation.uri)
        tell_apart = len(models) > 1  # TFMA keeps no name where there is one model
        metrics = {name: read_metrics(evaluation.uri, name if tell_apart else None, classes) for name in models}
        checks = judge(metrics[CANDIDATE], metrics.get(BASELINE), gate)
        result = Gate(tuple(checks)).overridden_by(Override.from_json(exec_properties["override"]))
        _write_json(evaluation.uri, features.EVALUATION_FILE, metrics)
        _write_json(evaluation.uri, features.VERDICT_FILE, result.to_dict())
        mark_blessing(artifact_utils.get_single_instance(output_dict["blessing"]), result.lets_through, models)
        progress.info(describe_metrics(metrics, result), extra={"done": True})


def run_tfma(
    pipeline: beam.Pipeline,
    examples: list[types.Artifact],
    models: dict[str, types.Artifact],
    config: tfma.EvalConfig,
    batch_size: int,
    output_path: str,
) -> None:
    """The Beam steps: records in batches of a fixed size, through the models, into TFMA's metrics."""
    factory = tfxio_utils.get_tfxio_factory_from_artifact(
        examples=examples,
        telemetry_descriptors=["Evaluator"],
        schema=text_format.Parse(_SCHEMA, schema_pb2.Schema()),
        raw_record_column_name=tfma.ARROW_INPUT_COLUMN,
    )
    shared = [
        tfma.default_eval_shared_model(
            eval_saved_model_path=path_utils.serving_model_path(artifact.uri), model_name=name, eval_config=config
        )
        for name, artifact in models.items()
    ]
    pattern = io_utils.all_files_pattern(artifact_utils.get_split_uri(examples, features.EVAL_SPLIT))
    _ = (
        pipeline
        | "ReadEvalSplit" >> factory(pattern).BeamSource(batch_size=batch_size)
        | "Evaluate"
        >> tfma.ExtractEvaluateAndWriteResults(
            eval_shared_model=shared if len(shared) > 1 else shared[0], eval_config=config, output_path=output_path
        )
    )


def read_classes(model: types.Artifact) -> list[str]:
    """The class names of an exported model, in the order of the label index."""
    path = os.path.join(path_utils.serving_model_path(model.uri), "assets", features.LABELS_ASSET)
    with fileio.open(path, "rb") as file:
        return file.read().decode("utf-8").splitlines()


def read_metrics(uri: str, model_name: str | None, classes: list[str]) -> dict[str, Any]:
    """TFMA's results for one model, in the names of `summary.json`.

    Returns:
        The overall metrics of the table; `auc`: the mean over the classes; `per_class` {class: {metric: value}}, with
        `examples` and `accuracy` of its slice; `confusion_matrix` [actual][predicted] counts, in the classes' order.

    Raises:
        InputError: TFMA gave no result, so the eval split was empty.
    """
    result = tfma.load_eval_result(uri, model_name=model_name)
    slices = dict(result.slicing_metrics)
    if () not in slices:
        raise InputError(
            "The eval split holds no example: nothing to evaluate. Add images, or change data.eval_fraction."
        )
    overall = slices[()][""]
    metrics: dict[str, Any] = {row.name: _value(overall[""], row.name) for row in METRICS if row.over == "overall"}
    matrix = _confusion_matrix(dict(result.plots)[()], len(classes))
    per_class: dict[str, dict[str, float | None]] = {}
    for index, label in enumerate(classes):
        binary = overall[f"classId:{index}"]
        per_class[label] = {row.name: _value(binary, row.name) for row in METRICS if row.over == "per_class"}
        per_class[label] |= rate_class(matrix, index)
        of_slice = slices.get(((features.LABEL_TEXT, label),), {}).get("", {}).get("", {})
        per_class[label] |= {name: _value(of_slice, name) for name in ("examples", "accuracy") if name in of_slice}
    areas = [row["auc"] for row in per_class.values() if row["auc"] is not None]
    metrics["auc"] = sum(areas) / len(areas) if areas else None
    metrics["per_class"] = per_class
    metrics["confusion_matrix"] = matrix
    return metrics


def rate_class(matrix: list[list[int]], index: int) -> dict[str, float | None]:
    """Precision and recall of one class, None where undefined.

    From TFMA's confusion matrix: its own `Precision(top_k=1)`, taken one class against the rest, counts a class that
    is never predicted as always predicted.
    """
    right, predicted, actual = matrix[index][index], sum(row[index] for row in matrix), sum(matrix[index])
    return {"precision": right / predicted if predicted else None, "recall": right / actual if actual else None}


def _value(metrics: dict[str, Any], name: str) -> float | None:
    """A metric's number; None where it is undefined, such as the precision of a class that was never predicted."""
    value = float(metrics[name].get("doubleValue", 0.0))
    if math.isnan(value):
        return None
    return int(value) if name == "examples" else value


def _confusion_matrix(plots: dict[str, Any], classes: int) -> list[list[int]]:
    matrix = [[0] * classes for _ in range(classes)]
    plot = plots[""][""]["multiClassConfusionMatrixAtThresholds"]["matrices"][0]
    for entry in plot.get("entries", []):
        actual, predicted = entry.get("actualClassId", 0), entry.get("predictedClassId", 0)
        matrix[actual][predicted] = round(entry.get("numWeightedExamples", 0))
    return matrix


def mark_blessing(blessing: types.Artifact, blessed: bool, models: dict[str, types.Artifact]) -> None:
    """Says in the artifact, as TFX's Evaluator does, whether the model is blessed and against what."""
    io_utils.write_string_file(os.path.join(blessing.uri, "BLESSED" if blessed else "NOT_BLESSED"), "")
    blessing.set_int_custom_property("blessed", int(blessed))
    blessing.set_string_custom_property("current_model", models[CANDIDATE].uri)
    blessing.set_int_custom_property("current_model_id", models[CANDIDATE].id)
    if BASELINE in models:
        blessing.set_string_custom_property("baseline_model", models[BASELINE].uri)
        blessing.set_int_custom_property("baseline_model_id", models[BASELINE].id)


def _write_json(uri: str, name: str, content: Any) -> None:
    io_utils.write_string_file(os.path.join(uri, name), json.dumps(content, indent=2))


def describe_metrics(metrics: dict[str, dict[str, Any]], result: Gate) -> str:
    """One line for the terminal."""
    ours = metrics[CANDIDATE]
    against = f" (served {metrics[BASELINE]['accuracy']:.3f})" if BASELINE in metrics else ""
    verdict = "blessed" if result.passed else "overridden" if result.lets_through else "not blessed"
    area = f", AUC {ours['auc']:.3f}" if ours["auc"] is not None else ""
    return f"accuracy {ours['accuracy']:.3f} of {ours['examples']:,}{against}{area}, {verdict}"


class EvaluatorSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `Evaluator`."""

    PARAMETERS = {
        "options": ExecutionParameter(type=str),
        "gate": ExecutionParameter(type=str),
        "override": ExecutionParameter(type=str),
        "source_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class Evaluator(base_beam_component.BaseBeamComponent):
    """Evaluates the candidate, and the served model on the same images, and blesses the candidate or not."""

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        **properties: str,
    ) -> None:
        """Makes the node.

        Args:
            examples: with an `eval` split.
            model: the candidate.
            baseline_model: of `BaselineModel`: the served model, or a typed "none".
            **properties: `options`: an `EvaluatorOptions` as JSON; `gate`: a `QualityGateOptions` as JSON; `override`:
                of `gates.override_for`; `source_fingerprint`: digest of the code behind this node.
        """
        super().__init__(
            EvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
                **properties,
            )
        )
