"""Terminals, pipes and files of any encoding: no command ends by a character, and files are UTF-8."""

import io
import json
import os
import subprocess
import sys

import pytest

from components.process import streams
from pipeline.fingerprint import ROOT
from tests import pictures

LOCALES = {
    "ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C": {"LC_ALL": "C"},
    "C and nothing else": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
EVERY_HELP = """
import typer
from pipeline.cli import app
def walk(command, names):
    yield names
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, [*names, name])
for names in walk(typer.main.get_command(app), []):
    try:
        app([*names, "--help"])
    except SystemExit as ended:
        assert not ended.code, names
    print("SHOWN", *names)
"""
CHECKS = """
import sys
from pipeline.__main__ import main
photos = sys.argv[1]
for options in [], ["--json"]:
    sys.argv[1:] = ["check", photos, *options]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, options
    print("ENDED")
"""


def run(variables, *command):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    environment |= {"PYTHONPATH": str(ROOT), "COVERAGE_PROCESS_START": "", **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=300, check=False)
    assert not done.returncode, (done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Classes that no small encoding has."""
    return pictures.write_tree(tmp_path_factory.mktemp("photos"), {"été": 12, "日本語": 12, "🐈": 12})


@pytest.mark.parametrize("locale", LOCALES)
def test_classes_of_any_name_are_checked_and_named_right_and_every_help_text_can_be_shown(photos, locale):
    """As text and as JSON, one after the other in one process; the help where an encoding lacks its characters."""
    helped = locale in ("cp1252", "C and nothing else")
    program = CHECKS + EVERY_HELP * helped
    text, found, shown = run(LOCALES[locale], sys.executable, "-c", program, str(photos)).split(b"ENDED")
    assert b"A run would go on" in text
    assert set(json.loads(found)["examples"]["train"]) == {"été", "日本語", "🐈"}
    assert not helped or shown.count(b"SHOWN") > 15


def test_characters_have_look_alikes_or_numbers():
    streams.arrange()
    assert "✓ a · été 日 \udce9 …".encode("ascii", streams.LIKE) == b"+ a . \\xe9t\\xe9 \\u65e5 \\udce9 ..."
    assert "✓ été".encode("cp1252", streams.LIKE) == "+ été".encode("cp1252")


def test_what_is_no_stream_of_the_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    streams.arrange()
    print("été")
    assert sys.stdout.getvalue() == "été\n"
    assert streams.encoding() == "utf-8"
