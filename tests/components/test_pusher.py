"""A version is published complete or not at all, under a number that only grows."""

import hashlib
import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts

from components import features, pusher, versions
from components.artifacts import DataVerdict, Manifest
from components.pusher import (
    LOCK_FILE,
    PARTIAL_PREFIX,
    Data,
    Executor,
    Pusher,
    describe_data,
    next_version,
    publish_model,
)
from tests.conftest import artifact

PASSPORT = {"schema": 1, "name": "pets", "model_key": "k1", "parent": None}
ROWS = [
    {"name": ".DS_Store", "ignored": "hidden"},
    {"name": "cats/é.jpg", "label": "cats", "split": "train", "sha256": "b" * 64},
    {"name": "cats/2.jpg", "label": "cats", "split": "eval", "sha256": "a" * 64},
    {"name": "cats/3.jpg", "label": "cats", "split": "train", "sha256": "c" * 64, "reason": "truncated"},
]


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


def make_data(folder, rows=ROWS):
    """What ImageExampleGen and StatisticsGen leave."""
    (folder / "manifest").mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "manifest" / features.MANIFEST_FILE).write_text(text, "utf-8")
    (folder / "manifest" / features.DATASET_FILE).write_text('{"train": 1, "eval": 1, "quarantined": 1, "found": 4}')
    for split in features.SPLITS:
        (folder / "statistics" / f"Split-{split}").mkdir(parents=True)
        (folder / "statistics" / f"Split-{split}" / features.STATISTICS_FILE).write_bytes(split.encode())
    return Data(folder / "manifest", folder / "statistics")


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data")


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


def test_a_pushed_version_holds_what_its_data_was(model, serving, data):
    pushed = publish_model(model, serving, PASSPORT, data)
    extra = pushed / "assets.extra"
    assert {path.relative_to(extra).as_posix() for path in extra.rglob("*") if path.is_file()} == {
        "dataset.json",
        "statistics/Split-train/FeatureStats.pb",
        "statistics/Split-eval/FeatureStats.pb",
    }
    assert (extra / "statistics" / "Split-eval" / "FeatureStats.pb").read_bytes() == b"eval"
    assert (extra / "dataset.json").read_bytes() == (data.manifest / features.DATASET_FILE).read_bytes()
    assert versions.read_passport(pushed)["dataset"] == {
        "train": 1,
        "eval": 1,
        "quarantined": 1,
        "manifest_sha256": hashlib.sha256((data.manifest / features.MANIFEST_FILE).read_bytes()).hexdigest(),
        "split_sha256": hashlib.sha256(f"{'a' * 64} eval\n{'b' * 64} train\n".encode()).hexdigest(),
    }


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "cats/other.jpg"}, True),
        ({"split": "eval"}, False),
        ({"sha256": "d" * 64}, False),
        ({"reason": "duplicate_of"}, False),
    ],
)
def test_the_split_digest_says_which_images_are_on_which_side(tmp_path, data, change, same):
    other = make_data(tmp_path / "other", [ROWS[0], {**ROWS[1], **change}, *ROWS[:1:-1]])
    before, after = describe_data(data.manifest), describe_data(other.manifest)
    assert before["manifest_sha256"] != after["manifest_sha256"]
    assert (before["split_sha256"] == after["split_sha256"]) is same


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


@pytest.mark.parametrize("missing", [features.DATASET_FILE, features.MANIFEST_FILE])
def test_a_version_without_its_data_is_not_served(model, serving, data, missing):
    content = (data.manifest / missing).read_bytes()
    (data.manifest / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        publish_model(model, serving, PASSPORT, data)
    assert versions.list_versions(serving) == []
    (data.manifest / missing).write_bytes(content)
    publish_model(model, serving, PASSPORT, data)
    assert len(versions.list_versions(serving)) == 1


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


def execute(tmp_path, model, serving, quality, servability, **verdicts):
    candidate = tmp_path / "artifact"
    shutil.copytree(model, candidate / "Format-Serving")
    pushed = artifact(standard_artifacts.PushedModel, tmp_path / "pushed")
    inputs = {
        "model": [artifact(standard_artifacts.Model, candidate)],
        "model_blessing": [artifact(standard_artifacts.ModelBlessing, tmp_path / "b", blessed=quality)],
        "infra_blessing": [artifact(standard_artifacts.InfraBlessing, tmp_path / "i", blessed=servability)],
        "manifest": [artifact(Manifest, tmp_path / "data" / "manifest")],
        "statistics": [artifact(standard_artifacts.ExampleStatistics, tmp_path / "data" / "statistics")],
        "evaluation": [artifact(standard_artifacts.ModelEvaluation, tmp_path / "e")],
        "data_verdict": [artifact(DataVerdict, tmp_path / "d")],
    }
    for folder, verdict in (("i", {}), ("e", {}), ("d", {}), *verdicts.items()):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / features.VERDICT_FILE).write_text(json.dumps(verdict))
    (tmp_path / "i" / ("INFRA_BLESSED" if servability else "INFRA_NOT_BLESSED")).touch()
    custom = json.dumps({"serving_dir": str(serving), "passport": PASSPORT})
    Executor(base_executor.BaseExecutor.Context()).Do(inputs, {"pushed_model": [pushed]}, {"custom_config": custom})
    return pushed


def test_a_blessed_model_is_pushed_and_recorded(tmp_path, model, serving, data, said):
    pushed = execute(tmp_path, model, serving, 1, 1)
    (version,) = versions.list_versions(serving)
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_destination") == str(serving / str(version))
    assert versions.read_passport(serving / str(version))["dataset"] == describe_data(data.manifest)
    assert said() == [f"version {version}"]


def test_an_override_that_a_gate_needed_is_in_the_passport(tmp_path, model, serving, data):
    override = {"gates": ["data", "quality"], "who": "ann@lab", "when": "2026-01-31T12:00:00Z", "reason": "why not"}
    execute(tmp_path, model, serving, 1, 1, e={"passed": False, "override": override}, d={"override": None})
    (version,) = versions.list_versions(serving)
    assert versions.read_passport(serving / str(version))["override"] == {**override, "gates": ["quality"]}


@pytest.mark.parametrize(("quality", "servability"), [(0, 1), (1, 0), (0, 0)])
def test_a_model_that_a_gate_refused_is_not_pushed(tmp_path, model, serving, said, quality, servability):
    pushed = execute(tmp_path, model, serving, quality, servability)
    assert pushed.get_int_custom_property("pushed") == 0
    assert versions.list_versions(serving) == []
    assert said() == ["not pushed: a gate said no"]


def channels(**others):
    return {
        "model": types.Channel(type=standard_artifacts.Model),
        "model_blessing": types.Channel(type=standard_artifacts.ModelBlessing),
        "infra_blessing": types.Channel(type=standard_artifacts.InfraBlessing),
        "manifest": types.Channel(type=Manifest),
        "statistics": types.Channel(type=standard_artifacts.ExampleStatistics),
        "evaluation": types.Channel(type=standard_artifacts.ModelEvaluation),
        "data_verdict": types.Channel(type=DataVerdict),
        **others,
    }


def test_the_node_is_a_pusher_with_its_data():
    node = Pusher(pusher_pb2.PushDestination(), {"serving_dir": "/s", "passport": PASSPORT}, **channels())
    assert set(node.inputs) == set(channels())
    assert json.loads(node.exec_properties["custom_config"]) == {"serving_dir": "/s", "passport": PASSPORT}
    assert node.outputs["pushed_model"].type is standard_artifacts.PushedModel
    assert node.type_annotation is not None


@pytest.mark.parametrize("missing", channels())
def test_no_input_may_be_left_out(missing):
    given = channels()
    del given[missing]
    with pytest.raises(ValueError, match=f"Missing argument '{missing}'"):
        Pusher(pusher_pb2.PushDestination(), {}, **given)


def test_an_input_of_another_type_is_refused():
    with pytest.raises(TypeError, match="statistics"):
        Pusher(pusher_pb2.PushDestination(), {}, **channels(statistics=types.Channel(type=Manifest)))
