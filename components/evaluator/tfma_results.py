"""What TFMA says of an evaluation: its configuration, its metrics over batches, and its files.

TFMA's own Beam pipeline of three sums takes seconds to plan. So its metrics run here as it runs them, over the batches
of the pass in their order, and its converter makes the record that `tfma.load_eval_result` reads.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tfx.utils import io_utils

from components.contract import features
from components.evaluator import batch_metrics
from components.evaluator.batch_metrics import RATED, BatchMetric, Columns
from components.evaluator.metrics import list_metrics
from components.evaluator.outcomes import BASELINE, MODEL_COLUMNS

# As TFMA's writers name and fill them.
CONFIG_FILE, METRICS_FILE = "eval_config.json", f"{tfma.METRICS_KEY}-00000-of-00001.tfrecord"
DESCRIPTION = {"data_location": "<user provided PCollection>", "file_format": "<unknown>"}


def make_eval_config(models: list[str]) -> config_pb2.EvalConfig:
    """Makes TFMA's configuration: the models' specs and the metrics that the table leaves to TFMA.

    Args:
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
    metrics = [
        config_pb2.MetricConfig(
            class_name=BatchMetric.__name__,
            module=batch_metrics.__name__,
            config=json.dumps({"name": metric.name, "rate": metric.tfma}),
        )
        for metric in list_metrics()
        if metric.tfma
    ]
    return config_pb2.EvalConfig(
        model_specs=specs,
        slicing_specs=[config_pb2.SlicingSpec()],
        metrics_specs=[config_pb2.MetricsSpec(model_names=models, metrics=metrics)],
    )


class Sums:
    """TFMA's metrics of some models over batches, which are added one after the other."""

    def __init__(self, models: list[str]) -> None:
        self.models = models
        names = models if len(models) > 1 else [""]  # TFMA tells models apart by name only where there are several
        metrics = [BatchMetric(metric.name, metric.tfma) for metric in list_metrics() if metric.tfma]
        self.computations = [row for metric in metrics for row in metric.computations(model_names=names)]
        self.sums = [row.combiner.create_accumulator() for row in self.computations]

    def add(self, rows: pa.Table) -> None:
        """Adds the rows of a batch."""
        extracts = make_extracts(rows, self.models)
        for place, row in enumerate(self.computations):
            (preprocessor,) = row.preprocessors
            for batch in preprocessor.process(extracts):
                self.sums[place] = row.combiner.add_input(self.sums[place], batch)

    def finish(self) -> dict[tfma.metrics.MetricKey, float]:
        """Gives the metrics, and where there is a baseline how much that of each other model is above its own."""
        metrics: dict[tfma.metrics.MetricKey, float] = {}
        for row, sums in zip(self.computations, self.sums, strict=True):
            metrics |= row.combiner.extract_output(sums)
        above = {
            key.make_diff_key(): value - metrics[key.make_baseline_key(BASELINE)]
            for key, value in metrics.items()
            if BASELINE in self.models and key.model_name != BASELINE
        }
        return metrics | above


def make_extracts(rows: pa.Table, models: list[str]) -> dict[str, Any]:
    """Makes TFMA's extracts of a batch: for each model the columns that metrics need, as arrays.

    Args:
        rows: of `make_rows`.
        models: their names; TFMA tells models apart by name only where there are several.
    """
    rated: dict[str, Columns] = {
        model if len(models) > 1 else "": {"label": rows["label"].to_numpy()}
        | {name: rows[f"{model}/{name}"].to_numpy() for name, _ in MODEL_COLUMNS}
        for model in models
    }
    return {RATED: rated}


def write_results(
    evaluation: str,
    config: config_pb2.EvalConfig,
    models: Mapping[str, str],
    metrics: Mapping[tfma.metrics.MetricKey, float],
) -> None:
    """Writes TFMA's files into an evaluation's folder.

    Args:
        evaluation: the folder.
        config: of `make_eval_config` for these models.
        models: {name: SavedModel}.
        metrics: of `Sums.finish`, over all images.
    """
    run = config_pb2.EvalRun(eval_config=config, version=tfma.__version__, model_locations=models, **DESCRIPTION)
    io_utils.write_string_file(os.path.join(evaluation, CONFIG_FILE), json_format.MessageToJson(run) + "\n")
    record = tfma.writers.convert_slice_metrics_to_proto(((), dict(metrics)), None)
    with tf.io.TFRecordWriter(os.path.join(evaluation, METRICS_FILE)) as file:
        file.write(record.SerializeToString())


def read_tfma(uri: str, model_name: str | None) -> dict[str, Any]:
    """Reads TFMA's results for one model: the metrics that the table leaves to TFMA."""
    result = tfma.load_eval_result(uri, model_name=model_name)
    overall = dict(result.slicing_metrics)[()][""][""]
    return {row.name: _value(overall, row.name) for row in list_metrics() if row.tfma}


def _value(metrics: dict[str, Any], name: str) -> float | None:
    """Reads a metric's number; None where it is undefined."""
    value = float(metrics[name].get("doubleValue", 0.0))
    if math.isnan(value):
        return None
    return int(value) if name == "examples" else value
