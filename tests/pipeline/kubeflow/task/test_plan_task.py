"""The task `Plan`: what a run depends on, found in a pod by the functions of `graft run`."""

import json

import pytest

from components.errors import GateRefused, InputError
from components.process.lines import library_versions
from pipeline.config.configuration import model_key
from pipeline.fingerprint import code_digest, node_fingerprints, source_fingerprints
from pipeline.kubeflow.task import plan_task
from pipeline.workdir import Workdir
from tests import pictures
from tests.pipeline.kubeflow.conftest import make_config


@pytest.fixture
def photos(tmp_path):
    """Two classes of ten pictures each."""
    for label, name in enumerate(("cats", "dogs")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(10):
            picture = pictures.noise(40, 50, 20 * label + number, 60 * label, 200)
            (folder / f"{number}.png").write_bytes(pictures.encode(picture, "png"))
    return tmp_path / "photos"


def run_task(tmp_path, photos, *more, config=None):
    arguments = {
        "--config": (config or make_config(data={"path": str(photos)})).to_json(),
        "--data_path": str(photos),
        "--workdir": str(tmp_path / "work"),
        "--code": code_digest(),
    }
    names = ("data_path", "data_fingerprint", "baseline", "best", "model_key")
    flat = [part for pair in arguments.items() for part in pair]
    plan_task.main([*flat, *more, *(f"--output={name}={tmp_path / 'out' / name}" for name in names)])
    return {name: (tmp_path / "out" / name).read_text("utf-8") for name in names}


def serve(tmp_path, version, **passport):
    folder = tmp_path / "work" / "serving" / str(version)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    (folder / "passport.json").write_text(json.dumps(passport), "utf-8")


def test_the_fingerprint_follows_the_content(tmp_path, photos, said):
    first = run_task(tmp_path, photos)
    assert first["baseline"] == "none"
    assert first["data_path"] == str(photos)
    assert "20 files" in said()[0]
    assert run_task(tmp_path, photos) == first
    picture = photos / "cats" / "0.png"
    picture.write_bytes(pictures.encode(pictures.noise(40, 50, 99, 0, 200), "png"))
    changed = run_task(tmp_path, photos)
    assert changed["data_fingerprint"] != first["data_fingerprint"]
    assert changed["model_key"] != first["model_key"]


def test_a_known_fingerprint_is_taken_at_its_word(tmp_path, photos):
    planned = run_task(tmp_path, tmp_path / "absent", "--data_fingerprint", "f" * 64)
    assert planned["data_fingerprint"] == "f" * 64


def test_the_served_version_is_the_baseline(tmp_path, photos):
    serve(tmp_path, 7, model_key="another")
    assert run_task(tmp_path, photos)["baseline"] == "7"


@pytest.mark.parametrize(("parent", "baseline"), [(5, "5"), (None, "none")])
def test_where_this_very_model_is_served_its_parent_is(tmp_path, photos, parent, baseline):
    key = run_task(tmp_path, photos)["model_key"]
    serve(tmp_path, 7, model_key=key, parent=parent)
    assert run_task(tmp_path, photos)["baseline"] == baseline


def test_an_option_of_this_run_decides_the_model(tmp_path, photos):
    planned = run_task(tmp_path, photos, "--set", "trainer.epochs=3")
    config = make_config(data={"path": str(photos)}, trainer={"epochs": 3})
    fingerprints = node_fingerprints(source_fingerprints(), library_versions())
    assert planned["model_key"] == model_key(config, planned["data_fingerprint"], fingerprints)
    assert planned["model_key"] != run_task(tmp_path, photos)["model_key"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("trainer.epochs=0", "trainer.epochs: Input should be greater"),
        ("trainer.epochs=x", "expected a number, got 'x'"),
    ],
)
def test_an_option_of_this_run_is_checked(tmp_path, photos, setting, words):
    with pytest.raises(InputError, match=words):
        run_task(tmp_path, photos, "--set", setting)


def test_an_embedded_sample_is_written_into_the_working_directory(tmp_path):
    planned = run_task(tmp_path, "sample:digits")
    assert planned["data_path"] == str(tmp_path / "work" / "sample" / "digits")


def test_unusable_data_is_refused_before_anything_is_written(tmp_path, photos):
    for path in list((photos / "cats").iterdir())[:5]:
        path.write_bytes(b"no picture")
    with pytest.raises(GateRefused) as error:
        run_task(tmp_path, photos)
    assert error.value.gate == "data"
    with pytest.raises(InputError, match="no data is given"):
        plan_task.make_plan(make_config(), Workdir(tmp_path), "", "", remembers=False)


def test_an_image_with_other_code_is_refused(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(plan_task, "code_digest", lambda: "0" * 16)
    with pytest.raises(InputError, match="found other code"):
        plan_task.check_pod(make_config(), "1" * 16, "")


def test_other_weights_than_compiled_are_refused():
    with pytest.raises(InputError, match=r"expected what the pipeline was compiled with \(sha256 aaaaaaaaaaaaaaaa\)"):
        plan_task.check_pod(make_config(), code_digest(), "a" * 64)


@pytest.mark.parametrize(("remember", "kept"), [("true", True), ("false", False)])
def test_files_are_remembered_only_where_a_volume_keeps_them(tmp_path, photos, remember, kept):
    run_task(tmp_path, photos, "--remember", remember)
    assert (tmp_path / "work" / "data.sqlite").exists() is kept
