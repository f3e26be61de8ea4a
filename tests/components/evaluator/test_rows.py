"""Rows of the eval images between Beam's pass and the files of the evaluation."""

import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.contract import features
from components.evaluator.areas import PROBABILITIES
from components.evaluator.kept_answers import add_origin
from components.evaluator.rows import PARTS, join_rows, make_rows, write_rows
from tests.components.evaluator.toys import record_of


def rows_of(numbers, models=("candidate",)):
    """Rows of images: of class number % 2, right where the number is no multiple of 5."""
    right = np.array([[0.8, 0.2] if (number + (number % 5 == 0)) % 2 == 0 else [0.3, 0.7] for number in numbers], "f4")
    answers = {
        model: {features.OUTPUT_PROBABILITIES: right if place == 0 else right[:, ::-1]}
        for place, model in enumerate(models)
    }
    records = [record_of(number) for number in numbers]
    made = make_rows(records, answers, dict.fromkeys(models, 1.0), ["format"], 2)
    return add_origin(made, [b"%032d" % number for number in numbers])


def join(folder, models=("candidate",)):
    return join_rows(str(folder), list(models), ["format"], 2)


def test_a_batch_that_is_tried_again_is_there_once_and_all_are_in_the_order_of_the_records(tmp_path):
    for place, numbers in (
        ((1, 0), [7, 8]),
        ((0, 1000), [5, 6]),
        ((0, 3), [3, 4]),
        ((0, 0), [0, 1, 2]),
        ((0, 3), [3, 4]),
    ):
        write_rows(str(tmp_path), place, rows_of(numbers))
    sums = join(tmp_path)
    table = pq.read_table(tmp_path / features.OUTCOMES_FILE)
    assert table["name"].to_pylist() == [f"{number}.png" for number in range(9)]
    assert not {"asker", "image", f"candidate/{PROBABILITIES}"} & set(table.column_names)
    wide = pq.read_table(tmp_path / f"{PROBABILITIES}.parquet")
    assert wide["image"].to_pylist() == [b"%032d" % number for number in range(9)]
    assert not (tmp_path / PARTS).exists()
    assert {key.name: value for key, value in sums.finish().items()}["accuracy"] == pytest.approx(7 / 9)


def test_an_evaluation_without_any_rows_says_where_they_may_be(tmp_path):
    with pytest.raises(RuntimeError, match=r"rows of every eval image in .*rows.parts, found none.\n.*same files"):
        join(tmp_path)


def test_a_part_that_is_being_written_is_none(tmp_path):
    write_rows(str(tmp_path), (0, 0), rows_of([0, 1]))
    (part,) = os.listdir(tmp_path / PARTS)
    (tmp_path / PARTS / f"{part}.1.partial").write_bytes(b"half")
    join(tmp_path)
    assert pq.read_table(tmp_path / features.OUTCOMES_FILE).num_rows == 2
