"""The tutorial's set at full size, where it stands beside the repository."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import CATS_AND_DOGS, ROOT, WEIGHTS, graft, read_summary

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not CATS_AND_DOGS.is_dir(), reason=f"needs {CATS_AND_DOGS.name} beside the repository"),
    pytest.mark.skipif(not WEIGHTS.is_file(), reason="needs ImageNet weights beside the repository"),
]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cats-and-dogs")
    command = ("run", "configs/cats_and_dogs.yaml", "--data", CATS_AND_DOGS, "--workdir", folder)
    finished = graft(*command, "--set", f"trainer.weights={WEIGHTS}")
    assert finished.code == 0, finished.out + finished.err
    return folder


def test_reaches_095_on_all_validation_images(workdir: Path) -> None:
    summary = read_summary(workdir)
    assert summary["status"] == "pushed"
    assert summary["dataset"]["train"] == 1999
    assert summary["dataset"]["eval"] == summary["metrics"]["examples"] == 1000
    assert summary["metrics"]["accuracy"] >= 0.95


def test_serving_answers_as_training_did_for_every_image_that_it_answered(workdir: Path) -> None:
    """From a feature map of 5 x 5 x 1280, pooled to 1280."""
    facts = json.loads(Path(read_summary(workdir)["model"]["path"], "assets", "graft.json").read_text("utf-8"))
    assert facts["feature_map"] == [5, 5, 1280]
    script = Path(__file__).with_name("skew.py")
    command = [sys.executable, str(script), str(workdir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["images"] == 500  # of the 1,000, the Trainer's sample
    assert measured["largest_difference"] <= 1e-5
    assert measured["features"] == 1280


def test_ten_averaged_views_reach_096_on_a_quarter(tmp_path: Path) -> None:
    for image in sorted(CATS_AND_DOGS.rglob("*.jpg"))[::4]:
        link = tmp_path / "data" / image.relative_to(CATS_AND_DOGS)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(image)
    command = ("run", "configs/cats_and_dogs_best.yaml", "--data", tmp_path / "data", "--workdir", tmp_path / "work")
    finished = graft(*command, "--set", f"trainer.weights={WEIGHTS}")
    assert finished.code == 0, finished.out + finished.err
    summary = read_summary(tmp_path / "work")
    assert summary["metrics"]["examples"] == 250
    assert summary["metrics"]["accuracy"] >= 0.96
    facts = json.loads(Path(summary["model"]["path"], "assets", "graft.json").read_text("utf-8"))
    assert (facts["averaged_views"], facts["crop_to_aspect_ratio"]) == (10, True)
