"""The Beam side, on a real folder: shards, manifest, ledger, and the artifacts that the executor leaves."""

import json
from collections import Counter

import apache_beam as beam
import pytest
import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from components import features
from components.errors import InputError
from components.example_gen.component import Manifest
from components.example_gen.executor import Executor, finish_manifest, finish_splits, run_ingest
from components.example_gen.manifest import fingerprint_sources
from components.example_gen.sources import list_images
from components.options import DataOptions
from pipeline.dag import BEAM_ARGS
from tests import pictures
from tests.conftest import artifact


@pytest.fixture
def tree(tmp_path):
    """100 good files (two of them copies), and one of each kind that is not."""
    root = pictures.write_tree(tmp_path / "data", {"cats": 60, "dogs": 38})
    pictures.write_tree(root, {"cats/more": 1}, "jpeg")
    pictures.write(root / "dogs" / "copy.png", (root / "dogs" / "000.png").read_bytes())
    pictures.write(root / "cats" / "cut.png", (root / "cats" / "000.png").read_bytes()[:-300])
    pictures.write(root / "cats" / "empty.jpg", b"")
    pictures.write(root / "dogs" / "notes.txt", b"good dogs")
    pictures.write(root / "dogs" / ".hidden", b"x")
    return root


def read_records(folder):
    files = sorted(str(path) for path in folder.iterdir())
    return [tf.train.Example.FromString(r) for r in tf.data.TFRecordDataset(files).as_numpy_iterator()]


def value(example, name):
    feature = example.features.feature[name]
    return (feature.bytes_list.value or feature.int64_list.value)[0]


def ingest(tree, out, **options):
    listing = list_images(str(tree))
    with beam.Pipeline(argv=BEAM_ARGS) as pipeline:
        run_ingest(pipeline, listing, DataOptions(**options), str(out / "examples"), str(out / "manifest"))
    finish_splits(str(out / "examples"))
    return finish_manifest(str(out / "manifest"), listing)


def test_every_file_is_in_the_manifest_and_every_good_one_in_a_split(tree, tmp_path):
    rows = ingest(tree, tmp_path)
    assert [row.name for row in rows] == sorted(row.name for row in rows)
    assert len(rows) == 104
    assert Counter(row.reason for row in rows) == {"": 102, "truncated": 1, "empty": 1}
    assert {row.name for row in rows if row.ignored} == {"dogs/notes.txt", "dogs/.hidden"}
    for split in features.SPLITS:
        found = Counter(
            value(e, features.FILENAME).decode() for e in read_records(tmp_path / "examples" / f"Split-{split}")
        )
        assert found == Counter(row.name for row in rows if row.split == split)


def test_records_hold_the_files_as_they_are(tree, tmp_path):
    rows = {row.name: row for row in ingest(tree, tmp_path)}
    for split in features.SPLITS:
        for example in read_records(tmp_path / "examples" / f"Split-{split}"):
            row = rows[value(example, features.FILENAME).decode()]
            assert value(example, features.IMAGE) == (tree / row.name).read_bytes()
            assert value(example, features.SHA256).decode() == row.sha256
            assert value(example, features.LABEL) == ["cats", "dogs"].index(row.label)
            assert value(example, features.LABEL_TEXT).decode() == row.label


def test_the_ledger_holds_the_rejected_files_and_no_others(tree, tmp_path):
    ingest(tree, tmp_path)
    lines = (tmp_path / "manifest" / features.LEDGER_FILE).read_text().splitlines()
    assert {json.loads(line)["name"]: json.loads(line)["reason"] for line in lines} == {
        "cats/cut.png": "truncated",
        "cats/empty.jpg": "empty",
    }
    assert len((tmp_path / "manifest" / features.MANIFEST_FILE).read_text().splitlines()) == 104
    assert sorted(path.name for path in (tmp_path / "manifest").iterdir()) == [
        features.MANIFEST_FILE,
        features.LEDGER_FILE,
    ]


def write_large_tree(root):
    for label in ("train/cats", "train/dogs", "val/cats", "val/dogs"):
        for index in range(3):
            pictures.write(root / label / f"{index}.bmp", pictures.encode(pictures.noise(500, 400, index), "bmp"))
    return root


def test_shards_are_rolled_at_their_size_and_numbered_without_gaps(tmp_path):
    ingest(write_large_tree(tmp_path / "data"), tmp_path, shard_megabytes=1)
    for split in features.SPLITS:
        folder = tmp_path / "examples" / f"Split-{split}"
        names = sorted(path.name for path in folder.iterdir())
        assert names == [f"data_tfrecord-{i:05d}-of-{len(names):05d}" for i in range(len(names))]
        assert len(names) == 3  # 600 kB a record: the second one fills a shard
        assert len(read_records(folder)) == 6


def test_the_same_folder_gives_the_same_records_in_the_same_order(tmp_path):
    root, orders = write_large_tree(tmp_path / "data"), []
    for attempt in ("first", "second", "third"):
        ingest(root, tmp_path / attempt, shard_megabytes=1)
        records = read_records(tmp_path / attempt / "examples" / "Split-train")
        orders.append([value(example, features.FILENAME) for example in records])
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] == orders[1] == orders[2]


def execute(tree, out, fingerprint="", **options):
    examples, manifest = artifact(standard_artifacts.Examples, out / "examples"), artifact(Manifest, out / "manifest")
    context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=BEAM_ARGS, tmp_dir=str(out), unique_id="1")
    Executor(context).Do(
        {},
        {"examples": [examples], "manifest": [manifest]},
        {"data_path": str(tree), "options": DataOptions(**options).to_json(), "data_fingerprint": fingerprint},
    )
    return examples, json.loads((out / "manifest" / features.DATASET_FILE).read_text())


def test_the_executor_leaves_artifacts_that_say_what_they_hold(tree, tmp_path, said):
    fingerprint = fingerprint_sources(list_images(str(tree)).sources)
    examples, dataset = execute(tree, tmp_path, fingerprint)
    assert artifact_utils.decode_split_names(examples.split_names) == list(features.SPLITS)
    assert examples.get_string_custom_property("data_fingerprint") == fingerprint == dataset["fingerprint"]
    assert examples.get_string_custom_property("file_format") == "tfrecords_gzip"
    assert dataset["found"] == 104
    assert dataset["train"] + dataset["eval"] == 100
    assert (dataset["quarantined"], dataset["duplicates"], dataset["ignored"]) == (2, 1, 2)
    assert dataset["layout"] == "class folders"
    assert dataset["classes"] == ["cats", "dogs"]
    assert f"{dataset['train']} train + {dataset['eval']} eval images" in said()[-1]


def test_the_executor_refuses_a_folder_that_changed_since_it_was_planned(tree, tmp_path):
    fingerprint = fingerprint_sources(list_images(str(tree)).sources)
    pictures.write(tree / "cats" / "late.png", pictures.encode(pictures.noise(seed=77)))
    with pytest.raises(InputError, match="changed while it was being read"):
        execute(tree, tmp_path, fingerprint)


def test_the_executor_refuses_a_class_without_usable_images(tree, tmp_path):
    pictures.write(tree / "birds" / "1.jpg", b"not found")
    with pytest.raises(
        InputError, match=r"class 'birds' has no usable image \(1 were rejected\)\.\n  birds/1.jpg: not_an"
    ):
        execute(tree, tmp_path)
