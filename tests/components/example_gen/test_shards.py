"""Shards that are whole or not there, and what is found where they are not as the manifest has them."""

import hashlib

import pytest
import tensorflow as tf

from components.example_gen.manifest import Row
from components.example_gen.records import make_example
from components.example_gen.shards import DamagedShards, check_records, empty_splits, finish_splits, open_shards

SHARDS = {"train": "Split-train/data_tfrecord-00000-of-00001", "eval": "Split-eval/data_tfrecord-00000-of-00001"}
WORK = [
    (Row(f"{i}.png", "a", ("train", "eval")[i % 3 == 2], sha256=hashlib.sha256(bytes([i])).hexdigest(), width=1), i)
    for i in range(6)
]
for row, _ in WORK:
    row.height = 1


def record(index, **others):
    row, label = WORK[index]
    return make_example(row, others.get("content", bytes([index])), others.get("label", label))


def write(uri, records=None):
    with open_shards(str(uri), SHARDS) as writers:
        for (row, _), content in zip(WORK, records or map(record, range(6)), strict=True):
            writers[row.split].write(content)


def check(uri):
    finish_splits(str(uri), set(SHARDS.values()))
    check_records(str(uri), SHARDS, WORK)


@pytest.fixture
def uri(tmp_path):
    empty_splits(str(tmp_path))
    return tmp_path


def files(uri):
    return sorted(str(path.relative_to(uri)) for path in uri.rglob("*") if path.is_file())


def test_shards_get_their_names_when_they_are_whole(uri):
    with open_shards(str(uri), SHARDS) as writers:
        writers["train"].write(record(0))
        assert not [name for name in files(uri) if name.startswith("Split-")]
    write(uri)
    assert files(uri) == sorted(SHARDS.values())
    check(uri)
    assert sorted(path.name for path in uri.iterdir()) == ["Split-eval", "Split-train"]


def test_an_attempt_that_fails_leaves_nothing(uri):
    with pytest.raises(ValueError, match="zip"):
        write(uri, [record(0)])
    assert files(uri) == []


def test_attempts_at_once_and_one_that_was_taken_for_dead_change_nothing(uri):
    with open_shards(str(uri), SHARDS) as slow:
        for row, label in WORK[:3]:
            slow[row.split].write(record(label))
        write(uri)
        for row, label in WORK[3:]:
            slow[row.split].write(record(label))
    check(uri)


def test_a_worker_that_was_killed_leaves_nothing_that_is_published(uri):
    killed = open_shards(str(uri), SHARDS)
    killed.__enter__()["train"].write(record(0))  # never left
    write(uri)
    check(uri)
    assert files(uri) == sorted(SHARDS.values())
    with pytest.raises(tf.errors.NotFoundError):
        killed.__exit__(None, None, None)  # it wakes up after the node is done
    assert files(uri) == sorted(SHARDS.values())


def test_what_an_earlier_attempt_at_the_node_left_is_not_taken(uri):
    write(uri)
    (uri / "Split-train" / "part-00000").write_bytes(b"cut")
    empty_splits(str(uri))
    assert files(uri) == []


def cut(uri):
    path = uri / SHARDS["train"]
    path.write_bytes(path.read_bytes()[:-9])


def flip(uri):
    path = uri / SHARDS["train"]
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


def swap_splits(uri):
    paths = [uri / name for name in SHARDS.values()]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, reversed(contents), strict=True):
        path.write_bytes(content)


DAMAGE = {
    "missing": (lambda uri: (uri / SHARDS["eval"]).unlink(), "Split-eval/.*: no worker wrote this shard"),
    "foreign": (lambda uri: (uri / "Split-train" / "part-7").touch(), "Split-train/part-7: a file that no worker was"),
    "empty": (lambda uri: (uri / SHARDS["eval"]).write_bytes(b""), r"the shard ends where 2\.png should be"),
    "cut": (cut, r"damaged record at byte [\d,]+; what follows is lost where 4\.png should be"),
    "flipped": (flip, r"checksum is wrong where 4\.png should be"),
    "swapped": (swap_splits, r"a record of 2\.png where 0\.png should be"),
    "twice": (lambda uri: write(uri, map(record, [0, 1, 2, 0, 4, 5])), r"a record of 0\.png where 3\.png should be"),
    "too many": (
        lambda uri: (uri / SHARDS["eval"]).open("ab").write((uri / SHARDS["eval"]).read_bytes()),
        "there are more records than in the manifest",
    ),
    "other image": (
        lambda uri: write(uri, [*map(record, range(5)), record(5, content=b"x")]),
        r"the record of 5\.png does not hold the image",
    ),
    "other class": (
        lambda uri: write(uri, [*map(record, range(5)), record(5, label=0)]),
        r"the record of 5\.png does not hold the image and the class",
    ),
    "no features": (
        lambda uri: write(uri, [*map(record, range(5)), tf.train.Example().SerializeToString()]),
        r"a record of no file where 5\.png should be",
    ),
    "no example": (lambda uri: write(uri, [*map(record, range(5)), b"\xff"]), r"no tf\.Example where 5\.png"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_shards_are_found(uri, name):
    damage, words = DAMAGE[name]
    write(uri)
    check(uri)
    (uri / ".attempts").mkdir()
    damage(uri)
    with pytest.raises(DamagedShards, match=words) as error:
        check(uri)
    assert "\nThe shards must hold the records of the manifest. Start the run again" in str(error.value)
