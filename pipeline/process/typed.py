"""Commands to paste: in the form in which this one was typed, so that they work where it was typed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

NAME = "graft"


def program() -> str:
    """How Graft was called, as a shell takes it again: `graft`, `.venv/bin/graft` or `python -m pipeline`.

    Elsewhere, such as in a notebook, it is `graft`.
    """
    called = sys.argv[0] if sys.argv else ""
    if Path(called).name == NAME:
        return NAME if _leads_to(NAME, called) else shlex.quote(_short(called))
    if Path(called).parts[-2:] == ("pipeline", "__main__.py"):
        python = sys.orig_argv[0] if sys.orig_argv else sys.executable
        return f"{shlex.quote(python)} -m pipeline"
    return NAME


def typed_command() -> str:
    """The whole command of this process, quoted as a shell needs it, so that it may be pasted and added to."""
    return shlex.join(sys.argv[1:]) and f"{program()} {shlex.join(sys.argv[1:])}"


def _leads_to(name: str, called: str) -> bool:
    """Whether a shell finds the same program by its bare name."""
    found = shutil.which(name)
    return found is not None and os.path.exists(called) and os.path.samefile(found, called)


def _short(path: str) -> str:
    """The path from the present directory, where that is shorter; with a slash, so that a shell takes it as a path."""
    relative = os.path.relpath(path)
    shorter = relative if len(relative) < len(os.path.abspath(path)) else os.path.abspath(path)
    return shorter if os.sep in shorter else os.path.join(".", shorter)
