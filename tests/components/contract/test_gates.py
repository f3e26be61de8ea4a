"""What a gate says, in JSON and on the terminal, and who overrode it."""

import json

import pytest

from components.contract.gates import (
    FAIL,
    PASS,
    UNDECIDED,
    WARN,
    Check,
    Gate,
    Override,
    at_most,
    describe_checks,
    format_value,
    lets_through,
    override_for,
    used_override,
    warnings_of,
)

LOW = Check("accuracy", 0.51234, 0.9, FAIL, "accuracy 0.5123 is below gates.quality.min_accuracy 0.9000")
FEW = Check("loss", 0.01, 0.02, UNDECIDED, "eval set too small to decide: 20 images, 133 are needed", stops=True)
GOOD = Check("macro_f1", 0.95, None, PASS)
ANN = Override(("quality", "servability"), "ann@lab", "2026-01-31T12:00:00Z", "new, harder images")


@pytest.mark.parametrize(
    ("check", "passed"),
    [
        (GOOD, True),
        (LOW, False),
        (FEW, False),
        (Check("loss", 0.01, 0.02, UNDECIDED), True),
        (Check("drift", 0.3, 0.2, WARN, "unlike", stops=True), True),
    ],
)
def test_a_gate_passes_unless_a_check_stops(check, passed):
    gate = Gate((GOOD, check))
    assert gate.passed is gate.lets_through is passed
    assert gate.reasons == ([] if passed else [check.reason])


def test_an_override_lets_through_what_did_not_pass_and_is_not_taken_where_it_is_not_needed():
    refused = Gate((LOW,)).overridden_by(ANN)
    assert (refused.passed, refused.lets_through, refused.override) == (False, True, ANN)
    assert refused.reasons == [LOW.reason]
    assert Gate((GOOD,)).overridden_by(ANN).override is None
    assert not Gate((LOW,)).overridden_by(None).lets_through


def test_the_file_holds_the_agreed_keys():
    content = json.loads(Gate((LOW, GOOD), ANN, ("see there",), {"measured": {"images": 3}}).to_json())
    assert content == {
        "passed": False,
        "checks": [
            {
                "name": "accuracy",
                "measured": 0.51234,
                "limit": 0.9,
                "verdict": "fail",
                "reason": LOW.reason,
                "stops": True,
            },
            {"name": "macro_f1", "measured": 0.95, "limit": None, "verdict": "pass", "reason": "", "stops": False},
        ],
        "reasons": [LOW.reason, "see there"],
        "override": {
            "gates": ["quality", "servability"],
            "who": "ann@lab",
            "when": "2026-01-31T12:00:00Z",
            "reason": "new, harder images",
        },
        "measured": {"images": 3},
    }
    assert lets_through(content)
    assert not lets_through({**content, "override": None})


def test_a_value_that_is_no_number_fails_and_is_written_as_a_word():
    check = at_most("difference", float("nan"), 1e-4, "it differs by nan")
    assert (check.verdict, check.measured, check.stops) == (FAIL, "nan", True)
    json.loads(Gate((check,)).to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize(("measured", "limit", "verdict"), [(2.0, 2.0, PASS), (2.1, 2.0, FAIL), (9e9, None, PASS)])
def test_a_limit_itself_is_allowed_and_none_only_records(measured, limit, verdict):
    assert at_most("load_seconds", measured, limit, "slow").verdict == verdict


def test_an_override_travels_to_the_nodes_that_are_meant_only():
    assert Override.from_json(override_for("quality", ANN)) == ANN
    assert override_for("data", ANN) == override_for("quality", None) == ""
    assert Override.from_json("") is None


def test_the_passport_names_only_gates_that_needed_the_override():
    refused, passed = (Gate((check,)).overridden_by(ANN).to_dict() for check in (LOW, GOOD))
    assert used_override({"data": passed, "servability": passed, "quality": refused}) == {
        "gates": ["quality"],
        "who": "ann@lab",
        "when": "2026-01-31T12:00:00Z",
        "reason": "new, harder images",
    }
    assert used_override({"data": passed, "quality": passed}) is None


def test_the_terminal_shows_what_did_not_plainly_pass_in_80_columns():
    drift = Check(
        "drift/train/image/brightness", 0.31, 0.2, WARN, "train split, image/brightness: unlike " + "so " * 30
    )
    gates = {
        "quality": Gate((GOOD, FEW, LOW)).to_dict(),
        "data": Gate((drift,)).to_dict(),
        "servability": Gate((GOOD,)).to_dict(),
    }
    lines = describe_checks(gates, 80)
    assert max(map(len, lines)) <= 80
    assert lines[0] == "  data gate: passed"
    assert lines[1] == "    ! warn drift/train/image/brightness: 0.31, limit 0.2"
    assert lines[4:] == [
        "  quality gate: said no",
        "    ? undecided loss: 0.01, limit 0.02",
        "      eval set too small to decide: 20 images, 133 are needed",
        "    ✗ fail accuracy: 0.5123, limit 0.9",
        "      accuracy 0.5123 is below gates.quality.min_accuracy 0.9000",
    ]


def test_the_terminal_names_who_overrode_and_counts_what_it_leaves_out():
    many = tuple(Check(f"class/{n}", 0.1, 0.5, FAIL, f"class {n} is bad") for n in range(25))
    lines = describe_checks({"quality": Gate((*many, FEW)).overridden_by(ANN).to_dict()}, 80)
    assert lines[0] == "  quality gate: said no, overridden by ann@lab"
    assert lines[-1] == "    and 16 more, in summary.json"
    assert len(lines) == 22


@pytest.mark.parametrize(
    ("value", "text"), [(None, "none"), ("yes", "yes"), (12345, "12,345"), (0.123456, "0.1235"), (1.0, "1")]
)
def test_values_are_short(value, text):
    assert format_value(value) == text


def test_warnings_are_what_is_told_and_does_not_stop():
    told = Check("loss", 0.01, 0.02, UNDECIDED, "too small")
    assert warnings_of([GOOD, LOW, FEW, told, Check("d", 1, 0, WARN, "drift")]) == ["too small", "drift"]
