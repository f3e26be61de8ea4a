"""A version is published complete or not at all, under a number that only grows, and is served since."""

import errno
import json
import os
import resource
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract import features
from components.errors import InputError
from components.files.digests import digest_of
from components.registry import pointer, publish, verify, versions
from components.registry.card.fields import PERSON_FIELDS
from components.registry.publish import Published, next_version, publish_model
from components.registry.staging import PARTIAL_PREFIX
from tests.components.registry.models import METRICS, PASSPORT, make_model

KEYS = ("k1", "k2", "k3", "k4")


def set_clock(monkeypatch, seconds):
    monkeypatch.setattr(publish.time, "time", lambda: float(seconds))


def push(tmp_path, serving, key, data=None):
    """Pushes the model of a key: the same key is the same model."""
    folder = tmp_path / key
    return publish_model(str(folder if folder.exists() else make_model(folder, key)), serving, of_key(key), data)


def of_key(key):
    return {**PASSPORT, "model_key": key}


def go_back(serving, version, by="rollback"):
    pointer.record(serving, pointer.make_event(version, by), "pets")


def test_a_pushed_version_is_the_model_its_data_and_its_passport(model, data, serving, monkeypatch):
    set_clock(monkeypatch, 1764000000)
    assert publish_model(str(model), serving, PASSPORT, data) == Published(1764000000, "pushed")
    pushed = serving / "1764000000"
    for path in model.rglob("*"):
        if path.is_file():
            assert (pushed / path.relative_to(model)).read_bytes() == path.read_bytes()
    assert (pushed / "assets.extra" / "statistics" / "Split-eval" / "FeatureStats.pb").read_bytes() == b"eval"
    passport = versions.read_passport(pushed)
    assert passport["version"] == 1764000000
    assert passport["metrics"] == METRICS
    files = {p.relative_to(pushed).as_posix() for p in pushed.rglob("*") if p.is_file()}
    assert set(passport["files"]) == files - {versions.PASSPORT_FILE}
    assert {path.name for path in serving.iterdir()} == {"1764000000", pointer.POINTER_FILE, pointer.LOCK_FILE}


def test_a_version_has_the_answers_that_the_evaluator_kept_and_its_passport_their_digest(model, data, serving):
    Path(data.evaluation, features.ANSWERS_FILE).write_bytes(b"answers")
    pushed = serving / str(publish_model(str(model), serving, PASSPORT, data).version)
    assert (pushed / "assets.extra" / "answers.parquet").read_bytes() == b"answers"
    recorded = versions.read_passport(pushed)["files"]["assets.extra/answers.parquet"]
    assert recorded == digest_of(pushed / "assets.extra" / "answers.parquet")
    assert verify.verify_version(serving, int(pushed.name)).clean


@pytest.mark.parametrize("evaluated", [True, False])
def test_a_version_without_kept_answers_has_no_file_of_them(model, data, serving, evaluated):
    data = data if evaluated else replace(data, evaluation="")
    pushed = serving / str(publish_model(str(model), serving, PASSPORT, data).version)
    assert not (pushed / "assets.extra" / "answers.parquet").exists()


def test_a_push_is_served_since_and_says_so(model, serving):
    version = publish_model(str(model), serving, PASSPORT).version
    assert versions.served_version(serving) == version
    (event,) = pointer.read_pointer(serving).history
    assert (event.version, event.by) == (version, "push")
    assert 'name: "pets"\n    base_path: "/models/pets"' in (serving / pointer.POINTER_FILE).read_text()


def test_versions_grow_even_when_the_clock_steps_back(tmp_path, serving, monkeypatch):
    set_clock(monkeypatch, 1764000000)
    push(tmp_path, serving, "k1")
    set_clock(monkeypatch, 1000)
    assert [push(tmp_path, serving, key).version for key in ("k2", "k3")] == [1764000001, 1764000002]
    shutil.rmtree(serving / "1764000002")
    (serving / "1764000005").mkdir()
    go_back(serving, 1764000001)
    assert push(tmp_path, serving, "k4").version == 1764000006


def test_the_number_of_a_pruned_version_is_never_used_again(tmp_path, serving, monkeypatch):
    set_clock(monkeypatch, 2000)
    push(tmp_path, serving, "k1")
    push(tmp_path, serving, "k2")
    go_back(serving, 2000)
    shutil.rmtree(serving / "2001")
    assert push(tmp_path, serving, "k3").version == 2002


@given(st.lists(st.integers(1, 2**40)), st.integers(1, 2**40))
def test_the_next_version_is_always_the_highest(taken, now):
    assert next_version(taken, now) >= now
    assert all(next_version(taken, now) > number for number in taken)


def test_a_number_that_another_machine_took_meanwhile_is_left_to_it(tmp_path, serving, monkeypatch):
    set_clock(monkeypatch, 5000)
    serving.mkdir(parents=True)
    make_model(serving / "5000", "theirs")
    monkeypatch.setattr(versions, "list_numbers", lambda _: [])
    assert push(tmp_path, serving, "k1").version == 5001
    assert (serving / "5000" / "variables" / "variables.index").read_bytes() == b"theirs"


def test_the_same_model_is_not_pushed_twice(tmp_path, serving):
    first = push(tmp_path, serving, "k1")
    assert push(tmp_path, serving, "k1") == Published(first.version, "unchanged")
    assert versions.list_versions(serving) == [first.version]


def test_the_model_of_a_damaged_version_is_pushed_anew(tmp_path, serving):
    first = push(tmp_path, serving, "k1").version
    (serving / str(first) / "variables" / "variables.index").write_bytes(b"k7")
    second = push(tmp_path, serving, "k1")
    assert second.how == "pushed"
    assert versions.served_version(serving) == second.version > first
    assert push(tmp_path, serving, "k1") == Published(second.version, "unchanged")


@pytest.mark.parametrize("change", ["other weights", "other key"])
def test_a_model_that_differs_in_anything_is_pushed(model, tmp_path, serving, change):
    publish_model(str(model), serving, PASSPORT)
    other = make_model(tmp_path / "other", "w2") if change == "other weights" else model
    passport = {**PASSPORT, "model_key": "k2"} if change == "other key" else PASSPORT
    assert publish_model(str(other), serving, passport).how == "pushed"
    assert len(versions.list_versions(serving)) == 2


def test_a_model_that_was_replaced_in_the_ordinary_way_may_be_pushed_again(tmp_path, serving):
    pushed = [push(tmp_path, serving, key) for key in ("k1", "k2", "k1")]
    assert [one.how for one in pushed] == ["pushed"] * 3
    assert versions.served_version(serving) == pushed[-1].version > pushed[0].version


def test_a_model_that_was_taken_back_is_not_pushed_again(tmp_path, serving):
    first, second = (push(tmp_path, serving, key).version for key in ("k1", "k2"))
    go_back(serving, first)
    assert push(tmp_path, serving, "k2") == Published(second, "set_aside")
    assert versions.served_version(serving) == first
    assert push(tmp_path, serving, "k1") == Published(first, "unchanged")


def test_rollback_then_promote_then_a_new_push(tmp_path, serving):
    first, second = (push(tmp_path, serving, key).version for key in ("k1", "k2"))
    go_back(serving, first)
    go_back(serving, second, "promote")
    third = push(tmp_path, serving, "k3")
    assert third.how == "pushed"
    assert versions.served_version(serving) == third.version
    assert versions.previous_version(serving) == second
    assert pointer.read_pointer(serving).stack == [first, second, third.version]


def test_a_version_whose_push_was_killed_before_it_was_served_is_served_by_the_next(tmp_path, serving, monkeypatch):
    push(tmp_path, serving, "k1")
    with monkeypatch.context() as patch:
        patch.setattr(pointer, "record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            push(tmp_path, serving, "k2")
    first, second = versions.list_versions(serving)
    assert versions.served_version(serving) == first
    assert push(tmp_path, serving, "k2") == Published(second, "pushed")
    assert versions.served_version(serving) == second


def test_a_directory_of_an_older_graft_gets_its_pointer(tmp_path, serving):
    """There every version was served after the one before it."""
    for number, key in ((7, "k1"), (9, "k2")):
        folder = make_model(serving / str(number), key)
        facts = json.loads((folder / "assets" / features.FACTS_ASSET).read_text("utf-8"))
        (folder / versions.PASSPORT_FILE).write_text(json.dumps({**of_key(key), "model": facts}), "utf-8")
    assert push(tmp_path, serving, "k2") == Published(9, "unchanged")
    assert pointer.read_pointer(serving).stack == [7, 9]
    push(tmp_path, serving, "k3")
    assert versions.previous_version(serving) == 9


def test_a_name_and_a_path_that_somebody_chose_are_kept(tmp_path, serving):
    push(tmp_path, serving, "k1")
    path = serving / pointer.POINTER_FILE
    path.write_text(path.read_text().replace("/models/pets", "/mnt/x").replace('"pets"', '"zoo"'))
    version = push(tmp_path, serving, "k2").version
    assert 'name: "zoo"\n    base_path: "/mnt/x"' in path.read_text()
    assert versions.served_version(serving) == version


def test_a_damaged_pointer_stops_a_push_with_what_to_do(tmp_path, serving):
    push(tmp_path, serving, "k1")
    (serving / pointer.POINTER_FILE).write_text("model_config_list {")
    with pytest.raises(InputError, match=r"models.config: expected a model server .*\n.*graft models promote"):
        push(tmp_path, serving, "k2")
    assert len(versions.list_versions(serving)) == 1


@pytest.mark.parametrize("missing", [features.DATASET_FILE, features.MANIFEST_FILE])
def test_a_version_without_its_data_is_not_served(model, tmp_path, serving, data, missing):
    path = tmp_path / "data" / "manifest" / missing
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        publish_model(str(model), serving, PASSPORT, data)
    assert versions.list_versions(serving) == []
    path.write_bytes(content)
    publish_model(str(model), serving, PASSPORT, data)
    assert len(versions.list_versions(serving)) == 1


def test_pushes_at_once_are_all_complete_under_distinct_numbers(tmp_path, serving):
    keys = [f"key-{number}" for number in range(6)]
    together = threading.Barrier(len(keys))

    def push_one(key):
        together.wait()
        return push(tmp_path, serving, key).version

    with ThreadPoolExecutor(len(keys)) as pool:
        pushed = list(pool.map(push_one, keys))
    assert sorted(pushed) == versions.list_versions(serving)
    assert [versions.read_passport(serving / str(number))["model_key"] for number in pushed] == keys
    assert {event.version for event in pointer.read_pointer(serving).history} == set(pushed)
    assert versions.served_version(serving) == max(pushed)


@pytest.mark.parametrize("room", [0, 1000, 120_000, 200_000])
def test_a_full_disk_leaves_nothing_that_a_server_would_load(tmp_path, serving, room):
    """The system's own limit on the size of a file: a write beyond fails as on a full disk."""
    first = push(tmp_path, serving, "k1").version
    big = make_model(tmp_path / "big", "big!", 210_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write a version into .*: .*File too large"):
            publish_model(str(big), serving, of_key("big"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert versions.list_versions(serving) == [first] == [versions.served_version(serving)]
    assert not list(serving.glob(f"{PARTIAL_PREFIX}*"))
    assert publish_model(str(big), serving, of_key("big")).how == "pushed"


def test_other_errors_of_the_system_are_not_called_a_full_disk(model, serving, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="Input/output error"):
        publish_model(str(model), serving, PASSPORT)
    assert versions.list_versions(serving) == []


def test_a_push_does_not_hold_the_lock_while_it_copies(tmp_path, serving, monkeypatch):
    """A rollback must not wait for the copy of a large model."""
    push(tmp_path, serving, "k1")
    copy_tree, free = publish.copy_tree, []

    def look(source, target):
        with pointer.locked(serving):
            free.append(time.monotonic())
        return copy_tree(source, target)

    monkeypatch.setattr(publish, "copy_tree", look)
    push(tmp_path, serving, "k2")
    assert free


def with_card(key, **card):
    """The passport of a key whose configuration says something in `card:`; without, as before there were cards."""
    options = {"license": None, "tags": [], **card}
    return {**of_key(key), "config": {"card": options} if card else {}}


def push_card(tmp_path, serving, key, **card):
    folder = tmp_path / key
    model = folder if folder.exists() else make_model(folder, key)
    return publish_model(str(model), serving, with_card(key, **card))


def read_card(serving, version):
    return (serving / str(version) / features.CARD_FILE).read_text("utf-8")


def test_a_version_holds_its_card_and_the_passport_its_digest(model, data, serving):
    version = publish_model(str(model), serving, PASSPORT, data).version
    path, passport = serving / str(version) / features.CARD_FILE, versions.read_passport(serving / str(version))
    assert passport["files"][features.CARD_FILE] == digest_of(path)
    assert passport["card"] == {"fields": len(PERSON_FIELDS), "open": list(PERSON_FIELDS)}
    assert f"version {version}, made on {passport['created']}" in path.read_text("utf-8")
    assert "2 processors (A Processor)" in path.read_text("utf-8")
    assert verify.verify_version(serving, version).clean
    path.write_text("better")
    assert verify.verify_version(serving, version).changed == [features.CARD_FILE]


def test_another_card_makes_another_version_of_the_same_model_once(tmp_path, serving):
    first = push_card(tmp_path, serving, "k1")
    second = push_card(tmp_path, serving, "k1", license="mit")
    assert second.how == "card"
    assert versions.served_version(serving) == second.version > first.version
    assert "| Licence of the model | mit |" in read_card(serving, second.version)
    assert f"| the very model of version | {first.version}, with another card |" in read_card(serving, second.version)
    assert "**open**: `card.license`" in read_card(serving, first.version)
    assert push_card(tmp_path, serving, "k1", license="mit") == Published(second.version, "unchanged")
    assert versions.previous_version(serving) == first.version


def test_a_version_from_before_cards_is_the_same_where_nobody_says_anything(tmp_path, serving):
    first = push(tmp_path, serving, "k1")
    assert push_card(tmp_path, serving, "k1", license=None, tags=[]) == Published(first.version, "unchanged")
    assert push_card(tmp_path, serving, "k1", license="mit").how == "card"


def test_a_card_does_not_bring_back_a_model_that_was_taken_back(tmp_path, serving):
    first, second = push_card(tmp_path, serving, "k1"), push_card(tmp_path, serving, "k2")
    go_back(serving, first.version)
    assert push_card(tmp_path, serving, "k2", license="mit") == Published(second.version, "set_aside")
    assert versions.served_version(serving) == first.version


def test_a_card_that_was_taken_back_is_not_pushed_again_but_another_one_is(tmp_path, serving):
    first, second = push_card(tmp_path, serving, "k1"), push_card(tmp_path, serving, "k1", license="mit")
    go_back(serving, first.version)
    assert push_card(tmp_path, serving, "k1", license="mit") == Published(second.version, "set_aside")
    third = push_card(tmp_path, serving, "k1", license="bsd")
    assert third.how == "card"
    assert versions.served_version(serving) == third.version


def test_a_card_whose_push_was_killed_before_it_was_served_is_served_by_the_next(tmp_path, serving, monkeypatch):
    push_card(tmp_path, serving, "k1")
    with monkeypatch.context() as patch:
        patch.setattr(pointer, "record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            push_card(tmp_path, serving, "k1", license="mit")
    newest = versions.list_versions(serving)[-1]
    assert push_card(tmp_path, serving, "k1", license="mit") == Published(newest, "pushed")
    assert versions.served_version(serving) == newest
