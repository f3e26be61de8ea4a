"""TFRecord files as TensorFlow reads them."""

import ast
import re

import pytest
import tensorflow as tf

from components.files.records import open_records
from pipeline.fingerprint import ROOT

STANDALONE = {"components/exports/tflite_probe.py", "components/servable_check/probe.py"}  # import nothing of Graft


def write(path, rows):
    kind = "GZIP" if path.suffix == ".gz" else ""
    with tf.io.TFRecordWriter(str(path), kind) as writer:
        for row in rows:
            writer.write(row)
    return str(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_records_come_in_the_order_of_the_files(tmp_path, suffix):
    files = [write(tmp_path / f"{name}{suffix}", [name.encode() * n for n in (1, 2)]) for name in "ba"]
    assert list(open_records(files).as_numpy_iterator()) == [b"b", b"bb", b"a", b"aa"]
    assert list(open_records(files, tf.constant(files[1])).as_numpy_iterator()) == [b"a", b"aa"]
    assert list(open_records([]).as_numpy_iterator()) == []


def test_nothing_watches_the_rates_of_a_reader_or_of_what_is_made_of_it(tmp_path):
    records = open_records([write(tmp_path / "records", [b"a"])])
    for dataset in (records, records.batch(2).map(tf.strings.length, num_parallel_calls=2).unbatch()):
        assert dataset.options().autotune.enabled is False


def test_records_are_opened_nowhere_else():
    found = set()
    for folder in ("components", "pipeline"):
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            if any(isinstance(node, ast.Attribute) and node.attr == "TFRecordDataset" for node in ast.walk(tree)):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == {"components/files/records.py", *STANDALONE}


@pytest.mark.parametrize("path", sorted(STANDALONE))
def test_what_stands_alone_opens_them_alike(path):
    source = (ROOT / path).read_text("utf-8")
    opened = re.findall(r"TFRecordDataset\([^\n]*", source)
    assert len(opened) == 1
    assert ".with_options(options)" in opened[0]
    assert "options.autotune.enabled = False" in source
