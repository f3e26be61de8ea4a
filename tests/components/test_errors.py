"""Errors that are written for the user."""

import pytest

from components.errors import GateRefused, InputError, did_you_mean, first_line


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("epoch", " Did you mean 'epochs'?"),
        ("BATCH", ""),
        ("batchsize", " Did you mean 'batch_size'?"),
        ("x", ""),
        ("", ""),
    ],
)
def test_a_near_name_is_offered_and_a_far_one_is_not(word, hint):
    assert did_you_mean(word, ["epochs", "batch_size", "seed"]) == hint


def test_a_refusal_names_its_gate_and_every_reason():
    refused = GateRefused("quality", ["accuracy 0.4 is below 0.5", "recall 0.1 is below 0.2"])
    assert str(refused) == "The quality gate said no: accuracy 0.4 is below 0.5; recall 0.1 is below 0.2"
    assert (refused.gate, len(refused.reasons)) == ("quality", 2)


def test_an_input_error_can_be_caught_as_a_value_error():
    with pytest.raises(ValueError, match="mend me"):
        raise InputError("mend me")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("bad shape\nand a long tale"), "bad shape"),
        (ValueError("\n  bad shape\n"), "bad shape"),
        (OSError(2, "No such file"), "[Errno 2] No such file"),
        (KeyError(), "KeyError"),
        (RuntimeError("\n"), "RuntimeError"),
    ],
)
def test_the_first_line_of_an_error_is_never_empty(error, line):
    assert first_line(error) == line
