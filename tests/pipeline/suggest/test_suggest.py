"""From labelled and unlabelled images to suggestions, and their three forms."""

import csv
import io
import json

import pytest

from components.errors import InputError
from components.example_gen.corrections import unprotect
from components.example_gen.manifest import Row
from pipeline.suggest.output import as_csv, as_json, as_table
from pipeline.suggest.suggest import Labelled, Looked, find_copies, find_run, rank
from tests.pipeline.suggest.test_ranking import clusters

NAMES = ["cats", "dogs <b>"]


@pytest.fixture
def labelled():
    values, which = clusters([50, 50])
    rows = [Row(str(i), sha256=f"{i:064x}", picture_hash=f"{i * 2**200:064x}") for i in range(100)]
    return Labelled(values, which, rows)


def looked_at(labelled, *names, **more):
    values = labelled.values[: len(names)]
    digests = [f"{1000 + i:064x}" for i in range(len(names))]
    return Looked(list(names), values, [""] * len(names), digests, **more)


def test_copies_of_labelled_images_and_of_one_another_are_left_out(labelled):
    looked = looked_at(labelled, "a", "b", "c", "d")
    looked.digests = [f"{5:064x}", "a" * 64, "a" * 64, "b" * 64]
    looked.hashes = ["", "", "", f"{7 * 2**200 + 1:064x}"]
    assert find_copies(labelled.rows, looked).tolist() == [True, False, True, True]
    found = rank(labelled, looked, NAMES, 10, [])
    assert [row.path for row in found.images] == ["b"]
    assert found.copies == ["a", "c", "d"]


def test_saturated_data_has_nothing_better_than_chance_to_offer(labelled):
    found = rank(labelled, looked_at(labelled, "a", "b"), NAMES, 2, ["a random 1 of 2 images were looked at"])
    assert (found.beats_chance, found.strategy) == (False, "uncertainty")
    text = as_table(found)
    assert "Nothing better than chance to offer: label any of them." in text
    assert "is no better than choosing at random: tried out 10 times on the labelled images" in text
    assert "A random 1 of 2 images were looked at." in text


def test_with_few_labels_typical_images_come_first(labelled):
    few = Labelled(labelled.values[40:60], labelled.labels[40:60], labelled.rows[40:60])
    found = rank(few, looked_at(labelled, *map(str, range(30))), NAMES, 3, [])
    assert (found.strategy, found.beats_chance) == ("typicality", None)
    assert found.images[0].why.startswith("typical of ")
    assert "not tried out: that takes 60 labelled images" in found.test


def test_no_image_that_can_be_read_gives_no_suggestion(labelled):
    looked = Looked(unreadable=[(f"bad {i}.jpg", "empty: 0 bytes") for i in range(7)])
    found = rank(labelled, looked, NAMES, 3, [])
    assert found.images == []
    text = as_table(found)
    assert "Not read: bad 0.jpg: empty: 0 bytes" in text
    assert "... and 2 more that cannot be read" in text


def test_hostile_names_are_text_in_every_form(labelled):
    names = ["=cmd.png", "[bold]x.png", 'a,"b.png', "<img onerror=1>.png"]
    found = rank(labelled, looked_at(labelled, *names), NAMES, 9, [])
    assert {row["path"] for row in json.loads(as_json(found))["images"]} == set(names)
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert {unprotect(row["path"]) for row in rows} == set(names)
    assert not any(row["path"].startswith("=") for row in rows)
    assert all(row["label"] == "" for row in rows)
    assert "[bold]x.png" in as_table(found)


def test_a_run_that_is_gone_is_said(tmp_path):
    (tmp_path / "runs" / "1").mkdir(parents=True)
    summary = {"schema": 1, "status": "pushed", "model": {"version": 4}}
    (tmp_path / "runs" / "1" / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match="expected the run that pushed version 4, with its data"):
        find_run(tmp_path, tmp_path / "serving" / "4")
