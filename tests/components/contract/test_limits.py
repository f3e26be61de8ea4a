"""The limits on unusable and blank files, unequal classes and shares of eval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.gates import PASS, WARN, Gate, warnings_of
from components.contract.limits import (
    WORST,
    check_bad_fraction,
    check_balance,
    check_eval_shares,
    check_flat_fraction,
    percent,
    take_in_turn,
)


def bad_fraction_reasons(counts, rows, limit):
    checks, notes = check_bad_fraction(counts, rows, limit)
    return Gate(tuple(checks), notes=tuple(notes)).reasons


def dataset(**classes):
    """`dataset.json` of classes with (train, eval, bad) files."""
    return {
        "per_class": {
            "train": {label: counts[0] for label, counts in classes.items()},
            "eval": {label: counts[1] for label, counts in classes.items()},
        },
        "bad": {label: counts[2] for label, counts in classes.items()},
    }


def row(label, reason="truncated", name="1.jpg"):
    return {"name": f"{label}/{name}", "label": label, "reason": reason, "detail": "of 8 rows, 3 are there"}


def test_the_limit_itself_is_let_through():
    assert bad_fraction_reasons(dataset(cats=(80, 19, 1), dogs=(80, 19, 1)), [row("cats"), row("dogs")], 0.01) == []


@pytest.mark.parametrize("bad", range(1, 100))
def test_no_rounding_at_the_limit(bad):
    assert bad_fraction_reasons(dataset(cats=(100 - bad, 0, bad)), [row("cats")], bad / 100) == []
    assert bad_fraction_reasons(dataset(cats=(100 - bad, 0, bad)), [row("cats")], bad / 100 - 1e-9) != []


def test_one_class_over_the_limit_is_named_with_its_files_only():
    reasons = bad_fraction_reasons(dataset(cats=(30, 8, 2), dogs=(900, 95, 5)), [row("dogs"), row("cats")], 0.01)
    assert reasons == [
        "class 'cats': 2 of 40 images are unusable (5 %); the limit is 1 % (data.max_bad_fraction)",
        "mend or remove these files, or raise data.max_bad_fraction; the worst:",
        "cats/1.jpg: truncated (of 8 rows, 3 are there)",
    ]


def test_all_classes_together_may_be_over_the_limit():
    reasons = bad_fraction_reasons(dataset(cats=(90, 0, 10), dogs=(1000, 0, 20)), [row("dogs"), row("cats")], 0.02)
    assert reasons[0] == (
        "all classes: 30 of 1,120 images are unusable (2.6786 %); the limit is 2 % (data.max_bad_fraction)"
    )
    assert reasons[1].startswith("class 'cats': 10 of 100 images are unusable (10 %)")
    assert [line.partition(":")[0] for line in reasons[3:]] == ["dogs/1.jpg", "cats/1.jpg"]


def test_a_class_without_a_usable_image_is_all_bad():
    assert (
        "class 'cats': 3 of 3 images are unusable (100 %)"
        in bad_fraction_reasons(dataset(cats=(0, 0, 3), dogs=(1, 1, 0)), [], 0.9)[0]
    )


def test_a_limit_of_zero_takes_no_bad_file_and_a_limit_of_one_any():
    counts = dataset(cats=(10_000, 0, 1))
    assert bad_fraction_reasons(counts, [row("cats")], 0.0)[0].startswith("all classes: 1 of 10,001 images")
    assert bad_fraction_reasons(dataset(cats=(0, 0, 5)), [], 1.0) == []
    assert bad_fraction_reasons(dataset(cats=(0, 0, 0)), [], 0.0) == []


def test_copies_are_no_loss():
    rows = [row("cats", "duplicate_of"), row("cats", "empty", "2.jpg")]
    assert bad_fraction_reasons(dataset(cats=(1, 1, 0)), rows[:1], 0.0) == []
    assert bad_fraction_reasons(dataset(cats=(1, 1, 1)), rows, 0.0)[3:] == [
        "cats/2.jpg: empty (of 8 rows, 3 are there)"
    ]


def test_ten_files_are_named_and_every_reason_has_its_turn():
    rows = [row("cats", "truncated", f"{n}.jpg") for n in range(20)] + [row("cats", "empty", "z.jpg")]
    named = bad_fraction_reasons(dataset(cats=(1, 1, 21)), iter(rows), 0.0)[3:]
    assert len(named) == WORST
    assert named[0].startswith("cats/z.jpg: empty")
    assert [line.partition(":")[0] for line in named[1:]] == [f"cats/{n}.jpg" for n in range(9)]


@given(st.lists(st.sampled_from("abc")), st.integers(0, 12))
def test_turns_leave_nothing_out_while_there_is_room(reasons, count):
    rows = [{"name": str(number), "reason": reason} for number, reason in enumerate(reasons)]
    taken = take_in_turn(iter(rows), count)
    assert len(taken) == min(count, len(rows))
    assert len({row["name"] for row in taken}) == len(taken)
    if count >= len(set(reasons)):
        assert {row["reason"] for row in taken} == set(reasons)


def test_percentages_are_not_rounded_to_the_limit_they_are_over():
    assert [percent(share) for share in (0.01, 0.010001, 0.125, 1.0, 0.0)] == [
        "1 %",
        "1.0001 %",
        "12.5 %",
        "100 %",
        "0 %",
    ]


def test_unequal_classes_are_told_with_the_option_that_helps():
    check = check_balance(dataset(cats=(799, 200, 0), dogs=(8, 2, 0), owls=(400, 100, 0)))
    assert (check.verdict, check.stops) == (WARN, False)
    assert check.reason.startswith("class 'cats' has 799 train images, class 'dogs' 8: ")
    assert "trainer.class_weights: balanced" in check.reason


@pytest.mark.parametrize(
    "counts", [{}, {"cats": (80, 2, 0), "dogs": (8, 2, 0)}, {"cats": (9, 1, 0), "dogs": (0, 9, 0)}]
)
def test_classes_of_up_to_ten_times_the_size_are_equal_enough(counts):
    assert check_balance(dataset(**counts)).verdict == PASS


def test_a_share_of_eval_that_is_far_off_warns_and_stops_nothing():
    odd = [{"class": label, "share": 0.5, "limit": 0.3, "reason": f"why {label}"} for label in ("", "cats")]
    checks = check_eval_shares({"odd_shares": odd})
    assert [(check.name, check.measured, check.limit, check.verdict, check.reason) for check in checks] == [
        ("eval_share/all", 0.5, 0.3, "warn", "why "),
        ("eval_share/cats", 0.5, 0.3, "warn", "why cats"),
    ]
    assert Gate(tuple(checks)).passed
    assert check_eval_shares({}) == []


def flat_gate(flat, blank, limit=0.05):
    counts = dataset(cats=(80, 20, 0), dogs=(80, 20, 0)) | {"flat": flat, "blank": blank}
    rows = [{"name": f"{label}/{i}.png", "label": label} for label, count in flat.items() for i in range(count)]
    checks, notes = check_flat_fraction(counts, rows, limit)
    return Gate(tuple(checks), notes=tuple(notes)), warnings_of(checks)


def test_black_or_white_images_stop_a_run_from_the_limit_on():
    assert flat_gate({}, {})[0].passed
    assert flat_gate({"cats": 5}, {"cats": 5})[0].passed
    gate, warnings = flat_gate({"cats": 20, "dogs": 2}, {"cats": 6, "dogs": 2})
    assert warnings == []
    assert gate.reasons[0] == (
        "class 'cats': 6 of 100 images are black or white all over (6 %); the limit is 5 % (data.max_flat_fraction)"
    )
    assert "data.alpha" in gate.reasons[1]
    assert "--override data" in gate.reasons[1]
    assert gate.reasons[2:] == [f"cats/{i}.png" for i in range(WORST)]
    assert flat_gate({"cats": 20}, {"cats": 20}, 0.2)[0].passed


def test_images_of_one_colour_are_told_and_stop_nothing():
    gate, warnings = flat_gate({"dogs": 40}, {"dogs": 4})
    assert gate.passed
    assert warnings == [
        "class 'dogs': 40 of 100 images are of one colour (40 %); the limit is 5 % (data.max_flat_fraction)"
    ]
