"""Features that the Evaluator's pass gives: once an image, whatever Beam tries again, and found by who asks."""

from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.contract import features
from components.evaluator import analysis
from components.evaluator.kept_features import PARTS, FeatureKeeper, fill_in, join_parts


def records_of(rows):
    found = []
    for row in rows:
        example = tf.train.Example()
        example.features.feature[features.SHA256].bytes_list.value.append(f"{row:064x}".encode())
        example.features.feature[features.IMAGE].bytes_list.value.append(f"picture {row}".encode())
        example.features.feature[features.LABEL].int64_list.value.append(0)
        found.append(example.SerializeToString())
    return found


def digests_of(rows):
    return np.array([bytes.fromhex(f"{row:064x}") for row in rows], "S32")


def values_of(rows):
    return np.arange(3, dtype=np.float32)[None] - np.array(rows, np.float32)[:, None]


def keep(folder, *batches):
    for rows in batches:
        FeatureKeeper(str(folder)).keep(tf.constant(records_of(rows)), values_of(rows))


def ask(folder, rows, width=3):
    values, found = np.zeros([len(rows), width], np.float32), np.zeros(len(rows), bool)
    fill_in(str(folder), digests_of(rows), values, found)
    return values, found


def test_each_image_is_kept_once_whatever_is_tried_again(tmp_path):
    keep(tmp_path, [0, 1, 2], [3, 4], [0, 1, 2], [2, 3, 5, 5])
    assert len(list((tmp_path / PARTS).iterdir())) == 3, "the same batch is the same part"
    assert join_parts(str(tmp_path)) == 6
    assert not (tmp_path / PARTS).exists()
    assert pq.read_table(tmp_path / features.FEATURES_FILE).num_rows == 6
    values, found = ask(tmp_path, [5, 0, 9, 0, 256])
    assert found.tolist() == [True, True, False, True, False]
    np.testing.assert_array_equal(values[found], values_of([5, 0, 0]))


def test_what_is_there_already_and_another_width_are_left_alone(tmp_path):
    keep(tmp_path, [0, 1])
    join_parts(str(tmp_path))
    values, found = np.full([2, 3], 7, np.float32), np.array([True, False])
    fill_in(str(tmp_path), digests_of([0, 1]), values, found)
    np.testing.assert_array_equal(values, [[7, 7, 7], *values_of([1])])
    assert not ask(tmp_path, [0, 1], width=4)[1].any()


def test_a_model_that_gives_no_features_leaves_no_file(tmp_path):
    assert join_parts(str(tmp_path)) == 0
    assert not list(tmp_path.iterdir())
    assert not ask(tmp_path, [0])[1].any()


@pytest.mark.parametrize("gives", [True, False])
def test_the_candidates_features_go_to_the_file_and_not_into_rows(tmp_path, monkeypatch, gives):
    def answer(records, batch_size):
        sizes = np.array([[len(record)] for record in records], np.float32)
        return {features.OUTPUT_PROBABILITIES: sizes} | ({features.OUTPUT_FEATURES: sizes} if gives else {})

    monkeypatch.setattr(analysis, "open_model", lambda path: SimpleNamespace(answer=answer))
    monkeypatch.setattr(analysis, "open_models", lambda paths, record: None)
    records = records_of(range(5))
    models, temperatures = {"candidate": "here", "baseline": "there"}, {"candidate": 1.0, "baseline": 1.0}
    asking = analysis.AskModels(models, temperatures, (2, [], 1), FeatureKeeper(str(tmp_path)), {})
    ((place, rows),) = asking.process(((0, 7), records))
    assert place == (0, 7)
    assert rows.num_rows == 5
    assert not any("feature" in name for name in rows.column_names)
    assert join_parts(str(tmp_path)) == (5 if gives else 0)
    if gives:
        assert ask(tmp_path, range(5), width=1)[0].ravel().tolist() == [len(record) for record in records]
