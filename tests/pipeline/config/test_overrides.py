"""`--override GATE --reason TEXT`: both or neither, and what is remembered."""

import getpass
import re
import socket

import pytest
from typer.testing import CliRunner

from components.contract.gates import Override
from components.errors import InputError
from pipeline.cli import app
from pipeline.config.overrides import make_override, read_override, user_name


def test_neither_is_no_override():
    assert make_override([], None) is None


def test_person_and_time_are_remembered_with_the_reason():
    made = make_override(["servability", "data", "data"], "  the fan is loud ")
    assert made.gates == ("data", "servability")
    assert made.who == f"{user_name()}@{socket.gethostname()}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made.when)
    assert made.reason == "the fan is loud"


@pytest.mark.parametrize(
    ("gates", "reason", "words"),
    [
        (["quality"], None, "--override: expected --reason TEXT with it"),
        (["quality"], " ", "--override: expected --reason TEXT with it"),
        ([], "because", "--reason: expected --override GATE with it"),
        (["qualty"], "because", r"got 'qualty'\. Did you mean 'quality'\?"),
        (["speed"], "because", "expected one of data, quality, servability, got 'speed'"),
    ],
)
def test_one_without_the_other_and_unknown_gates_are_refused(gates, reason, words):
    with pytest.raises(InputError, match=words):
        make_override(gates, reason)


def test_the_command_refuses_before_it_reads_anything():
    done = CliRunner().invoke(app, ["run", "no-such-file.yaml", "--override", "quality"])
    assert isinstance(done.exception, InputError)
    assert "expected --reason TEXT" in str(done.exception)


def test_a_user_without_a_name_is_unknown(monkeypatch):
    def fail():
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", fail)
    assert user_name() == "unknown"


def test_a_passport_gives_the_override_back():
    kept = {"gates": ["quality"], "who": "ann@lab", "when": "2026-01-31T12:00:00Z", "reason": "why not"}
    assert read_override({"override": kept}) == Override(("quality",), "ann@lab", "2026-01-31T12:00:00Z", "why not")
    assert read_override({"override": None}) is read_override({}) is None
