"""What is in a serving directory."""

import json

import pytest

from components.errors import InputError
from components.registry import versions
from components.registry.find import class_names, crop_target, find_model, list_models, serving_dir


@pytest.fixture
def workdir(tmp_path):
    for number in (9, 10):
        folder = tmp_path / "serving" / str(number)
        (folder / "assets").mkdir(parents=True)
        (folder / versions.SAVED_MODEL_FILE).touch()
        (folder / versions.PASSPORT_FILE).write_text(json.dumps({"version": number}))
        (folder / "assets" / "labels.txt").write_text("cats\nété\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize("place", ["", "serving"])
def test_versions_are_listed_newest_first_and_the_served_one_is_marked(workdir, place):
    found = list_models(str(workdir / place))
    assert [(row.number, row.serving, row.passport) for row in found] == [
        (10, True, {"version": 10}),
        (9, False, {"version": 9}),
    ]
    assert found[0].path == workdir / "serving" / "10"


def test_a_model_of_others_has_no_passport(workdir):
    (workdir / "serving" / "9" / versions.PASSPORT_FILE).unlink()
    assert list_models(str(workdir))[1].passport == {}


@pytest.mark.parametrize("place", ["empty", "gone", "file"])
def test_a_place_without_versions_is_refused_with_what_to_do(tmp_path, place):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        serving_dir(str(tmp_path / place))
    text = str(caught.value)
    assert f"with pushed versions, found none in {tmp_path / place}.\nPush one first: graft run" in text


@pytest.mark.parametrize(
    ("place", "version"), [("", "10"), ("serving", "10"), ("serving/9", "9"), ("serving/10", "10")]
)
def test_a_model_is_found_from_wherever_one_points(workdir, place, version):
    assert find_model(str(workdir / place)) == workdir / "serving" / version


def test_a_model_that_is_not_there_is_refused(workdir):
    with pytest.raises(
        InputError, match=r"Expected a pushed model, found nothing at .*serving/8.\nGive serving/<version>"
    ):
        find_model(str(workdir / "serving" / "8"))
    (workdir / "serving" / "11").mkdir()
    with pytest.raises(InputError, match="found none in"):
        find_model(str(workdir / "serving" / "11"))


def test_class_names_are_those_of_the_export(workdir):
    assert class_names(workdir / "serving" / "9") == ["cats", "été"]
    (workdir / "serving" / "9" / "assets" / "labels.txt").unlink()
    with pytest.raises(InputError, match=r"9 is a SavedModel without assets/labels.txt: Graft did not make it"):
        class_names(workdir / "serving" / "9")


@pytest.mark.parametrize(
    ("facts", "target"),
    [
        ({"crop_to_aspect_ratio": True, "image_size": [96, 128]}, (96, 128)),
        ({"crop_to_aspect_ratio": False, "image_size": [96, 128]}, None),
        ({"image_size": [96, 128]}, None),
        (None, None),
    ],
)
def test_what_a_model_sees_of_an_image_is_among_its_facts(workdir, facts, target):
    model = workdir / "serving" / "9"
    if facts is not None:
        (model / "assets" / "graft.json").write_text(json.dumps(facts), "utf-8")
    assert crop_target(model) == target
