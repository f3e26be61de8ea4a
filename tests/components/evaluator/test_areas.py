"""Tests of the probabilities that are kept while the Evaluator runs."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.evaluator.areas import (
    PROBABILITIES,
    READ_AT_ONCE,
    list_probabilities,
    make_wide_schema,
    read_probabilities,
)


def test_probabilities_of_many_images_are_read_a_part_at_a_time(tmp_path):
    written = np.random.default_rng(0).random((2 * READ_AT_ONCE + 3, 2), np.float32)
    columns = {f"candidate/{PROBABILITIES}": list_probabilities(written)[PROBABILITIES]}
    pq.write_table(pa.table(columns, make_wide_schema(["candidate"], 2)), tmp_path / f"{PROBABILITIES}-0.parquet")
    parts = list(read_probabilities(str(tmp_path), "candidate"))
    assert max(len(part) for part in parts) <= READ_AT_ONCE
    np.testing.assert_array_equal(np.concatenate(parts), written)
