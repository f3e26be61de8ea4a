"""`graft features prune`."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from components.errors import InputError
from pipeline.run.prune import choose, describe, parse_age, parse_size, prune_features, read_kept

DAY = 86400


def pack_of(workdir, key, name, size, age_days, used_days=None):
    folder = workdir / "features" / key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key.json").touch()
    path = folder / f"{name}.parquet"
    path.write_bytes(bytes(size))
    then = time.time() - age_days * DAY
    os.utime(path, (then, then))
    if used_days is not None:
        (folder / f"{name}.parquet.used").write_text(f"{time.time() - used_days * DAY:.0f}")
    return path


@pytest.fixture
def workdir(tmp_path):
    pack_of(tmp_path, "a" * 64, "1", 3000, 40)
    pack_of(tmp_path, "a" * 64, "2", 2000, 40, used_days=2)
    pack_of(tmp_path, "b" * 64, "3", 1000, 10, used_days=1)
    return tmp_path


def left(workdir):
    return sorted(path.stem for path in workdir.glob("features/*/*.parquet"))


def test_kept_exports_go_with_the_packs(workdir):
    (workdir / "features" / "exports").mkdir()
    for name, used_days in (("old", 40), ("new", 1)):
        path = workdir / "features" / "exports" / f"{name}.export"
        path.write_bytes(bytes(500))
        then = time.time() - 50 * DAY
        os.utime(path, (then, then))
        path.with_name(f"{name}.export.used").write_text(f"{time.time() - used_days * DAY:.0f}")
    pruned = prune_features(workdir, older_than=30 * DAY)
    assert sorted(pack.path.name for pack in pruned.removed) == ["1.parquet", "old.export"]
    assert sorted(path.name for path in (workdir / "features" / "exports").iterdir()) == [
        "new.export",
        "new.export.used",
    ]


def names(packs):
    return sorted(pack.path.stem for pack in packs)


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({"older_than": 30 * DAY}, ["2", "3"]),
        ({"older_than": 1.5 * DAY}, ["3"]),
        ({"max_size": 3000}, ["2", "3"]),
        ({"max_size": 2999}, ["3"]),
        ({"max_size": 0}, []),
        ({"older_than": 1.5 * DAY, "max_size": 10**9}, ["3"]),
        ({"older_than": 90 * DAY, "max_size": 10**9}, ["1", "2", "3"]),
    ],
)
def test_what_was_not_used_lately_or_is_too_much_goes(workdir, limits, kept):
    dry = prune_features(workdir, **limits, dry_run=True)
    assert left(workdir) == ["1", "2", "3"]
    done = prune_features(workdir, **limits)
    assert left(workdir) == kept == names(done.left) == names(dry.left)
    assert names(done.removed) == names(dry.removed)
    for used in workdir.glob("features/*/*.used"):
        assert used.with_suffix("").exists()


def test_a_small_old_pack_does_not_stay_where_a_larger_newer_one_went(workdir):
    packs = [read_kept(path) for path in workdir.glob("features/*/*.parquet")]
    removed, kept = choose(packs, time.time(), None, 1500)
    assert (names(removed), names(kept)) == (["1", "2"], ["3"])


def test_what_killed_runs_and_damage_left_goes_too(workdir):
    folder = workdir / "features" / ("a" * 64)
    for name, age in (("x.parquet.bad", 0), ("old.parquet.00.partial", 3), ("new.parquet.00.partial", 0)):
        (folder / name).touch()
        then = time.time() - age * DAY
        os.utime(folder / name, (then, then))
    done = prune_features(workdir, older_than=300 * DAY)
    assert [path.name for path in done.rubbish] == ["x.parquet.bad", "old.parquet.00.partial"]
    assert sorted(path.name for path in folder.iterdir() if "x" in path.name or "partial" in path.name) == [
        "new.parquet.00.partial"
    ]
    assert "x.parquet.bad  removed (damaged, unfinished or of an earlier Graft)" in describe(done, False)


def test_an_empty_key_goes_unless_a_run_has_just_begun_with_it(workdir):
    old, fresh = (workdir / "features" / (name * 64) for name in "ab")
    os.utime(old / "key.json", (0, 0))
    prune_features(workdir, max_size=0)
    assert not old.exists()
    assert fresh.exists()


def test_a_run_that_goes_on_computes_what_was_removed(tmp_path):
    from components.trainer.features.store import FeatureStore

    store = FeatureStore(str(tmp_path / "features"), {})
    digests, values = np.array([b"a" * 32, b"b" * 32], "S32"), np.ones([2, 3], np.float32)
    with store.writing() as writer:
        writer.add(digests[:1], values[:1])
        writer.flush()
        assert len(prune_features(tmp_path, max_size=0).removed) == 1
        writer.add(digests[1:], values[1:])
    assert store.read(digests, 3)[1].tolist() == [False, True]
    assert len(prune_features(tmp_path, older_than=DAY).left) == 1


@pytest.mark.parametrize(("text", "seconds"), [("30d", 30 * DAY), ("1.5h", 5400), ("90 min", 5400), ("2W", 14 * DAY)])
def test_ages(text, seconds):
    assert parse_age(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("5GB", 5e9), ("500 mb", 5e8), ("0B", 0)])
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "30 days", "nand"])
def test_an_age_without_sense_is_refused(text):
    with pytest.raises(InputError, match=rf"--older-than: expected a number with its unit, .*; got '{text}'"):
        parse_age(text)


def test_nothing_to_prune_is_said(tmp_path):
    with pytest.raises(InputError, match="--older-than or --max-size, got neither"):
        prune_features(tmp_path)
    with pytest.raises(InputError, match="with kept features, found no folder"):
        prune_features(tmp_path, max_size=0)


def test_the_command_says_what_was_removed_and_what_is_left(workdir):
    command = [sys.executable, "-m", "pipeline", "features", "prune", str(workdir), "--older-than", "30d"]
    dry = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, timeout=60, check=True)
    assert dry.stdout.splitlines()[-1] == "1 packs (0.0 MB) would be removed; 2 packs (0.0 MB) are left."
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[0] == f"{'a' * 12}/1.parquet  0.0 MB  removed"
    assert left(workdir) == ["2", "3"]
    wrong = subprocess.run([*command[:-1], "soon"], capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("Error: --older-than: expected a number with its unit, such as 30d")
