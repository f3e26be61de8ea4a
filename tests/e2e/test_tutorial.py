"""The notebook of the documentation, executed from top to bottom as a reader does it."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.e2e.conftest import ROOT, read_summary

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
PLACE = 'WORKDIR = ROOT / "work" / "tutorial"'


def texts(notebook, kind="text/plain") -> str:
    """What all cells printed and showed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    streams = [output["text"] for output in outputs if output["output_type"] == "stream" and kind == "text/plain"]
    return "\n".join([*streams, *(output["data"][kind] for output in outputs if kind in output.get("data", {}))])


def test_no_outputs_are_committed() -> None:
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.e2e
@pytest.mark.timeout(1200)  # a whole run, and a Python of its own
def test_the_tutorial_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = next(cell for cell in notebook.cells if PLACE in cell.source)
    place.source = place.source.replace(PLACE, f"WORKDIR = Path({str(tmp_path / 'work')!r})")
    client = NotebookClient(
        notebook, timeout=1100, kernel_name="python3", resources={"metadata": {"path": NOTEBOOK.parent}}
    )
    client.execute()
    said, shown = texts(notebook), texts(notebook, "text/html")
    assert "TensorShape([32, 160, 160, 3])" in said
    assert "(32, 5, 5, 1280) to (32, 1280)" in said
    assert "TensorShape([32, 5])" in said
    assert "Trainer" in said  # a line a node, as it goes
    summary = read_summary(tmp_path / "work")
    assert summary["status"] == "pushed"
    assert "A run would go on with this data." in shown
    assert f"pushed as version {summary['model']['version']}, accuracy {summary['metrics']['accuracy']:.3f}" in shown
    assert shown.count('sandbox="allow-scripts"') == 2  # of the run, and of the report
    assert "features (32, 1280)" in said
    assert said.count(".png: ") == 9
