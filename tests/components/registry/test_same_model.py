"""A run whose model was pushed before."""

import shutil
from types import SimpleNamespace

import pytest

from components.registry.change import promote, rollback
from components.registry.same_model import find_version_of, why_not_served, why_push_again


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
