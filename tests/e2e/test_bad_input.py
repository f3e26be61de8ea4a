"""Bad input ends with exit code 2 and a few clear lines; nothing is pushed."""

from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.conftest import Finished, graft, served_versions

pytestmark = pytest.mark.e2e


def write_images(folder: Path, count: int, size: int = 40) -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.effect_noise((size, size), 20 + index).save(folder / f"{index}.png")


def refused(*args: object) -> Finished:
    finished = graft(*args)
    assert finished.code == 2, finished.out + finished.err
    assert finished.err.startswith("Error: ")
    assert len(finished.err.strip().splitlines()) <= 8
    assert "Traceback" not in finished.err + finished.out
    return finished


def run(data: Path, workdir: Path, *settings: str) -> Finished:
    options = [part for setting in settings for part in ("--set", setting)]
    return refused("run", "configs/sample.yaml", "--data", data, "--workdir", workdir, *options)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for label in ("left", "right"):
        write_images(tmp_path / "data" / label, 30)
    return tmp_path / "data"


def test_missing_folder(tmp_path: Path) -> None:
    assert "found nothing at" in run(tmp_path / "nowhere", tmp_path / "w").err


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "found no images in" in run(tmp_path / "empty", tmp_path / "w").err


def test_single_class(tmp_path: Path) -> None:
    write_images(tmp_path / "data" / "only", 3)
    assert "needs at least two classes, found one" in run(tmp_path / "data", tmp_path / "w").err


def test_class_without_usable_images(data: Path, tmp_path: Path) -> None:
    (data / "broken").mkdir()
    (data / "broken" / "a.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100))
    found = run(data, tmp_path / "w")
    assert "class 'broken' has no usable image (1 were rejected)" in found.err
    assert "broken/a.jpg: " in found.err
    assert served_versions(tmp_path / "w") == []


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
def test_configuration(data: Path, tmp_path: Path, setting: str, expected: str) -> None:
    assert expected in run(data, tmp_path / "w", setting).err


def test_unknown_backbone_lists_the_table(data: Path, tmp_path: Path) -> None:
    message = run(data, tmp_path / "w", "trainer.backbone=Foo").err
    assert all(name in message for name in ("MobileNetV2", "ResNet50", "EfficientNetB0"))


def test_unwritable_workdir(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot write into" in run(data, tmp_path / "file").err


def test_weights_of_another_network(data: Path, tmp_path: Path) -> None:
    message = run(data, tmp_path / "w", "trainer.backbone_args.alpha=0.5").err
    assert "does not fit MobileNetV2" in message
    assert "expected shapes (1, 1, 48, 16); found (1, 1, 48, 8)" in message
    assert served_versions(tmp_path / "w") == []
