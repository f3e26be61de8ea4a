"""Every command's help has examples to copy, and each of them parses as the command line parses it."""

import re
import shlex

import pytest
from typer.main import get_command

from pipeline.cli import app


def walk(command, name="graft"):
    """All commands with their full names; groups are walked."""
    groups = getattr(command, "commands", {})
    for key, found in groups.items():
        yield from walk(found, f"{name} {key}")
    if not groups or getattr(command, "invoke_without_command", False):
        yield name, command


ROOT = get_command(app)
COMMANDS = dict(walk(ROOT))


def examples_of(text):
    """The examples at the end of a command's help: lines, or parts between semicolons."""
    _, _, told = (text or "").partition("Example")
    parts = re.split(r"\n+|;\s+", told.lstrip("s").lstrip(":"))
    return [part.strip() for part in parts if part.strip().startswith("graft ")]


def test_commands_are_found():
    assert {"graft run", "graft init", "graft check", "graft models list", "graft schedule set"} <= set(COMMANDS)


@pytest.fixture
def called(monkeypatch):
    """What commands are called with; none of them runs."""
    calls = []

    def noting(command):
        return lambda **given: calls.append(command)

    for name, command in COMMANDS.items():
        monkeypatch.setattr(command, "callback", noting(name))
    return calls


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_parse(called, name):
    examples = examples_of(COMMANDS[name].epilog)
    assert examples, f"{name}: expected `Example: graft ...` as its epilog, got {COMMANDS[name].epilog!r}"
    for example in examples:
        words = shlex.split(example.split(" > ")[0].split(" # ")[0])
        ROOT.main(words[1:], prog_name="graft", standalone_mode=False)
    assert called == [name] * len(examples)


def test_an_example_that_is_wrong_would_be_found(called):
    with pytest.raises(Exception, match="No such option"):
        ROOT.main(["run", "photos", "--epochs", "3"], prog_name="graft", standalone_mode=False)
    assert called == []


def test_examples_stand_whole_on_lines_of_their_own():
    from typer.testing import CliRunner

    text = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "80", "TERM": "dumb"}).output
    for example in examples_of(COMMANDS["graft run"].epilog):
        assert example in [line.strip() for line in text.splitlines()]
