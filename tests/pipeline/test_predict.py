"""Answers for files and folders, from a pushed model."""

import csv
import io
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from typer.testing import CliRunner

from components import features
from components.errors import InputError
from components.pusher import publish_model
from pipeline.cli import app
from pipeline.predict import Prediction, list_inputs, predict_files
from tests import pictures
from tests.conftest import CLASSES, picture_of


@pytest.fixture(scope="module")
def workdir(trained, tmp_path_factory):
    """A working directory with one pushed version of the real model."""
    root = tmp_path_factory.mktemp("workdir")
    passport = {"model_key": "k", "data_fingerprint": "d" * 64, "parent": None}
    publish_model(trained.path, root / "serving", passport)
    return root


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two pictures, one of them under the wrong suffix, and what is no picture."""
    pictures.write(tmp_path / "a.png", picture_of(0, 1))
    pictures.write(tmp_path / "b.jpg", picture_of(1, 4))
    pictures.write(tmp_path / "text.txt", b"[/x] words")
    pictures.write(tmp_path / "cut.png", pictures.encode(pictures.noise())[:300])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def graft(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_folder_means_all_images_below_it(tmp_path):
    for name in ("b.PNG", "sub/deep/a.jpeg", "noname", "notes.txt", ".hidden.png", "fake.jpg"):
        content = b"words" if name in ("notes.txt", "fake.jpg") else pictures.encode(pictures.noise())
        pictures.write(tmp_path / name, content)
    found = [os.path.relpath(path, tmp_path) for path in list_inputs([str(tmp_path)])]
    assert found == ["b.PNG", "fake.jpg", "noname", "sub/deep/a.jpeg"]


def test_files_are_taken_as_they_are_given_even_missing_ones(tmp_path):
    assert list_inputs(["gone.png", "b.txt", "gone.png"]) == ["gone.png", "b.txt", "gone.png"]


def test_a_folder_without_images_is_refused(tmp_path):
    pictures.write(tmp_path / "notes.txt", b"words")
    with pytest.raises(InputError, match=f"found no image in {tmp_path}"):
        list_inputs([str(tmp_path)])


def test_answers_are_those_of_the_served_signature_in_the_order_of_the_files(workdir, eval_records, tmp_path):
    paths = [str(pictures.write(tmp_path / f"{i}.img", c)) for i, c in enumerate(eval_records.contents)]
    serve = tf.saved_model.load(str(next((workdir / "serving").glob("[0-9]*")))).signatures[features.SERVE_BYTES]
    expected = serve(tf.constant(eval_records.contents))[features.OUTPUT_PROBABILITIES].numpy()
    found = list(predict_files(str(workdir), paths * 3))
    assert [row.path for row in found] == paths * 3
    for row, probabilities in zip(found, np.tile(expected, (3, 1)), strict=True):
        assert list(row.probabilities) == CLASSES
        np.testing.assert_allclose(list(row.probabilities.values()), probabilities, atol=1e-5)
        assert row.label == CLASSES[int(probabilities.argmax())]
        assert row.probability == max(row.probabilities.values())


def test_a_bad_file_takes_no_other_down(workdir, photos):
    broken = pictures.write(photos / "checksum.png", pictures.break_checksum(pictures.encode(pictures.noise())))
    rows = list(predict_files(str(workdir), ["a.png", "text.txt", "gone.png", "cut.png", str(broken), "b.jpg"]))
    assert [bool(row.error) for row in rows] == [False, True, True, True, True, False]
    assert rows[1].error.startswith("not_an_image: starts with")
    assert rows[2].error == "unreadable: No such file or directory"
    assert rows[3].error.startswith("truncated: ")
    assert rows[1] == Prediction("text.txt", error=rows[1].error)


def test_json_holds_an_answer_or_an_error_for_each_file(workdir, photos):
    done = graft("predict", workdir, "a.png", "text.txt", "b.jpg", "--format", "json")
    assert done.exit_code == 2
    answers = json.loads(done.stdout)
    assert [row["path"] for row in answers] == ["a.png", "text.txt", "b.jpg"]
    assert set(answers[0]) == {"path", "label", "probability", "probabilities"}
    assert set(answers[0]["probabilities"]) == set(CLASSES)
    assert set(answers[1]) == {"path", "error"}
    assert "Error: 1 of 3 files got no answer." in done.stderr


def test_csv_has_a_column_a_class_and_one_for_errors(workdir, photos):
    done = graft("predict", workdir, "a.png", "text.txt", "--format", "csv")
    assert done.exit_code == 2
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(rows[0]) == ["path", "label", "probability", *sorted(CLASSES), "error"]
    assert sum(float(rows[0][name]) for name in CLASSES) == pytest.approx(1.0, abs=1e-5)
    assert rows[0]["error"] == ""
    assert rows[1]["error"].startswith("not_an_image")
    assert rows[1]["probability"] == ""


def test_the_table_names_image_label_and_probability(workdir, photos):
    done = graft("predict", workdir, "a.png", "b.jpg")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["image", "label", "probability", "others"]
    row = next(predict_files(str(workdir), ["a.png"]))
    assert lines[1].split()[:3] == ["a.png", row.label, f"{row.probability:.4f}"]
    assert "Error" not in done.output


def test_names_and_contents_with_brackets_are_shown_as_they_are(workdir, photos):
    pictures.write(photos / "a[final].png", picture_of(0, 1))
    done = graft("predict", workdir, "a[final].png", "text.txt")
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit), repr(done.exception)
    assert "a[final].png" in done.stdout
    assert "[/x] wo" in done.stdout


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_file_name_that_is_not_utf8_is_no_failure(workdir, photos, form):
    name = os.fsdecode(b"caf\xe9.png")
    pictures.write(photos / name, picture_of(0, 1))
    done = graft("predict", workdir, photos, "--format", form)
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code == 2  # of the cut picture


def test_all_good_is_exit_code_zero_and_a_folder_is_walked(workdir, photos):
    (photos / "cut.png").unlink()
    done = graft("predict", workdir, photos, "--format", "json")
    assert done.exit_code == 0
    assert [os.path.basename(row["path"]) for row in json.loads(done.stdout)] == ["a.png", "b.jpg"]


def test_models_are_listed_with_where_they_come_from(workdir, monkeypatch):
    monkeypatch.setattr("rich.console.Console", lambda **options: Console(**options, width=160))
    done = graft("models", "list", workdir)
    assert done.exit_code == 0
    head, line = done.stdout.splitlines()
    version = next((workdir / "serving").glob("[0-9]*")).name
    assert head.split()[0] == "version"
    assert line.split()[0] == version
    assert "dddddddddddd" in line
    assert line.split()[-1] == "serving"
    assert " 3 " in line
