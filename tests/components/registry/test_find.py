"""Versions in a serving directory: listed, found by words, and the one that holds a model already."""

import json
import shutil
from types import SimpleNamespace

import pytest

from components.errors import InputError
from components.registry import versions
from components.registry.change import promote, rollback
from components.registry.find import (
    class_names,
    crop_target,
    find_model,
    find_version_of,
    list_models,
    serving_dir,
    why_not_served,
    why_push_again,
)


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


def test_the_served_version_or_one_that_was_taken_back_holds_a_run(push, serving):
    first, second = push("a"), push("b")
    assert find_version_of(serving, "b") == second
    assert find_version_of(serving, "a") is None, "it was replaced in the ordinary way: a run may push it again"
    rollback(serving)
    assert find_version_of(serving, "a") == first
    assert find_version_of(serving, "b") == second
    promote(serving, str(second))
    assert find_version_of(serving, "a") is None
    shutil.rmtree(serving / str(first))
    assert find_version_of(serving, "c") is None


def test_nothing_holds_a_run_before_the_first_push(serving):
    assert find_version_of(serving, "a") is None


def test_why_a_model_is_not_served_is_said_with_what_to_do(push, serving):
    first, second = push("a"), push("b")
    rollback(serving)
    said = why_not_served(serving, second)
    assert said.startswith(f"version {second} holds this very model and was taken back by rollback on 20")
    assert said.endswith(f"not pushed again. To serve it: graft models promote {serving} {second}")
    assert "is not the newest push" in why_not_served(serving, first)


@pytest.mark.parametrize(
    ("pushed", "there", "whole", "why"),
    [
        (1, True, True, ""),
        (1, False, True, "version 7, which an earlier run pushed, is gone"),
        (0, False, True, ""),
        (1, True, False, "version 1764000000 is not as it was pushed (changed: saved_model.pb)"),
    ],
)
def test_a_version_that_somebody_removed_or_damaged_is_pushed_again(push, serving, pushed, there, whole, why):
    number = push("a")
    destination = "" if not pushed else str(serving / str(number if there else 7))
    if not whole:
        (serving / str(number) / "saved_model.pb").write_bytes(b"grapf")
    properties = {
        "pushed": SimpleNamespace(int_value=pushed),
        "pushed_destination": SimpleNamespace(string_value=destination),
    }
    assert why_push_again(SimpleNamespace(custom_properties=properties), serving) == why
