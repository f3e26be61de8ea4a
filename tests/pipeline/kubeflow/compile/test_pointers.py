"""Scalars inside JSON inside strings."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kubeflow.compile.pointers import from_pointer, leaves, replace, to_pointer

NESTED = {
    "custom_config": json.dumps({"options": json.dumps({"epochs": 20, "rate": 0.5, "sizes": [1, 2]}), "parent": None}),
    "on": True,
    "text": "{no json",
}


def test_leaves_are_found_through_strings_that_hold_json():
    assert dict(leaves(NESTED)) == {
        ("custom_config", "options", "epochs"): 20,
        ("custom_config", "options", "rate"): 0.5,
        ("custom_config", "options", "sizes", "0"): 1,
        ("custom_config", "options", "sizes", "1"): 2,
        ("custom_config", "parent"): None,
        ("on",): True,
        ("text",): "{no json",
    }


@pytest.mark.parametrize(
    ("pointer", "text", "value"),
    [
        ("/custom_config/options/epochs", "5", 5),
        ("/custom_config/options/rate", "1e-3", 0.001),
        ("/custom_config/options/sizes/1", "7", 7),
        ("/custom_config/parent", "none", None),
        ("/custom_config/parent", "176", 176),
        ("/on", "false", False),
        ("/text", 'a "quoted" one', 'a "quoted" one'),
    ],
)
def test_one_is_replaced_with_the_type_it_had_and_the_others_stay(pointer, text, value):
    path = from_pointer(pointer)
    changed = replace(NESTED, path, text)
    assert dict(leaves(changed)) == {**dict(leaves(NESTED)), path: value}
    assert type(dict(leaves(changed))[path]) is type(value)
    assert isinstance(changed["custom_config"], str)


@pytest.mark.parametrize(("path", "error"), [(("absent",), KeyError), (("text", "x"), KeyError)])
def test_nothing_is_made_where_there_was_nothing(path, error):
    with pytest.raises(error):
        replace(NESTED, path, "1")


def test_a_word_is_no_number():
    with pytest.raises(ValueError, match="many"):
        replace(NESTED, ("custom_config", "options", "epochs"), "many")


@given(st.lists(st.text(), min_size=1))
def test_pointers_keep_every_name(parts):
    assert from_pointer(to_pointer(tuple(parts))) == tuple(parts)
