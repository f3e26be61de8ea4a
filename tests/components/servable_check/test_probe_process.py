"""A process that waits to be asked: it is asked once, and never outlives those who could ask."""

import io
import json
import runpy
import subprocess
import sys
import time

import pytest
import tensorflow  # noqa: F401 # the probe would load it without Keras

from components.servable_check import probe_process

SCRIPT = """
import json, sys
assert sys.argv[1] == "--wait"
line = sys.stdin.readline()
if not line:
    sys.exit(7)
request, answer = json.loads(line)
if "slow" in request:
    import time
    time.sleep(60)
print("asked", file=sys.stderr)
open(answer, "w").write(open(request).read().upper())
"""


@pytest.fixture
def probe(tmp_path):
    path = tmp_path / "probe.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def started(probe, monkeypatch):
    """The processes that were started, of a probe that needs no TensorFlow."""
    processes, start = [], probe_process.start_probe

    def note(path=probe):
        processes.append(start(path))
        return processes[-1]

    monkeypatch.setattr(probe_process, "start_probe", note)
    yield processes
    probe_process.dismiss_probe()
    for process in processes:
        process.kill()


def ask(process, tmp_path, name="request"):
    (tmp_path / name).write_text("hello")
    return probe_process.ask_probe(process, tmp_path / name, tmp_path / "answer", 30)


def test_what_was_prepared_is_taken_once(started, tmp_path):
    probe_process.prepare_probe()
    probe_process.prepare_probe()
    assert len(started) == 1
    process = probe_process.take_probe()
    assert process is started[0]
    assert ask(process, tmp_path) == "asked\n"
    assert (process.returncode, (tmp_path / "answer").read_text()) == (0, "HELLO")
    assert probe_process.take_probe() is started[1]  # a new one


def test_one_that_died_is_replaced(started, tmp_path):
    probe_process.prepare_probe()
    started[0].kill()
    started[0].wait()
    process = probe_process.take_probe()
    assert process is started[1]
    assert ask(process, tmp_path) == "asked\n"


def test_one_that_is_not_taken_is_dismissed(started):
    probe_process.prepare_probe()
    probe_process.dismiss_probe()
    assert started[0].returncode == -9
    probe_process.dismiss_probe()


def test_one_that_takes_too_long_is_killed(started, tmp_path):
    process = probe_process.start_probe()
    (tmp_path / "slow").write_text("")
    with pytest.raises(subprocess.TimeoutExpired):
        probe_process.ask_probe(process, tmp_path / "slow", tmp_path / "answer", 0.5)
    assert process.returncode == -9


def test_it_ends_with_the_process_that_started_it(probe):
    """A run that is killed leaves nothing behind."""
    script = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from components.servable_check import probe_process\n"
        f"print(probe_process.start_probe(Path({str(probe)!r})).pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    pid, deadline = int(done.stdout), time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid):
    """A process that ended but was not yet waited for is not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(("line", "paths"), [("", []), ('["request", "answer"]\n', ["request", "answer"])])
def test_the_real_probe_takes_its_paths_from_a_line_and_ends_without_one(monkeypatch, line, paths):
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(sys, "argv", ["probe.py", probe_process.WAIT])
    monkeypatch.setattr(sys, "stdin", io.StringIO(line))
    if paths:
        with pytest.raises(FileNotFoundError, match="'request'"):
            runpy.run_path(str(probe_process.PROBE), run_name="__main__")
    else:
        assert runpy.run_path(str(probe_process.PROBE), run_name="__main__")["paths"] == paths


def test_the_real_probe_ends_as_soon_as_its_answer_is_written(tmp_path):
    """What Python would do at its end, such as clearing TensorFlow away, is left out."""
    script = (
        "import atexit, runpy, sys\n"
        "from unittest.mock import MagicMock\n"
        "tensorflow = sys.modules['tensorflow'] = MagicMock(__version__='2')\n"
        "tensorflow.errors.OpError = type('OpError', (Exception,), {'message': 'no image'})\n"
        "signature = MagicMock(side_effect=tensorflow.errors.OpError, structured_input_signature=((), ['x']))\n"
        "tensorflow.saved_model.load.return_value.signatures.__getitem__.return_value = signature\n"
        "sys.argv = ['probe.py', 'request.json', 'answer.json']\n"
        "atexit.register(print, 'cleared up')\n"
        f"runpy.run_path({str(probe_process.PROBE)!r}, run_name='__main__')\n"
    )
    request = {"model": "", "records": [], "images": 0, "batch_size": 2, "known": []}
    (tmp_path / "request.json").write_text(json.dumps(request))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    assert json.loads((tmp_path / "answer.json").read_text())["answers"] == []
