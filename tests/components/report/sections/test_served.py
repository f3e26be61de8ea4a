"""The candidate against the served version."""

from dataclasses import replace

import pytest

from components.contract.gates import Check
from components.report.pictures import Pictures
from components.report.sections import served
from tests.components.report.conftest import CLASSES, digest_of
from tests.components.report.show import show


def answer(run, index, before, now):
    run.answers[index] = (run.answers[index][0], before, now)


def test_changed_answers_are_told_apart_and_only_newly_wrong_ones_have_maps(made_run):
    answer(made_run, 0, 0, 1)  # of class 0: lost
    answer(made_run, 1, 0, 1)  # of class 1: gained
    answer(made_run, 2, 0, 1)  # of class 2: wrong before and now
    pictures = Pictures()
    changed = served.gather(made_run.inputs(), pictures)["changed"]
    assert {kind: found["count"] for kind, found in changed.items()} == {"lost": 1, "gained": 1, "other": 1}
    card = changed["lost"]["cards"][0]
    lost = made_run.answers[0][0].sha256
    assert list(pictures.maps) == [lost]
    assert (card["key"], card["map"]) == (lost, f"{lost}/map")
    assert card["lines"] == ["label: cats", "served: cats (90%)", f"now: {CLASSES[1]} (90%)"]
    assert changed["gained"]["cards"][0]["map"] == ""


def test_the_difference_has_the_sign_of_the_candidate_and_an_interval_around_it(made_run):
    answer(made_run, 0, 0, 1)
    answer(made_run, 3, 0, 1)
    found = served.gather(made_run.inputs(), Pictures())["accuracy"]
    assert (found["lost"], found["gained"], found["images"]) == (2, 0, 6)
    assert found["difference"] == pytest.approx(-1 / 3)
    low, high = found["interval"]
    assert -1 < low < found["difference"] < high < 0.5


def test_what_the_gate_asked_is_told(made_run):
    made_run.checks["quality"] = [Check("accuracy_drop", 0.0, 0.02, "undecided", "too small to decide")]
    html = show(served, made_run.inputs())
    assert "undecided</span> too small to decide" in html
    assert "No difference is shown" in html


def test_counts_options_and_names_of_both_versions_stand_side_by_side(made_run):
    html = show(served, made_run.inputs())
    assert "train: 10 images before, 12 now (+2);" in html
    assert "eval: 6 images before, 6 now." in html
    assert '<th scope="row" class="name">trainer.epochs</th><td><code>5</code></td><td><code>2</code></td>' in html
    assert "made 2026-01-31T12:00:00Z" in html
    assert "Both versions answer the same for every image" in html
    assert "1 classes have" not in html
    assert CLASSES[1] not in html


def test_only_classes_that_moved_are_listed(made_run):
    rows = served.gather(made_run.inputs(), Pictures())["classes"]
    assert [(row["name"], row["train"]) for row in rows] == [("cats", [2, 4])]


def test_of_many_changed_images_some_are_shown_and_the_rest_counted(made_run):
    row, *_ = made_run.answers[0]
    made_run.answers = [(replace(row, name=f"{n}.png", sha256=digest_of(b"%d" % n)), 0, 1) for n in range(30)]
    pictures = Pictures()
    found = served.gather(made_run.inputs(), pictures)
    assert found["changed"]["lost"]["count"] == 30
    assert len(found["changed"]["lost"]["cards"]) == len(pictures.maps) == served.SHOWN["lost"]
    assert "of which the 24 are shown" in show(served, made_run.inputs())


@pytest.mark.parametrize(
    ("baseline", "words"),
    [
        (
            {"reason": "no version is being served yet"},
            "There is nothing to compare with: no version is being served yet.",
        ),
        (
            {"version": 3, "reason": "version 3 knows other classes: a"},
            "The served version 3 cannot be compared: version 3 knows",
        ),
    ],
)
def test_where_there_is_no_version_a_sentence_says_why(made_run, baseline, words):
    made_run.baseline = {"exists": False, **baseline}
    assert served.gather(made_run.inputs(), Pictures()).startswith(words)


def test_a_version_that_graft_did_not_push_has_no_options_and_no_counts(made_run):
    made_run.served, made_run.served_counts = {}, {}
    html = show(served, made_run.inputs())
    assert "has no passport: its options are not known" in html
    assert "does not say what data it is made of" in html


def test_a_version_that_was_not_evaluated_says_so(made_run):
    html = show(served, made_run.inputs("evaluation"))
    assert "was not run on these images: the run did not evaluate it" in html
