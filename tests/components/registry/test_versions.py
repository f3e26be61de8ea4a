"""The serving directory's layout."""

import json

import pytest

from components.errors import InputError
from components.registry import pointer, versions


def make_version(serving, name):
    folder = serving / name
    folder.mkdir(parents=True)
    (folder / versions.SAVED_MODEL_FILE).touch()
    return folder


def test_versions_are_counted_as_numbers(tmp_path):
    for name in ("9", "10", "1764000000"):
        make_version(tmp_path, name)
    assert versions.list_versions(tmp_path) == [9, 10, 1764000000]
    assert versions.served_version(tmp_path) == 1764000000


def test_what_is_no_complete_version_is_left_aside(tmp_path):
    make_version(tmp_path, "7")
    make_version(tmp_path, ".partial-8")
    make_version(tmp_path, "8-old")
    make_version(tmp_path, "-9")
    (tmp_path / "11").mkdir()
    (tmp_path / "12").touch()
    assert versions.list_versions(tmp_path) == [7]


@pytest.mark.parametrize("place", ["missing", "empty"])
def test_nothing_is_served_from_nowhere(tmp_path, place):
    (tmp_path / "empty").mkdir()
    assert versions.list_versions(tmp_path / place) == []
    assert versions.served_version(tmp_path / place) is None


def test_a_folder_named_by_a_digit_that_is_no_decimal_is_left_aside(tmp_path):
    make_version(tmp_path, "7")
    make_version(tmp_path, "²")
    assert versions.list_versions(tmp_path) == [7]


def test_a_model_of_others_has_no_passport(tmp_path):
    assert versions.read_passport(make_version(tmp_path, "7")) == {}


def test_a_passport_is_read_as_it_was_written(tmp_path):
    folder = make_version(tmp_path, "7")
    (folder / versions.PASSPORT_FILE).write_text(json.dumps({"name": "été", "parent": None}), "utf-8")
    assert versions.read_passport(folder) == {"name": "été", "parent": None}


def point_at(serving, *versions_):
    for number in versions_:
        pointer.record(serving, pointer.make_event(number, "push"), "pets")


def test_the_pointer_decides_what_is_served(tmp_path):
    for name in ("7", "8", "9"):
        make_version(tmp_path, name)
    point_at(tmp_path, 7, 8)
    assert versions.served_version(tmp_path) == 8
    assert versions.previous_version(tmp_path) == 7


def test_without_a_pointer_the_highest_was_served_after_the_others(tmp_path):
    for name in ("7", "8", "9"):
        make_version(tmp_path, name)
    assert versions.served_version(tmp_path) == 9
    assert versions.previous_version(tmp_path) == 8
    (tmp_path / pointer.POINTER_FILE).write_text('model_config_list { config { name: "x" } }')
    assert versions.served_version(tmp_path) == 9


def test_there_is_nothing_to_go_back_to_at_first(tmp_path):
    assert versions.previous_version(tmp_path) is None
    make_version(tmp_path, "7")
    point_at(tmp_path, 7)
    assert versions.previous_version(tmp_path) is None


def test_what_is_gone_is_no_version_to_go_back_to(tmp_path):
    for name in ("7", "9"):
        make_version(tmp_path, name)
    point_at(tmp_path, 7, 8, 9)
    assert versions.previous_version(tmp_path) == 7


@pytest.mark.parametrize("there", [[], ["7", "8"]])
def test_a_pointer_to_what_is_gone_is_refused_with_what_is_there(tmp_path, there):
    for name in there:
        make_version(tmp_path, name)
    point_at(tmp_path, 9)
    found = ", ".join(there) or "none"
    with pytest.raises(InputError, match=rf"version 9 is served, which is not there; found: {found}.\n.*promote"):
        versions.served_version(tmp_path)


def test_the_best_version_has_the_best_recorded_accuracy(tmp_path):
    assert versions.best_version(tmp_path) is None
    for name, accuracy in (("5", 0.9), ("6", 0.95), ("7", 0.95), ("8", 0.8), ("9", None)):
        metrics = {} if accuracy is None else {"metrics": {"accuracy": accuracy}}
        (make_version(tmp_path, name) / versions.PASSPORT_FILE).write_text(json.dumps(metrics))
    assert versions.best_version(tmp_path) == 7


def test_a_damaged_passport_is_refused_with_what_to_do(tmp_path):
    folder = make_version(tmp_path, "7")
    (folder / versions.PASSPORT_FILE).write_text('{"version": ')
    with pytest.raises(
        InputError, match=r"7/passport.json: expected a passport, found damaged content \(.*\n.*promote"
    ):
        versions.read_passport(folder)
