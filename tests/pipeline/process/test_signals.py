"""Real signals to a real process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HEAD = """
import os, signal, subprocess, sys, time
from pathlib import Path
from pipeline.process import scratch, signals

here = Path(sys.argv[1])

def record(error):
    (here / "record").write_text(f"{error} {signals.stopped()}")

def ready():
    print("ready", flush=True)
    return True
"""
ORDERLY = """
with signals.heeded(), scratch.own_folder(), signals.interruptible("Last words."), signals.closing(record):
    ready()
    time.sleep(60)
"""
SWALLOWED = """
signals.GRACE_SECONDS = 0.2
with signals.heeded(), scratch.own_folder(), signals.interruptible("Last words."), signals.closing(record):
    nothing = subprocess.DEVNULL
    child = subprocess.Popen(["sleep", "60"], stdout=nothing, stderr=nothing)
    (here / "child").write_text(str(child.pid))
    is_ready = False
    while True:
        try:
            is_ready = is_ready or ready()
            time.sleep(60)
        except BaseException:
            pass
"""


def start(script: str, folder: Path, ignored: int = 0) -> "subprocess.Popen[str]":
    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it, and so would the process
        if ignored:
            signal.signal(ignored, signal.SIG_IGN)

    (folder / "tmp").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + script, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def assert_nothing_is_left(folder: Path) -> None:
    assert list((folder / "tmp").iterdir()) == []
    if (folder / "child").exists():
        child = Path("/proc", (folder / "child").read_text())
        assert not child.exists() or "zombie" in (child / "status").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("script", [ORDERLY, SWALLOWED], ids=["orderly", "swallowed"])
def test_a_signal_is_the_end_with_a_record_last_words_and_its_exit_code(tmp_path, script, number):
    process = start(script + "\n", tmp_path)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert_nothing_is_left(tmp_path)
    assert said == "Last words.\n"
    assert number.name in (tmp_path / "record").read_text()


def test_a_second_signal_does_not_wait(tmp_path):
    process = start(SWALLOWED.replace("0.2", "600"), tmp_path)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (130, 143)  # the system delivers two that wait in the order of their numbers
    assert said == "Last words.\n"
    assert (tmp_path / "record").exists()
    assert_nothing_is_left(tmp_path)


def test_what_is_ignored_from_the_start_stays_ignored(tmp_path):
    process = start(ORDERLY.replace("time.sleep(60)", "time.sleep(0.5)"), tmp_path, ignored=signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not (tmp_path / "record").exists()


def test_an_interrupt_that_names_no_signal_exits_130(capsys):
    from pipeline.process import signals

    with pytest.raises(SystemExit) as ended, signals.interruptible("Last words."):
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Last words.\n"


def test_where_native_code_holds_the_lock_the_system_ends_the_process(tmp_path):
    script = "with signals.heeded(), signals.left_to_the_system():\n    ready()\n    time.sleep(60)\n"
    process = start(script, tmp_path)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
