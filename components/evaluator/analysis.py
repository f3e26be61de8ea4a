"""TFMA over the eval records, in batches of a fixed size, and what it leaves.

TFX's own Evaluator lets its batches grow (Beam tunes them by speed, not by memory). Here TFMA gets several of the
model's batches as one, since its metrics take as long for a large batch as for a small one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.evaluators import evaluator as tfma_evaluator
from tensorflow_model_analysis.extractors import extractor as tfma_extractor
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.writers import writer as tfma_writer
from tfx import types
from tfx.components.util import tfxio_utils
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.contract import features
from components.contract.assets import read_temperature
from components.evaluator.batched_model import PARTS, in_parts
from components.evaluator.kept_features import FeatureKeeper
from components.evaluator.metrics import Metric, list_metrics
from components.evaluator.outcomes import make_schema, rate_image, rate_typicality
from components.evaluator.slices import read_values, slice_of

CANDIDATE, BASELINE, BEST = "candidate", "baseline", "best"
OUTCOMES = "graft_outcomes"  # the key of our evaluation among TFMA's

# Only what metrics need: the image stays in its record, which goes to the model as it is.
_SCHEMA = f"""
  feature {{ name: "{features.LABEL}" type: INT value_count {{ min: 1 max: 1 }} }}
"""


def make_eval_config(classes: int, models: list[str]) -> config_pb2.EvalConfig:
    """Makes TFMA's configuration: the models' specs and the metrics that the table leaves to TFMA.

    Args:
        classes: how many; per-class metrics are binarised over all of them.
        models: names, the candidate among them.
    """
    specs = [
        config_pb2.ModelSpec(
            name=name,
            is_baseline=name == BASELINE,
            signature_name=features.SERVE_EXAMPLES,
            label_key=features.LABEL,
            prediction_key=features.OUTPUT_PROBABILITIES,
            model_type=tfma.TF_GENERIC,
        )
        for name in models
    ]
    return config_pb2.EvalConfig(
        model_specs=specs,
        slicing_specs=[config_pb2.SlicingSpec()],
        metrics_specs=[_metrics_spec(metric, classes, models) for metric in list_metrics() if metric.tfma],
    )


def _metrics_spec(metric: Metric, classes: int, models: list[str]) -> config_pb2.MetricsSpec:
    configuration = json.dumps({"name": metric.name, **metric.arguments})
    spec = config_pb2.MetricsSpec(
        model_names=models, metrics=[config_pb2.MetricConfig(class_name=metric.tfma, config=configuration)]
    )
    if metric.over == "per_class":
        spec.binarize.class_ids.values.extend(range(classes))
    return spec


def run_tfma(
    pipeline: beam.Pipeline,
    examples: Sequence[types.Artifact],
    models: Mapping[str, str],
    config: config_pb2.EvalConfig,
    settings: tuple[int, list[str]],
    output_path: str,
) -> None:
    """Adds the Beam steps: records in batches of a fixed size, through the models, into metrics and a row an image.

    Args:
        pipeline: of Beam.
        examples: with an eval split.
        models: {name: SavedModel}.
        config: of `make_eval_config` for these models.
        settings: the batch size, and the names of the slices.
        output_path: of TFMA's files, of `images.parquet`, and of the parts of `features.parquet`.
    """
    batch_size, slices = settings
    factory = tfxio_utils.get_tfxio_factory_from_artifact(
        examples=examples,
        telemetry_descriptors=["Evaluator"],
        schema=text_format.Parse(_SCHEMA, schema_pb2.Schema()),
        raw_record_column_name=tfma.ARROW_INPUT_COLUMN,
    )
    shared = [
        in_parts(
            tfma.default_eval_shared_model(eval_saved_model_path=path, model_name=name, eval_config=config),
            batch_size,
            FeatureKeeper(output_path) if name == CANDIDATE else None,
        )
        for name, path in models.items()
    ]
    model = shared if len(shared) > 1 else shared[0]
    evaluators = tfma.default_evaluators(eval_shared_model=model, eval_config=config)
    writers = tfma.default_writers(output_path=output_path, eval_shared_model=model, eval_config=config)
    names, temperatures = list(models), {name: read_temperature(path) for name, path in models.items()}
    pattern = io_utils.all_files_pattern(artifact_utils.get_split_uri(examples, features.EVAL_SPLIT))
    _ = (
        pipeline
        | "ReadEvalSplit" >> factory(pattern).BeamSource(batch_size=batch_size * PARTS)
        | "Evaluate"
        >> tfma.ExtractEvaluateAndWriteResults(
            eval_shared_model=model,
            eval_config=config,
            evaluators=[*evaluators, _outcomes_evaluator(temperatures, slices)],
            writers=[*writers, _outcomes_writer(names, slices, output_path)],
            output_path=output_path,
        )
    )


class KeepOutcomes(beam.PTransform):
    """Turns TFMA's extracts, one an image, into rows of `outcomes.make_schema`."""

    def __init__(self, models: dict[str, float], slices: list[str]) -> None:
        super().__init__()
        self.models, self.slices = models, slices

    def expand(self, extracts: beam.PCollection) -> dict[str, beam.PCollection]:
        """Gives a row an image, under the key `OUTCOMES`."""
        return {OUTCOMES: extracts | "RateImages" >> beam.Map(make_outcome_row, self.models, self.slices)}


def make_outcome_row(extracts: Mapping[str, Any], models: dict[str, float], slices: list[str]) -> dict[str, Any]:
    """Makes the row of one image.

    Args:
        extracts: of TFMA after its last extractor: the serialized example, label and predictions of one image.
        models: {name: temperature}; TFMA tells predictions apart by name only where there are several.
        slices: names of `evaluator.slices`.
    """
    values = read_values(np.asarray(extracts[tfma.INPUT_KEY]).item())
    label = int(values[features.LABEL])
    row = {"sha256": values[features.SHA256], "name": values.get(features.FILENAME, ""), "label": label}
    row |= {f"slice/{name}": slice_of(name, values) for name in slices}
    for model, temperature in models.items():
        predictions = extracts[tfma.PREDICTIONS_KEY]
        predictions = predictions[model] if len(models) > 1 else predictions
        answers = predictions if isinstance(predictions, Mapping) else {features.OUTPUT_PROBABILITIES: predictions}
        rated = rate_image(np.asarray(answers[features.OUTPUT_PROBABILITIES]).ravel(), label, temperature)
        rated |= rate_typicality(answers)
        row |= {f"{model}/{name}": value for name, value in rated.items()}
    return row


def _outcomes_evaluator(models: dict[str, float], slices: list[str]) -> tfma_evaluator.Evaluator:
    return tfma_evaluator.Evaluator(
        "KeepOutcomes", tfma_extractor.LAST_EXTRACTOR_STAGE_NAME, KeepOutcomes(models, slices)
    )


def _outcomes_writer(models: list[str], slices: list[str], output_path: str) -> tfma_writer.Writer:
    to_file = beam.io.WriteToParquet(
        os.path.join(output_path, features.OUTCOMES_FILE), make_schema(models, slices), shard_name_template=""
    )
    return tfma_writer.Writer("WriteOutcomes", tfma_writer.Write(key=OUTCOMES, ptransform=to_file))


def read_tfma(uri: str, model_name: str | None, classes: int) -> dict[str, Any]:
    """Reads TFMA's results for one model.

    Returns:
        The overall metrics that the table leaves to TFMA; `per_class`, a list of {metric: value} in the classes'
        order; `confusion_matrix` [actual][predicted] counts.
    """
    result = tfma.load_eval_result(uri, model_name=model_name)
    overall = dict(result.slicing_metrics)[()][""]
    rows = [row for row in list_metrics() if row.tfma]
    metrics: dict[str, Any] = {row.name: _value(overall[""], row.name) for row in rows if row.over == "overall"}
    metrics["per_class"] = [
        {row.name: _value(overall[f"classId:{index}"], row.name) for row in rows if row.over == "per_class"}
        for index in range(classes)
    ]
    metrics["confusion_matrix"] = _confusion_matrix(dict(result.plots)[()], classes)
    return metrics


def _value(metrics: dict[str, Any], name: str) -> float | None:
    """Reads a metric's number; None where it is undefined, such as the AUC of a class without an image."""
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
