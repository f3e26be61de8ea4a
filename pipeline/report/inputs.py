"""`inputs.json` of a run: what its page is made of, for who writes the page again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.files.paths import write_atomically
from pipeline.report.summary import RunArtifacts

INPUTS_FILE = "inputs.json"  # in a run's folder: where its data and its artifacts are, and its passport
REPORT_NODE, PAGE_OUTPUT = "Report", "page"  # the node that gathers the page, and its output


def note_inputs(run: Path, **facts: Any) -> None:
    """Writes down what a page of the run is made of: `data_path`, `passport`, `artifacts`."""
    write_atomically(str(run / INPUTS_FILE), json.dumps({**read_inputs(run), **facts}, indent=2) + "\n")


def read_inputs(run: Path) -> dict[str, Any]:
    """Reads what was written down; empty for a run that ended before."""
    path = run / INPUTS_FILE
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def locate(artifacts: RunArtifacts) -> dict[str, dict[str, str]]:
    """Gives the folder of each artifact: {node: {output: URI}}."""
    return {node: {key: artifact.uri for key, artifact in found.items()} for node, found in artifacts.items()}
