"""What wins over the file: `--set`, `--data`; where relative paths begin; what makes another model."""

import pytest

from components.errors import InputError
from pipeline.config.configuration import Config, Plan, load_config, model_key


@pytest.fixture
def config_file(tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "w.h5").touch()
    path = folder / "my.yaml"
    path.write_text("data: {path: photos}\ntrainer: {weights: w.h5, epochs: 7}\n", "utf-8")
    return path


def test_paths_in_the_file_are_meant_from_its_folder(config_file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for path in (str(config_file), "configs/my.yaml"):
        config = load_config(path)
        folder = path.rpartition("/")[0]
        assert (config.data.path, config.trainer.weights) == (f"{folder}/photos", f"{folder}/w.h5")


def test_paths_of_the_command_line_are_meant_from_where_the_user_stands(config_file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.h5").touch()
    config = load_config(str(config_file), ["trainer.weights=other.h5", "data.path=here"])
    assert (config.data.path, config.trainer.weights) == ("here", "other.h5")
    assert load_config(str(config_file), ["data.path=here"], data="there").data.path == "there"


@pytest.mark.parametrize("value", ["imagenet", "none"])
def test_names_of_weights_are_no_paths(tmp_path, value):
    path = tmp_path / "my.yaml"
    path.write_text(f"trainer: {{weights: {value}}}")
    assert load_config(str(path)).trainer.weights == value


@pytest.mark.parametrize("value", ["sample:digits", "gs://bucket/photos", "/absolute/photos"])
def test_samples_addresses_and_absolute_paths_stay_as_they_are(tmp_path, value):
    path = tmp_path / "my.yaml"
    path.write_text(f"data: {{path: '{value}'}}")
    assert load_config(str(path)).data.path == value


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("trainer.epochs=3", lambda config: config.trainer.epochs == 3),
        ("gates.quality.min_accuracy=0.9", lambda config: config.gates.quality.min_accuracy == 0.9),
        ("trainer.backbone_args.alpha=0.35", lambda config: config.trainer.backbone_args == {"alpha": 0.35}),
        ("trainer.backbone_args={alpha: 0.5}", lambda config: config.trainer.backbone_args == {"alpha": 0.5}),
        ("transform.image_size=[96, 128]", lambda config: config.transform.image_size == (96, 128)),
        ("transform.image_size=96", lambda config: config.transform.image_size == (96, 96)),
        ("trainer.tensorboard=false", lambda config: config.trainer.tensorboard is False),
        ("trainer.l2=1e-3", lambda config: config.trainer.l2 == 0.001),
        ("name=pets", lambda config: config.name == "pets"),
        ("data.path=a=b", lambda config: config.data.path == "a=b"),
        ("trainer.devices=cpu:2", lambda config: config.trainer.devices == "cpu:2"),
    ],
)
def test_a_setting_wins_over_the_file(config_file, setting, read):
    assert not read(load_config(str(config_file)))
    assert read(load_config(str(config_file), [setting]))


def test_the_last_of_two_settings_wins(config_file):
    assert load_config(str(config_file), ["trainer.epochs=3", "trainer.epochs=4"]).trainer.epochs == 4


@pytest.mark.parametrize("setting", ["trainer.epochs", "trainer.epochs 5", "", "=5", "--help"])
def test_a_setting_without_equals_sign_is_refused_with_an_example(setting):
    with pytest.raises(InputError) as caught:
        load_config(None, [setting])
    assert str(caught.value) == f"--set: expected section.key=value, got '{setting}'.\nExample: --set trainer.epochs=5"


def test_a_setting_below_a_value_is_refused(config_file):
    with pytest.raises(InputError, match=r"--set trainer.epochs.x: 'epochs' is a value, not a section"):
        load_config(str(config_file), ["trainer.epochs.x=1"])


def test_a_setting_that_is_no_yaml_is_refused():
    with pytest.raises(InputError, match=r"--set trainer.epochs: '\[1' is no YAML value"):
        load_config(None, ["trainer.epochs=[1"])


def test_an_unknown_setting_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"trainer.epoch: unknown key. Did you mean 'trainer.epochs'") as caught:
        load_config(None, ["trainer.epoch=5"])
    assert "The configuration of the command line is not usable" in str(caught.value)


@pytest.mark.parametrize("content", ["data:\n", "data: photos\n", "data: [1]\n"])
def test_data_beside_a_broken_section_is_an_input_error(tmp_path, content):
    path = tmp_path / "my.yaml"
    path.write_text(content)
    if content == "data:\n":  # a section with nothing in it
        assert load_config(str(path), data="photos").data.path == "photos"
    else:
        with pytest.raises(InputError, match="data"):
            load_config(str(path), data="photos")


def test_a_section_without_content_can_be_set_from_the_command_line(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("trainer:\n")
    assert load_config(str(path), ["trainer.epochs=3"]).trainer.epochs == 3


def config_of(**sections):
    return Config.model_validate(sections)


@pytest.mark.parametrize(
    ("change", "another"),
    [
        ({"trainer": {"epochs": 21}}, True),
        ({"trainer": {"weights": "none"}}, True),
        ({"trainer": {"seed": 2}}, True),
        ({"transform": {"image_size": 96}}, True),
        ({"data": {"eval_fraction": 0.3}}, True),
        ({"data": {"path": "elsewhere"}}, False),
        ({"gates": {"quality": {"min_accuracy": 0.9}}}, False),
        ({"gates": {"servability": {"images": 1}}}, False),
        ({"evaluator": {"batch_size": 1}}, False),
        ({"name": "other"}, False),
    ],
)
def test_the_model_key_follows_what_decides_the_model(change, another):
    sources = {"Trainer": "t"}
    before = model_key(config_of(), "data", sources)
    assert (model_key(config_of(**change), "data", sources) != before) is another
    assert model_key(config_of(), "data", sources) == before


def test_the_model_key_follows_data_weights_and_the_code_up_to_the_trainer():
    key = model_key(config_of(), "data", {"Trainer": "t", "Pusher": "p"}, "w")
    assert model_key(config_of(), "other", {"Trainer": "t", "Pusher": "p"}, "w") != key
    assert model_key(config_of(), "data", {"Trainer": "x", "Pusher": "p"}, "w") != key
    assert model_key(config_of(), "data", {"Trainer": "t", "Pusher": "p"}, "x") != key
    assert model_key(config_of(), "data", {"Trainer": "t", "Pusher": "x"}, "w") == key


def test_a_passport_says_where_a_model_comes_from(tmp_path):
    plan = Plan(
        config_of(name="pets"),
        tmp_path,
        "photos",
        "d" * 64,
        {"Trainer": "t"},
        {"tfx": "1"},
        weights_sha256="w",
        parent=5,
        lock_sha256="l",
    )
    assert plan.passport == {
        "schema": 1,
        "name": "pets",
        "model_key": plan.model_key,
        "data_fingerprint": "d" * 64,
        "weights_sha256": "w",
        "config": config_of(name="pets").model_dump(mode="json"),
        "sources": {"Trainer": "t"},
        "libraries": {"tfx": "1"},
        "lock_sha256": "l",
        "parent": 5,
    }
    assert plan.serving_dir == tmp_path / "serving"
