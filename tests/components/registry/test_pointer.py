"""Which version is served: a file that TensorFlow Serving reads, and what was served before."""

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config import model_server_config_pb2

from components.errors import InputError
from components.registry import pointer
from components.registry.pointer import POINTER_FILE, Event, Pointer, make_event, read_pointer, record


def history(*steps):
    return tuple(Event(version, by) for by, version in steps)


def as_the_server_reads(serving):
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((serving / POINTER_FILE).read_text("utf-8"), config)
    (model,) = config.model_config_list.config
    return model


def test_a_server_reads_one_version_and_no_label(tmp_path):
    """A label that moves to a version that is not loaded yet makes the server refuse the whole file."""
    record(tmp_path, make_event(41, "push"), "pets")
    record(tmp_path, make_event(42, "push"), "pets")
    model = as_the_server_reads(tmp_path)
    assert (model.name, model.base_path, model.model_platform) == ("pets", "/models/pets", "tensorflow")
    assert list(model.model_version_policy.specific.versions) == [42]
    assert not model.version_labels
    assert [path.name for path in tmp_path.iterdir()] == [POINTER_FILE]


def test_what_is_written_is_read(tmp_path):
    assert read_pointer(tmp_path) is None
    events = [make_event(41, "push", "ab" * 32), make_event(42, "push"), make_event(41, "rollback")]
    for event in events:
        record(tmp_path, event, "pets")
    assert read_pointer(tmp_path) == Pointer(41, tuple(events))
    assert events[0].at.endswith("Z")
    assert "@" in events[0].who


def test_a_prune_changes_nothing_of_what_is_served(tmp_path):
    record(tmp_path, make_event(41, "push"), "pets")
    record(tmp_path, make_event(42, "push"), "pets")
    record(tmp_path, make_event(41, "prune"), "pets")
    assert read_pointer(tmp_path).version == 42
    assert read_pointer(tmp_path).stack == [42]


@pytest.mark.parametrize(
    ("steps", "stack", "aside"),
    [
        ([("push", 1), ("push", 2), ("push", 3)], [1, 2, 3], []),
        ([("push", 1), ("push", 2), ("push", 3), ("rollback", 2)], [1, 2], [3]),
        ([("push", 1), ("push", 2), ("push", 3), ("rollback", 2), ("rollback", 1)], [1], [2, 3]),
        ([("push", 1), ("push", 2), ("push", 3), ("rollback", 1)], [1], [2, 3]),
        ([("push", 1), ("push", 2), ("rollback", 1), ("promote", 2)], [1, 2], []),
        ([("push", 1), ("push", 2), ("rollback", 1), ("push", 3)], [1, 3], [2]),
        ([("push", 1), ("push", 2), ("promote", 1)], [1, 2, 1], [2]),
        ([("push", 1), ("push", 2), ("promote", 1), ("rollback", 2)], [1, 2], [1]),
        ([("push", 1), ("push", 2), ("promote", 2)], [1, 2], []),
        ([("push", 1), ("push", 2), ("push", 3), ("prune", 2)], [1, 3], []),
        ([("rollback", 7)], [7], []),
    ],
)
def test_a_rollback_goes_back_through_what_was_served(steps, stack, aside):
    found = Pointer(stack[-1], history(*steps))
    assert found.stack == stack
    assert sorted(found.set_aside) == aside


def test_a_version_that_was_written_by_hand_is_on_top():
    assert Pointer(9, history(("push", 1), ("push", 2))).stack == [1, 2, 9]


@given(st.lists(st.tuples(st.sampled_from(["push", "promote", "rollback", "prune"]), st.integers(1, 5)), min_size=1))
def test_the_served_version_is_always_on_top_and_never_set_aside(steps):
    """Whatever happened before, and whatever else was pruned since."""
    by, served = next(((by, version) for by, version in reversed(steps) if by != "prune"), ("push", 6))
    found = Pointer(served, history(*steps, (by, served)))
    assert found.stack[-1] == served
    assert served not in found.set_aside
    assert all(before != after for before, after in zip(found.stack, found.stack[1:], strict=False))


@pytest.mark.parametrize(
    ("policy", "version"),
    [
        ("", None),
        ("model_version_policy { latest { num_versions: 2 } }", None),
        ("model_version_policy { all {} }", None),
        ("model_version_policy { specific { versions: 3 versions: 5 versions: 4 } }", 5),
    ],
)
def test_a_policy_that_somebody_wrote_means_what_the_server_makes_of_it(tmp_path, policy, version):
    (tmp_path / POINTER_FILE).write_text(f'model_config_list {{ config {{ name: "x" {policy} }} }}')
    assert read_pointer(tmp_path) == Pointer(version)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"model_config_list {", "Expected"),
        (b"", "0 models"),
        (b'model_config_list { config { name: "a" } config { name: "b" } }', "2 models"),
        (b"\xff\xfe", "can't decode"),
        (b'# event {"version": 1}\nmodel_config_list { config { name: "a" } }', "a damaged line '# event': .*'by'"),
        (b'# event {"ver\nmodel_config_list { config { name: "a" } }', "a damaged line '# event'"),
    ],
)
def test_a_damaged_pointer_is_refused_with_what_to_do(tmp_path, content, found):
    (tmp_path / POINTER_FILE).write_bytes(content)
    with pytest.raises(InputError, match=rf"expected a model server configuration .*{found}.*\n.*graft models promote"):
        read_pointer(tmp_path)


def test_a_pointer_that_cannot_be_written_is_as_it_was(tmp_path, monkeypatch):
    record(tmp_path, make_event(41, "push"), "pets")
    before = (tmp_path / POINTER_FILE).read_bytes()
    monkeypatch.setattr(pointer.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        record(tmp_path, make_event(42, "push"), "pets")
    assert (tmp_path / POINTER_FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [POINTER_FILE]


def test_the_history_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(pointer, "EVENTS_KEPT", 3)
    for version in range(1, 6):
        record(tmp_path, make_event(version, "push"), "pets")
    assert read_pointer(tmp_path).stack == [3, 4, 5]
