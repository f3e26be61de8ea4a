"""Beam's workers compute the features that the Trainer would compute, to the last bit, and leave them in the store."""

import logging
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.trainer.backbones.build import make_backbone
from components.trainer.features import beam_pass
from components.trainer.features.augment import Augmentation, View
from components.trainer.features.beam_pass import (
    BeamPass,
    ComputeFeatures,
    Job,
    Network,
    Unit,
    cut_units,
    read_wanted,
    unit_size,
)
from components.trainer.features.data import join_splits, read_split, take_rows, take_sample
from components.trainer.features.feature_pass import FeaturePass, gather_features
from components.trainer.features.folding import fold_backbone, load_folded
from components.trainer.features.store import FeatureStore
from pipeline.beam import name_runner
from tests.conftest import SIDE, WIDTH

VIEW = View(Augmentation("horizontal", rotation=15, zoom=0.2, brightness=0.1, contrast=0.2), seed=3, number=2)
BATCH = 7  # 36 and 15 images: batches that span both splits, and a last one that is not full


@pytest.fixture(scope="module")
def forward(trunk):
    built = make_backbone(trunk, (SIDE, SIDE), {}, "imagenet", "-1..1")
    return fold_backbone(built.model, built.scaling)


@pytest.fixture
def local(strategies, forward, transform):
    return FeaturePass(strategies["cpu"], forward, transform, BATCH)


@pytest.fixture
def spread(local):
    return replace(local, elsewhere=BeamPass(name_runner([])))


@pytest.fixture
def store(tmp_path):
    return FeatureStore(str(tmp_path / "features"), {"backbone": "x"})


@pytest.fixture
def both(train_records, eval_records):
    return join_splits(read_split(train_records.pattern), read_split(eval_records.pattern))


@pytest.fixture
def small_units(monkeypatch):
    """Units of one batch each."""
    monkeypatch.setattr(beam_pass, "FEWEST_BATCHES", 1)


@pytest.fixture
def nothing_here(monkeypatch):
    """The process of the Trainer computes nothing itself."""
    monkeypatch.setattr(FeaturePass, "run", lambda *_: pytest.fail("the Trainer computed"))


def packs(store):
    return sorted(Path(store.folder).glob("*.parquet"))


@pytest.mark.parametrize("view", [None, VIEW])
@pytest.mark.parametrize("devices", ["cpu", "cpu:2"])
def test_the_bits_are_those_of_the_local_pass(local, spread, store, both, strategies, small_units, view, devices):
    local, spread = (replace(each, strategy=strategies[devices]) for each in (local, spread))
    wanted = gather_features(local, both, None, view)
    found = gather_features(spread, both, store, view)
    np.testing.assert_array_equal(found.values.view(np.uint32), wanted.values.view(np.uint32))
    assert (found.computed, found.kept.sum()) == (51, 0)
    assert len(packs(store)) == -(-51 // (BATCH if devices == "cpu" else 4))


def test_what_was_kept_is_not_computed_again_and_copies_are_computed_once(
    local, spread, store, both, train_records, small_units, monkeypatch
):
    few = take_rows(both, np.arange(0, 36, 5))
    computed = gather_features(local, both)
    store.keep(few.digests(), computed.values[::5][:8])
    found = gather_features(spread, join_splits(both, both), store)
    assert (found.computed, found.kept.sum()) == (51 - 8, 16)
    twice = np.tile(computed.values, (2, 1))
    np.testing.assert_allclose(found.values, twice, atol=1e-5)  # other images share their batches
    monkeypatch.setattr(BeamPass, "__call__", lambda *_: pytest.fail("everything is kept"))
    again = gather_features(spread, both, store)
    assert (again.computed, again.kept.sum()) == (0, 51)
    np.testing.assert_array_equal(again.values, found.values[:51])


def test_some_images_have_the_bits_of_a_local_pass_over_the_same(local, spread, store, both, tmp_path, small_units):
    other = FeatureStore(str(tmp_path / "other"), {"backbone": "x"})
    for each in (store, other):
        each.keep(both.digests()[3:30:2], np.ones([14, WIDTH], np.float32))
    found = [gather_features(*given).values for given in ((local, both, other), (spread, both, store))]
    np.testing.assert_array_equal(*found)


def test_a_sample_of_a_split_has_the_bits_of_a_local_pass_over_it(
    local, spread, store, train_records, eval_records, small_units
):
    sample = take_sample(read_split(eval_records.pattern), 6)
    given = join_splits(read_split(train_records.pattern), sample)
    wanted, found = gather_features(local, given), gather_features(spread, given, store)
    np.testing.assert_array_equal(found.values.view(np.uint32), wanted.values.view(np.uint32))
    assert found.computed == 36 + 6


def test_half_precision_has_the_same_bits(strategies, transform, both, store, trunk):
    from components.options.trainer import TrainerOptions
    from components.trainer.backbones.precision import build_half

    built = build_half(TrainerOptions(backbone=trunk, precision="mixed_bfloat16"), (SIDE, SIDE))
    local = FeaturePass(strategies["cpu"], fold_backbone(built.model, "-1..1"), transform, BATCH)
    wanted = gather_features(local, both).values
    found = gather_features(replace(local, elsewhere=BeamPass(name_runner([]))), both, store).values
    np.testing.assert_array_equal(found, wanted)


def test_what_is_not_kept_is_computed_here(local, spread, both):
    np.testing.assert_array_equal(gather_features(spread, both).values, gather_features(local, both).values)


def test_a_unit_that_is_done_twice_is_one_pack_and_nothing_else_is_left(spread, store, both, small_units):
    gather_features(spread, both, store)
    before = {path.name: path.read_bytes() for path in packs(store)}
    assert len(before) == 8
    beam_pass.BeamPass.__call__(spread.elsewhere, spread, both, np.ones(51, bool), None, store)
    assert {path.name: path.read_bytes() for path in packs(store)} == before
    left = {path.name for path in Path(store.folder).iterdir() if path.suffix != ".used"}
    assert left == {"key.json", *before}


def test_the_graph_of_the_workers_is_removed_after_an_error(spread, store, both, monkeypatch, tmp_path):
    monkeypatch.setattr(Network, "compute", lambda *_: [][0])
    with pytest.raises(Exception, match="list index out of range"):
        gather_features(spread, both, store)
    assert [path.name for path in Path(store.folder).iterdir()] == ["key.json"]


def test_progress_is_told_by_packs(spread, store, both, caplog, monkeypatch, small_units):
    caplog.set_level(logging.INFO, logger="graft.progress")
    monkeypatch.setattr(beam_pass, "SECONDS", 0.01)
    gather_features(spread, both, store)
    counts = [record.counts for record in caplog.records if "on Beam" in record.getMessage()]
    assert counts
    assert counts == sorted(counts)
    assert {total for _, total in counts} == {51}
    assert any(done % BATCH == 0 and 0 < done < 51 for done, _ in counts)


def test_workers_with_another_tensorflow_are_refused(store):
    step = ComputeFeatures(Job(store, [], "transform", "graph", ("a", "b"), 5, 16, None, tensorflow="1.0"))
    with pytest.raises(
        RuntimeError, match=r"expected TensorFlow 1\.0 on Beam's workers, as the Trainer has, found 2\."
    ):
        step.setup()


def test_records_that_changed_meanwhile_are_an_error(spread, store, train_records, eval_records):
    train, evaluation = read_split(train_records.pattern), read_split(eval_records.pattern)
    other = replace(evaluation, files=train.files)
    with pytest.raises(RuntimeError, match=r"Expected the features of 15 images in .*, found 0"):
        gather_features(spread, other, store)
    fewer = replace(train, files=evaluation.files)
    with pytest.raises(Exception, match="expected 21 records, got 0"):
        gather_features(spread, fewer, store)
    with pytest.raises(ValueError, match="in the order of its files"):
        gather_features(spread, take_rows(train, np.arange(20, 23)), store)


def test_units_are_whole_batches_of_neighbours():
    wanted = np.ones(20, bool)
    wanted[[0, 5, 6, 7, 12]] = False
    units = cut_units(wanted, [4, 0, 6, 10], 5)
    assert [(unit.file, unit.skip, unit.records) for unit in units] == [(0, 1, 8), (2, 5, 6), (3, 5, 5)]
    start = np.cumsum([0, 4, 0, 6])
    seen = np.zeros(20, bool)
    for unit in units:
        first = start[unit.file] + unit.skip
        bits = np.unpackbits(np.frombuffer(unit.wanted, np.uint8), count=unit.records)
        seen[first : first + unit.records] |= bits > 0
    np.testing.assert_array_equal(seen, wanted)
    assert cut_units(np.zeros(20, bool), [20], 5) == []


@pytest.mark.parametrize(
    ("images", "batch_size", "width", "size"),
    [
        (3, 16, 1280, 128),  # one unit
        (3000, 16, 1280, 128),
        (50_000, 16, 1280, 768),
        (1_000_000, 16, 1280, 2048),
        (1_000_000, 64, 1280, 2048),
        (1_000_000, 16, 32_000, 240),  # as many as a pack holds
        (1_000_000, 4096, 1280, 4096),  # never less than a batch
    ],
)
def test_the_size_of_a_unit(images, batch_size, width, size):
    assert unit_size(images, batch_size, width) == size


def test_a_unit_is_read_across_files(train_records, eval_records):
    files = read_split(train_records.pattern).files + read_split(eval_records.pattern).files
    wanted = np.packbits(np.array([True, False, True, True])).tobytes()
    images = list(read_wanted(files, Unit(0, 34, 4, wanted)))
    assert images == [train_records.contents[34], *eval_records.contents[:2]]


def test_a_damaged_record_is_an_error_of_the_input(eval_records, tmp_path):
    (source,) = read_split(eval_records.pattern).files
    (tmp_path / "data").write_bytes(Path(source).read_bytes()[:-5])
    with pytest.raises(InputError, match="The examples cannot be read to their end: "):
        list(read_wanted([str(tmp_path / "data")], Unit(0, 0, 15, b"\xff\xff")))


def test_a_step_is_pickled_by_reference(store):
    job = Job(store, ["f"], "transform", "graph", ("a", "b"), 5, 16, VIEW)
    step = pickle.loads(pickle.dumps(ComputeFeatures(job)))
    assert step._job == job
    assert step._job.store.folder == store.folder


def test_a_folded_backbone_survives_as_bytes(forward):
    pixels = tf.random.stateless_uniform([5, SIDE, SIDE, 3], [1, 2], 0, 255)
    loaded = load_folded(forward.frozen(), forward.width)
    np.testing.assert_array_equal(tf.function(loaded)(pixels), tf.function(forward)(pixels))
    np.testing.assert_array_equal(load_folded(loaded.frozen(), forward.width)(pixels), loaded(pixels))
