"""One pass over the eval records: every model's answers, a row an image, and what TFMA sums up of them.

TFX's own Evaluator lets its batches grow (Beam tunes them by speed, not by memory), and TFMA's extractors hand on each
image with its record, in Python. Here a batch stays one from the record to the sums.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.contract import features
from components.contract.assets import read_temperature
from components.evaluator import batch_metrics
from components.evaluator.areas import PROBABILITIES, list_probabilities, make_wide_schema
from components.evaluator.batch_metrics import RATED, Columns
from components.evaluator.batched_model import PARTS, Answers, open_model
from components.evaluator.kept_answers import KeptAnswers, KnownAnswers, add_origin, digest_images, list_fields
from components.evaluator.kept_features import FeatureKeeper
from components.evaluator.metrics import list_metrics
from components.evaluator.outcomes import MODEL_COLUMNS, make_schema, rate_images, rate_typicality
from components.evaluator.slices import read_values, slice_of
from components.files.records import open_records

CANDIDATE, BASELINE, BEST = "candidate", "baseline", "best"


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
            class_name=batch_metrics.BatchMetric.__name__,
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


def list_records(examples: Sequence[types.Artifact]) -> list[str]:
    """Lists the files of the eval split, sorted."""
    pattern = io_utils.all_files_pattern(artifact_utils.get_split_uri(examples, features.EVAL_SPLIT))
    return sorted(fileio.glob(pattern))


def read_batches(path: str, batch_size: int) -> Iterator[list[bytes]]:
    """Reads the records of one file in batches."""
    for batch in open_records([path]).batch(batch_size):
        yield batch.numpy().tolist()


def run_tfma(
    pipeline: beam.Pipeline,
    examples: Sequence[types.Artifact],
    models: Mapping[str, str],
    config: config_pb2.EvalConfig,
    settings: tuple[int, list[str], int],
    output_path: str,
    kept: Mapping[str, KeptAnswers],
) -> None:
    """Adds the Beam steps: records in batches of a fixed size, through the models, into metrics and a row an image.

    Args:
        pipeline: of Beam.
        examples: with an eval split.
        models: {name: SavedModel}.
        config: of `make_eval_config` for these models.
        settings: the batch size, the names of the slices, and the number of classes.
        output_path: of TFMA's files, of `images.parquet`, of every image's probabilities, and of the parts of
            `features.parquet`.
        kept: {name: answers that an earlier run had of this model}; it is asked about other images alone.
    """
    batch_size, slices, classes = settings
    names, keeper = list(models), FeatureKeeper(output_path)
    temperatures = {name: read_temperature(path) for name, path in models.items()}
    rows = (
        pipeline
        | "ListFiles" >> beam.Create(list_records(examples))
        | "ReadRecords" >> beam.FlatMap(read_batches, batch_size * PARTS)
        | "AskModels" >> beam.ParDo(AskModels(dict(models), temperatures, settings, keeper, kept))
    )
    schema, wide = make_schema(names, slices), pa.schema([*make_wide_schema(names, classes), *list_fields(CANDIDATE)])
    path = os.path.join(output_path, features.OUTCOMES_FILE)
    _ = (
        rows
        | "OutcomesAlone" >> beam.Map(take_columns, schema.names)
        | "WriteOutcomes" >> beam.io.WriteToParquetBatched(path, schema, codec="snappy", shard_name_template="")
    )
    _ = (
        rows
        | "ProbabilitiesAlone" >> beam.Map(take_columns, wide.names)
        | "WriteProbabilities"
        >> beam.io.WriteToParquetBatched(os.path.join(output_path, PROBABILITIES), wide, file_name_suffix=".parquet")
    )
    results = {tfma.METRICS_KEY: os.path.join(output_path, tfma.METRICS_KEY)}
    _ = (
        rows
        | "MakeExtracts" >> beam.Map(make_extracts, names)
        | "Evaluate"
        >> tfma.ExtractEvaluateAndWriteResults(
            eval_config=config,
            extractors=[tfma.extractors.SliceKeyExtractor(eval_config=config, materialize=False)],
            writers=[
                tfma.writers.EvalConfigWriter(output_path, config, model_locations=dict(models)),
                tfma.writers.MetricsPlotsAndValidationsWriter(results, config),
            ],
        )
    )


class AskModels(beam.DoFn):
    """Turns a batch of records into rows, a table of `outcomes.make_schema` and `areas.make_wide_schema`."""

    def __init__(
        self,
        models: dict[str, str],
        temperatures: dict[str, float],
        settings: tuple[int, list[str], int],
        keeper: FeatureKeeper,
        kept: Mapping[str, KeptAnswers],
    ) -> None:
        super().__init__()
        self.models, self.temperatures, self.settings, self.keeper = models, temperatures, settings, keeper
        self.kept, self.known = dict(kept), dict[str, KnownAnswers | None]()

    def setup(self) -> None:
        """Reads what earlier runs know."""
        self.known = {name: answers.load() for name, answers in self.kept.items()}

    def process(self, records: list[bytes]) -> Iterator[pa.Table]:
        """Asks each model about the whole batch; the candidate's features go to their file, past all other steps."""
        _, slices, classes = self.settings
        images = digest_images(records)
        answers = {name: self._answer(name, records, images) for name in self.models}
        if (values := answers[CANDIDATE].get(features.OUTPUT_FEATURES)) is not None:
            self.keeper.keep(np.array(records, object), values)
        yield add_origin(make_rows(records, answers, self.temperatures, slices, classes), images)

    def _answer(self, name: str, records: list[bytes], images: list[bytes]) -> Answers:
        """Gives a model's answers; it is loaded where it is asked, not before."""

        def ask(rows: Iterable[int]) -> Answers:
            return open_model(self.models[name]).answer([records[row] for row in rows], self.settings[0])

        known = self.known.get(name)
        return ask(range(len(records))) if known is None else known.answer(images, ask)


def make_rows(
    records: list[bytes],
    answers: Mapping[str, Answers],
    temperatures: Mapping[str, float],
    slices: list[str],
    classes: int,
) -> pa.Table:
    """Makes the rows of a batch: this is where a model's answers become columns.

    Args:
        records: serialized tf.Examples.
        answers: {model: its answers, a row a record}.
        temperatures: {model: what its logits were divided by}.
        slices: names of `evaluator.slices`.
        classes: how many probabilities a model gives.

    Raises:
        ValueError: a model gives probabilities for another number of classes.
    """
    values = [read_values(record) for record in records]
    labels = np.array([row[features.LABEL] for row in values], int)
    columns: dict[str, Any] = {
        "sha256": [row[features.SHA256] for row in values],
        "name": [row.get(features.FILENAME, "") for row in values],
        "label": labels,
    }
    columns |= {f"slice/{name}": [slice_of(name, row) for row in values] for name in slices}
    for model, given in answers.items():
        probabilities = given[features.OUTPUT_PROBABILITIES]
        if probabilities.shape != (len(records), classes):
            raise ValueError(
                f"The {model} must give a probability for each of {classes:,} classes: expected answers of shape "
                f"{(len(records), classes)}, got {probabilities.shape}."
            )
        rated: dict[str, Any] = dict(rate_images(probabilities, labels, temperatures[model]))
        rated |= {**rate_typicality(given, len(records)), **list_probabilities(probabilities)}
        columns |= {f"{model}/{name}": column for name, column in rated.items()}
    schemas = (make_schema(list(answers), slices), make_wide_schema(list(answers), classes))
    kinds = {field.name: field.type for schema in schemas for field in schema}
    nothing = [None] * len(records)
    arrays = {name: pa.array(nothing if column is None else column, kinds[name]) for name, column in columns.items()}
    return pa.table(arrays)


def take_columns(rows: pa.Table, names: list[str]) -> pa.Table:
    """Gives some columns of a batch's rows, which one file takes."""
    return rows.select(names)


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
