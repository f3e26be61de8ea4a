"""A version is published complete or not at all, under a number that only grows."""

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tfx.dsl.components.base import base_executor
from tfx.types import standard_artifacts

from components import features, pusher, versions
from components.pusher import LOCK_FILE, PARTIAL_PREFIX, Executor, next_version, publish_model
from tests.conftest import artifact

PASSPORT = {"schema": 1, "name": "pets", "model_key": "k1", "parent": None}


def make_model(folder, weights="w1"):
    (folder / "assets").mkdir(parents=True)
    (folder / "variables").mkdir()
    (folder / versions.SAVED_MODEL_FILE).write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(weights.encode())
    facts = {"classes": ["cats", "été"], "weights_sha256": weights}
    (folder / "assets" / features.FACTS_ASSET).write_text(json.dumps(facts), "utf-8")
    return folder


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


@pytest.fixture
def serving(tmp_path):
    return tmp_path / "deep" / "serving"


def set_clock(monkeypatch, seconds):
    monkeypatch.setattr(time, "time", lambda: float(seconds))


def test_a_pushed_version_is_the_model_and_its_passport(model, serving, monkeypatch):
    set_clock(monkeypatch, 1764000000)
    pushed = publish_model(model, serving, PASSPORT)
    assert pushed == serving / "1764000000"
    for path in model.rglob("*"):
        if path.is_file():
            assert (pushed / path.relative_to(model)).read_bytes() == path.read_bytes()
    passport = versions.read_passport(pushed)
    assert passport.pop("created").endswith("Z")
    facts = json.loads((model / "assets" / features.FACTS_ASSET).read_text("utf-8"))
    assert passport == {**PASSPORT, "version": 1764000000, "model": facts}
    assert [path.name for path in serving.iterdir() if path.name != LOCK_FILE] == ["1764000000"]


def test_versions_grow_even_when_the_clock_steps_back(model, tmp_path, serving, monkeypatch):
    set_clock(monkeypatch, 1764000000)
    publish_model(model, serving, PASSPORT)
    set_clock(monkeypatch, 1000)
    second = publish_model(make_model(tmp_path / "b", "w2"), serving, {**PASSPORT, "model_key": "k2"})
    third = publish_model(make_model(tmp_path / "c", "w3"), serving, {**PASSPORT, "model_key": "k3"})
    assert [int(second.name), int(third.name)] == [1764000001, 1764000002]


@given(st.lists(st.integers(1, 2**40), unique=True).map(sorted), st.integers(1, 2**40))
def test_the_next_version_is_always_the_highest(existing, now):
    assert next_version(existing, now) >= now
    assert all(next_version(existing, now) > number for number in existing)


def test_the_same_model_is_not_pushed_twice(model, serving, monkeypatch):
    set_clock(monkeypatch, 1764000000)
    first = publish_model(model, serving, PASSPORT)
    set_clock(monkeypatch, 1764000999)
    assert publish_model(model, serving, PASSPORT) == first
    assert versions.list_versions(serving) == [1764000000]


@pytest.mark.parametrize("change", ["other weights", "other key"])
def test_a_model_that_differs_in_anything_is_pushed(model, tmp_path, serving, monkeypatch, change):
    set_clock(monkeypatch, 1764000000)
    publish_model(model, serving, PASSPORT)
    other = make_model(tmp_path / "other", "w2") if change == "other weights" else model
    passport = {**PASSPORT, "model_key": "k2"} if change == "other key" else PASSPORT
    assert publish_model(other, serving, passport).name == "1764000001"


def test_an_older_model_may_be_pushed_again(model, tmp_path, serving):
    publish_model(model, serving, PASSPORT)
    publish_model(make_model(tmp_path / "other", "w2"), serving, {**PASSPORT, "model_key": "k2"})
    publish_model(model, serving, PASSPORT)
    assert len(versions.list_versions(serving)) == 3


def test_what_a_killed_push_left_is_removed(model, serving):
    leftover = serving / f"{PARTIAL_PREFIX}1763000000"
    make_model(leftover)
    pushed = publish_model(model, serving, PASSPORT)
    assert not leftover.exists()
    assert versions.list_versions(serving) == [int(pushed.name)]


def test_nothing_half_there_is_ever_served(model, serving, monkeypatch):
    copytree = shutil.copytree

    def fail_halfway(source, target):
        copytree(Path(source) / "assets", Path(target) / "assets")
        (Path(target) / versions.SAVED_MODEL_FILE).write_bytes(b"gra")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pusher.shutil, "copytree", fail_halfway)
    with pytest.raises(OSError, match="No space left"):
        publish_model(model, serving, PASSPORT)
    assert versions.list_versions(serving) == []
    monkeypatch.undo()
    publish_model(model, serving, PASSPORT)
    assert len(versions.list_versions(serving)) == 1
    assert not list(serving.glob(f"{PARTIAL_PREFIX}*"))


def test_pushes_at_once_wait_for_each_other(tmp_path, serving):
    keys = [f"key-{number}" for number in range(6)]
    models = [make_model(tmp_path / key, key) for key in keys]
    together = threading.Barrier(len(keys))

    def push(model):
        together.wait()
        return publish_model(model, serving, {**PASSPORT, "model_key": model.name})

    with ThreadPoolExecutor(len(keys)) as pool:
        pushed = list(pool.map(push, models))
    assert sorted(int(path.name) for path in pushed) == versions.list_versions(serving)
    assert [versions.read_passport(path)["model_key"] for path in pushed] == keys


def execute(tmp_path, model, serving, quality, servability):
    candidate = tmp_path / "artifact"
    shutil.copytree(model, candidate / "Format-Serving")
    pushed = artifact(standard_artifacts.PushedModel, tmp_path / "pushed")
    inputs = {
        "model": [artifact(standard_artifacts.Model, candidate)],
        "model_blessing": [artifact(standard_artifacts.ModelBlessing, tmp_path / "b", blessed=quality)],
        "infra_blessing": [artifact(standard_artifacts.InfraBlessing, tmp_path / "i", blessed=servability)],
    }
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / ("INFRA_BLESSED" if servability else "INFRA_NOT_BLESSED")).touch()
    custom = json.dumps({"serving_dir": str(serving), "passport": PASSPORT})
    Executor(base_executor.BaseExecutor.Context()).Do(inputs, {"pushed_model": [pushed]}, {"custom_config": custom})
    return pushed


def test_a_blessed_model_is_pushed_and_recorded(tmp_path, model, serving, said):
    pushed = execute(tmp_path, model, serving, 1, 1)
    (version,) = versions.list_versions(serving)
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_destination") == str(serving / str(version))
    assert said() == [f"version {version}"]


@pytest.mark.parametrize(("quality", "servability"), [(0, 1), (1, 0), (0, 0)])
def test_a_model_that_a_gate_refused_is_not_pushed(tmp_path, model, serving, said, quality, servability):
    pushed = execute(tmp_path, model, serving, quality, servability)
    assert pushed.get_int_custom_property("pushed") == 0
    assert versions.list_versions(serving) == []
    assert said() == ["not pushed: a gate said no"]
