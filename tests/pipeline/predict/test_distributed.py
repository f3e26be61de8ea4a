"""Answers on Beam's local runner are those of the plain command, whatever the images lie in."""

import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.errors import InputError
from components.registry.find import find_model
from components.sources.listing import Source
from pipeline.predict.answers import predict_files
from pipeline.predict.distributed import PredictionJob, Wanted, count_answers, list_wanted, predict_on_beam
from pipeline.predict.writers import AnswerShape
from tests import pictures
from tests.conftest import CLASSES, picture_of
from tests.pipeline.predict.test_command import graft

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture
def folder(tmp_path):
    """Images without classes, one of them cut, one of an odd format, and a side-car."""
    for number in range(5):
        pictures.write(tmp_path / "in" / f"sub{number % 2}" / f"{number}.png", picture_of(number % 3, number))
    pictures.write(tmp_path / "in" / "odd.tiff", pictures.encode(pictures.noise(40, 30, 5), "tiff"))
    pictures.write(tmp_path / "in" / "cut.png", pictures.encode(pictures.noise())[:300])
    pictures.write(tmp_path / "in" / "notes.txt", b"words")
    return tmp_path / "in"


def job(pushed, output, form="jsonl", **shape):
    return PredictionJob(str(find_model(str(pushed))), str(output), form, AnswerShape(CLASSES, **shape), batch_size=4)


def rows_of(done):
    return {row["path"]: row for shard in done.shards for row in map(json.loads, open(shard, encoding="utf-8"))}


def test_a_folder_gets_the_answers_of_the_plain_command(pushed, folder, tmp_path):
    done = predict_on_beam(job(pushed, tmp_path / "out"), [str(folder)])
    rows = rows_of(done)
    expected = {row.path: row for row in predict_files(str(pushed), [str(p) for p in folder.rglob("*.*g")])}
    assert (done.images, done.failed) == (7, 1)
    assert set(rows) == {str(path) for path in folder.rglob("*.*") if path.suffix != ".txt"}
    for path, row in expected.items():
        assert rows[path].get("label", "") == row.label
        assert rows[path].get("probabilities", {}) == pytest.approx(row.probabilities, abs=1e-5)
    assert rows[str(folder / "cut.png")]["error"].startswith("truncated")
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_archives_records_manifests_and_single_files(pushed, folder, eval_records, tmp_path):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(folder / "sub0" / "0.png", "a/0.png")
        archive.writestr("notes.txt", "words")
    records = tmp_path / "some.tfrecord"
    with tf.io.TFRecordWriter(str(records)) as writer:  # no label in it
        feature = {"image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[eval_records.contents[0]]))}
        writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    manifest = pictures.write(folder / "list.csv", b"path\nsub1/1.png\nnotes.txt\n")
    single = folder / "odd.tiff"
    paths = [str(path) for path in (tmp_path / "in.zip", records, manifest, single)]
    done = predict_on_beam(job(pushed, tmp_path / "out"), paths)
    rows = rows_of(done)
    assert set(rows) == {
        str(tmp_path / "in.zip" / "a" / "0.png"),
        str(tmp_path / "some.tfrecord" / "00000000"),
        str(folder / "sub1" / "1.png"),
        str(folder / "notes.txt"),  # named in the manifest, so it gets a row
        str(single),
    }
    assert rows[str(folder / "notes.txt")]["error"].startswith("not_an_image")
    assert all("label" in row for path, row in rows.items() if not path.endswith(".txt"))


def test_the_command_writes_parquet_shards_and_says_what_failed(pushed, folder, tmp_path):
    output = tmp_path / "out"
    done = graft("predict", pushed, folder, "--beam", "--output", output, "--top-k", "2", "--batch-size", "3")
    assert done.exit_code == 2, done.output
    assert done.stdout == f"7 images answered into 1 shards in {output}/\n"
    assert "1 of 7 files got no answer" in done.stderr
    table = pa.concat_tables(pq.read_table(path) for path in output.glob("predictions-*-of-*.parquet"))
    ranked = ["path", "label", "probability", "label_2", "probability_2"]
    assert table.column_names == [*ranked, "error", "flags", "outlier", "known"]
    assert sorted(row["error"] is None for row in table.to_pylist()) == [False] + [True] * 6
    again = graft("predict", pushed, folder, "--beam", "--output", output)
    assert isinstance(again.exception, InputError)
    assert "there are predictions in it already" in str(again.exception)


def test_what_beam_cannot_write_is_refused(pushed, folder, tmp_path):
    for options, message in (
        (["--format", "csv", "--output", "out"], "writes shards of parquet or jsonl, got --format csv"),
        ([], "needs --output DIR"),
        (["--output", "out", "--explain", "maps"], "leave --explain out"),
        (
            ["--output", "gs://b/out", "--beam-arg=--runner=DataflowRunner"],
            f"MODEL: expected a bucket, or a path that Beam's workers see, found {find_model(str(pushed)).resolve()}",
        ),
    ):
        done = graft("predict", pushed, folder, "--beam", *options)
        assert isinstance(done.exception, InputError)
        assert message in str(done.exception)


def test_nothing_to_answer_is_refused(tmp_path):
    with pytest.raises(InputError, match=f"found none in {tmp_path}"):
        list_wanted([str(tmp_path)])


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_row_that_is_missing_or_there_twice_is_found(pushed, folder, tmp_path, form):
    manifest = pictures.write(folder / "list.csv", b"path\nnotes.txt\n")
    made, named = job(pushed, tmp_path / "out", form), [str(folder / "sub0"), str(manifest)]
    done = predict_on_beam(made, named)
    wanted = list_wanted(named)
    assert (done.images, done.failed) == (4, 1)
    assert count_answers(done.shards, made, wanted) == done
    assert count_answers(done.shards, made, [*wanted, Wanted(Source("side.car", "", ""), False)]) == done
    with pytest.raises(RuntimeError, match=r"0\.png: expected one row an image in the shards in .*, got more\."):
        count_answers(done.shards * 2, made, wanted)
    for lost in (Wanted(Source("lost.png", "", ""), False), Wanted(Source("side.car", "", ""), True)):
        with pytest.raises(RuntimeError, match=r"(lost\.png|side\.car): .*, got fewer\.\nThe shards are not whole"):
            count_answers(done.shards, made, [*wanted, lost])
