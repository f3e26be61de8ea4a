"""Paths in a configuration: homes, variables, and whose machine they are on."""

import json

import pytest
from typer.testing import CliRunner

from components.errors import InputError
from pipeline.cli import app
from pipeline.config.configuration import Config, load_config
from pipeline.config.paths import find_paths

PATHS = {
    *("data.path", "data.corrections", "trainer.weights", "trainer.backbone", "beam.shared_path"),
    *("kubeflow.pipeline_root", "kubeflow.workdir", "kubeflow.data_path", "kubeflow.weights", "kubeflow.corrections"),
    "kubeflow.volumes.0.mount_path",
}
WORDS = {"path", "folder", "file", "dir", "root", "weights"}
NO_PATHS = {"data.max_file_megabytes", "trainer.weights_sha256", "trainer.class_weights", "data.path_column"}
NO_PATHS |= {"card.weights_license"}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's home with a weights file and a saved backbone; the user stands beside it."""
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    for name in ("w.h5", "b.keras"):
        (home / "models" / name).touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MODELS", str(home / "models"))
    monkeypatch.delenv("NOWHERE", raising=False)
    monkeypatch.chdir(tmp_path)
    return home


def read(tmp_path, text, *settings):
    (tmp_path / "my.yaml").write_text(text)
    return load_config(str(tmp_path / "my.yaml"), list(settings))


def test_every_option_that_names_a_path_is_marked():
    content = {
        section: dict.fromkeys(values, "x")
        for section, values in Config().model_dump().items()
        if isinstance(values, dict)
    }
    content["kubeflow"]["volumes"] = [{"mount_path": "x"}]
    assert {name for *_, name in find_paths(Config, content, "")} == PATHS
    named = {f"{section}.{key}" for section, values in content.items() for key in values if WORDS & set(key.split("_"))}
    assert named - NO_PATHS <= PATHS, "an option that looks like a path has no mark"


@pytest.mark.parametrize("written", ["~/models/{}", "$HOME/models/{}", "${{MODELS}}/{}", "$MODELS/{}"])
def test_homes_and_variables_are_written_out(home, tmp_path, written):
    weights = written.format("w.h5")
    photos, shared = written.format("photos"), written.format("shared")
    text = f"data: {{path: '{photos}'}}\ntrainer: {{weights: '{weights}'}}\nbeam: {{shared_path: '{shared}'}}\n"
    config = read(tmp_path, text + ("" if "~" in written else f"kubeflow: {{data_path: '{weights}'}}\n"))
    models = f"{home}/models"
    assert (config.data.path, config.trainer.weights) == (f"{models}/photos", f"{models}/w.h5")
    assert config.beam.shared_path == f"{models}/shared"
    assert config.kubeflow.data_path == (None if "~" in written else f"{models}/w.h5")
    assert load_config(None, [f"trainer.weights={weights}"], written.format("x")).data.path == f"{models}/x"
    assert load_config(None, [f"trainer.weights={weights}"]).trainer.weights == f"{models}/w.h5"


def test_variables_hold_in_addresses_and_in_what_is_extended(home, tmp_path, monkeypatch):
    monkeypatch.setenv("BUCKET", "photos-of-us")
    (home / "base.yaml").write_text("data: {path: 's3://$BUCKET/${BUCKET}x'}\n")
    config = read(tmp_path, "extends: ~/base.yaml\n")
    assert config.data.path == "s3://photos-of-us/photos-of-usx"
    assert read(tmp_path, "extends: $HOME/base.yaml\n") == config


def test_the_home_of_others_is_theirs(home):
    assert load_config(None, ["data.path=~root/photos"]).data.path == "/root/photos"
    with pytest.raises(InputError, match=r"data.path: there is no home ~nobody-of-this-name"):
        load_config(None, ["data.path=~nobody-of-this-name/x"])


@pytest.mark.parametrize("variable", ["$NOWHERE", "${NOWHERE}", "$EMPTY", "${}", "${NOWHERE:-/tmp}"])
@pytest.mark.parametrize("option", ["data.path", "trainer.weights", "beam.shared_path", "kubeflow.pipeline_root"])
def test_a_variable_that_is_not_set_is_named(home, tmp_path, monkeypatch, variable, option):
    monkeypatch.setenv("EMPTY", "")
    section, key = option.split(".")
    name = variable.strip("${}")
    expected = f"{option}: the environment variable '{name}', which {variable}/x names, is not set."
    with pytest.raises(InputError) as caught:
        read(tmp_path, f"{section}: {{{key}: '{variable}/x'}}")
    assert str(caught.value).startswith(f"{tmp_path}/my.yaml: {expected}\nSet it")
    with pytest.raises(InputError) as caught:
        load_config(None, [f"{option}={variable}/x"])
    assert str(caught.value).startswith(expected)


def test_names_with_dollars_and_waves_can_be_written(home, tmp_path):
    (tmp_path / "US$HOME").mkdir()
    (tmp_path / "~").mkdir()
    for written, expected in (
        *(("US$HOME", f"{tmp_path}/US$HOME"), ("~", f"{tmp_path}/~")),
        *(("a$$b", f"{tmp_path}/a$b"), ("cost 5$", f"{tmp_path}/cost 5$"), ("a~b", f"{tmp_path}/a~b")),
    ):
        assert read(tmp_path, f"data: {{path: '{written}'}}").data.path == expected


def test_texts_that_are_no_paths_stay_as_they_are(home):
    config = load_config(None, ["data.image_feature=$HOME", "beam.args=['--x=~', '$NOWHERE']"])
    assert (config.data.image_feature, config.beam.args) == ("$HOME", ["--x=~", "$NOWHERE"])


def test_secrets_do_not_come_in_by_variables(home, monkeypatch):
    monkeypatch.setenv("LOGIN", "me:hunter2")
    with pytest.raises(InputError, match="without password") as caught:
        load_config(None, ["data.path=s3://$LOGIN@bucket/x"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("option", ["data_path", "weights", "workdir", "pipeline_root"])
def test_a_pod_has_no_home_of_this_machine(home, tmp_path, option):
    with pytest.raises(
        InputError, match=f"kubeflow.{option}: expected a path as it is in a pod, found ~/x.*\nA pod has"
    ):
        read(tmp_path, f"kubeflow: {{{option}: ~/x}}")


@pytest.mark.parametrize("option", ["data.path=~/photos", "trainer.weights=~/models/w.h5", "beam.shared_path=~/shared"])
def test_a_home_does_not_get_into_what_is_compiled(home, tmp_path, option):
    given = ["kubeflow.image=i:1", "kubeflow.pipeline_root=s3://b/r", "kubeflow.volumes=[{claim: c, mount_path: /mnt}]"]
    given += ["kubeflow.workdir=/mnt/w", "data.path=/mnt/photos", option]
    (tmp_path / "my.yaml").write_text("name: pets\n")
    settings = [word for setting in given for word in ("--set", setting)]
    result = CliRunner().invoke(app, ["compile", "my.yaml", "--output", "pipeline.yaml", *settings])
    assert f"{option.partition('=')[0]}: {home}" in str(result.exception)
    assert "is a path of this machine" in str(result.exception)
    assert not (tmp_path / "pipeline.yaml").exists()


def test_homes_behind_options_are_written_out(home, tmp_path):
    from tests import pictures

    pictures.write_tree(home / "photos", {"cats": 2, "dogs": 2})
    (tmp_path / "my.yaml").write_text("name: pets\n")
    for words in (["~/photos"], ["my.yaml", "--data=~/photos"], ["my.yaml", "--data", "$HOME/photos"]):
        result = CliRunner().invoke(app, ["check", *words, "--json"], catch_exceptions=False)
        assert json.loads(result.stdout)["found"] == 4
