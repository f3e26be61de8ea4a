"""What is served, and what is kept."""

import os

import pytest

from components.errors import InputError
from components.registry import pointer, versions
from components.registry.change import ServingChange, promote, prune, rollback


def test_a_rollback_serves_what_was_served_before_and_once_more_goes_further_back(push, serving):
    first, second, third = push("a"), push("b"), push("c")
    assert rollback(serving) == ServingChange(third, second)
    assert rollback(serving) == ServingChange(second, first)
    assert versions.served_version(serving) == first
    with pytest.raises(InputError, match=rf"was served before {first} and is still there; found none.\n.*promote"):
        rollback(serving)
    assert versions.served_version(serving) == first


def test_promote_serves_any_version_and_a_rollback_takes_it_back(push, serving):
    first, second, third = push("a"), push("b"), push("c")
    assert promote(serving, str(first)) == ServingChange(third, first)
    assert versions.served_version(serving) == first
    assert rollback(serving) == ServingChange(first, third)
    assert promote(serving, "previous") == ServingChange(third, second)


def test_promoting_what_is_served_changes_nothing(push, serving):
    push("a")
    second = push("b")
    before = (serving / pointer.POINTER_FILE).read_bytes()
    assert promote(serving, "served") == ServingChange(second, second)
    assert (serving / pointer.POINTER_FILE).read_bytes() == before


def test_a_directory_without_a_pointer_can_be_rolled_back(push, serving):
    first, second = push("a"), push("b")
    (serving / pointer.POINTER_FILE).unlink()
    assert rollback(serving) == ServingChange(second, first)
    assert pointer.read_pointer(serving).stack == [first]
    (serving / pointer.POINTER_FILE).unlink()
    assert promote(serving, str(second)) == ServingChange(second, second)
    assert pointer.read_pointer(serving).version == second


@pytest.mark.parametrize("broken", ["damaged", "gone"])
def test_promote_mends_a_pointer(push, serving, broken):
    first, second = push("a"), push("b")
    path = serving / pointer.POINTER_FILE
    path.write_text("?" if broken == "damaged" else path.read_text().replace(f"versions: {second}", "versions: 7"))
    with pytest.raises(InputError, match="graft models promote"):
        versions.served_version(serving)
    assert promote(serving, str(second)) == ServingChange(None, second)
    assert versions.served_version(serving) == second
    assert versions.previous_version(serving) == first


@pytest.mark.parametrize(
    ("text", "message"),
    [("7", r"got '7'.*\nThere are 1764000000, and the words served"), ("newset", "Did you mean 'newest'")],
)
def test_a_version_that_is_not_there_is_refused_with_those_that_are(push, serving, text, message):
    push("a")
    with pytest.raises(InputError, match=message):
        promote(serving, text)


def test_prune_keeps_the_newest_the_served_the_previous_and_the_best(push, serving):
    numbers = [push(key, accuracy) for key, accuracy in zip("abcdef", (0.9, 0.99, 0.9, 0.9, 0.9, 0.9), strict=True)]
    promote(serving, str(numbers[3]))
    rollback(serving)
    rollback(serving)
    assert versions.served_version(serving) == numbers[4]
    pruned = prune(serving, 1)
    assert pruned.removed == [numbers[0], numbers[2]]
    assert pruned.protected == {
        numbers[1]: "it has the best accuracy",
        numbers[3]: "a rollback goes back to it",
        numbers[4]: "it is served",
    }
    assert versions.list_versions(serving) == pruned.kept == [numbers[1], *numbers[3:]]
    assert pruned.freed > 0
    assert prune(serving, 1, even_best=True).removed == [numbers[1]]
    assert prune(serving, 1).removed == []
    assert not list(serving.glob(".partial-*"))


def test_what_was_taken_back_from_the_served_version_stays(push, serving):
    first, second, third = (push(key, 0.9) for key in "abc")
    push("d", 0.9)
    for _ in range(3):
        rollback(serving)
    pruned = prune(serving, 1, even_best=True)
    assert pruned.removed == []
    assert pruned.protected[first] == "it is served"
    assert pruned.protected[second] == pruned.protected[third]
    assert pruned.protected[third] == "it was taken back: without it, a run might push its model again"


def test_what_is_pruned_is_not_rolled_back_to(push, serving):
    first, second, third, fourth = (push(key, 0.9) for key in "abcd")
    assert prune(serving, 1, even_best=True).removed == [first, second]
    assert pointer.read_pointer(serving).stack == [third, fourth]
    assert rollback(serving) == ServingChange(fourth, third)


def test_a_dry_run_removes_nothing(push, serving):
    numbers = [push(key, 0.9) for key in "abc"]
    before = (serving / pointer.POINTER_FILE).read_bytes()
    assert prune(serving, 1, even_best=True, dry_run=True).removed == [numbers[0]]
    assert versions.list_versions(serving) == numbers
    assert (serving / pointer.POINTER_FILE).read_bytes() == before


def test_a_folder_that_may_not_be_written_is_said(push, serving, monkeypatch):
    push("a")
    push("b")

    def refuse(*_):
        raise PermissionError(13, "Permission denied", "models.config")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InputError, match=r"Expected to change what is served in .*: \[Errno 13\] Permission denied"):
        rollback(serving)


@pytest.mark.parametrize("change", ["promote", "rollback"])
def test_a_damaged_version_is_not_served(push, serving, change):
    """A rollback is when things are bad already."""
    first, second = push("a"), push("b")
    (serving / str(first) / "variables" / "variables.index").write_bytes(b"?")
    message = rf"Version {first} in .* is not as it was pushed \(changed: variables/variables.index\): nothing was"
    with pytest.raises(InputError, match=message):
        promote(serving, str(first)) if change == "promote" else rollback(serving)
    assert versions.served_version(serving) == second
