"""Standard output and error take any text: what a terminal's encoding lacks is written otherwise, and ends nothing.

Importing anything of Graft arranges it, in every process: commands, pods, workers, probes. Files are UTF-8 always.
"""

from __future__ import annotations

import codecs
import sys

LIKE = "graft-like"  # an error handler of Python's codecs
LOOK_ALIKES = {"✓": "+", "✗": "x", "·": ".", "…": "...", "–": "-", "—": "-", "×": "x", "→": "->", "≤": "<=", "≥": ">="}  # noqa: RUF001


def write_like(error: UnicodeError) -> tuple[str | bytes, int]:
    r"""What stands for a character that an encoding lacks: one that looks like it, or its number, as in `\xe9`."""
    if isinstance(error, UnicodeEncodeError) and (like := LOOK_ALIKES.get(error.object[error.start])):
        return like, error.start + 1
    return codecs.backslashreplace_errors(error)


def arrange() -> None:
    """Lets this process write any text, whatever its locale, `PYTHONIOENCODING` and code page say."""
    codecs.register_error(LIKE, write_like)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # none of a test's or a notebook's own
            stream.reconfigure(errors=LIKE)


def encoding() -> str:
    """Of what the terminal is told."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def is_unicode(name: str | None) -> bool:
    """Whether an encoding has every character; a stream without one takes text as it is."""
    return name is None or codecs.lookup(name).name.startswith("utf")
