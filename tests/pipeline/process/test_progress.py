"""What the terminal shows, and what goes to the log instead."""

import io
import logging
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from pipeline.fingerprint import NODE_MODULES
from pipeline.process import progress
from pipeline.process.progress import LOGGER, MARKS, Progress, output_to

LONG = (
    "1,999 train + 1,000 eval images, 987 files/s; 12 quarantined: 3 empty, 4 truncated, 5 not_an_image and some more"
)


def console_of(width=80, terminal=False):
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, highlight=False)


def lines(console):
    return console.file.getvalue().splitlines()


def tell(text, done=False):
    logging.getLogger(LOGGER).info(text, extra={"done": done})


@pytest.mark.parametrize("width", [60, 80, 132])
@pytest.mark.parametrize("how", MARKS)
@pytest.mark.parametrize("name", [*NODE_MODULES, "Fingerprint", "Start-up"])
def test_no_line_is_longer_than_the_terminal(name, how, width):
    console = console_of(width)
    shown = Progress(console)
    shown.start(name)
    shown.finish(name, how, LONG)
    assert max(len(line) for line in lines(console)) <= width
    assert " ".join(" ".join(lines(console)).split()).endswith(LONG)


def test_what_follows_stands_under_the_text_not_under_the_mark():
    console = console_of()
    shown = Progress(console)
    shown.start("Trainer")
    shown.finish("Trainer", "done", LONG)
    first, *rest = lines(console)
    column = first.index("1,999")
    assert rest
    assert all(line[:column].isspace() and not line[column].isspace() for line in rest)


@pytest.mark.parametrize(("how", "mark"), [("done", "✓"), ("cached", "·"), ("failed", "✗"), ("refused", "✗")])
def test_a_line_has_mark_name_and_seconds_or_cached(how, mark):
    console = console_of()
    shown = Progress(console)
    shown.start("Trainer")
    shown.finish("Trainer", how, "all well")
    (line,) = lines(console)
    assert line.split()[:2] == [mark, "Trainer"]
    assert ("cached" in line) is (how == "cached")
    assert (" s  " in line) is (how != "cached")
    assert line.endswith("all well")
    assert list(shown.seconds) == ["Trainer"]
    assert shown.seconds["Trainer"] >= 0


def test_the_closing_line_is_what_the_stage_said_last():
    console = console_of()
    shown = Progress(console)
    with shown.shown():
        shown.start("Trainer")
        tell("epoch 1")
        tell("accuracy 0.9", done=True)
        shown.finish("Trainer", "done")
        shown.start("Pusher")
        shown.finish("Pusher", "done")
    assert lines(console)[0].endswith("accuracy 0.9")
    assert "accuracy" not in lines(console)[1]


def test_long_nodes_show_movement_without_a_terminal(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    console = console_of()
    shown = Progress(console)
    with shown.shown():
        tell("nobody runs yet")
        shown.start("Trainer")
        tell("features of 64 of 3,000 images, [not markup] 500 images/s")
        shown.finish("Trainer", "done", "done")
        tell("nobody runs any more")
    movement, closing = lines(console)
    assert "Trainer" in movement
    assert movement.endswith("500 images/s ...") or "[not markup]" in movement
    assert closing.endswith("done")


def test_a_moving_line_is_not_repeated_more_often_than_it_should(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = console_of()
    shown = Progress(console)
    with shown.shown():
        shown.start("Trainer")
        for second in range(35):
            now[0] = float(second)
            tell(f"image {second}")
    assert [line.split()[-2] for line in lines(console)] == ["10", "20", "30"]


def test_texts_with_brackets_are_shown_as_they_are(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    console = console_of()
    shown = Progress(console)
    with shown.shown():
        shown.start("Trainer")
        tell("[/x] [final] 3")
        shown.finish("Trainer", "failed", "[/y] [Errno 2] gone")
    assert "[/x] [final] 3" in lines(console)[0]
    assert lines(console)[1].endswith("[/y] [Errno 2] gone")


def test_a_terminal_keeps_only_the_closing_lines():
    console = console_of(terminal=True)
    shown = Progress(console)
    with shown.shown():
        shown.start("Trainer")
        tell("image 1 " + "x" * 200)
        shown.finish("Trainer", "done", "all well")
    text = console.file.getvalue()
    assert "✓ Trainer" in text
    assert "all well" in text
    assert max(len(line) for line in lines(console) if "✓" in line) <= 80 + 20  # with control codes


def test_nothing_listens_after_the_run():
    console = console_of()
    shown = Progress(console)
    shown.start("Trainer")
    with pytest.raises(RuntimeError, match="boom"), shown.shown():
        raise RuntimeError("boom")
    tell("late", done=True)
    assert shown not in logging.getLogger(LOGGER).handlers


CHATTER = """
import logging, os, sys, warnings
from pathlib import Path
from pipeline.process.progress import output_to
print("before", flush=True)
with output_to(Path(sys.argv[1])) as console:
    print("python says")
    os.write(1, b"C++ says\\n"); os.write(2, b"C++ complains\\n")
    logging.getLogger("absl").info("absl says"); warnings.warn("beware")
    console.print("for the user")
print("after", flush=True)
"""


def test_chatter_goes_to_the_log_and_the_console_to_the_terminal(tmp_path):
    log = tmp_path / "log.txt"
    done = subprocess.run([sys.executable, "-c", CHATTER, str(log)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["before", "for the user", "after"]
    assert done.stderr == ""
    text = log.read_text()
    for words in ("python says", "C++ says", "C++ complains", "absl says", "beware"):
        assert words in text
    assert "for the user" not in text


def test_the_terminal_is_given_back_after_an_error(tmp_path, capfd):
    with pytest.raises(RuntimeError, match="boom"), output_to(tmp_path / "log.txt"):
        raise RuntimeError("boom")
    print("after")
    assert capfd.readouterr().out == "after\n"


def test_counts_are_told_with_what_is_left():
    assert progress.describe_counts("Checking", 0, 0, 12.4) == "Checking: looking for files, 12 s"
    assert progress.describe_counts("Checking", 0, 900, 1) == "Checking: 0 of 900 files, 1 s"
    assert progress.describe_counts("Checking", 900, 900, 9) == "Checking: 900 of 900 files, 9 s, comparing them"
    assert (
        progress.describe_counts("Checking", 300, 1200, 20, 61.2)
        == "Checking: 300 of 1,200 files, 20 s, about 60 s left"
    )


def test_a_line_comes_again_and_again_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.01)
    told, two = io.StringIO(), threading.Event()
    monkeypatch.setattr(told, "write", lambda text: io.StringIO.write(told, text) and "7 of" in text and two.set())
    with progress.counting_lines("Checking", told) as report:
        report(7, 9)
        assert two.wait(60)
    lines = told.getvalue().splitlines()
    assert lines[-1].startswith("Checking: 7 of 9 files, ")


def test_nothing_is_told_of_what_is_quick():
    told = io.StringIO()
    with progress.counting_lines("Checking", told) as report:
        report(9, 9)
    assert told.getvalue() == ""


def test_a_reader_that_is_gone_ends_nothing(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.001)
    tried = threading.Event()

    class Gone(io.StringIO):
        def write(self, text):
            tried.set()
            raise BrokenPipeError

    with progress.counting_lines("Checking", Gone()):
        assert tried.wait(60)


def test_counts_of_a_long_node_tell_the_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = console_of(100)
    shown = Progress(console)
    with shown.shown():
        shown.start("Trainer")
        for second in range(35):
            now[0] = float(second)
            counts = (10 * second, 1000)
            logging.getLogger(LOGGER).info("features of %d of %d images", *counts, extra={"counts": counts})
        grid = shown._render()
        console.print(grid)
        tell("exporting")
        console.print(shown._render())
    assert lines(console)[4].endswith("exporting")
    assert lines(console)[0].endswith("about 90 s left, features of 100 of 1000 images ...")
    assert lines(console)[2].endswith("about 70 s left, features of 300 of 1000 images ...")
    assert lines(console)[3].endswith("about 65 s left, features of 340 of 1000 images")


def test_what_is_not_counted_has_no_time_left(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    console = console_of()
    shown = Progress(console)
    with shown.shown():
        shown.start("Evaluator")
        tell("3 of 9 images")
    assert lines(console)[0].endswith("3 of 9 images ...")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_quiet_run_shows_no_node_and_remembers_its_seconds(monkeypatch, terminal):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    console = console_of(terminal=terminal)
    shown = Progress(console, quiet=True)
    with shown.shown():
        shown.start("Trainer")
        tell("image 1")
        shown.finish("Trainer", "done", "all well")
    assert console.file.getvalue() == ""
    assert list(shown.seconds) == ["Trainer"]


def test_a_log_that_is_shown_is_on_the_terminal_whoever_wrote_it_and_in_the_file(tmp_path):
    log = tmp_path / "log.txt"
    code = CHATTER.replace("output_to(Path(sys.argv[1]))", "output_to(Path(sys.argv[1]), show=True)")
    code = code.replace('os.write(1, b"C++', 'os.system("echo a child says"); os.write(1, b"C++')
    log.write_text("of an earlier part\n")
    done = subprocess.run([sys.executable, "-c", code, str(log)], capture_output=True, text=True, check=True)
    shown = [line.strip() for line in done.stdout.splitlines()]
    assert (shown[0], shown[-1]) == ("before", "after")
    for words in ("python says", "a child says", "C++ says", "C++ complains", "for the user"):
        assert words in shown
    assert [line for line in shown if line.endswith("absl: absl says")]
    assert "of an earlier part" not in shown
    assert "C++ says" in log.read_text()
