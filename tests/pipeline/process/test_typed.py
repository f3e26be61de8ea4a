"""Commands that are printed are those that work where this one was typed."""

import os
import subprocess
import sys

import pytest

from pipeline.process import typed

SCRIPT = "#!/bin/sh\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An executable `graft` in a folder with a space; the user stands above it."""
    folder = tmp_path / "my env" / "bin"
    folder.mkdir(parents=True)
    (folder / "graft").write_text(SCRIPT)
    (folder / "graft").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    return folder / "graft"


def test_on_path_it_is_the_bare_name(installed, monkeypatch):
    monkeypatch.setenv("PATH", f"/nowhere{os.pathsep}{installed.parent}")
    monkeypatch.setattr(sys, "argv", [str(installed), "run", "photos"])
    assert typed.program() == "graft"


def test_elsewhere_it_is_its_path_from_here_in_quotes(installed, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(installed), "run"])
    assert typed.program() == "'my env/bin/graft'"
    monkeypatch.chdir(installed.parent)
    assert typed.program() == "./graft"


def test_another_graft_on_path_is_not_taken_for_it(installed, monkeypatch, tmp_path):
    other = tmp_path / "other" / "graft"
    other.parent.mkdir()
    other.write_text(SCRIPT)
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    monkeypatch.setattr(sys, "argv", [str(installed)])
    assert typed.program() == "'my env/bin/graft'"


def test_a_module_is_named_with_its_python():
    program = "from pipeline.process.typed import program; print(program())"
    code = f"import sys; sys.argv[0] = '/x/pipeline/__main__.py'; {program}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{sys.executable} -m pipeline\n"


def test_in_a_notebook_or_a_test_it_is_the_name(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/lib/ipykernel_launcher.py", "-f", "kernel.json"])
    assert typed.program() == "graft"
    monkeypatch.setattr(sys, "argv", [""])
    assert (typed.program(), typed.typed_command()) == ("graft", "")


def test_the_whole_command_is_quoted(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["graft", "run", "my photos", "--set", "data.classes=[a, b]"])
    assert typed.typed_command().endswith("graft run 'my photos' --set 'data.classes=[a, b]'")
