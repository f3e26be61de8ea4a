"""The forms of the answers, walked through one table."""

import csv
import io
import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from components.errors import InputError
from components.images.findings import FLAGS
from components.process import streams
from pipeline.predict.answers import Prediction
from pipeline.predict.writers import FORMS, ROW_GROUP, AnswerShape, form_of, open_writer

NAMES = ["dog", "path", "été"]
GOOD = Prediction("a.png", "été", 0.5, {"dog": 0.3, "path": 0.2, "été": 0.5}, overlay="o/a.jpg")
BAD = Prediction("caf\udce9.png", error="truncated: x")


def written(form, tmp_path, rows=(GOOD, BAD), **shape):
    output = tmp_path / f"answers.{form}"
    with open_writer(form, output, AnswerShape(NAMES, **shape)) as writer:
        for row in rows:
            writer.write(row)
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    return output


def read(form, path):
    """The rows as dictionaries of what is there."""
    if form == "parquet":
        return [{k: v for k, v in row.items() if v is not None} for row in pq.read_table(path).to_pylist()]
    text = path.read_text("utf-8")
    if form == "csv":
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(io.StringIO(text))]
    return json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"table"}))
def test_each_form_holds_an_answer_and_an_error(form, tmp_path):
    good, bad = read(form, written(form, tmp_path, overlays=True))
    assert (good["path"], good["label"], good["overlay"]) == ("a.png", "été", "o/a.jpg")
    assert float(good["probability"]) == 0.5
    assert bad["error"] == "truncated: x"
    assert bad["path"].encode("utf-8", "surrogatepass")  # as JSON escapes it, or as text
    assert set(bad) == {"path", "error"}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_each_form_says_what_was_done_to_an_image(form, tmp_path):
    path = written(form, tmp_path, rows=(replace(GOOD, flags=("converted", "rotated")), BAD, GOOD), overlays=True)
    if form == "table":
        text = " ".join(path.read_text("utf-8", "surrogateescape").split())
        assert "flags" in text
        assert {"converted", "rotated"} <= set(text.split())
        assert f"rotated: {FLAGS['rotated']}" in text
        return
    turned, bad, plain = read(form, path)
    assert turned["flags"] == (["converted", "rotated"] if form.startswith("json") else "converted rotated")
    assert "flags" not in bad
    assert "flags" not in plain


def test_a_table_without_flags_has_no_column_for_them(tmp_path):
    assert "flags" not in written("table", tmp_path).read_text("utf-8", "surrogateescape")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_class_named_like_a_column_gets_a_column_of_its_own(form, tmp_path):
    good, _ = read(form, written(form, tmp_path))
    found = {name: pytest.approx(float(good[name])) for name in ("dog", "class:path", "été")}
    assert found == {"dog": 0.3, "class:path": 0.2, "été": 0.5}


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_most_probable_classes_are_columns_by_rank(form, tmp_path):
    good, bad = read(form, written(form, tmp_path, top_k=2))
    assert list(good) == ["path", "label", "probability", "label_2", "probability_2"]
    assert (good["label_2"], float(good["probability_2"])) == ("dog", pytest.approx(0.3))
    assert list(bad) == ["path", "error"]


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_the_most_probable_classes_stand_in_order(form, tmp_path):
    good, _ = read(form, written(form, tmp_path, top_k=2))
    assert list(good["probabilities"].items()) == [("été", 0.5), ("dog", 0.3)]


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"table"}))
def test_no_rows_are_a_whole_file_too(form, tmp_path):
    assert read(form, written(form, tmp_path, rows=())) == []


def test_parquet_is_written_in_groups(tmp_path):
    path = written("parquet", tmp_path, rows=[GOOD] * (2 * ROW_GROUP + 1))
    assert pq.ParquetFile(path).metadata.num_row_groups == 3
    assert pq.read_table(path).num_rows == 2 * ROW_GROUP + 1


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_rows_are_written_as_they_come(form, tmp_path):
    with open_writer(form, tmp_path / "a", AnswerShape(NAMES)) as writer:
        partial = tmp_path / ".a.partial"
        for _ in range(2000):
            writer.write(GOOD)
        assert partial.stat().st_size > 50_000
        assert not (tmp_path / "a").exists()


def test_a_failure_leaves_no_file(tmp_path):
    with pytest.raises(RuntimeError), open_writer("csv", tmp_path / "a.csv", AnswerShape(NAMES)):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_the_suffix_tells_the_form(tmp_path):
    assert form_of(None, tmp_path / "a.PARQUET") == "parquet"
    assert form_of("csv", tmp_path / "a.parquet") == "csv"
    assert form_of(None, None) == "table"
    with pytest.raises(InputError, match=r"cannot tell the form by its suffix\.\nGive --format table\|json"):
        form_of(None, tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"Parquet is no text for a terminal\.\nGive --output FILE"):
        form_of("parquet", None)


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    message = "cannot write there: "
    with pytest.raises(InputError, match=message), open_writer("csv", tmp_path / "file" / "a.csv", AnswerShape(NAMES)):
        pass


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"parquet"}))
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_the_terminal_may_have_any_encoding(form, encoding, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding, streams.LIKE, write_through=True)
    monkeypatch.setattr("sys.stdout", terminal)
    with open_writer(form, None, AnswerShape(NAMES)) as writer:
        writer.write(GOOD)
        writer.write(BAD)
    text = terminal.buffer.getvalue().decode(encoding)
    if form.startswith("json"):
        rows = json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
        assert [row.get("label") for row in rows] == ["été", None]
    else:
        assert ("été" if encoding != "ascii" else "\\xe9t\\xe9") in text
