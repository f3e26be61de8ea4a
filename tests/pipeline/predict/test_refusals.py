"""What the model does not know, and answers that are too unsure, in the command and in its rows."""

import csv
import io
import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.contract import features
from components.errors import InputError
from pipeline.predict import answers
from pipeline.predict.answers import Prediction, predict_files
from pipeline.predict.refusals import Refusals
from pipeline.predict.writers import AnswerShape, open_writer
from tests.pipeline.predict.test_command import graft

pytestmark = pytest.mark.usefixtures("loaded_once")

ROW = Prediction("a.png", "cat", 0.7, {"cat": 0.7, "outlier": 0.3}, outlier=0.25, known=True)
ODD = replace(ROW, outlier=0.001, known=False)
OLD = replace(ROW, outlier=None, known=None)


@pytest.mark.parametrize(
    ("refusals", "row", "reason"),
    [
        (Refusals(), ODD, ""),
        (Refusals(unknown=True), ODD, "unknown"),
        (Refusals(unknown=True), ROW, ""),
        (Refusals(0.71), ROW, "unsure"),
        (Refusals(0.7), ROW, ""),
        (Refusals(0.71, unknown=True), ODD, "unknown"),
        (Refusals(0.71), OLD, "unsure"),
        (Refusals(0.99, unknown=True), Prediction("b.png", error="truncated: x"), ""),
    ],
)
def test_a_label_is_taken_away_with_its_reason_and_probabilities_stay(refusals, row, reason):
    found = refusals.settle(row)
    assert found == (replace(row, label="", refused=reason) if reason else row)


def test_a_threshold_that_is_no_share_is_refused(tmp_path):
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="--threshold: expected a probability, 0 to 1, got"):
            Refusals(wrong).check(tmp_path)


def test_a_model_that_does_not_say_what_it_knows_cannot_refuse(tmp_path):
    Refusals(0.5).check(tmp_path)
    with pytest.raises(InputError, match=r"an older Graft made it\.\nTrain again \(graft run\), or leave"):
        Refusals(unknown=True).check(tmp_path)


def write(form, tmp_path, *rows, **shape):
    with open_writer(form, tmp_path / f"a.{form}", AnswerShape(["cat", "outlier"], **shape)) as writer:
        for row in rows:
            writer.write(row)
    return tmp_path / f"a.{form}"


REFUSED = Refusals(unknown=True).settle(ODD)


def test_every_form_of_rows_says_outlier_and_known_and_why_an_answer_is_refused(tmp_path):
    rows = json.loads(write("json", tmp_path, ROW, REFUSED, OLD, refusals=True).read_text())
    assert [(row.get("outlier"), row.get("known"), row.get("refused"), row["label"]) for row in rows] == [
        (0.25, True, None, "cat"),
        (0.001, False, "unknown", None),
        (None, None, None, "cat"),
    ]
    assert rows[1]["probabilities"] == {"cat": 0.7, "outlier": 0.3}
    table = csv.DictReader(io.StringIO(write("csv", tmp_path, ROW, REFUSED, OLD, refusals=True).read_text()))
    assert table.fieldnames[3:] == ["cat", "class:outlier", "error", "flags", "outlier", "known", "refused"]
    assert [(row["label"], row["outlier"], row["known"], row["refused"]) for row in table] == [
        ("cat", "0.250000", "true", ""),
        ("", "0.001000", "false", "unknown"),
        ("cat", "", "", ""),
    ]
    parquet = pq.read_table(write("parquet", tmp_path, ROW, REFUSED, OLD, top_k=2))
    assert parquet.column_names == [
        *("path", "label", "probability", "label_2", "probability_2", "error", "flags", "outlier", "known")
    ]
    assert parquet["known"].to_pylist() == [True, False, None]
    assert parquet["label"].to_pylist() == ["cat", None, "cat"]


def test_the_table_explains_what_is_unknown_and_leaves_out_what_an_older_version_does_not_say(tmp_path):
    text = write("table", tmp_path, ROW, ODD, REFUSED, Refusals(0.9).settle(ROW)).read_text()
    lines = text.splitlines()
    assert lines[0].split() == ["image", "label", "probability", "others", "outlier", "known"]
    assert lines[1].split() == ["a.png", "cat", "0.7000", "outlier", "0.3000", "0.250", "yes"]
    assert lines[2].split()[-2:] == ["0.001", "no"]
    assert "none of these  " in lines[3]
    assert "cat 0.7000, outlier 0.3000" in lines[3]
    assert "unsure  " in lines[4]
    assert "known: no: it looks like none of the classes; `outlier` is the share of good images" in text
    old = write("table", tmp_path, OLD).read_text()
    assert old.splitlines()[0].split() == ["image", "label", "probability", "others"]
    assert "known" not in old


@pytest.fixture
def knows_first(monkeypatch):
    """The loaded model, which knows the images of one class alone; or, asked to, is one of an older Graft."""

    def call(older=False):
        load = answers.load_model

        def load_changed(path):
            loaded = load(path)
            serve = loaded.signatures[features.SERVE_BYTES]

            def run(**inputs):
                found = dict(serve(**inputs))
                known = found[features.OUTPUT_LABEL] == loaded.names[0]
                found |= {features.OUTPUT_KNOWN: known, features.OUTPUT_OUTLIER: tf.where(known, 0.5, 0.002)}
                left_out = (features.OUTPUT_KNOWN, features.OUTPUT_OUTLIER) if older else ()
                return {name: value for name, value in found.items() if name not in left_out}

            run.structured_input_signature = serve.structured_input_signature
            return replace(loaded, signatures={**loaded.signatures, features.SERVE_BYTES: run})

        monkeypatch.setattr(answers, "load_model", load_changed)

    return call


def test_the_command_refuses_what_it_is_told_to_with_an_exit_code_of_its_own(pushed, photos, knows_first):
    knows_first()
    plain = graft("predict", pushed, "a.png", "b.jpg", "--format", "json")
    assert plain.exit_code == 0
    first, second = json.loads(plain.stdout)
    assert (first["known"], second["known"]) == (True, False)
    done = graft("predict", pushed, "a.png", "b.jpg", "--format", "json", "--refuse-unknown")
    assert done.exit_code == 3
    assert json.loads(done.stdout) == [first, {**second, "label": None, "refused": "unknown"}]
    assert "1 of 2 answers refused (unknown image: 1)." in done.stderr
    sure = graft("predict", pushed, "a.png", "b.jpg", "--refuse-unknown", "--threshold", "1")
    assert sure.exit_code == 3
    assert "2 of 2 answers refused (unknown image: 1, probability below 1: 1)." in sure.stderr
    broken = graft("predict", pushed, "b.jpg", "text.txt", "--refuse-unknown")
    assert broken.exit_code == 2
    assert "1 of 2 answers refused" in broken.stderr
    assert "1 of 2 files got no answer" in broken.stderr
    assert graft("predict", pushed, "a.png", "--refuse-unknown", "--threshold", "0").exit_code == 0


@pytest.mark.parametrize("wrong", ["80", "nan", "-0.1", "sure"])
def test_a_threshold_out_of_range_is_a_usage_error(wrong):
    done = graft("predict", "work", "a.png", "--threshold", wrong)
    assert done.exit_code == 2
    assert "Invalid value for '--threshold'" in done.stderr


def test_a_version_of_an_older_graft_answers_without_them(pushed, photos, knows_first):
    knows_first(older=True)
    (row,) = predict_files(str(pushed), ["a.png"])
    assert (row.outlier, row.known, bool(row.label)) == (None, None, True)
    done = graft("predict", pushed, "a.png", "--format", "json")
    assert done.exit_code == 0
    assert {"outlier", "known"}.isdisjoint(json.loads(done.stdout)[0])


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_beam_refuses_likewise(pushed, photos, tmp_path, form):
    (photos / "cut.png").unlink()
    output = tmp_path / "out"
    done = graft("predict", pushed, photos, "--beam", "--output", output, "--format", form, "--threshold", "1")
    assert done.exit_code == 3, done.output
    assert "2 of 2 answers refused (probability below 1: 2)." in done.stderr
    (shard,) = output.glob("predictions-*")
    rows = pq.read_table(shard).to_pylist() if form == "parquet" else [*map(json.loads, shard.read_text().splitlines())]
    assert [(row["label"], row["refused"]) for row in rows] == [(None, "unsure")] * 2
    assert all(isinstance(row["known"], bool) for row in rows)
