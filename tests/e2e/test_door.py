"""Real data at the door: refused, accepted with a ledger, grown, unchanged, and asked for twice at once."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import pictures
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


def test_a_little_dirt_is_named_and_a_grown_folder_moves_no_image(photos: Path, tmp_path: Path) -> None:
    code, summary, said = run(photos, tmp_path)
    assert code == 0, said
    assert summary["status"] == "pushed"
    assert summary["dataset"]["reasons"] == {"duplicate_of": 1, "truncated": 1}
    assert summary["dataset"]["formats"] == {"png": 896, "tiff": 1}
    assert summary["dataset"]["found"] == 900
    assert "2 quarantined: 1 duplicate_of, 1 truncated" in " ".join(said.split())
    before = sides(tmp_path)
    assert set(before.values()) == {"train", "eval"}

    code, summary, said = run(photos, tmp_path, "--if-changed")
    assert (code, summary["status"]) == (0, "unchanged"), said
    assert summary["seconds"].keys() == {"Data", "total"}
    assert [str(summary["model"]["version"])] == served_versions(tmp_path)

    random = np.random.default_rng(1)
    for index in range(100):
        pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / "56789"[index % 5] / f"new{index}.png")
    code, summary, said = run(photos, tmp_path, "--if-changed")
    assert code == 0, said
    assert summary["cached"] == ["ImportSchemaGen"]
    assert summary["dataset"]["found"] == 1000
    assert "100 of them new" in " ".join(said.split())
    after = sides(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 100


def test_a_second_run_in_one_folder_says_who_holds_it(photos: Path, tmp_path: Path) -> None:
    command = ("run", "configs/sample.yaml", "--data", photos, "--workdir", tmp_path, *QUICK)
    first = start_graft(*command)
    try:
        while not (tmp_path / "runs" / "latest").exists():
            assert first.poll() is None
        second = graft(*command)
        assert second.code == 2
        assert f"another run is using {tmp_path} (process {first.pid}, since " in second.err
        assert "Wait until it is done, or use another --workdir." in second.err
    finally:
        first.communicate(timeout=300)
    assert first.returncode == 0
    assert read_summary(tmp_path)["status"] == "pushed"


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    """100 images, five of them not whole, in a zip."""
    path = tmp_path / "dirty.zip"
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(100):
            buffer = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(buffer, "png")
            content = buffer.getvalue()[: None if index >= 5 else 100 * index]
            archive.writestr(f"photos/{'ab'[index % 2]}/{index:03d}.png", content)
        archive.writestr("__MACOSX/photos/a/._000.png", b"x")
    return path


def test_too_much_dirt_is_refused_and_named(dirty: Path, tmp_path: Path) -> None:
    finished = graft("run", "configs/sample.yaml", "--data", dirty, "--workdir", tmp_path / "w")
    summary = read_summary(tmp_path / "w")
    assert finished.code == 3, finished.out + finished.err
    assert summary["status"] == "data_refused"
    assert summary["dataset"]["reasons"] == {"empty": 1, "truncated": 4}
    assert "Not pushed: data_refused" in finished.out
    assert "data.max_bad_fraction" in finished.out
    assert "photos/a/000.png: empty (" in finished.out
    assert served_versions(tmp_path / "w") == []


def test_check_looks_into_an_archive_and_adds_up(dirty: Path) -> None:
    finished = graft("check", dirty, "--json")
    found = json.loads(finished.out)
    assert finished.code == 0
    assert finished.err == ""
    examples = sum(count for side in found["examples"].values() for count in side.values())
    assert (found["found"], found["ignored"], examples, len(found["quarantined"])) == (101, 1, 95, 5)
    assert set(found["examples"]["train"]) == {"a", "b"}


def test_a_file_that_would_keep_a_decoder_busy_for_minutes_is_quarantined_and_answered_at_once(tmp_path: Path) -> None:
    root = pictures.write_tree(tmp_path / "photos", {"a": 6, "b": 6}, "jpeg")
    hostile = pictures.write(root / "a" / "many scans.jpg", pictures.many_scans(8000, 6250, 50_000))
    pictures.write(root / "b" / "greedy.tiff", pictures.greedy_directory(20_000, 1 << 20))
    found = json.loads(graft("check", root, "--json").out)
    assert {(row["path"], row["reason"]) for row in found["quarantined"]} == {
        ("a/many scans.jpg", "too_large"),
        ("b/greedy.tiff", "too_large"),
    }
    assert any("more than 40 scans over 8000 x 6250 pixels" in row["detail"] for row in found["quarantined"])
    assert hostile.stat().st_size > 1 << 20
