"""The embedded sample: scikit-learn's digits as PNG files."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from components.errors import InputError
from components.trainer.backbones.build import make_backbone
from pipeline.config.configuration import load_config
from pipeline.sample import SAMPLES, is_sample, write_sample

CONFIG = Path(__file__).parents[2] / "configs" / "sample.yaml"


@pytest.mark.parametrize(("name", "count"), [("digits", 896), ("digits-0-4", 901)])
def test_a_sample_holds_every_picture_of_its_digits(tmp_path, name, count):
    folder = write_sample(f"sample:{name}", tmp_path)
    digits = SAMPLES[name]
    assert sorted(path.name for path in folder.iterdir()) == [str(digit) for digit in digits]
    targets = load_digits().target
    found = {digit: len(list((folder / str(digit)).glob("*.png"))) for digit in digits}
    assert found == {digit: int((targets == digit).sum()) for digit in digits}
    assert sum(found.values()) == count


def test_both_samples_together_are_the_whole_set_and_share_nothing():
    assert sorted(SAMPLES["digits"] + SAMPLES["digits-0-4"]) == list(range(10))


def test_pixels_are_those_of_the_set_in_0_to_255(tmp_path):
    folder = write_sample("sample:digits", tmp_path)
    bunch = load_digits()
    for path in list(folder.rglob("*.png"))[::100]:
        index = int(path.stem)
        assert bunch.target[index] == int(path.parent.name)
        np.testing.assert_allclose(np.asarray(Image.open(path)) / 255 * 16, bunch.images[index], atol=0.05)


def test_a_sample_that_is_there_is_not_written_again(tmp_path):
    folder = write_sample("sample:digits", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert write_sample("sample:digits", tmp_path) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_sample_that_was_left_half_written_is_not_taken_for_whole(tmp_path, monkeypatch):
    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.rename", fail)
    with pytest.raises(KeyboardInterrupt):
        write_sample("sample:digits", tmp_path)
    monkeypatch.undo()
    assert not (tmp_path / "digits").exists()
    assert len(list(write_sample("sample:digits", tmp_path).rglob("*.png"))) == 896


def test_an_unknown_sample_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(InputError, match="there is no sample 'letters'; known: sample:digits, sample:digits-0-4"):
        write_sample("sample:letters", tmp_path)


def test_only_the_prefix_makes_a_sample():
    assert is_sample("sample:digits")
    assert not is_sample("digits")
    assert not is_sample("data/sample:digits")


def test_the_committed_backbone_is_the_one_that_its_record_describes():
    config = load_config(str(CONFIG))
    record = json.loads(CONFIG.with_name("sample").joinpath("mobilenet_v2_0.35_digits.json").read_text("utf-8"))
    content = Path(config.trainer.weights).read_bytes()
    assert hashlib.sha256(content).hexdigest() == record["sha256"]
    assert Path(config.trainer.weights).name == record["file"]
    assert record["backbone"] == config.trainer.backbone
    assert record["backbone_args"] == config.trainer.backbone_args
    assert [record["image_size"]] * 2 == list(config.transform.image_size)
    assert record["data"] != config.data.path  # it has never seen the digits that the sample learns
    assert record["train_images"] + record["held_out_images"] == 901
    built = make_backbone(
        config.trainer.backbone, config.transform.image_size, config.trainer.backbone_args, config.trainer.weights
    )
    assert built.shape == (3, 3, 1280)
