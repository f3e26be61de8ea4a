"""The frozen backbone sees each image once."""

import numpy as np
import pytest
import tensorflow as tf

from components import features
from components.trainer.build import build_backbone, scale_pixels
from components.trainer.data import join_splits, read_split
from components.trainer.features import compute_features, fold_backbone, pool
from tests.conftest import ALPHA, SIDE


@pytest.fixture(scope="module")
def backbone(weights_file):
    return build_backbone("MobileNetV2", (SIDE, SIDE), ALPHA, weights_file)[0]


@pytest.fixture(scope="module")
def forward(backbone):
    return fold_backbone(backbone, "-1..1")


@pytest.fixture(scope="module")
def expected(backbone, transform, eval_records):
    layer = transform.transform_features_layer()
    pixels = layer({features.IMAGE: tf.constant([[content] for content in eval_records.contents])})[features.PIXELS]
    return pool(backbone(scale_pixels(pixels, "-1..1"), training=False)).numpy()


def test_pooling_is_the_mean_over_the_places():
    maps = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    np.testing.assert_allclose(pool(tf.constant(maps)), maps.mean(axis=(1, 2)))


def test_a_folded_backbone_holds_no_variable(forward):
    folded = forward.__closure__[0].cell_contents
    assert not folded.variables
    assert "VarHandleOp" not in {node.op for node in folded.graph.as_graph_def().node}


@pytest.mark.parametrize(("devices", "batch"), [("cpu", 7), ("cpu:2", 1), ("cpu:2", 7), ("cpu:2", 64)])
def test_features_do_not_depend_on_replicas_or_batch(
    strategies, forward, transform, eval_records, expected, devices, batch
):
    split = read_split(eval_records.pattern)
    found = compute_features(strategies[devices], forward, split, transform, batch)
    assert found.shape == (len(split), 1280)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_rows_stand_in_the_order_of_both_splits(strategies, forward, transform, train_records, eval_records, expected):
    both = join_splits(read_split(train_records.pattern), read_split(eval_records.pattern))
    found = compute_features(strategies["cpu:2"], forward, both, transform, 16)
    np.testing.assert_allclose(found[len(train_records.labels) :], expected, atol=1e-4)


def test_records_that_changed_meanwhile_are_an_error(strategies, forward, transform, eval_records, train_records):
    split = read_split(eval_records.pattern)
    grown = type(split)(read_split(train_records.pattern).files, split.sha256, split.labels, split.texts)
    with pytest.raises((RuntimeError, IndexError), match=r"changed while they were read|out of bounds"):
        compute_features(strategies["cpu"], forward, grown, transform, 16)
    shrunk = type(grown)(split.files, *([np.tile(column, 2) for column in (split.sha256, split.labels, split.texts)]))
    with pytest.raises(RuntimeError, match="expected 30 images, got 15"):
        compute_features(strategies["cpu"], forward, shrunk, transform, 16)
