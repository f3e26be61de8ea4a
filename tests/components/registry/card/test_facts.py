"""The facts of a card, gathered from what a run left."""

from components.registry.card.facts import ClassFact, Comparison, MetricFact, Sources, gather_facts
from components.registry.card.fields import PERSON_FIELDS

DIFFERENCE = {"accuracy": 0.02, "interval": [-0.01, 0.05], "images": 120, "lost": 3, "gained": 5}
HELD = {"version": 6, "accuracy": 0.87, "examples": 120, "evaluated": True, "reason": "", "difference": DIFFERENCE}


def test_metrics_are_all_numbers_over_the_eval_images(facts):
    assert facts().metrics == (
        MetricFact("accuracy", 0.9, (0.85, 0.94)),
        MetricFact("macro_f1", 0.875),
        MetricFact("ece", 0.03),
    )


def test_classes_come_worst_first_and_untested_ones_last(facts):
    rows = {
        "cats": {"examples": 4, "accuracy": 1.0, "precision": 1.0},
        "dogs": {"examples": 0, "accuracy": None, "precision": None},
        "elks": {"examples": 4, "accuracy": 0.25, "precision": None},
    }
    found = facts(metrics={"per_class": rows, "slices": {}}, dataset={"per_class": {"train": {"elks": 9}, "eval": {}}})
    assert found.classes == (
        ClassFact("elks", 9, 0, 0.25, None, None),
        ClassFact("cats", 0, 0, 1.0, None, 1.0),
        ClassFact("dogs", 0, 0, None, None, None),
    )


def test_the_version_served_before_is_compared_on_the_same_images(facts):
    found = facts(metrics={"held_against": {"baseline": HELD}}, baseline={"accuracy": 0.88})
    assert found.against == Comparison(6, 0.88, DIFFERENCE, "")


def test_a_version_that_was_not_run_says_why(facts):
    held = {**HELD, "evaluated": False, "reason": "it knows other classes", "difference": None}
    assert facts(metrics={"held_against": {"baseline": held}}).against == Comparison(
        6, None, None, "it knows other classes"
    )
    assert facts().against == Comparison(None)


def test_fields_are_open_until_a_person_fills_them(facts):
    empty, some = facts(), facts(card={"license": "mit", "owner": "Ann", "limitations": "none known"})
    assert set(empty.open) == set(PERSON_FIELDS) - {"weights_license"}  # which Graft knows here
    assert set(empty.open) - set(some.open) == {"license", "owner", "limitations"}
    assert empty.asked == some.asked


def test_a_licence_of_weights_is_asked_for_where_nobody_says_it(facts):
    for weights, asked in (({"source": "mine.h5"}, True), ({}, True), ({"source": "none"}, False)):
        found = facts(model={"classes": ["a"], "weights": weights})
        assert ("weights_license" in found.asked) is asked


def test_limits_name_slices_that_are_shown_to_be_worse(facts):
    (weak,) = [limit for limit in facts().limits if limit.startswith("weak")]
    assert (
        weak
        == "weak where size is 'under 128 px': accuracy 0.6000 (0.4600 to 0.7200) on 50 images, against 0.9000 on all"
    )


def test_limits_name_what_did_not_plainly_pass_first_what_stops(facts):
    checks = [
        {"name": "a", "verdict": "undecided", "reason": "too few images of 'cats'", "stops": False},
        {"name": "b", "verdict": "fail", "reason": "too bad", "stops": True},
        {"name": "c", "verdict": "pass", "reason": "fine", "stops": False},
    ]
    found = facts(verdicts={"quality": {"passed": False, "checks": checks}}).limits
    assert found[:2] == ("fail of the quality gate: too bad", "undecided of the quality gate: too few images of 'cats'")
    assert not any("fine" in limit for limit in found)


def test_many_checks_are_cut_and_counted(facts):
    checks = [{"name": str(n), "verdict": "warn", "reason": f"warning {n}", "stops": False} for n in range(30)]
    found = facts(verdicts={"data": {"passed": True, "checks": checks}}).limits
    assert sum("warning" in limit for limit in found) == 20
    assert "10 more checks of the data gate did not plainly pass" in found


def test_limits_count_thin_classes_calibration_and_flags(facts):
    per_class = {"cats": {"examples": 0, "accuracy": None}, "dogs": {"examples": 3, "accuracy": 1.0}}
    small = {"dogs": {"examples": 3, "accuracy": 1.0, "interval": [0.4, 1.0], "small": True}}
    found = facts(metrics={"per_class": per_class, "slices": {"class": small}}).limits
    assert "1 of 2 classes have no eval image: nothing is known of them" in found
    assert "1 of 2 classes have so few eval images that their accuracy means little" in found
    assert "its probabilities are off by 0.0300 on average (expected calibration error, 15 bins)" in found
    (flag,) = [limit for limit in found if "flagged" in limit]
    assert flag.startswith("6 images flagged rotated (10.0% of the images used): turned upright")


def test_nothing_known_is_no_error():
    found = gather_facts({}, Sources())
    assert (found.metrics, found.classes, found.limits, found.examples) == ((), (), (), None)
    assert set(found.open) == set(PERSON_FIELDS)
