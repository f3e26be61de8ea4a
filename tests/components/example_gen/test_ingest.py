"""The executor on a real folder: shards, manifest, ledger, and the artifacts that it leaves."""

import json
from collections import Counter

import pytest
import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from components.contract import features
from components.contract.artifacts import Manifest
from components.errors import InputError
from components.example_gen.executor import Executor
from components.example_gen.history import open_history
from components.example_gen.manifest import parse_row
from components.example_gen.scan import scan_data
from components.options.data import DataOptions
from components.sources.find import list_sources
from pipeline.beam import NO_IMAGE, name_runner
from tests import pictures
from tests.conftest import artifact


def write_tree(root):
    """99 good files and a copy, and one of each kind that is not good."""
    pictures.write_tree(root, {"cats": 60, "dogs": 38})
    pictures.write_tree(root, {"cats/more": 1}, "jpeg")
    pictures.write(root / "dogs" / "copy.png", (root / "dogs" / "000.png").read_bytes())
    pictures.write(root / "cats" / "cut.png", (root / "cats" / "000.png").read_bytes()[:-300])
    pictures.write(root / "cats" / "empty.jpg", b"")
    pictures.write(root / "dogs" / "notes.txt", b"good dogs")
    pictures.write(root / "dogs" / ".hidden", b"x")
    return root


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """What stays as it is: the files in `data`, beside what the executor makes of them."""
    folder = tmp_path_factory.mktemp("kept")
    execute(write_tree(folder / "data"), folder)
    return folder


@pytest.fixture
def tree(tmp_path):
    """The files, to be changed."""
    return write_tree(tmp_path / "data")


def read_records(folder):
    files = sorted(str(path) for path in folder.iterdir())
    return [tf.train.Example.FromString(r) for r in tf.data.TFRecordDataset(files).as_numpy_iterator()]


def value(example, name):
    feature = example.features.feature[name]
    return (feature.bytes_list.value or feature.int64_list.value)[0]


def execute(tree, out, fingerprint="", memory="", **options):
    examples, manifest = artifact(standard_artifacts.Examples, out / "examples"), artifact(Manifest, out / "manifest")
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=name_runner([NO_IMAGE]), tmp_dir=str(out), unique_id="1"
    )
    properties = {"data_path": str(tree), "options": DataOptions(**options).to_json()}
    Executor(context).Do(
        {},
        {"examples": [examples], "manifest": [manifest]},
        {**properties, "data_fingerprint": fingerprint, "memory": memory},
    )
    return examples, json.loads((out / "manifest" / features.DATASET_FILE).read_text())


def read_rows(out):
    return [parse_row(line) for line in (out / "manifest" / features.MANIFEST_FILE).read_text().splitlines()]


def fingerprint_of(tree):
    with open_history("") as memory:
        return scan_data(list_sources(str(tree), DataOptions()), DataOptions(), memory).dataset["fingerprint"]


def test_every_file_is_in_the_manifest_and_every_good_one_in_a_split(kept):
    rows = read_rows(kept)
    assert [row.name for row in rows] == sorted(row.name for row in rows)
    assert len(rows) == 104
    assert Counter(row.reason for row in rows) == {"": 101, "truncated": 1, "empty": 1, "duplicate_of": 1}
    assert {row.name: row.ignored for row in rows if row.ignored} == {
        "dogs/notes.txt": "not_an_image",
        "dogs/.hidden": "hidden",
    }
    for split in features.SPLITS:
        found = Counter(
            value(e, features.FILENAME).decode() for e in read_records(kept / "examples" / f"Split-{split}")
        )
        assert found == Counter(row.name for row in rows if row.is_example and row.split == split)


def test_records_hold_the_files_as_they_are(kept):
    rows = {row.name: row for row in read_rows(kept)}
    for split in features.SPLITS:
        for example in read_records(kept / "examples" / f"Split-{split}"):
            row = rows[value(example, features.FILENAME).decode()]
            assert value(example, features.IMAGE) == (kept / "data" / row.name).read_bytes()
            assert value(example, features.SHA256).decode() == row.sha256
            assert value(example, features.LABEL) == ["cats", "dogs"].index(row.label)
            assert value(example, features.LABEL_TEXT).decode() == row.label


def test_the_manifest_artifact_holds_rows_ledger_findings_and_counts(kept):
    folder = kept / "manifest"
    dataset = json.loads((folder / features.DATASET_FILE).read_text())
    assert {path.name for path in folder.iterdir()} == {
        features.MANIFEST_FILE,
        features.LEDGER_FILE,
        features.FINDINGS_FILE,
        features.DATASET_FILE,
    }
    ledger = [json.loads(line) for line in (folder / features.LEDGER_FILE).read_text().splitlines()]
    assert {row["name"]: row["reason"] for row in ledger} == {
        "cats/cut.png": "truncated",
        "cats/empty.jpg": "empty",
        "dogs/copy.png": "duplicate_of",
    }
    assert json.loads((folder / features.FINDINGS_FILE).read_text())["duplicates"] == [
        ["dogs/000.png", "dogs/copy.png"]
    ]
    assert dataset["duplicates_groups"] == 1


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Large files in `data`, beside what the executor makes of them."""
    root = (folder := tmp_path_factory.mktemp("large")) / "data"
    for place, label in enumerate(("train/cats", "train/dogs", "val/cats", "val/dogs")):
        for index in range(3):
            content = pictures.encode(pictures.noise(500, 400, 10 * place + index), "bmp")
            pictures.write(root / label / f"{index}.bmp", content)
    execute(root, folder, shard_megabytes=1)
    return folder


def test_shards_are_rolled_at_their_size_and_numbered_without_gaps(large):
    for split in features.SPLITS:
        folder = large / "examples" / f"Split-{split}"
        names = sorted(path.name for path in folder.iterdir())
        assert names == [f"data_tfrecord-{i:05d}-of-{len(names):05d}" for i in range(len(names))]
        assert len(names) == 3  # 600 kB a record: the second one fills a shard
        assert len(read_records(folder)) == 6


def test_the_same_folder_gives_the_same_records_in_the_same_order(large, tmp_path):
    orders = []
    for attempt in (tmp_path / "second", tmp_path / "third", large):
        if attempt != large:
            execute(large / "data", attempt, shard_megabytes=1)
        records = read_records(attempt / "examples" / "Split-train")
        orders.append([value(example, features.FILENAME) for example in records])
    assert len(orders[0]) == 6
    assert orders[0] == orders[1] == orders[2]


def test_the_executor_leaves_artifacts_that_say_what_they_hold(tree, tmp_path, said):
    fingerprint = fingerprint_of(tree)
    examples, dataset = execute(tree, tmp_path, fingerprint)
    assert artifact_utils.decode_split_names(examples.split_names) == list(features.SPLITS)
    assert examples.get_string_custom_property("data_fingerprint") == fingerprint == dataset["fingerprint"]
    assert examples.get_string_custom_property("file_format") == "tfrecords_gzip"
    assert dataset["found"] == 104
    assert dataset["train"] + dataset["eval"] == 99
    assert (dataset["quarantined"], dataset["duplicates"], dataset["ignored"]) == (3, 1, 2)
    assert dataset["layout"] == "class_folders"
    assert dataset["classes"] == ["cats", "dogs"]
    assert f"{dataset['train']} train + {dataset['eval']} eval images" in said()[-1]


def test_a_memory_of_the_same_folder_gives_the_same_records(tree, tmp_path):
    memory = str(tmp_path / "data.sqlite")
    for path in tree.rglob("*"):
        path.touch()
    records = []
    for attempt in ("first", "second"):
        execute(tree, tmp_path / attempt, memory=memory)
        records.append((tmp_path / attempt / "manifest" / features.MANIFEST_FILE).read_text())
    assert records[0] == records[1]


def test_the_executor_refuses_a_folder_that_changed_since_it_was_planned(tree, tmp_path):
    fingerprint = fingerprint_of(tree)
    pictures.write(tree / "cats" / "late.png", pictures.encode(pictures.noise(seed=77)))
    with pytest.raises(InputError, match=r"changed while it was being read .*expected [0-9a-f]{12}\)\.\nStart"):
        execute(tree, tmp_path, fingerprint)


def test_the_executor_refuses_a_class_without_usable_images(tree, tmp_path):
    pictures.write(tree / "birds" / "1.jpg", b"not found")
    with pytest.raises(
        InputError, match=r"class 'birds' has no usable image \(1 were rejected\)\.\n  birds/1.jpg: not_an"
    ):
        execute(tree, tmp_path)
