"""The data as the page shows it."""

import json
from dataclasses import replace

import pytest

from components.contract import features
from components.contract.gates import Check
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.sections import data
from tests import pictures
from tests.components.report.conftest import CLASSES
from tests.components.report.show import show


def picture(seed):
    return pictures.encode(pictures.noise(20, 20, seed), "png")


def test_rejected_files_stand_by_reason_with_their_pictures_where_they_decode(made_run):
    content = picture(99)
    for name in ("a.png", "b.png"):
        made_run.add(name, "cats", content=content).reject("conflicting_label", "under two classes")
    made_run.add("cut.png", "cats", content=content[:60]).reject("undecodable", "broken")
    made_run.add("gone.png", "cats").reject("undecodable", "no file any more")
    wanted = Pictures()
    ledger = {row["name"]: row for row in data.gather(made_run.inputs(), wanted)["ledger"]}
    assert {name: row["count"] for name, row in ledger.items()} == {
        "conflicting label": 2,
        "undecodable": 2,
    }
    assert [card["key"] for card in ledger["conflicting label"]["cards"]] == ["file/a.png", "file/b.png"]
    assert [card["key"] for card in ledger["undecodable"]["cards"]] == ["", ""]
    assert set(wanted.drawn) == {"file/a.png", "file/b.png"}


def test_copies_that_cost_nothing_come_last_and_have_the_picture_of_their_example(made_run):
    kept = made_run.rows[0]
    for n in range(data.SHOWN + 3):
        copy = replace(kept, name=f"copy {n}.png")
        copy.reject("duplicate_of", kept.name)
        made_run.rows.append(copy)
    made_run.add("cut.png", "cats").reject("truncated", "ends early")
    wanted = Pictures()
    ledger = data.gather(made_run.inputs(), wanted)["ledger"]
    assert [row["name"] for row in ledger] == ["truncated", "duplicate of"]
    assert (ledger[1]["count"], len(ledger[1]["cards"])) == (data.SHOWN + 3, data.SHOWN)
    assert {card["key"] for card in ledger[1]["cards"]} == {kept.sha256} == set(wanted.thumbs)
    assert "And 3 more, in quarantine.jsonl" in show(data, made_run.inputs())


def test_groups_are_rows_of_pictures_and_the_rest_is_counted(made_run):
    names = [row.name for row in made_run.rows]
    made_run.findings = {
        "near_duplicates": [names[:8], *([names[:2]] * 9)],
        "conflicts": [],
        "leakage": [],
        "duplicates": [],
    }
    groups = data.gather(made_run.inputs(), Pictures())["groups"]
    assert [(kind["count"], len(kind["groups"])) for kind in groups] == [(10, data.GROUPS_SHOWN)]
    assert (len(groups[0]["groups"][0]["cards"]), groups[0]["groups"][0]["more"]) == (data.GROUP_SHOWN, 2)
    html = show(data, made_run.inputs())
    assert "And 4 more groups" in html
    assert "Exact copies" not in html


def test_three_hundred_classes_scroll_in_their_own_box(made_run):
    made_run.classes = [f"class {n:03d}" for n in range(300)]
    made_run.rows = []
    for n in range(303):
        made_run.add(f"{n}.png", made_run.classes[n % 300])
    made_run.answers = []
    html = show(data, made_run.inputs())
    assert html.count('<th scope="row" class="name">class ') == 300
    assert '<div class="scroll tall" tabindex="0" role="region" aria-label="Images a class and split">' in html
    assert "300 classes." in html
    assert "300 classes have no eval image" not in html, "the run has no eval images at all"


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([5, 5], "The classes are equal: 5 train images each."),
        ([6, 5], "'0' has the most train images, 6; '1' the fewest, 5."),
        (
            [50, 4],
            "'0' has the most train images, 50; '1' the fewest, 4: 12.5 times as many. A model may do well without",
        ),
        ([0, 0], ""),
    ],
)
def test_the_balance_of_the_classes_is_said_in_words(counts, words):
    rows = [{"name": str(index), "train": count} for index, count in enumerate(counts)]
    assert data.describe_balance(rows).startswith(words)
    assert bool(data.describe_balance(rows)) == bool(words)


def test_a_flag_has_its_cost_and_the_accuracy_with_and_without_it(made_run):
    made_run.rows = [row for row in made_run.rows if row.split == "train"]
    for n in range(80):
        flags = ("rotated",) if n < 40 else ("alpha",) if n < 45 else ()
        row = made_run.add(f"eval {n}", "cats", "eval", flags=flags)
        made_run.answers.append((row, 0, 1 if n < 10 else 0))
    made_run.answers = made_run.answers[6:]
    flags = {row["name"]: row for row in data.gather(made_run.inputs(), Pictures())["flags"]}
    assert flags["rotated"]["accuracy"]["value"] == 0.75
    assert flags["rotated"]["others"] | {"interval": ()} == {"value": 1.0, "images": 40, "interval": ()}
    assert (flags["alpha"]["accuracy"], flags["alpha"]["eval"]) == (None, 5)
    html = show(data, made_run.inputs())
    assert "turned upright, as its orientation tag asks; no loss" in html
    assert "5 of the eval images: too few to tell" in html


def test_drift_is_said_in_words_with_the_version(made_run):
    reason = "train split, image/brightness: unlike that of version 7 (median 118 -> 59)"
    made_run.checks["data"] = [
        Check("drift/eval/image/width", 0.1, 0.2, "pass"),
        Check("drift/train/image/brightness", 0.5, 0.2, "warn", reason),
        Check("skew/train/image/class/text", 0.0, 0.2, "pass"),
    ]
    html = show(data, made_run.inputs())
    assert 'against that of version 7: <strong class="warn">1 of 2 measures moved' in html
    assert "<li>Brightness of the train images: train split, image/brightness: unlike" in html
    assert 'against the eval images: <strong class="good">alike</strong> in all 1 measures' in html
    drift, skew = data.gather(made_run.inputs(), Pictures())["shifts"]
    assert [row["words"] for row in drift["rows"]] == ["brightness", "width"]
    assert skew["rows"][0]["words"] == "shares of the classes"


def test_a_run_whose_data_was_refused_shows_counts_and_ledger(made_run):
    made_run.add("cut.png", "cats").reject("truncated", "ends early")
    made_run.findings = {"conflicts": [["a", "b"]]}
    dataset = made_run.inputs().dataset
    known = {
        features.DATASET_FILE: dataset | {"flags": {"rotated": 2}},
        features.LEDGER_FILE: made_run.rows[-1].to_json(),
        "gates": {"data": {"passed": False, "checks": [], "reasons": ["too much"]}},
    }
    html = show(data, ReportInputs({}, data_path=str(made_run.data), known=known))
    assert "<strong>truncated: 1</strong>" in html
    assert "wrote down which files they are" in html
    assert "no version was served" in html
    assert "Right on them" not in html
    assert "<svg" not in html


def test_a_run_without_any_count_says_so():
    assert data.gather(ReportInputs({}), Pictures()) == "The run ended before it had looked at the data."


def test_charts_of_one_image_and_of_equal_images_are_drawn(made_run):
    one = made_run.rows[0]
    made_run.answers = []
    for sides, count in (([30], 1), ([30, 30], 1), ([30, 31], 2), ([8, 4000], 2)):
        made_run.rows = [replace(one, height=side, sha256=f"{n:064d}") for n, side in enumerate(sides)]
        found = data.gather(made_run.inputs(), Pictures())
        assert all(chart.startswith("<svg") for chart in found["charts"])
        assert len(found["charts"]) == count, "equal images need no chart of their sizes"
        assert found["sizes"].startswith(
            "Every image has 40 x 30 pixels." if count == 1 else "The smallest image has 40 x"
        )


def test_names_are_text(made_run):
    made_run.add(f"{CLASSES[1]}.png", CLASSES[1]).reject("undecodable", CLASSES[1])
    html = show(data, made_run.inputs())
    assert "<img src=x" not in html
    assert html.count("&lt;img src=x onerror=") >= 4
    assert "猫" in html
    assert json.loads(json.dumps(data.gather(made_run.inputs(), Pictures())))["found"] == 19
