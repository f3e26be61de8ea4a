"""No image is read for a network in vain."""

from pathlib import Path

import pytest

from tests.e2e.conftest import graft, read_summary, served_versions

pytestmark = pytest.mark.e2e


def test_a_network_that_cannot_be_exported_is_said_before_any_image_is_read(tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((48, 48, 3))
    keras.Model(inputs, keras.layers.Conv2D(4, 3, name="_a")(inputs)).save(tmp_path / "trunk.keras")
    settings = [f"trainer.backbone={tmp_path / 'trunk.keras'}", "transform.image_size=48", "trainer.backbone_args={}"]
    given = [part for setting in settings for part in ("--set", setting)]
    finished = graft(
        *("run", "configs/sample.yaml", "--workdir", tmp_path / "work", "--set", "trainer.weights=imagenet"), *given
    )
    assert finished.code == 2
    assert "Rename the layers '_a' and save it again" in finished.err
    assert read_summary(tmp_path / "work")["dataset"] == {}
    assert not (tmp_path / "work" / "data.sqlite").exists()


def test_weights_that_cannot_be_fetched_are_said_before_any_image_is_read(tmp_path: Path) -> None:
    finished = graft(
        *("run", "configs/sample.yaml", "--workdir", tmp_path / "work", "--set", "trainer.weights=imagenet"),
        within=("env", f"GRAFT_WEIGHTS={tmp_path}", "https_proxy=http://127.0.0.1:9"),
    )
    assert finished.code == 2
    assert "trainer.weights: the ImageNet weights could not be had" in finished.err
    assert not (tmp_path / "work" / "data.sqlite").exists()


def test_weights_of_another_network_are_refused_by_their_first_layer(tmp_path: Path) -> None:
    settings = ("--set", "trainer.backbone_args.alpha=0.5")
    finished = graft("run", "configs/sample.yaml", "--workdir", tmp_path / "work", *settings)
    assert finished.code == 2, finished.out + finished.err
    assert finished.err.startswith("Error: ")
    assert len(finished.err.strip().splitlines()) <= 8
    assert "Traceback" not in finished.err + finished.out
    assert "does not fit MobileNetV2" in finished.err
    assert "expected shapes (1, 1, 48, 16); found (1, 1, 48, 8)" in finished.err
    assert served_versions(tmp_path / "work") == []
