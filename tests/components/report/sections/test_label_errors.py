"""Likely label errors on the page, and the file that ingest takes back."""

import base64
import csv
import io

import numpy as np
import pytest

from components.example_gen.corrections import COLUMNS, parse_corrections
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.sections import label_errors
from tests.components.report.conftest import CLASSES
from tests.components.report.show import show


@pytest.fixture
def flipped(made_run, monkeypatch):
    """A run of sixty more images, of which the features are kept; two of them stand under a wrong class."""
    wrong = {"=cmd.png": (0, 2), 'train/<b>"x",\n.png': (1, 0)}
    truth = {row.sha256: CLASSES.index(row.label) for row in made_run.rows}
    for index in range(60):
        truth[made_run.add(f"train/more {index}.png", CLASSES[index % 3]).sha256] = index % 3
    for name, (given, shown) in wrong.items():
        truth[made_run.add(name, CLASSES[given]).sha256] = shown
    random = np.random.default_rng(0)
    vectors = {digest: np.eye(3)[label].repeat(4) * 3 + random.random(12) for digest, label in truth.items()}

    def read_features(self, digests):
        found = np.array([digest in vectors for digest in digests])
        rows = [vectors.get(digest, np.zeros(12)) for digest in digests]
        return np.array(rows, np.float32).reshape(-1, 12), found

    monkeypatch.setattr(ReportInputs, "read_features", read_features)
    return made_run


def read_file(facts):
    text = base64.b64decode(facts["csv"]).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_wrong_labels_are_shown_with_both_classes_and_a_picture(flipped):
    wanted = Pictures()
    facts = label_errors.gather(flipped.inputs(), wanted)
    likely = {row["name"]: row for row in facts["rows"] if row["likely"]}
    assert set(likely) == {"=cmd.png", 'train/<b>"x",\n.png'}
    assert (facts["judged"], facts["likely"], facts["notes"]) == (80, 2, [])
    row = likely["=cmd.png"]
    assert (row["given"], row["suggested"], row["split"]) == (CLASSES[0], CLASSES[2], "train")
    assert row["p_suggested"] > 0.5 > row["p_given"]
    assert row["key"] in wanted.thumbs


def test_the_file_corrects_what_is_likely_and_lists_what_is_doubtful(flipped):
    rows = read_file(label_errors.gather(flipped.inputs(), Pictures()))
    assert tuple(rows[0]) == COLUMNS
    assert [row["action"] for row in rows[:3]] == ["relabel", "relabel", "keep"]
    assert len(rows) == 2 + label_errors.DOUBTFUL
    content = base64.b64decode(label_errors.gather(flipped.inputs(), Pictures())["csv"])
    found = list(parse_corrections(content, "c.csv", CLASSES))
    assert {row.label for row in found} == {CLASSES[2], CLASSES[0]}
    assert all(len(row.sha256) == 64 for row in found)


def test_earlier_corrections_stay_in_force(flipped):
    corrected, out = flipped.rows[0], flipped.rows[1]
    corrected.label_found, corrected.label = CLASSES[1], CLASSES[0]
    out.reject("excluded", "line 3 of mine.csv")
    facts = label_errors.gather(flipped.inputs(), Pictures())
    assert (facts["corrected"], facts["excluded"]) == (1, 1)
    first, second = read_file(facts)[:2]
    assert (first["path"], first["label"], first["suggested"]) == (corrected.name, CLASSES[1], CLASSES[0])
    assert (second["path"], second["action"]) == (out.name, "exclude")
    assert [row["path"] for row in read_file(facts)].count(corrected.name) == 1


def test_the_page_escapes_names_and_offers_the_file(flipped):
    html = show(label_errors, flipped.inputs())
    assert "2 of 80 labels are likely wrong" in html
    assert '<b>"x"' not in html
    assert 'download="label_errors.csv" href="data:text/csv;charset=utf-8;base64,' in html


def test_near_copies_and_groups_are_held_out_together(flipped):
    names = [row.name for row in flipped.rows]
    flipped.findings = {"near_duplicates": [names[:3]], "leakage": [[names[2], names[5]]], "duplicates": []}
    flipped.rows[7].group = flipped.rows[9].group = "patient 1"
    groups = label_errors.group_rows(flipped.rows, flipped.inputs())
    assert len(set(groups[[0, 1, 2, 5]])) == len(set(groups[[7, 9]])) == 1
    assert len(set(groups)) == len(names) - 4


def test_one_image_a_class_is_said_and_gives_an_empty_file(made_run, monkeypatch):
    del made_run.rows[3:]
    made_run.answers.clear()
    monkeypatch.setattr(ReportInputs, "read_features", lambda self, digests: (np.ones((3, 4)), np.ones(3, bool)))
    facts = label_errors.gather(made_run.inputs(), Pictures())
    assert (facts["judged"], read_file(facts)) == (0, [])
    assert "No label could be judged" in show(label_errors, made_run.inputs())


@pytest.mark.parametrize("without", [("model",), ("model_run",)])
def test_a_run_without_model_or_kept_features_says_why(made_run, without):
    assert "features" in label_errors.gather(made_run.inputs(*without), Pictures())
