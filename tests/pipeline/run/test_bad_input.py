"""Bad input ends `graft run` with exit code 2 and a few clear lines; nothing is pushed.

In this process: test_instant.py and the end-to-end tests show that a process ends so too.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pipeline.__main__ import main

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., str]


def write_images(folder: Path, count: int, size: int = 40) -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.effect_noise((size, size), 20 + index).save(folder / f"{index}.png")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the sample's configuration on a folder; gives what standard error said."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")

    def call(data: Path, *settings: str, workdir: Path = tmp_path / "work") -> str:
        options = [part for setting in settings for part in ("--set", setting)]
        command = ["run", "configs/sample.yaml", "--data", str(data), "--workdir", str(workdir), *options]
        monkeypatch.setattr(sys, "argv", ["graft", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert ended.value.code == 2, said
        assert said.err.startswith("Error: ")
        assert len(said.err.strip().splitlines()) <= 8
        assert "Traceback" not in said.err + said.out
        return said.err

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
