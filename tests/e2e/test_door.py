"""Real data at the door: accepted with a ledger, grown, unchanged, and asked for twice at once."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import Run, graft, read_summary, served_versions, start_graft

pytestmark = pytest.mark.e2e
QUICK = ("--set", "trainer.epochs=2", "--set", "gates.quality.min_accuracy=0")


@pytest.fixture(scope="module")
def photos(sample_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's 896 images as a folder of one's own, with some dirt below the limit of 1 %."""
    root = tmp_path_factory.mktemp("door") / "photos"
    shutil.copytree(sample_run.workdir / "sample" / "digits", root)
    first = sorted((root / "5").iterdir())[0]
    (root / "5" / "cut.png").write_bytes(first.read_bytes()[:-20])
    (root / "6" / "same again.png").write_bytes(sorted((root / "6").iterdir())[0].read_bytes())
    Image.open(sorted((root / "7").iterdir())[0]).save(root / "7" / "in another format.tiff")
    (root / "8" / "Thumbs.db").write_bytes(b"x")
    return root


def run(photos: Path, workdir: Path, *options: str) -> tuple[int, dict, str]:
    command = ("run", "configs/sample.yaml", "--data", photos, "--workdir", workdir, *QUICK)
    finished = graft(*command, *options)
    return finished.code, read_summary(workdir), finished.out + finished.err


def sides(workdir: Path) -> dict[str, str]:
    manifest = max(workdir.glob("artifacts/**/manifest.jsonl"), key=lambda path: int(path.parent.name))
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    return {row["name"]: row["split"] for row in rows if "reason" not in row and "ignored" not in row}


@pytest.fixture(scope="module")
def first_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where it worked, and what it said. While it went on, a second one was refused in its folder."""
    workdir = tmp_path_factory.mktemp("work")
    command = ("run", "configs/sample.yaml", "--data", photos, "--workdir", workdir, *QUICK)
    first = start_graft(*command)
    try:
        while not (workdir / "runs" / "latest").exists():
            assert first.poll() is None
            time.sleep(0.02)
        second = graft(*command)
        assert second.code == 2
        assert f"another run is using {workdir} (process {first.pid}, since " in second.err
        assert "Wait until it is done, or use another --workdir." in second.err
    finally:
        said = "".join(first.communicate(timeout=300))
    assert first.returncode == 0, said
    return workdir, said


def test_a_little_dirt_is_named_and_a_grown_folder_moves_no_image(photos: Path, first_run: tuple[Path, str]) -> None:
    workdir, said = first_run
    summary = read_summary(workdir)
    assert summary["status"] == "pushed"
    assert summary["dataset"]["reasons"] == {"duplicate_of": 1, "truncated": 1}
    assert summary["dataset"]["formats"] == {"png": 896, "tiff": 1}
    assert summary["dataset"]["found"] == 900
    assert "2 quarantined: 1 duplicate_of, 1 truncated" in " ".join(said.split())
    before = sides(workdir)
    assert set(before.values()) == {"train", "eval"}

    code, summary, said = run(photos, workdir, "--if-changed")
    assert (code, summary["status"]) == (0, "unchanged"), said
    assert summary["seconds"].keys() == {"Data", "total"}
    assert [str(summary["model"]["version"])] == served_versions(workdir)

    random = np.random.default_rng(1)
    for index in range(100):
        pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / "56789"[index % 5] / f"new{index}.png")
    code, summary, said = run(photos, workdir, "--if-changed")
    assert code == 0, said
    assert summary["cached"] == ["ImportSchemaGen"]
    assert summary["dataset"]["found"] == 1000
    assert "100 of them new" in " ".join(said.split())
    after = sides(workdir)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 100
