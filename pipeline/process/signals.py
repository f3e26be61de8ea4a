"""Signals that end a command: Ctrl-C, SIGTERM, and the SIGHUP of a terminal that is closed.

The first one raises `Stopped` in the main thread, so that all is put away in order. Where that takes too long, since a
library holds the main thread or swallowed the exception, or where a second signal comes, a thread of its own has the
record of what goes on written, ends the processes that were started, and leaves.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from pipeline.process import scratch

GRACE_SECONDS = 10.0  # for the orderly end
NAMES = {signal.SIGINT: "Ctrl-C (SIGINT)", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "a closed terminal (SIGHUP)"}
BY_HAND = 128 + signal.SIGINT  # exit code where nothing says which signal it was


Closing = Callable[[BaseException], object]


class Stopped(KeyboardInterrupt):
    """This process was told to end.

    Attributes:
        code: exit code by convention, 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {NAMES[signal.Signals(number)]}")
        self.code = 128 + number


class _Ending:
    """What the process knows of its end."""

    def __init__(self) -> None:
        self.stop: Stopped | None = None
        self.terminal = os.dup(2)  # standard error, wherever a run sends it later
        self.words = "Interrupted."
        self.closings: list[Closing] = []
        self.leaving = threading.Lock()


_ending = _Ending()


def stopped() -> Stopped | None:
    """Who told this process to end, also where a library took the exception; None: nobody."""
    return _ending.stop


@contextmanager
def heeded() -> Iterator[None]:
    """Meanwhile signals end this process as said above; those that it was started to ignore (`nohup`) stay ignored."""
    global _ending
    _ending = _Ending()
    listening, told = os.pipe()
    os.set_blocking(told, False)
    before = {number: signal.getsignal(number) for number in NAMES}
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)  # heard even while native code holds the main thread
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _raise)
    threading.Thread(target=_insist, args=(listening,), name="graft-signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(told)


@contextmanager
def left_to_the_system() -> Iterator[None]:
    """Meanwhile signals end this process at once: native code holds Python's lock, and nothing here could run."""
    ours = [number for number in NAMES if signal.getsignal(number) is _raise]
    for number in ours:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _raise)


def _raise(number: int, _: FrameType | None) -> None:
    if _ending.stop is None:
        _ending.stop = Stopped(number)
        raise _ending.stop


def _insist(listening: int) -> None:
    """Waits for signals; the second one, or the first one and a while, is the end."""
    first = 0
    while heard := os.read(listening, 1):
        number = heard[0]
        if signal.getsignal(number) is not _raise:  # somebody else's, such as the web server's
            continue
        if first:
            leave(first)
        first = number
        timer = threading.Timer(GRACE_SECONDS, leave, args=(number,))
        timer.daemon = True
        timer.start()
    os.close(listening)


def leave(number: int) -> None:
    """Ends this process and those that it started, now; the records of what goes on are written."""
    if not _ending.leaving.acquire(blocking=False):
        return
    _ending.stop = _ending.stop or Stopped(number)
    for write in reversed(_ending.closings):
        with suppress(BaseException):
            write(_ending.stop)
    end_children()
    scratch.remove_own()
    with suppress(OSError, ValueError):  # the terminal may be gone
        sys.stdout.flush()
        os.write(_ending.terminal, f"{_ending.words}\n".encode() if _ending.words else b"")
    os._exit(_ending.stop.code)


def end_children() -> None:
    """Ends the processes that this one started, and those that they started."""
    import psutil

    with suppress(psutil.Error):
        children = psutil.Process().children(recursive=True)
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for child in children:
                with suppress(psutil.Error):
                    end(child)
            children = psutil.wait_procs(children, timeout=0.5)[1]  # some helpers of libraries wait for the other's end


def say(words: str) -> None:
    """Says last words, once."""
    _ending.words = ""
    with suppress(OSError, ValueError):  # the terminal may be gone
        print(words, file=sys.stderr, flush=True)


@contextmanager
def interruptible(words: str) -> Iterator[None]:
    """What a command says where it is told to end, instead of a traceback.

    Raises:
        SystemExit: with the exit code of the signal.
    """
    _ending.words = words
    try:
        yield
    except KeyboardInterrupt as stop:
        say(words)
        raise SystemExit(getattr(stop, "code", BY_HAND)) from None


@contextmanager
def closing(write: Closing) -> Iterator[None]:
    """While something goes on that leaves a record: `write` writes it where an error or a signal is the end."""
    ending = _ending
    ending.closings.append(write)
    try:
        yield
    except BaseException as error:
        with suppress(OSError):  # the error itself matters more
            write(error)
        raise
    finally:
        ending.closings.remove(write)
