"""The serving directory's layout."""

import json

import pytest

from components import versions


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
