"""The console script `graft`: parses, hands over, and turns errors into exit codes."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from components.errors import InputError
from pipeline.process import scratch, signals
from pipeline.process.troubles import Trouble


def main() -> None:
    """Runs a command.

    Exit codes: 0 done, 1 a failure inside, 2 bad usage, configuration or input, 3 a gate said no; where a signal ended
    it, 128 and the signal's number, so 130 for Ctrl-C.
    """
    _name_files_in_utf8()
    with signals.heeded():
        try:
            with scratch.own_folder(), signals.interruptible("Interrupted."):
                _run_command()
        finally:
            if stop := signals.stopped():  # threads of libraries would go on, and child processes stay
                signals.leave(stop.code - 128)


def _name_files_in_utf8() -> None:
    """Starts again where the locale would read names of files as another encoding: class names would be garbled."""
    if sys.getfilesystemencoding() == "utf-8":
        return
    os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.environ["PYTHONUTF8"] = "1"  # for the processes that this one starts
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _run_command() -> None:
    from pipeline.cli import app

    try:
        app()
    except InputError as error:
        _say(f"Error: {error}")
        _leave(2)
    except Trouble as error:
        _say(f"Failed: {error}")
        _leave(1)
    except BrokenPipeError:
        _leave(0)
    except Exception as error:
        if stop := signals.stopped():
            raise stop from error
        if os.environ.get("GRAFT_TRACEBACK"):
            raise
        first = (str(error).strip().splitlines() or [""])[0]
        _say(f"Failed: {type(error).__name__}: {first}")
        _say("The run's log.txt has the details; GRAFT_TRACEBACK=1 shows the traceback.")
        _leave(1)


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        print(text, file=sys.stderr)


def _leave(code: int) -> None:
    sys.exit(code)


if __name__ == "__main__":
    main()
