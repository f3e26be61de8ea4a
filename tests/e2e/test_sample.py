"""The embedded sample, from PNG files to a pushed model."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.e2e.conftest import NODES, ROOT, Run, graft, served_versions

pytestmark = pytest.mark.e2e


def first_images(workdir: Path, count: int) -> list[Path]:
    return sorted((workdir / "sample" / "digits").rglob("*.png"))[:: 900 // count][:count]


def test_pushes_a_model_and_says_where(sample_run: Run) -> None:
    version = served_versions(sample_run.workdir)
    assert len(version) == 1
    assert f"Pushed version {version[0]}" in sample_run.finished.out
    assert f"next     {sys.executable} -m pipeline predict" in sample_run.finished.out
    for name in NODES:
        assert f"✓ {name}" in sample_run.finished.out
    assert all(len(line) <= 80 for line in sample_run.finished.out.splitlines() if not line.startswith("  "))


def test_asks_nothing_of_the_network(sample_run: Run) -> None:
    """Beam 2.77 would look for its Prism, Keras for weights, a cloud client for its metadata server."""
    assert sample_run.asked == ""


def test_needs_no_network(sample_run: Run) -> None:
    if sample_run.had_network:
        pytest.skip("this machine allows no network namespaces (unshare --net), so the run had a network")
    assert sample_run.summary["status"] == "pushed"


def test_keeps_the_chatter_in_the_log(sample_run: Run) -> None:
    assert sample_run.finished.err == ""
    assert "WARNING" not in sample_run.finished.out
    log = (sample_run.workdir / "runs" / "latest" / "log.txt").read_text("utf-8")
    assert "node Trainer begins" in log


def test_summary_holds_the_contract(sample_run: Run) -> None:
    summary = sample_run.summary
    assert summary["schema"] == 1
    assert summary["status"] == "pushed"
    assert summary["run_id"] == (sample_run.workdir / "runs" / "latest").resolve().name
    dataset = summary["dataset"]
    assert dataset["classes"] == ["5", "6", "7", "8", "9"]
    assert dataset["train"] + dataset["eval"] == dataset["found"] == 896
    assert dataset["quarantined"] == 0
    assert summary["metrics"]["accuracy"] >= 0.9
    assert set(summary["metrics"]["per_class"]) == set(dataset["classes"])
    assert sum(map(sum, summary["metrics"]["confusion_matrix"])) == dataset["eval"]
    assert summary["baseline"] is None
    assert summary["cached"] == []
    assert set(NODES) | {"total", "startup"} <= set(summary["seconds"])
    assert summary["model"]["version"] == int(served_versions(sample_run.workdir)[0])
    assert len(summary["model"]["weights_sha256"]) == 64
    assert summary["peak_rss_mb"] > 100
    assert summary["reasons"] == []


def test_passport_says_where_the_model_comes_from(sample_run: Run) -> None:
    passport = json.loads(Path(sample_run.summary["model"]["path"], "passport.json").read_text("utf-8"))
    assert passport["data_fingerprint"] == sample_run.summary["dataset"]["fingerprint"]
    assert passport["model"]["weights_sha256"] == sample_run.summary["model"]["weights_sha256"]
    assert passport["parent"] is None
    assert passport["libraries"]["tfx"].startswith("1.")


def test_the_page_shows_every_section(sample_run: Run) -> None:
    run = sample_run.workdir / "runs" / "latest"
    page = (run / "report.html").read_text("utf-8")
    assert "This section could not be made" not in page
    for name in ("verdict", "served", "data", "learning", "quality", "mistakes", "label_errors", "map", "provenance"):
        assert f'<section id="{name}"' in page
    assert f"Pushed</strong>: version {sample_run.summary['model']['version']}, which is served now" in page
    pictures = page.count("data:image/webp;base64,")
    assert 50 < pictures < 3000
    assert len(page) < 15_000_000
    names = csv.DictReader(io.StringIO((run / "label_errors.csv").read_text("utf-8")))
    assert {"path", "sha256"} <= set(names.fieldnames or [])


def test_the_card_is_one_that_the_hub_reads(sample_run: Run) -> None:
    version, summary = Path(sample_run.summary["model"]["path"]), sample_run.summary
    printed = graft("models", "card", sample_run.workdir)
    assert (printed.code, printed.out) == (0, (version / "MODEL_CARD.md").read_text("utf-8"))
    card = ModelCard(printed.out)
    (result,) = [row for row in card.data.eval_results if row.metric_type == "accuracy"]
    assert result.metric_value == pytest.approx(summary["metrics"]["accuracy"], abs=1e-6)
    assert f"version {summary['model']['version']}, made on " in card.text
    assert summary["trainer"]["machine"]["processors"] >= 1
    open_fields = summary["model"]["card"]["open"]
    assert card.text.count("**open**") == len(open_fields) == summary["model"]["card"]["fields"]
    assert f"MODEL_CARD.md, {len(open_fields)} of {len(open_fields)} fields" in sample_run.finished.out


def test_serving_answers_as_training_did_for_every_eval_image(sample_run: Run) -> None:
    script = Path(__file__).with_name("skew.py")
    done = subprocess.run(
        [sys.executable, str(script), str(sample_run.workdir)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["images"] == sample_run.summary["dataset"]["eval"]
    assert measured["largest_difference"] <= 1e-5
    assert measured["signatures"] == {
        "serving_default": ["known", "label", "outlier", "probabilities", "probability"],
        "serve_examples": ["features", "known", "label", "outlier", "probabilities", "probability"],
        "explain": ["cam", "label"],
        "explain_class": ["cam", "label"],
        "embed": ["features"],
    }


def test_predicts_files_and_names_the_bad_one(sample_run: Run, tmp_path: Path) -> None:
    good = first_images(sample_run.workdir, 3)
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    finished = graft("predict", sample_run.summary["model"]["path"], good[0], text, *good[1:], "--format", "csv")
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(finished.out))}
    assert finished.code == 2
    assert "1 of 4 files got no answer" in finished.err
    assert rows[str(text)]["error"].startswith("not_an_image")
    for path in good:
        assert rows[str(path)]["error"] == ""
        assert sum(float(rows[str(path)][name]) for name in "56789") == pytest.approx(1.0, abs=1e-4)
    assert sum(rows[str(path)]["label"] == path.parent.name for path in good) >= 2


def test_predicts_a_folder_with_the_served_model_of_a_workdir(sample_run: Run) -> None:
    folder = sample_run.workdir / "sample" / "digits" / "6"
    finished = graft("predict", sample_run.workdir, folder, "--format", "json")
    answers = json.loads(finished.out)
    assert finished.code == 0, finished.err
    assert len(answers) == len(list(folder.iterdir()))
    assert sum(answer["label"] == "6" for answer in answers) / len(answers) > 0.9


def test_lists_the_pushed_version(sample_run: Run) -> None:
    finished = graft("models", "list", sample_run.workdir)
    assert finished.code == 0
    assert str(sample_run.summary["model"]["version"]) in finished.out
    assert "serving" in finished.out
