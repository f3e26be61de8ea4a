"""Digest of the code behind each node, so that an edited source file re-executes what depends on it and no more.

TFX's cache key holds options and input artifacts, but not code behind a dotted path. The digest is over a node's module
and everything of ours that it imports or opens, as far as that can change a result (`source_code.py`). What a node is
cached by holds the versions of the libraries too.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

from components.process.lines import line_name
from pipeline.source_code import SourceFinder

ROOT = Path(__file__).resolve().parent.parent

# Node id: its module; none for those of TFX. `tests/` holds this table against the DAG.
NODE_MODULES: dict[str, tuple[str, ...]] = {
    "ImageExampleGen": ("components.example_gen.component",),
    "StatisticsGen": (),
    "ImportSchemaGen": ("components.schema",),
    "ExampleValidator": (),
    "DataGate": ("components.data_gate.component",),
    "Transform": ("components.transform",),
    "Tuner": ("components.trainer.tune",),
    "Trainer": ("components.trainer.train",),
    "BaselineModel": ("components.baseline_model",),
    "Evaluator": ("components.evaluator.component",),
    "ServableCheck": ("components.servable_check.component",),
    "Pusher": ("components.pusher",),
    "Report": ("components.report.component",),
}
POD_MODULES = (
    "pipeline.kubeflow.task.entrypoint",
    "pipeline.kubeflow.task.plan_task",
)  # what pods run, beside the nodes


def lock_digest() -> str:
    """sha256 of the lock file that belongs to the installed TFX; empty outside of a source tree."""
    path = ROOT / "requirements" / f"tfx-{line_name(metadata.version('tfx'))}.txt"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def source_fingerprints() -> dict[str, str]:
    """A digest a node: 16 hex digits over its sources, whatever the libraries."""
    finder = SourceFinder(ROOT)
    return {node: _digest(finder, entries) for node, entries in NODE_MODULES.items()}


def begin_source_fingerprints() -> Callable[[], dict[str, str]]:
    """Starts a process that digests the sources, half a second, while this one loads libraries.

    Returns:
        What waits for the process, and gives what `source_fingerprints` does; where the process failed, from here.
    """
    code = f"import json, {__name__} as asked; print(json.dumps(asked.source_fingerprints()))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,  # is where it finds this module first
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    @cache
    def finish() -> dict[str, str]:
        answer, _ = process.communicate()
        return dict(json.loads(answer)) if process.returncode == 0 else source_fingerprints()

    return finish


def node_fingerprints(sources: dict[str, str], libraries: dict[str, str]) -> dict[str, str]:
    """A digest a node over its sources and the libraries' versions: 16 hex digits, by which its results are cached.

    Args:
        sources: as `source_fingerprints` gives them.
        libraries: {name: version}.
    """
    versions = repr(sorted(libraries.items()))
    return {node: hashlib.sha256(f"{digest} {versions}".encode()).hexdigest()[:16] for node, digest in sources.items()}


def node_files(entries: tuple[str, ...]) -> list[Path]:
    """Every file of ours that modules depend on: with all that they import, and data and scripts that they name."""
    return SourceFinder(ROOT).find(entries)


def code_digest() -> str:
    """One digest over all code that runs in a pod, whatever the libraries: says whether an image holds this code."""
    nodes = (entry for entries in NODE_MODULES.values() for entry in entries)
    return _digest(SourceFinder(ROOT), (*POD_MODULES, *nodes))


def _digest(finder: SourceFinder, entries: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in finder.find(entries):
        digest.update(f"{path.relative_to(ROOT).as_posix()} {finder.digest(path)}\n".encode())
    return digest.hexdigest()[:16]
