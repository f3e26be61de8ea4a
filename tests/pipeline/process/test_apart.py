"""A process of its own: its answer, its errors, its death, and that of who started it."""

import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest

from components.errors import Damaged, InputError
from pipeline.process import apart
from pipeline.process.apart import run_apart
from pipeline.process.troubles import Trouble

CHILD = """
import json, os, signal, sys, time
request = json.loads(sys.stdin.readline())
print("begun", os.getpid(), "é", flush=True)
{body}
with open(request["answer"], "w") as file:
    json.dump(answer, file)
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Runs a body of code as the child; it finds `request`, and leaves `answer`."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("FORCE_COLOR", "1")

    def call(body, say=lambda line: None, **request):
        (tmp_path / "a_child.py").write_text(CHILD.format(body=body), "utf-8")
        return run_apart("a_child", request, say)

    return call


def test_it_hands_on_lines_and_gives_the_answer(child):
    lines = []
    answer = child(
        "print(os.environ.get('FORCE_COLOR'))\nanswer = {'sum': sum(request['numbers'])}", lines.append, numbers=[1, 2]
    )
    assert answer == {"sum": 3}
    assert lines[0].startswith("begun ")
    assert lines[0].endswith(" é")
    assert lines[1] == "None"  # the child's output is no notebook's


@pytest.mark.parametrize(
    ("name", "kind"), [("InputError", InputError), ("Damaged", Damaged), ("Trouble", Trouble), ("", Trouble)]
)
def test_errors_keep_their_type_and_text(child, name, kind):
    with pytest.raises(kind, match=r"^a text\nof lines$"):
        child(f"answer = {{'error': {name!r}, 'text': 'a text\\nof lines'}}")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise ValueError('some words')", "ended with exit code 1\nIts last words: ValueError: some words"),
        ("sys.exit(0)", "ended with exit code 0"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL; the machine may have run out of memory"),
        ("os._exit(143)", "the run was ended by SIGTERM"),
    ],
)
def test_a_death_without_an_answer_is_said(child, body, words):
    with pytest.raises(Trouble) as died:
        child(body)
    assert words in str(died.value)


def test_an_interrupt_ends_the_child_in_order(child, tmp_path):
    def interrupt(line):
        raise KeyboardInterrupt

    waits = f"""
try:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    open({str(tmp_path / "ended")!r}, "w").close()
"""
    with pytest.raises(KeyboardInterrupt):
        child(waits, lambda line: interrupt(line) if line == "ready" else None)
    assert (tmp_path / "ended").exists()


def test_a_child_that_does_not_heed_is_killed(child, monkeypatch):
    monkeypatch.setattr(apart, "GRACE_SECONDS", -4.9)
    pids = []

    def interrupt(line):
        if line == "ready":
            raise KeyboardInterrupt
        pids.append(int(line.split()[1]))

    with pytest.raises(KeyboardInterrupt):
        child("signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(60)", interrupt)
    assert not psutil.pid_exists(pids[0])


def test_it_works_in_any_thread_and_leaves_signals_as_they_are(child):
    before, found = signal.getsignal(signal.SIGINT), []
    thread = threading.Thread(target=lambda: found.append(child("answer = {'ok': True}")))
    thread.start()
    thread.join()
    assert found == [{"ok": True}]
    assert signal.getsignal(signal.SIGINT) is before


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""
WAITING = """
import threading, time
from pipeline.child import end_with_parent
threading.Thread(target=end_with_parent, daemon=True).start()
time.sleep(60)
"""


def test_a_run_ends_where_the_process_dies_that_started_it():
    """A run that nobody waits for would hold the working directory."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, WAITING], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 60
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(process):
    """Whether a process runs; one that has ended stays as a zombie where the first process reaps none."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
