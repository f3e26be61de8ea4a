"""The commands of `graft`, and what they print. Nothing heavy is imported before a command needs it.

A module a command or group; importing it adds it to `app`, in the order of the help text.
"""

from pipeline.cli import run, init, check, predict, suggest, serve, report  # isort: skip  # noqa: F401
from pipeline.cli import runs, models, weights, features  # isort: skip  # noqa: F401
from pipeline.cli import compile, execute, submit, schedule  # isort: skip  # noqa: F401
from pipeline.cli.app import app

__all__ = ["app"]
