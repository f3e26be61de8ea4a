"""A whole folder at the door: everything accounted for, everything remembered, nothing moved."""

import os
import time
from multiprocessing import get_context

import numpy as np
import pytest

from components.example_gen import scan as scanning
from components.example_gen.history import open_history
from components.example_gen.scan import ScanSettings, keep_places, scan_data
from components.images.findings import REASONS
from components.options.data import DataOptions
from components.sources.find import list_sources
from tests import pictures
from tests.kinds import whole_files

OPTIONS = DataOptions()
HOUR = 3600


def age(root):
    """Makes files look as if they had not been touched for an hour: only then are they remembered."""
    then = time.time() - HOUR
    for path in root.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


@pytest.fixture
def tree(tmp_path):
    root = pictures.write_tree(tmp_path / "data", {"cats": 6, "dogs": 5})
    pictures.write(root / "dogs" / "cut.png", (root / "dogs" / "000.png").read_bytes()[:-300])
    pictures.write(root / "dogs" / "notes.txt", b"good dogs")
    age(root)
    return root


@pytest.fixture
def look(tmp_path):
    """Scans with one memory."""

    def call(root, options=OPTIONS, **how):
        with open_history(str(tmp_path / "data.sqlite")) as memory:
            scan = scan_data(list_sources(str(root), options), options, memory, ScanSettings(**how))
            keep_places(scan, options, memory)
        return scan

    return call


def sides(scan):
    return {row.name: row.split for row in scan.rows if row.is_example}


def test_a_second_scan_reads_nothing_and_finds_the_same(tree, look):
    first, second = look(tree), look(tree)
    assert (first.read, second.read) == (13, 0)
    assert second.rows == first.rows
    assert second.dataset == first.dataset


def test_only_a_changed_file_is_read_again(tree, look):
    look(tree)
    pictures.write(tree / "cats" / "000.png", pictures.encode(pictures.noise(seed=99)))
    assert look(tree).read == 1


def test_verify_reads_everything_and_sees_a_change_behind_the_clock(tree, look):
    first = look(tree)
    path = tree / "cats" / "000.png"
    status, content = path.stat(), path.read_bytes()
    with open(path, "r+b") as file:  # the same inode
        file.write(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert look(tree).dataset["fingerprint"] == first.dataset["fingerprint"]
    verified = look(tree, verify=True)
    assert verified.read == 13
    assert verified.dataset["fingerprint"] != first.dataset["fingerprint"]


def test_other_limits_inspect_again(tree, look):
    look(tree)
    assert look(tree, DataOptions(min_side=9)).read == 13


def test_other_rules_do_not(tree, look):
    look(tree)
    assert look(tree, DataOptions(eval_fraction=0.5, duplicates="keep")).read == 0


def test_nothing_is_prepared_where_nothing_is_read(tree, look):
    calls = []
    look(tree, prepare=lambda: calls.append("first"))
    look(tree, prepare=lambda: calls.append("second"))
    assert calls == ["first"]


def test_the_report_ends_at_the_total(tree, look):
    steps = []
    look(tree, report=lambda done, total: steps.append((done, total)))
    assert steps[0] == (0, 13)
    assert steps[-1] == (13, 13)


def test_processes_find_what_threads_find(tmp_path, look, monkeypatch):
    root = pictures.write_tree(tmp_path / "data", {"cats": 20, "dogs": 20}, "jpeg")
    pictures.write(root / "cats" / "cut.jpg", (root / "cats" / "000.jpg").read_bytes()[:-300])
    pictures.write(root / "cats" / "really.jpg", pictures.encode(pictures.noise(seed=5)))
    pictures.write_tree(root, {"dogs/more": 3}, "png")
    for index, (kind, content) in enumerate(whole_files(pictures.smooth(48, 56)).items()):  # TensorFlow judges some
        pictures.write(root / "dogs" / f"{index}.{'jpg' if kind.endswith('jpeg') else 'png'}", content)
    called = []
    threads = look(root, verify=True, meanwhile=lambda: called.append("while threads read"))
    monkeypatch.setattr(scanning, "WORTH_PROCESSES", 10)
    monkeypatch.setattr(scanning, "INSPECTED_AT_ONCE", 4)
    processes = look(root, verify=True, meanwhile=lambda: called.append("while processes read"))
    assert processes.rows == threads.rows
    assert called == ["while processes read"]
    assert [row.reason for row in processes.rows if row.reason] == ["truncated"]


def test_one_processor_looks_in_threads_where_tensorflow_is_at_hand(tmp_path, look, monkeypatch):
    """Processes would be this one: what it puts off for TensorFlow would be put off for ever."""
    root = pictures.write_tree(tmp_path / "data", {"cats": 20, "dogs": 20}, "jpeg")
    monkeypatch.setattr(scanning, "WORTH_PROCESSES", 10)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr(scanning, "_inspect_in_processes", lambda *args: pytest.fail("processes were begun"))
    assert look(root, verify=True).dataset["found"] == 40


def _niceness_after_two_batches():
    for _ in range(2):
        scanning._inspect_without_tensorflow([], None)
    return os.nice(0)


def test_a_process_that_looks_lets_the_one_that_waits_go_first():
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(_niceness_after_two_batches) == min(19, os.nice(0) + scanning.WORKERS_NICE)


def test_adding_images_moves_none(tmp_path, look):
    root = pictures.write_tree(tmp_path / "data", {"cats": 60, "dogs": 60})
    before = sides(look(root))
    for index in range(30):
        for label in ("cats", "dogs"):
            content = pictures.encode(pictures.noise(seed=5000 + index + 100 * (label == "dogs")))
            pictures.write(root / label / f"new{index}.png", content)
    after = sides(look(root))
    assert len(after) == 180
    assert {name: after[name] for name in before} == before


def test_a_near_copy_joins_the_side_of_the_picture_that_was_there(tmp_path, look):
    root = tmp_path / "data"
    for index in range(24):
        picture = pictures.scene(seed=index)
        pictures.write(root / "ab"[index % 2] / f"{index}.png", pictures.encode(picture))
    before = sides(look(root))
    for index in range(24):
        picture = pictures.scene(seed=index)
        pictures.write(root / "ab"[index % 2] / f"{index}-again.jpg", pictures.encode(picture, "jpeg", quality=95))
    scan = look(root)
    after = sides(scan)
    assert len(scan.findings.near_duplicates) == 24
    assert {name: after[name] for name in before} == before
    for name, side in before.items():
        assert after[name.replace(".png", "-again.jpg")] == side
    assert set(before.values()) == {"train", "eval"}


def test_links_that_lead_nowhere_are_in_the_ledger(tree, look):
    os.symlink(tree / "gone", tree / "cats" / "broken.jpg")
    os.symlink("self.jpg", tree / "cats" / "self.jpg")
    rows = {row.name: row for row in look(tree).rows}
    assert rows["cats/broken.jpg"].reason == rows["cats/self.jpg"].reason == "unreadable"
    assert rows["cats/broken.jpg"].detail


def test_a_file_over_the_limit_is_not_read(tree, look):
    pictures.write(tree / "cats" / "huge.png", b"\x89PNG\r\n\x1a\n" + bytes(3 << 20))
    row = next(row for row in look(tree, DataOptions(max_file_megabytes=2)).rows if row.name == "cats/huge.png")
    assert row.reason == "too_large"
    assert "2" in row.detail
    assert row.sha256 == ""


def test_given_sides_are_not_remembered(tmp_path, look):
    folders = {f"{side}/{label}": 3 for side in ("train", "val") for label in "ab"}
    look(pictures.write_tree(tmp_path / "data", folders))
    with open_history(str(tmp_path / "data.sqlite"), writable=False) as memory:
        assert memory._database.execute("SELECT COUNT(*) FROM sides").fetchone() == (0,)


def spoil(random, content):
    """One of the ways in which files go bad."""
    at, other = (int(x) for x in random.integers(0, max(1, len(content)), 2))
    ways = (
        content,
        content[:at],
        content[:at] + bytes([random.integers(256)]) + content[at + 1 :],
        content[:at] + content[other:],
        content[:at] + random.bytes(40) + content[at:],
        random.bytes(at % 500),
    )
    return ways[random.integers(len(ways))]


NAMES = ("a.jpg", "b.JPEG", "c", "d.png", "e.gif", "f.txt", ".g.jpg", "Thumbs.db", "h i'\"é.bmp", "j.webp", "k.tiff")
FOLDERS = ("cats", "dogs", "dogs/more", "cats/.hidden", "__MACOSX", ".", "train/x", "val/y", "train/x/deep", "val/x")


@pytest.mark.parametrize("seed", range(12))
def test_in_a_random_tree_of_spoilt_files_every_file_is_accounted_for(tmp_path, look, seed):
    random = np.random.default_rng(seed)
    forms = ("jpeg", "png", "gif", "bmp", "webp", "tiff")
    good = [pictures.encode(pictures.scene(40, 50, s), form) for form in forms for s in range(3)]
    for index in range(150):
        folder = FOLDERS[random.integers(len(FOLDERS) if seed % 2 else 6)]
        name = f"{index}{NAMES[random.integers(len(NAMES))]}" if random.random() < 0.9 else "same.jpg"
        pictures.write(tmp_path / "data" / folder / name, spoil(random, good[random.integers(len(good))]))
    layout = "split_folders" if seed % 2 else "auto"  # classes beside splits are asked about
    scan = look(tmp_path / "data", DataOptions(near_duplicate_distance=8, layout=layout))
    root = tmp_path / "data"
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert {row.name for row in scan.rows} == names
    data = scan.dataset
    assert data["found"] == len(names) == data["train"] + data["eval"] + data["quarantined"] + data["ignored"]
    assert all(row.reason in REASONS and row.detail for row in scan.rows if row.reason)
    assert all(row.split in ("train", "eval") for row in scan.rows if row.is_example)
    left = [row.sha256 for row in scan.rows if row.is_example]
    assert len(set(left)) == len(left)
