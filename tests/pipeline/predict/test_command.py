"""`graft predict` and `graft models list`, as a user types them."""

import csv
import io
import json
import os

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from components.errors import InputError
from pipeline.cli import app
from pipeline.predict.answers import predict_files
from tests import pictures
from tests.conftest import CLASSES, picture_of

pytestmark = pytest.mark.usefixtures("loaded_once")


def graft(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_json_holds_an_answer_or_an_error_for_each_file(pushed, photos):
    done = graft("predict", pushed, "a.png", "text.txt", "b.jpg", "--format", "json")
    assert done.exit_code == 2
    answers = json.loads(done.stdout)
    assert [row["path"] for row in answers] == ["a.png", "text.txt", "b.jpg"]
    assert set(answers[0]) == {"path", "label", "probability", "probabilities", "flags", "outlier", "known"}
    assert answers[0]["flags"] == ["wrong_suffix"]  # a.png is a JPEG
    assert set(answers[0]["probabilities"]) == set(CLASSES)
    assert set(answers[1]) == {"path", "error"}
    assert "Error: 1 of 3 files got no answer." in done.stderr


def test_csv_has_a_column_a_class_and_one_for_errors(pushed, photos):
    done = graft("predict", pushed, "a.png", "text.txt", "--format", "csv")
    assert done.exit_code == 2
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(rows[0]) == ["path", "label", "probability", *sorted(CLASSES), "error", "flags", "outlier", "known"]
    assert sum(float(rows[0][name]) for name in CLASSES) == pytest.approx(1.0, abs=1e-5)
    assert rows[0]["error"] == ""
    assert rows[1]["error"].startswith("not_an_image")
    assert rows[1]["probability"] == ""
    assert [row["flags"] for row in rows] == ["wrong_suffix", ""]


def test_the_table_names_image_label_and_probability(pushed, photos):
    done = graft("predict", pushed, "a.png", "b.jpg")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["image", "label", "probability", "others", "outlier", "known", "flags"]
    row = next(predict_files(str(pushed), ["a.png"]))
    assert lines[1].split()[:3] == ["a.png", row.label, f"{row.probability:.4f}"]
    assert "Error" not in done.output


def test_names_and_contents_with_brackets_are_shown_as_they_are(pushed, photos):
    pictures.write(photos / "a[final].png", picture_of(0, 4))
    done = graft("predict", pushed, "a[final].png", "text.txt")
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit), repr(done.exception)
    assert "a[final].png" in done.stdout
    assert "[/x] wo" in done.stdout


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_a_file_name_that_is_not_utf8_is_no_failure(pushed, photos, form):
    name = os.fsdecode(b"caf\xe9.png")
    pictures.write(photos / name, picture_of(0, 1))
    done = graft("predict", pushed, photos, "--format", form)
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code == 2  # of the cut picture


def test_all_good_is_exit_code_zero_and_a_folder_is_walked(pushed, photos):
    (photos / "cut.png").unlink()
    done = graft("predict", pushed, photos, "--format", "json")
    assert done.exit_code == 0
    assert [os.path.basename(row["path"]) for row in json.loads(done.stdout)] == ["a.png", "b.jpg"]


def test_a_manifest_goes_to_parquet_with_overlays(pushed, photos):
    pictures.write(photos / "list.csv", b"path\na.png\ntext.txt\n")
    done = graft("predict", pushed, "list.csv", "b.*", "--output", "o.parquet", "--top-k", "2", "--explain", "maps")
    assert done.exit_code == 2
    assert done.stdout == ""
    rows = pq.read_table("o.parquet").to_pylist()
    assert [row["path"] for row in rows] == ["a.png", "text.txt", "b.jpg"]
    assert rows[0]["probability"] > rows[0]["probability_2"]
    assert sorted(os.path.join("maps", name) for name in os.listdir("maps")) == sorted(
        row["overlay"] for row in rows if row["overlay"]
    )
    assert rows[1]["error"].startswith("not_an_image")


def test_a_form_that_cannot_be_is_refused_before_anything_is_loaded(pushed, photos):
    done = graft("predict", pushed, "a.png", "--format", "parquet")
    assert isinstance(done.exception, InputError)
    assert "Give --output FILE" in str(done.exception)


def test_models_are_listed_with_where_they_come_from(pushed, monkeypatch):
    monkeypatch.setattr("rich.console.Console", lambda **options: Console(**options, width=160))
    done = graft("models", "list", pushed)
    assert done.exit_code == 0
    head, line = done.stdout.splitlines()
    version = next((pushed / "serving").glob("[0-9]*")).name
    assert head.split()[0] == "version"
    assert line.split()[0] == version
    assert " dddddddd " in line
    assert line.split()[-1] == "serving"
