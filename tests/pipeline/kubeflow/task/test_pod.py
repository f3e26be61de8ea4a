"""Exit codes and words of a task."""

import json
import subprocess
import sys

import pytest

from components.errors import GateRefused, InputError
from pipeline.fingerprint import ROOT
from pipeline.kubeflow.task import pod


def fails_with(error):
    def task():
        raise error

    return task


@pytest.mark.parametrize(
    ("task", "code", "words"),
    [
        (lambda: None, 0, ""),
        (fails_with(InputError("expected a, found b")), 2, "Error: expected a, found b\n"),
        (fails_with(GateRefused("data", ["too dark"])), 3, "The data gate said no. Nothing is pushed.\n  too dark\n"),
        (fails_with(RuntimeError("broken")), 1, "RuntimeError: broken"),
    ],
)
def test_errors_become_words_and_a_code(task, code, words, capsys):
    assert pod.exit_code_of(task) == code
    assert words in capsys.readouterr().err


def test_a_verdict_is_left_for_graft_execute(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(pod.LOCAL_ROOT_VARIABLE, str(tmp_path))
    pod.exit_code_of(fails_with(GateRefused("data", ["too dark"])))
    assert json.loads((tmp_path / pod.VERDICT).read_text("utf-8"))["data"]["reasons"] == ["too dark"]


def test_the_process_leaves_at_once_and_nothing_printed_is_lost():
    script = (
        "import atexit, logging\n"
        "from pipeline.kubeflow.task import pod\n"
        "atexit.register(print, 'clean-up')\n"
        "pod.log_to_stderr()\n"
        "def task():\n"
        "    print('printed')\n"
        "    logging.getLogger('graft.progress').info('where it is')\n"
        "    logging.getLogger('graft.progress').info('what it made', extra={'done': True})\n"
        "    logging.getLogger('some.library').info('chatter')\n"
        "pod.run_and_leave(task)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0
    assert done.stdout == "printed\n"
    first, last = done.stderr.splitlines()
    assert first.endswith("I graft.progress: where it is")
    assert last == "Result: what it made"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(pod.LOCAL_ROOT_VARIABLE, str(tmp_path))
    for folder in pod.FOLDERS.values():
        (tmp_path / folder).mkdir()
    return tmp_path


@pytest.mark.parametrize(("scheme", "folder"), pod.FOLDERS.items())
def test_there_and_back(root, scheme, folder):
    assert pod.to_local(f"{scheme}://b/a/c") == str(root / folder / "b" / "a" / "c")
    assert pod.to_uri(pod.to_local(f"{scheme}://b/a/c")) == f"{scheme}://b/a/c"


def test_a_uri_stays_where_the_platform_has_no_copies(tmp_path, monkeypatch):
    monkeypatch.setenv(pod.LOCAL_ROOT_VARIABLE, str(tmp_path))
    assert pod.to_local("gs://b/a") == "gs://b/a"


@pytest.mark.parametrize("path", ["/mnt/graft/serving/1", "relative", "hdfs://b/a"])
def test_other_places_stay(root, path):
    assert pod.to_local(path) == path
    assert pod.to_uri(path) == path


def test_texts_anywhere_in_a_value_are_mapped(root):
    local = str(root / "s3" / "b" / "a")
    assert pod.to_uris({"x": [local, 1, None], "y": {"z": local}}) == {
        "x": ["s3://b/a", 1, None],
        "y": {"z": "s3://b/a"},
    }
