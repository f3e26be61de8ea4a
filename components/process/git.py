"""Revisions of git, where there is git: of Graft's own sources, and of the directory that a command runs in.

Only the commit and whether files differ from it; no address of a remote, no author, no branch, no path. Where git is
missing, or refuses, nothing is known, and nothing fails.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("components", "pipeline")
SECONDS = 5.0  # a call that takes longer is given up
QUIET = ("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false")  # run no program of the repository's
Revision = dict[str, str | bool]


def find_revisions() -> dict[str, Revision | None]:
    """Finds the revisions that a run is made of.

    Returns:
        `graft`: of Graft's sources, None where they are no checkout; `directory`: of the present directory, None where
        it is in no repository. Each {`revision`: 40 or 64 hex digits, `dirty`: whether a tracked file differs from it}.
    """
    ours = read_revision(ROOT, PACKAGES) if _is_tracked(ROOT, ROOT / PACKAGES[0] / "__init__.py") else None
    try:
        here = read_revision(Path.cwd())
    except OSError:  # the directory was removed
        here = None
    return {"graft": ours, "directory": here}


def read_revision(folder: Path, paths: tuple[str, ...] = (".",)) -> Revision | None:
    """Reads the commit of a folder, and whether tracked files below some paths differ from it; None: not known."""
    revision = _ask(folder, "rev-parse", "--verify", "HEAD")
    changes = _ask(folder, "status", "--porcelain", "--untracked-files=no", "--", *paths) if revision else None
    return None if revision is None or changes is None else {"revision": revision, "dirty": bool(changes)}


def _is_tracked(folder: Path, file: Path) -> bool:
    """Whether a file is in the repository: an installed package may lie, ignored, inside of somebody's repository."""
    return _ask(folder, "ls-files", "--error-unmatch", str(file)) is not None


def _ask(folder: Path, *arguments: str) -> str | None:
    """Runs git in a folder; its answer, or None where it has none."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", *QUIET, "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()
