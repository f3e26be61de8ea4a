"""The configuration file: what is read, what is refused, and in which words."""

from pathlib import Path

import pytest
import yaml

from components.errors import InputError
from components.trainer.backbones.table import backbone_names
from pipeline.config.configuration import Config, check_config, known_keys, load_config

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))


@pytest.fixture
def write(tmp_path):
    """Writes a configuration into a folder of its own and gives its path."""

    def call(text):
        path = tmp_path / "configs" / "my.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        return str(path)

    return call


def refusal(content):
    with pytest.raises(InputError) as caught:
        check_config(content, "my.yaml")
    return str(caught.value)


def test_without_a_file_there_are_the_defaults():
    assert load_config(None) == Config()
    assert Config().name == "graft"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_the_defaults(write, text):
    assert load_config(write(text)) == Config()


def test_a_file_changes_what_it_names_and_nothing_else(write):
    config = load_config(write("name: pets\ntransform: {image_size: 96}\ntrainer:\n  epochs: 3\n"))
    assert config == Config.model_validate({"name": "pets", "transform": {"image_size": 96}, "trainer": {"epochs": 3}})
    assert config.transform.image_size == (96, 96)
    assert config.trainer.dropout == Config().trainer.dropout


def test_a_configuration_written_out_is_read_back_the_same(tmp_path):
    config = check_config(
        {"transform": {"image_size": [96, 128]}, "trainer": {"backbone_args": {"alpha": 0.35}, "weights": "none"}}, "x"
    )
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(), "utf-8")
    assert load_config(str(path)) == config
    assert set(yaml.safe_load(config.to_yaml())) == set(Config.model_fields)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"trainer": {"epoch": 1}}, "trainer.epoch: unknown key. Did you mean 'trainer.epochs'?"),
        ({"trainer": {"batchsize": 1}}, "trainer.batchsize: unknown key. Did you mean 'trainer.batch_size'?"),
        ({"epochs": 1}, "epochs: unknown key. Did you mean 'trainer.epochs'?"),
        ({"trainer": {"image_size": 1}}, "trainer.image_size: unknown key. Did you mean 'transform.image_size'?"),
        ({"gates": {"min_accuracy": 1}}, "gates.min_accuracy: unknown key. Did you mean 'gates.quality.min_accuracy'?"),
        ({"trainr": {}}, "trainr: unknown key. Did you mean 'trainer'?"),
        (
            {"transform": {20 * "z": 1}},
            f"transform.{20 * 'z'}: unknown key. Known here: image_size, resize, crop_to_aspect_ratio.",
        ),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(content, message):
    assert refusal(content) == f"The configuration of my.yaml is not usable:\n  {message}"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"trainer": {"epochs": "many"}}, ["trainer.epochs: Input should be a valid integer", "got 'many'"]),
        ({"trainer": {"dropout": 1.5}}, ["trainer.dropout: Input should be less than 1", "got 1.5"]),
        ({"trainer": {"devices": "tpu"}}, ["trainer.devices: ", "got 'tpu'"]),
        ({"trainer": None}, ["trainer: ", "got None"]),
        ({"trainer": [1]}, ["trainer: ", "got [1]"]),
        ({"transform": {"image_size": "big"}}, ["transform.image_size: ", "got 'big'"]),
        ({"transform": {"resize": "lanczos"}}, ["transform.resize: ", "'bilinear'", "got 'lanczos'"]),
        ({"data": {"eval_fraction": 1}}, ["data.eval_fraction: Input should be less than 1", "got 1"]),
        ({"name": "No Spaces"}, ["name: ", "got 'No Spaces'"]),
    ],
)
def test_a_wrong_value_is_refused_with_expected_and_received(content, parts):
    text = refusal(content)
    assert all(part in text for part in parts), text


def test_every_problem_is_told_at_once():
    text = refusal({"trainer": {"epochs": 0, "seed": -1}, "surprise": 1})
    assert len(text.splitlines()) == 4
    assert "Value error" not in text


def test_an_unknown_backbone_is_answered_with_the_table():
    text = refusal({"trainer": {"backbone": "MobileNetV4"}})
    assert "expected one of the table, got 'MobileNetV4'" in text
    assert all(name in text for name in backbone_names())


def test_an_image_smaller_than_the_backbone_allows_is_refused():
    text = refusal({"transform": {"image_size": [224, 70]}, "trainer": {"backbone": "InceptionV3"}})
    assert "InceptionV3 takes images of at least 75 x 75 pixels, got 224 x 70" in text


def test_an_unknown_argument_of_the_backbone_is_refused():
    assert "MobileNetV2 has no argument 'alfa'" in refusal({"trainer": {"backbone_args": {"alfa": 1}}})


@pytest.mark.parametrize(("weights", "hint"), [("gone.h5", ""), ("imagnet", " Did you mean 'imagenet'?")])
def test_a_weights_file_that_is_missing_is_refused(weights, hint):
    text = refusal({"trainer": {"weights": weights}})
    expected = "trainer.weights: expected 'imagenet', 'none' or a weights file; there is no file"
    assert text == f"{expected} {weights}.{hint}"


def test_a_missing_file_is_refused_and_points_to_the_examples(tmp_path):
    with pytest.raises(InputError, match=r"Expected a configuration file at .*gone.yaml: No such file or directory"):
        load_config(str(tmp_path / "gone.yaml"))
    with pytest.raises(InputError, match=r"Is a directory.\nSee configs/"):
        load_config(str(tmp_path))


@pytest.mark.parametrize("text", ["trainer: [unclosed", "a: b: c", "\tx: 1", "\x00"])
def test_a_file_that_is_no_yaml_is_refused_in_one_line(write, text):
    with pytest.raises(InputError, match=r"my.yaml is no YAML file: ") as caught:
        load_config(write(text))
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "photo.yaml"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match=r"photo.yaml is no YAML file"):
        load_config(str(path))


@pytest.mark.parametrize(("text", "kind"), [("- 1\n- 2\n", "list"), ("just words", "str"), ("3", "int")])
def test_a_file_without_sections_is_refused(write, text, kind):
    with pytest.raises(InputError, match=f"expected sections such as `data:` and `trainer:`, got {kind}"):
        load_config(write(text))


def test_keys_that_are_no_text_are_refused(write):
    with pytest.raises(InputError, match="is not usable"):
        load_config(write("1: 2\n"))


def test_known_keys_are_dotted_and_complete():
    keys = known_keys()
    assert {"name", "data.path", "trainer.backbone_args", "gates.quality.min_accuracy"} <= set(keys)
    assert len(keys) == len(set(keys))


def test_the_committed_configurations_are_usable():
    assert CONFIGS
    for path in CONFIGS:
        assert load_config(str(path)).name == path.stem.replace("_", "-")


def test_the_committed_configurations_say_how_to_run_them_and_repeat_no_default():
    for path in CONFIGS:
        text = path.read_text("utf-8")
        assert "# Run: graft " in text.partition("name:")[0]
        written = yaml.safe_load(text)
        defaults = Config().model_dump(mode="json")
        for section, values in written.items():
            for key, value in values.items() if isinstance(values, dict) else ():
                assert value != defaults[section][key], f"{path.name} repeats the default of {section}.{key}"
