"""Bad input ends `graft run` with exit code 2 and a few clear lines, too much dirt with 3; nothing is pushed.

In this process: test_instant.py and the end-to-end tests show that a process ends so too.
"""

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main
from tests import pictures

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., str]


def write_images(folder: Path, count: int, size: int = 40) -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.effect_noise((size, size), 20 + index).save(folder / f"{index}.png")


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def graft(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """`graft` as a user types it in the checkout."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["graft", *(str(argument) for argument in arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def run(graft: Callable[..., Ended], tmp_path: Path) -> Run:
    """Runs the sample's configuration on a folder; gives what standard error said."""

    def call(data: Path, *settings: str, workdir: Path = tmp_path / "work") -> str:
        options = [part for setting in settings for part in ("--set", setting)]
        ended = graft("run", "configs/sample.yaml", "--data", data, "--workdir", workdir, *options)
        assert ended.code == 2, ended
        assert ended.err.startswith("Error: ")
        assert len(ended.err.strip().splitlines()) <= 8
        assert "Traceback" not in ended.err + ended.out
        return ended.err

    return call


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for label in ("left", "right"):
        write_images(tmp_path / "data" / label, 30)
    return tmp_path / "data"


def test_missing_folder(run: Run, tmp_path: Path) -> None:
    assert "found nothing at" in run(tmp_path / "nowhere")


def test_empty_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "found no images in" in run(tmp_path / "empty")


def test_single_class(run: Run, tmp_path: Path) -> None:
    write_images(tmp_path / "data" / "only", 3)
    assert "needs at least two classes, found one" in run(tmp_path / "data")


def test_class_without_usable_images(run: Run, data: Path, tmp_path: Path) -> None:
    (data / "broken").mkdir()
    (data / "broken" / "a.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100))
    found = run(data)
    assert "class 'broken' has no usable image (1 were rejected)" in found
    assert "broken/a.jpg: " in found
    assert not (tmp_path / "work" / "serving").exists()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("trainer.epoch=3", "Did you mean 'trainer.epochs'?"),
        ("trainer.epochs=many", "trainer.epochs: Input should be a valid integer"),
        ("trainer.dropout=2", "trainer.dropout: Input should be less than 1"),
        ("trainer.backbone=ResNet51", "Did you mean 'ResNet50'?"),
        ("transform.image_size=16", "takes images of at least 32 x 32 pixels, got 16 x 16"),
        ("trainer.weights=nowhere.h5", "there is no file nowhere.h5"),
    ],
)
def test_configuration(run: Run, data: Path, setting: str, expected: str) -> None:
    assert expected in run(data, setting)


def test_unknown_backbone_lists_the_table(run: Run, data: Path) -> None:
    message = run(data, "trainer.backbone=Foo")
    assert all(name in message for name in ("MobileNetV2", "ResNet50", "EfficientNetB0"))


def test_unwritable_workdir(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot write into" in run(data, workdir=tmp_path / "file")


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


def test_too_much_dirt_is_refused_and_named(graft: Callable[..., Ended], dirty: Path, tmp_path: Path) -> None:
    ended = graft("run", "configs/sample.yaml", "--data", dirty, "--workdir", tmp_path / "w")
    summary = json.loads((tmp_path / "w" / "runs" / "latest" / "summary.json").read_text("utf-8"))
    assert ended.code == 3, ended.out + ended.err
    assert summary["status"] == "data_refused"
    assert summary["dataset"]["reasons"] == {"empty": 1, "truncated": 4}
    assert "Not pushed: data_refused" in ended.out
    assert "data.max_bad_fraction" in ended.out
    assert "photos/a/000.png: empty (" in ended.out
    assert not (tmp_path / "w" / "serving").exists()


def test_check_looks_into_an_archive_and_adds_up(graft: Callable[..., Ended], dirty: Path) -> None:
    ended = graft("check", dirty, "--json")
    found = json.loads(ended.out)
    assert ended.code == 0
    assert ended.err == ""
    examples = sum(count for side in found["examples"].values() for count in side.values())
    assert (found["found"], found["ignored"], examples, len(found["quarantined"])) == (101, 1, 95, 5)
    assert set(found["examples"]["train"]) == {"a", "b"}


def test_a_file_that_would_keep_a_decoder_busy_for_minutes_is_quarantined_and_answered_at_once(
    graft: Callable[..., Ended], tmp_path: Path
) -> None:
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
