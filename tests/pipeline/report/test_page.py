"""`report.html` of a run: of what its node gathered, or again of what is left."""

import base64
import json
import shutil

import pytest

from components.contract import features
from components.errors import InputError
from components.report.page import load_sections
from pipeline.report import page as page_module
from pipeline.report.inputs import note_inputs, read_inputs
from pipeline.report.page import read_summary, write_page

SUMMARY = {
    "run_id": "20260131-120000-abcd",
    "status": "pushed",
    "reasons": [],
    "dataset": {"train": 1234, "classes": ["cats", "dogs"]},
    "gates": {},
    "model": {"version": 7},
    "served": 7,
    "seconds": {"total": 12.0},
    "cached": [],
    "command": "graft run pets.yaml",
}


@pytest.fixture
def run(tmp_path):
    """A run's folder with its summary, and the content that its node gathered."""
    folder = tmp_path / "runs" / SUMMARY["run_id"]
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    page = tmp_path / "artifacts" / "page"
    page.mkdir(parents=True)
    sections = {name: {"facts": None, "note": f"{name} by the node.", "seconds": 0.1} for name in load_sections()}
    content = {"schema": 1, "sections": sections, "pictures": {}, "missing": 0}
    (page / features.CONTENT_FILE).write_text(json.dumps(content))
    note_inputs(folder, data_path="/photos", artifacts={"Report": {"page": str(page)}})
    return folder


def test_the_page_shows_what_the_node_gathered(run, tmp_path):
    page = write_page(run, tmp_path / "features")
    assert page == run / "report.html"
    text = page.read_text("utf-8")
    assert "verdict by the node." in text
    assert SUMMARY["run_id"] in text


def test_the_page_is_made_again_of_what_is_left(run, tmp_path):
    shutil.rmtree(tmp_path / "artifacts")
    text = write_page(run, tmp_path / "features").read_text("utf-8")
    assert "verdict by the node." not in text
    assert "Pushed</strong>: version 7, which is served now" in text
    assert "1,234 train images" in text
    assert "graft run pets.yaml" in text


def test_content_of_an_earlier_graft_is_gathered_again_where_the_artifacts_are(run, tmp_path):
    path = tmp_path / "artifacts" / "page" / features.CONTENT_FILE
    content = json.loads(path.read_text())
    del content["sections"]["learning"]
    path.write_text(json.dumps(content))
    assert "verdict by the node." in write_page(run, tmp_path / "features").read_text("utf-8")  # nothing else is left
    manifest = tmp_path / "artifacts" / "manifest"
    manifest.mkdir()
    (manifest / features.DATASET_FILE).write_text(json.dumps({"train": 77, "classes": ["cats"]}))
    (manifest / features.MANIFEST_FILE).write_text("")
    noted = read_inputs(run)["artifacts"]
    note_inputs(run, artifacts={**noted, "ImageExampleGen": {"manifest": str(manifest)}})
    text = write_page(run, tmp_path / "features").read_text("utf-8")
    assert "verdict by the node." not in text
    assert "77 train images" in text


def test_a_run_that_was_ended_waits_for_no_artifact(run, tmp_path, monkeypatch):
    seen = []
    gather = page_module.gather_content
    monkeypatch.setattr(page_module, "gather_content", lambda inputs: seen.append(inputs) or gather(inputs))
    manifest = tmp_path / "manifest"
    manifest.mkdir()
    note_inputs(run, artifacts={"ImageExampleGen": {"manifest": str(manifest)}})
    text = write_page(run, tmp_path / "features", at_once=True).read_text("utf-8")
    assert [dict(inputs.uris) for inputs in seen] == [{}]
    assert "1,234 train images" in text


def test_what_is_noted_later_is_added(run):
    note_inputs(run, passport={"name": "pets"})
    noted = read_inputs(run)
    assert noted["data_path"] == "/photos"
    assert noted["passport"] == {"name": "pets"}
    assert read_inputs(run.parent) == {}


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_run_without_a_summary_is_named(run, content):
    (run / "summary.json").unlink()
    if content is not None:
        (run / "summary.json").write_text(content)
    with pytest.raises(InputError, match=r"expected the summary of a run, found none .*\n.*name another one by --run"):
        read_summary(run)


def test_likely_label_errors_stand_beside_the_page_as_they_were_gathered(run, tmp_path):
    page = tmp_path / "artifacts" / "page" / features.CONTENT_FILE
    content = json.loads(page.read_text("utf-8"))
    facts = {"csv": base64.b64encode(b"path,sha256\n").decode(), "file": features.CORRECTIONS_FILE, "judged": 3}
    facts |= {"likely": 1, "corrected": 0, "excluded": 0, "rows": [], "notes": []}
    content["sections"]["label_errors"] = {"facts": facts, "note": "", "seconds": 0.1}
    page.write_text(json.dumps(content))
    text = write_page(run, tmp_path / "features").read_text("utf-8")
    assert (run / features.CORRECTIONS_FILE).read_bytes() == b"path,sha256\n"
    assert f"graft run pets.yaml --set data.corrections={run}/label_errors.csv" in text
