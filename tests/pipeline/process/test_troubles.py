"""Failures of the machine in words, and what may not come in."""

import errno
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.errors import InputError
from pipeline.cli import app
from pipeline.process.troubles import Trouble, find_trouble

SECRET = "https://ann:s3cr3t@localhost:1/data.zip"


def wrapped(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("a node failed") from cause
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "first"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/w/a"), "no space is left on a disk: /w/a."),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/w/a"), "no space is left on a disk: /w/a."),
        (RuntimeError("/w/part-0; No space left on device"), "no space is left on a disk: /w/part-0."),
        (RuntimeError("disk quota exceeded query: COMMIT;"), "no space is left on a disk: disk quota exceeded."),
        (OSError(errno.EROFS, "Read-only file system", "/w"), "a file system is read-only: /w."),
    ],
)
def test_a_full_disk_is_named_whatever_error_it_became(error, first):
    for found in (find_trouble(error), find_trouble(wrapped(error))):
        assert isinstance(found, Trouble)
        lines = str(found).splitlines()
        assert lines[0] == first
        assert "continues from what is complete" in lines[1]
        assert len(lines) == 2


def test_an_error_with_words_of_its_own_keeps_them():
    error = InputError("features: no room.\nPrune them.")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert str(find_trouble(error)) == "features: no room.\nPrune them."
    error.__cause__ = OSError(errno.EROFS, "Read-only file system")
    assert find_trouble(error) is None  # the user can mend it: exit code 2
    assert find_trouble(InputError("/dev/shm: Read-only file system")) is None


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "No such file", "/a"), ValueError("full of errors")])
def test_other_errors_are_none_of_these(error):
    assert find_trouble(wrapped(error)) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "c.yaml", "--data", SECRET, "--workdir", "w"),
        ("run", "c.yaml", "--workdir", "w", "--set", f"data.path={SECRET}"),
        ("run", "secret.yaml", "--workdir", "w"),
        ("run", "broken.yaml", "--workdir", "w"),
        ("check", SECRET),
        ("check", "rows"),
        ("compile", "secret.yaml", "--output", "p.yaml"),
        ("compile", "c.yaml", "--data", SECRET, "--output", "p.yaml"),
        ("execute", "p.yaml", "--root", "root", "--param", f"data_path={SECRET}"),
        ("predict", "model", SECRET),
    ],
)
def test_a_password_gets_into_no_output_and_no_file(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    given = {
        "c.yaml": "trainer: {weights: none}",
        "secret.yaml": f"data: {{path: '{SECRET}'}}",
        "broken.yaml": f"data: {{path: '{SECRET}'",
        "rows/manifest.csv": f"path,label\n{SECRET},a\nb.jpg,b\n",
    }
    for name, text in given.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    done = CliRunner().invoke(app, list(arguments))
    assert isinstance(done.exception, InputError)
    assert "password" in str(done.exception)
    assert "s3cr3t" not in done.output + str(done.exception)
    written = [path for path in Path().rglob("*") if path.is_file() and str(path) not in given]
    assert not any(b"s3cr3t" in path.read_bytes() for path in written)
