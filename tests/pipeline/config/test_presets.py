"""Presets lie below what is written beside them, wherever they are named."""

import pytest

from components.errors import InputError
from components.trainer.backbones.table import check_request
from pipeline.config.configuration import load_config
from pipeline.config.presets import DEFAULT, PRESETS


@pytest.fixture
def write(tmp_path):
    def call(text, name="my.yaml"):
        (tmp_path / name).write_text(text, "utf-8")
        return str(tmp_path / name)

    return call


def facts(config):
    return config.trainer.backbone, config.transform.image_size[0], config.trainer.epochs


def test_every_preset_is_a_configuration_of_its_own():
    assert DEFAULT in PRESETS
    for name in PRESETS:
        config = load_config(None, [f"preset={name}"])
        check_request(config.trainer.backbone, config.transform.image_size, config.trainer.backbone_args)
        assert config == load_config(None, below=PRESETS[name])
    load_config(None, ["preset=fast", "transform.image_size=64", "trainer.epochs=3"])  # the table stays as it is
    assert facts(load_config(None, ["preset=fast"])) == ("EfficientNetLite0", 160, 20)


def test_a_file_wins_over_the_preset_that_it_names(write):
    path = write("preset: fast\ntransform: {image_size: 128}\ntrainer: {epochs: 3}\n")
    assert facts(load_config(path)) == ("EfficientNetLite0", 128, 3)


def test_a_preset_wins_over_the_file_that_is_extended(write):
    write("transform: {image_size: 128}\ntrainer: {backbone: ResNet50, epochs: 3}\n", "below.yaml")
    assert facts(load_config(write("extends: below.yaml\npreset: best\n"))) == ("EfficientNetLite0", 224, 3)


def test_the_command_line_s_preset_wins_over_the_file_and_its_other_settings_over_both(write):
    network = f"backbone: MobileNetV2, backbone_args: {{alpha: 0.35}}, weights_sha256: {'a' * 64}"
    path = write(f"preset: fast\ntransform: {{image_size: 128}}\ntrainer: {{{network}, epochs: 3}}\n")
    assert facts(load_config(path, ["preset=best"])) == ("EfficientNetLite0", 224, 3)
    assert facts(load_config(path, ["transform.image_size=96", "preset=best"])) == ("EfficientNetLite0", 96, 3)


@pytest.mark.parametrize("given", ["bset", "3"])
def test_what_is_no_preset_is_refused_with_those_there_are(write, given):
    with pytest.raises(InputError, match=r"^--preset: expected fast or balanced or best, got"):
        load_config(None, [f"preset={given}"])
    path = write(f"preset: {given}\n")
    with pytest.raises(InputError, match=r"my.yaml: preset: expected fast or balanced or best, got"):
        load_config(path)
    with pytest.raises(InputError, match="Did you mean 'best'"):
        load_config(None, ["preset=bset"])


def test_a_misspelt_key_finds_it(write):
    with pytest.raises(InputError, match=r"presett: unknown key\. Did you mean 'preset'"):
        load_config(write("presett: fast\n"))


def test_a_preset_on_the_command_line_is_yaml_as_every_setting_is():
    for setting in ("preset=best", 'preset="best"', "preset= best"):
        assert facts(load_config(None, [setting])) == ("EfficientNetLite0", 224, 20)
    with pytest.raises(InputError, match="expected fast or balanced or best, got ''"):
        load_config(None, ["preset=''"])
    with pytest.raises(InputError, match=r"expected fast or balanced or best, got \['best'\]"):
        load_config(None, ["preset=[best]"])
