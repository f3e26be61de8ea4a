"""Features are kept by content, and nothing that is damaged or half-written is trusted."""

import errno
import hashlib
import logging
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.trainer.features.store import FeatureStore, PackWriter, digest_key
from pipeline.run.prune import prune_features

WIDTH = 5


def digests_of(*numbers):
    return np.array([hashlib.sha256(b"%d" % number).digest() for number in numbers], "S32")


def values_of(*numbers):
    return np.stack([np.random.default_rng(number).normal(size=WIDTH).astype(np.float32) for number in numbers])


@pytest.fixture
def store(tmp_path):
    return FeatureStore(str(tmp_path / "features"), {"backbone": "x", "size": [64, 64]})


@pytest.fixture
def far(tmp_path):
    """A store on a remote path: TensorFlow's file system in memory."""
    return FeatureStore(f"ram://{tmp_path}/features", {"backbone": "x"})


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="graft.progress")
    return lambda: [record.getMessage() for record in caplog.records]


def keep(store, *numbers):
    with store.writing() as writer:
        writer.add(digests_of(*numbers), values_of(*numbers))


def packs(store):
    return sorted(Path(store.folder).glob("*.parquet"))


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_what_is_kept_is_found_in_any_order_and_the_rest_is_missing(store):
    keep(store, *range(10))
    keep(store, *range(10, 14))
    wanted = (13, 99, 3, 0, 3, 10)
    values, found = store.read(digests_of(*wanted), WIDTH)
    assert found.tolist() == [True, False, True, True, True, True]
    np.testing.assert_array_equal(values[found], values_of(13, 3, 0, 3, 10))
    assert not values[1].any()


def test_an_empty_store_has_nothing(store):
    values, found = store.read(digests_of(1, 2), WIDTH)
    assert values.shape == (2, WIDTH)
    assert not found.any()


def test_digests_that_end_in_zeros_are_told_apart(store):
    digests = np.array([b"a" * 31 + b"\0", b"a" * 30 + b"\0\0", b"a" * 30 + b"\0b"], "S32")
    store.keep(digests, values_of(0, 1, 2))
    values, found = store.read(digests[::-1].copy(), WIDTH)
    assert found.all()
    np.testing.assert_array_equal(values, values_of(2, 1, 0))


def test_keys_do_not_see_one_another(tmp_path, store):
    keep(store, 1)
    other = FeatureStore(store.root, {**store.ingredients, "size": [64, 65]})
    half = FeatureStore(store.root, store.ingredients, "float16")
    assert len({store.folder, other.folder, half.folder}) == 3
    for one in (other, half):
        assert not one.read(digests_of(1), WIDTH)[1].any()
    assert FeatureStore(store.root, dict(reversed(store.ingredients.items()))).folder == store.folder


def test_the_key_is_the_same_in_every_process():
    assert digest_key({"b": 1, "a": [2, "x"]}) == hashlib.sha256(b'{"a": [2, "x"], "b": 1}').hexdigest()


def test_half_precision_rounds_and_halves_the_file(tmp_path):
    sizes = []
    for dtype in ("float32", "float16"):
        store = FeatureStore(str(tmp_path), {}, dtype)
        values = np.random.default_rng(0).normal(size=(500, 400)).astype(np.float32)
        store.keep(digests_of(*range(500)), values)
        found, _ = store.read(digests_of(*range(500)), 400)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, values, rtol=0 if dtype == "float32" else 2**-11, atol=1e-7)
        sizes.append(packs(store)[0].stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 1.0])
def test_a_pack_with_a_wrong_bit_is_set_aside_and_computed_again(store, lines, place):
    keep(store, 1, 2)
    keep(store, 3)
    bad = packs(store)[0]
    flip(bad, int(place * (bad.stat().st_size - 1)))
    _, found = store.read(digests_of(1, 2, 3), WIDTH)
    assert found.tolist() == [False, False, True]
    assert any(bad.name in line and "is damaged" in line and "computed again" in line for line in lines())
    assert not bad.exists()
    assert bad.with_name(bad.name + ".bad").exists()
    keep(store, 1, 2)
    values, found = store.read(digests_of(1, 2, 3), WIDTH)
    assert found.all()
    np.testing.assert_array_equal(values, values_of(1, 2, 3))


@pytest.mark.parametrize("size", [0, 3, 60, -1])
def test_a_pack_that_was_cut_off_is_set_aside(store, size):
    keep(store, 1, 2)
    (pack,) = packs(store)
    pack.write_bytes(pack.read_bytes()[:size])
    assert not store.read(digests_of(1, 2), WIDTH)[1].any()
    assert packs(store) == []


def test_a_pack_under_another_name_is_not_trusted(store, lines):
    keep(store, 1)
    keep(store, 2)
    first, second = packs(store)
    second.rename(first)
    assert not store.read(digests_of(1, 2), WIDTH)[1].any()
    assert any("a wrong checksum" in line for line in lines())


def test_a_damaged_entry_that_another_pack_has_is_found_there(store):
    keep(store, 1)
    keep(store, 1)
    flip(packs(store)[0], -1)
    values, found = store.read(digests_of(1), WIDTH)
    assert found.all()
    np.testing.assert_array_equal(values, values_of(1))


def test_packs_of_an_earlier_graft_are_said_and_left_to_prune(store, lines):
    keep(store, 1)
    old = Path(store.folder) / "00000000000000000001-ab.pack"
    old.write_bytes(b"GRAFTPK2")
    assert store.read(digests_of(1, 2), WIDTH)[1].tolist() == [True, False]
    expected = "kept features: 1 packs of an earlier Graft are not read; graft features prune removes them"
    assert lines().count(expected) == 1
    assert old.exists()
    prune_features(Path(store.root).parent, older_than=86400.0)
    assert not old.exists()
    store.read(digests_of(1), WIDTH)
    assert lines().count(expected) == 1


def test_packs_are_written_when_full_or_old(store, monkeypatch):
    with store.writing():
        pass
    assert packs(store) == []
    writer = PackWriter(store, pack_bytes=4 * WIDTH * 3)
    for number in range(7):
        writer.add(digests_of(number), values_of(number))
    assert len(packs(store)) == 2
    writer = PackWriter(store, pack_seconds=0.0)
    writer.add(digests_of(8), values_of(8))
    assert len(packs(store)) == 3


def test_features_of_another_width_are_not_used(store, lines):
    keep(store, 1)
    assert not store.read(digests_of(1), WIDTH + 1)[1].any()
    assert any("expected 6 values an image, found 5" in line for line in lines())


def test_a_full_disk_is_said_and_leaves_nothing(store, monkeypatch):
    keep(store, 1)
    before = sorted(path.name for path in Path(store.folder).iterdir())

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.writing() as writer:
        monkeypatch.setattr(os, "replace", refuse)
        writer.add(digests_of(2), values_of(2))
        with pytest.raises(InputError) as caught:
            writer.flush()
    text = str(caught.value)
    assert text.startswith(f"features: expected to write kept features into {store.folder}, got: ")
    assert "No space left on device" in text
    assert "graft features prune" in text
    monkeypatch.undo()
    assert sorted(path.name for path in Path(store.folder).iterdir()) == before
    assert store.read(digests_of(1, 2), WIDTH)[1].tolist() == [True, False]


def test_what_tensorflow_says_of_a_full_bucket_is_an_error_of_the_user_too(far, monkeypatch):
    def refuse(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "x.partial; No space left on device")

    monkeypatch.setattr(tf.io.gfile, "rename", refuse)
    with pytest.raises(InputError, match="No space left on device"):
        far.keep(digests_of(2), values_of(2))
    assert tf.io.gfile.listdir(far.folder) == []


def test_a_remote_store_keeps_finds_and_mends(far):
    keep(far, 1, 2)
    keep(far, 3)
    values, found = far.read(digests_of(3, 1, 9), WIDTH)
    assert found.tolist() == [True, True, False]
    np.testing.assert_array_equal(values[:2], values_of(3, 1))
    name = sorted(name for name in tf.io.gfile.listdir(far.folder) if name.endswith(".parquet"))[0]
    with tf.io.gfile.GFile(f"{far.folder}/{name}", "wb") as file:
        file.write(b"PAR1")
    assert far.read(digests_of(1, 3), WIDTH)[1].tolist() == [False, True]
    assert f"{name}.bad" in tf.io.gfile.listdir(far.folder)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_computed(tmp_path):
    (tmp_path / "features").write_text("in the way")
    store = FeatureStore(str(tmp_path / "features"), {})
    with pytest.raises(InputError, match=r"expected to write kept features into .*, got: "), store.writing():
        pytest.fail("nothing may be computed")


def test_what_was_added_before_an_error_stays(store):
    def interrupted():
        with store.writing() as writer:
            writer.add(digests_of(1), values_of(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert store.read(digests_of(1), WIDTH)[1].all()


def test_a_reader_that_is_not_the_chief_writes_nothing(store):
    keep(store, 1)
    before = sorted(Path(store.folder).iterdir())
    worker = FeatureStore(store.root, store.ingredients, writable=False)
    assert worker.read(digests_of(1), WIDTH)[1].all()
    with worker.writing() as writer:
        writer.add(digests_of(2), values_of(2))
    assert sorted(Path(store.folder).iterdir()) == before


def test_the_last_use_is_recorded_only_for_packs_that_were_of_use(store):
    keep(store, 1)
    keep(store, 2)
    store.read(digests_of(2), WIDTH)
    (used,) = Path(store.folder).glob("*.used")
    assert used.name == packs(store)[1].name + ".used"
    assert abs(float(used.read_text()) - time.time()) < 60


def _write_for_ever(root, first):
    store = FeatureStore(root, {"backbone": "x"})
    number = first
    while True:
        store.keep(digests_of(number), np.full([1, 50_000], number, np.float32))
        number += 2


def test_two_writers_that_are_killed_leave_only_whole_packs(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_for_ever, args=(str(tmp_path), first)) for first in (0, 1)]
    for writer in writers:
        writer.start()
    store = FeatureStore(str(tmp_path), {"backbone": "x"})
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (not Path(store.folder).is_dir() or len(packs(store)) < 10):
        time.sleep(0.02)
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    count = len(packs(store))
    values, found = store.read(digests_of(*range(2 * count + 2)), 50_000)
    assert found.sum() == count >= 10
    assert (values[found] == np.arange(2 * count + 2)[found][:, None]).all()
    assert len(packs(store)) == count  # none was found to be damaged
