"""Rows of the eval images: what Beam's pass leaves of each batch becomes the files and the sums of the evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from components.contract import features
from components.evaluator.areas import PROBABILITIES, list_probabilities, make_wide_schema
from components.evaluator.batched_model import Answers
from components.evaluator.kept_answers import list_fields
from components.evaluator.outcomes import CANDIDATE, make_schema, rate_images, rate_typicality
from components.evaluator.parts import opened_writer, read_parts, write_part
from components.evaluator.slices import read_values, slice_of
from components.evaluator.tfma_results import Sums
from components.files.paths import remove_folder

PARTS = "rows.parts"  # a folder of the evaluation while it runs

Place = tuple[int, int]  # of a batch: the number of its file, and of its first record therein


def write_rows(evaluation: str, place: Place, rows: pa.Table) -> None:
    """Writes the rows of a batch, in whatever process it was made.

    Args:
        evaluation: the folder.
        place: of the batch.
        rows: a table of all columns.
    """
    write_part(os.path.join(evaluation, PARTS), "{:06}-{:012}".format(*place), rows)


def join_rows(evaluation: str, models: list[str], slices: list[str], classes: int) -> Sums:
    """Makes the parts `images.parquet` and the file of all probabilities, a part at a time; sums up what TFMA takes.

    Args:
        evaluation: the folder, with the parts that the pass left.
        models: their names.
        slices: names of `evaluator.slices`.
        classes: how many probabilities a model gives.

    Raises:
        RuntimeError: the pass left nothing.
    """
    folder, sums, images = os.path.join(evaluation, PARTS), Sums(models), 0
    paths = [os.path.join(evaluation, name) for name in (features.OUTCOMES_FILE, f"{PROBABILITIES}.parquet")]
    outcomes = make_schema(models, slices)
    wide = pa.schema([*make_wide_schema(models, classes), *list_fields(CANDIDATE)])
    with opened_writer(paths[0], outcomes) as each, opened_writer(paths[1], wide) as all_classes:
        for rows in read_parts(folder):
            each.write_table(rows.select(outcomes.names))
            all_classes.write_table(rows.select(wide.names))
            sums.add(rows)
            images += rows.num_rows
    if not images:
        raise RuntimeError(
            f"Expected the rows of every eval image in {folder}, found none.\n"
            "Start the run again; if Beam runs elsewhere, its workers may not see the same files."
        )
    remove_folder(folder)
    return sums


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
