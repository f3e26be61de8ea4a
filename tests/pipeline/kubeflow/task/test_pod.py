"""Exit codes and words of a task."""

import json
import subprocess
import sys

import pytest

from components.errors import GateRefused, InputError
from pipeline.fingerprint import ROOT
from pipeline.kubeflow.task import places, pod


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
    monkeypatch.setenv(places.LOCAL_ROOT_VARIABLE, str(tmp_path))
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
