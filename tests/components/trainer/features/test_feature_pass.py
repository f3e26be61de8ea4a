"""The frozen backbone sees each image once."""

import hashlib
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.errors import InputError
from components.trainer.backbones.build import make_backbone, scale_pixels
from components.trainer.features.augment import Augmentation, View, augment_pixels
from components.trainer.features.data import join_splits, read_split
from components.trainer.features.feature_pass import FeaturePass, augmented_features, gather_features
from components.trainer.features.folding import fold_backbone, pool
from components.trainer.features.store import FeatureStore
from tests.components.trainer.toys import tiny_backbone
from tests.conftest import SIDE

WIDTH = 32

VIEW = View(Augmentation("horizontal", rotation=15, zoom=0.2, brightness=0.1, contrast=0.2), seed=3, number=2)


@pytest.fixture(scope="module")
def backbone():
    """One convolution: what becomes of pixels is what counts here, not what a large network makes of them."""
    return tiny_backbone(SIDE, WIDTH).model


@pytest.fixture(scope="module")
def forward(backbone):
    return fold_backbone(backbone, "-1..1")


@pytest.fixture(scope="module")
def pixels(transform, eval_records):
    layer = transform.transform_features_layer()
    return layer({features.IMAGE: tf.constant([[content] for content in eval_records.contents])})[features.PIXELS]


@pytest.fixture(scope="module")
def expected(backbone, pixels):
    return pool(backbone(scale_pixels(pixels, "-1..1"), training=False)).numpy()


@pytest.fixture
def feature_pass(strategies, forward, transform):
    return FeaturePass(strategies["cpu"], forward, transform, 7)


@pytest.fixture
def decoded(feature_pass, monkeypatch):
    """The rows that the backbone saw; call it for their number."""
    seen = []
    run = FeaturePass.run

    def spy(self, split, wanted, view=None):
        for rows, values in run(self, split, wanted, view):
            seen.extend(rows.tolist())
            yield rows, values

    monkeypatch.setattr(FeaturePass, "run", spy)
    return lambda: len(seen)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(str(tmp_path / "features"), {"backbone": "x"})


def test_pooling_takes_the_mean_the_largest_or_both():
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    mean, largest = maps.mean(axis=(1, 2)), maps.max(axis=(1, 2))
    np.testing.assert_allclose(pool(tf.constant(maps)), mean, atol=1e-6)
    np.testing.assert_allclose(pool(tf.constant(maps), "max"), largest)
    np.testing.assert_allclose(pool(tf.constant(maps), "both"), np.concatenate([mean, largest], axis=1), atol=1e-6)
    np.testing.assert_array_equal(pool(tf.constant(mean), "both"), mean)


@pytest.mark.parametrize(("pooling", "width"), [("avg", WIDTH), ("max", WIDTH), ("both", 2 * WIDTH)])
def test_a_folded_backbone_pools_and_knows_its_width(backbone, pixels, pooling, width):
    folded = fold_backbone(backbone, "-1..1", pooling)
    assert folded.width == width
    wanted = pool(backbone(scale_pixels(pixels, "-1..1"), training=False), pooling)
    np.testing.assert_allclose(folded(pixels), wanted, atol=1e-4)


def test_a_folded_backbone_with_batch_norms_holds_no_variable_and_gives_the_same(trunk, pixels):
    network = make_backbone(trunk, (SIDE, SIDE), {}, "imagenet", "-1..1").model
    folded = fold_backbone(network, "-1..1")
    assert not folded.function.variables
    assert "VarHandleOp" not in {node.op for node in folded.function.graph.as_graph_def().node}
    wanted = pool(network(scale_pixels(pixels, "-1..1"), training=False))
    np.testing.assert_allclose(folded(pixels), wanted, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 64])
def test_features_do_not_depend_on_replicas_or_batch(strategies, forward, transform, eval_records, expected, batch):
    split = read_split(eval_records.pattern)
    found = gather_features(FeaturePass(strategies["cpu:2"], forward, transform, batch), split).values
    assert found.shape == (len(split), WIDTH)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_rows_stand_in_the_order_of_both_splits(strategies, forward, transform, train_records, eval_records, expected):
    both = join_splits(read_split(train_records.pattern), read_split(eval_records.pattern))
    found = gather_features(FeaturePass(strategies["cpu:2"], forward, transform, 16), both).values
    np.testing.assert_allclose(found[len(train_records.labels) :], expected, atol=1e-4)


def test_a_second_pass_asks_the_backbone_nothing(feature_pass, store, eval_records, expected, decoded, caplog):
    caplog.set_level(logging.INFO, logger="graft.progress")
    split = read_split(eval_records.pattern)
    first = gather_features(feature_pass, split, store)
    assert (first.computed, first.kept.sum(), decoded()) == (15, 0, 15)
    np.testing.assert_allclose(first.values, expected, atol=1e-4)
    assert "features of 15 of 15 images, " in caplog.messages[-1]
    second = gather_features(feature_pass, split, store)
    assert (second.computed, second.kept.sum(), decoded()) == (0, 15, 15)
    np.testing.assert_array_equal(second.values, first.values)
    assert second.describe() == "0 features computed, 15 from the store"


def test_added_images_are_the_only_ones_computed(
    feature_pass, store, train_records, eval_records, decoded, strategies, expected, caplog
):
    """The new ones stand behind the old in one file and before them in the next: places in the files mean nothing."""
    caplog.set_level(logging.INFO, logger="graft.progress")
    train, evaluation = read_split(train_records.pattern), read_split(eval_records.pattern)
    gather_features(feature_pass, train, store)
    before = decoded()
    grown = gather_features(feature_pass, join_splits(evaluation, train), store)
    assert decoded() - before == grown.computed == len(evaluation)
    assert "features of 15 of 15 images (36 are kept), " in caplog.messages[-1]
    np.testing.assert_allclose(grown.values[:15], expected, atol=1e-4)
    assert grown.kept.tolist() == [False] * 15 + [True] * 36


def test_what_a_killed_pass_has_written_is_not_computed_again(feature_pass, store, eval_records, decoded, monkeypatch):
    split = read_split(eval_records.pattern)
    run = FeaturePass.run

    def killed(self, *arguments):
        batches = run(self, *arguments)
        yield next(batches)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FeaturePass, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            gather_features(feature_pass, split, store)
    assert gather_features(feature_pass, split, store).computed == 15 - 7


def test_a_damaged_pack_is_computed_again(feature_pass, store, eval_records, expected, caplog):
    caplog.set_level(logging.INFO, logger="graft.progress")
    split = read_split(eval_records.pattern)
    gather_features(feature_pass, split, store)
    (pack,) = Path(store.folder).glob("*.parquet")
    content = bytearray(pack.read_bytes())
    content[-100] ^= 1
    pack.write_bytes(content)
    mended = gather_features(feature_pass, split, store)
    assert (mended.computed, mended.kept.sum()) == (15, 0)
    np.testing.assert_allclose(mended.values, expected, atol=1e-4)
    assert any(f"{pack.name} is damaged" in line for line in caplog.messages)
    assert gather_features(feature_pass, split, store).computed == 0


def test_copies_of_an_image_are_computed_once(feature_pass, eval_records, expected, decoded):
    split = read_split(eval_records.pattern)
    found = gather_features(feature_pass, join_splits(split, split))
    assert found.computed == decoded() == 15
    np.testing.assert_allclose(found.values, np.tile(expected, (2, 1)), atol=1e-4)


def test_a_view_is_that_of_its_image_on_any_replica(
    strategies, feature_pass, forward, transform, eval_records, backbone, pixels
):
    split = read_split(eval_records.pattern)
    draws = VIEW.draws(np.array([hashlib.sha256(content).digest() for content in eval_records.contents], "S32"))
    seen = augment_pixels(pixels, tf.constant(draws), VIEW.augmentation)
    wanted = pool(backbone(scale_pixels(seen, "-1..1"), training=False)).numpy()
    for each in (feature_pass, FeaturePass(strategies["cpu:2"], forward, transform, 4)):
        found = augmented_features(each, split, VIEW)
        np.testing.assert_allclose(found, wanted, atol=2e-3)
    other = augmented_features(feature_pass, split, View(VIEW.augmentation, 3, 1))
    assert np.abs(other - found).max() > 0.05


def test_kept_views_are_computed_only_for_new_images(feature_pass, store, train_records, eval_records):
    train, evaluation = read_split(train_records.pattern), read_split(eval_records.pattern)
    first = gather_features(feature_pass, evaluation, store, VIEW)
    both = gather_features(feature_pass, join_splits(train, evaluation), store, VIEW)
    assert both.computed == len(train)
    np.testing.assert_array_equal(both.values[len(train) :], first.values)
    whole = augmented_features(feature_pass, join_splits(train, evaluation), VIEW)
    np.testing.assert_allclose(both.values, whole, atol=1e-4)


def changed_files(split, files):
    return type(split)(files, split.sha256, split.labels, split.texts, split.contents)


def test_records_that_changed_meanwhile_are_an_error_and_nothing_of_them_is_kept(
    feature_pass, store, eval_records, train_records
):
    train, evaluation = read_split(train_records.pattern), read_split(eval_records.pattern)
    with pytest.raises(RuntimeError, match="changed while they were read: they stand in another order now"):
        gather_features(feature_pass, changed_files(evaluation, train.files), store)
    both = join_splits(evaluation, train)
    with pytest.raises(RuntimeError, match="they stand in another order now"):  # more than there were
        gather_features(feature_pass, changed_files(evaluation, both.files), store)
    with pytest.raises(RuntimeError, match="expected 51 images, got 15"):
        gather_features(feature_pass, changed_files(both, evaluation.files))
    values, found = store.read(both.digests(), WIDTH)
    np.testing.assert_allclose(values[found], gather_features(feature_pass, both).values[found], atol=1e-4)


def test_a_damaged_record_is_an_error_of_the_input(feature_pass, eval_records, tmp_path):
    (source,) = read_split(eval_records.pattern).files
    shutil.copy(source, tmp_path / "data")
    split = read_split([str(tmp_path / "data")])
    (tmp_path / "data").write_bytes(Path(source).read_bytes()[:-5])
    for call in (lambda: read_split(split.files), lambda: gather_features(feature_pass, split)):
        with pytest.raises(InputError, match="The examples cannot be read to their end: ") as caught:
            call()
        assert "--no-cache" in str(caught.value)
