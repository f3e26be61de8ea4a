"""The Pusher as a node of TFX."""

import json
import shutil

import pytest
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts

from components import pusher
from components.contract import features
from components.contract.artifacts import DataVerdict, Manifest, contents_of, record_contents
from components.errors import Damaged, InputError
from components.files.digests import digest_folder
from components.pusher import Executor, Pusher, local_folder
from components.registry import versions
from components.registry.passport import describe_data
from tests.components.registry.models import METRICS, PASSPORT
from tests.conftest import artifact
from tests.damages import DAMAGES

CUSTOM = {"serving_dir": "/s", "passport": PASSPORT}
NAMED = {"evaluation": ["model"], "infra_blessing": ["model"], "data_verdict": ["manifest", "statistics"]}


def execute(
    tmp_path,
    model,
    serving,
    quality=1,
    servability=1,
    misjudged=None,
    damage=lambda model: None,
    passport=PASSPORT,
    **verdicts,
):
    candidate, made = tmp_path / "artifact", tmp_path / "made"
    shutil.rmtree(candidate, ignore_errors=True)
    shutil.copytree(model, candidate / "Format-Serving")
    pushed = artifact(standard_artifacts.PushedModel, made / "pushed")
    inputs = {
        "model": [artifact(standard_artifacts.Model, candidate)],
        "model_blessing": [artifact(standard_artifacts.ModelBlessing, made / "b", blessed=quality)],
        "infra_blessing": [artifact(standard_artifacts.InfraBlessing, made / "i", blessed=servability)],
        "manifest": [artifact(Manifest, tmp_path / "data" / "manifest")],
        "statistics": [artifact(standard_artifacts.ExampleStatistics, tmp_path / "data" / "statistics")],
        "evaluation": [artifact(standard_artifacts.ModelEvaluation, tmp_path / "data" / "evaluation")],
        "data_verdict": [artifact(DataVerdict, made / "d")],
        "model_run": [artifact(standard_artifacts.ModelRun, tmp_path / "data" / "model_run")],
    }
    record_contents(inputs)
    judged = contents_of(inputs) | (misjudged or {})
    folders = {"infra_blessing": made / "i", "evaluation": tmp_path / "data" / "evaluation", "data_verdict": made / "d"}
    for name, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        verdict = {"passed": True, "override": None, "judged": {key: judged[key] for key in NAMED[name]}}
        (folder / features.VERDICT_FILE).write_text(json.dumps({**verdict, **verdicts.get(name, {})}))
    (made / "i" / ("INFRA_BLESSED" if servability else "INFRA_NOT_BLESSED")).touch()
    damage(candidate / "Format-Serving")
    custom = json.dumps({"serving_dir": str(serving), "passport": passport})
    Executor(base_executor.BaseExecutor.Context(pipeline_run_id="run-1")).Do(
        inputs, {"pushed_model": [pushed]}, {"custom_config": custom}
    )
    return pushed


def test_a_blessed_model_is_pushed_and_recorded(tmp_path, model, serving, data, said):
    pushed = execute(tmp_path, model, serving)
    (version,) = versions.list_versions(serving)
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_destination") == str(serving / str(version))
    passport = versions.read_passport(serving / str(version))
    assert passport["dataset"] == describe_data(data.manifest)
    assert passport["metrics"] == METRICS
    assert said() == [f"version {version}"]


def test_a_model_that_is_served_already_is_recorded_again(tmp_path, model, serving, data, said):
    first = execute(tmp_path, model, serving)
    again = execute(tmp_path, model, serving)
    (version,) = versions.list_versions(serving)
    assert again.get_string_custom_property("pushed_destination") == str(serving / str(version))
    assert first.get_int_custom_property("pushed") == again.get_int_custom_property("pushed") == 1
    assert said() == [f"version {version}", f"version {version} holds this very model and is served"]


def test_an_override_that_a_gate_needed_is_in_the_passport(tmp_path, model, serving, data):
    override = {"gates": ["data", "quality"], "who": "ann@lab", "when": "2026-01-31T12:00:00Z", "reason": "why not"}
    refused = {"passed": False, "override": override}
    execute(tmp_path, model, serving, evaluation=refused, data_verdict={})
    (version,) = versions.list_versions(serving)
    assert versions.read_passport(serving / str(version))["override"] == {**override, "gates": ["quality"]}


def pushed_passport(tmp_path, model, serving, **card):
    execute(tmp_path, model, serving, passport={**PASSPORT, "config": {"card": card}})
    return versions.read_passport(serving / str(versions.served_version(serving)))


def test_the_card_tells_what_the_nodes_left_and_not_who_pushed(tmp_path, model, serving, data, monkeypatch):
    monkeypatch.setattr(pusher, "find_revisions", lambda: {"graft": {"revision": "a" * 40, "dirty": True}})
    monkeypatch.setattr(pusher, "name_user", lambda: "ann@lab")
    passport = pushed_passport(tmp_path, model, serving)
    card = (serving / str(passport["version"]) / features.CARD_FILE).read_text("utf-8")
    assert passport["run"] == "run-1"
    assert f"| code of Graft, git | {'a' * 40}, with changes that are not committed |" in card
    assert "2 processors (A Processor)" in card  # of the Trainer's machine
    assert "| quality gate | passed, 0 checks |" in card
    assert "ann" not in card + json.dumps(passport)


def test_the_card_tells_who_pushed_where_it_is_asked_to(tmp_path, model, serving, data, monkeypatch):
    monkeypatch.setattr(pusher, "name_user", lambda: "ann@lab")
    passport = pushed_passport(tmp_path, model, serving, show_user=True)
    assert passport["pushed_by"] == "ann@lab"
    assert "| pushed by | ann&#64;lab |" in (serving / str(passport["version"]) / features.CARD_FILE).read_text("utf-8")


def test_the_served_model_with_another_card_is_another_version(tmp_path, model, serving, data, said):
    first = pushed_passport(tmp_path, model, serving)["version"]
    second = pushed_passport(tmp_path, model, serving, license="mit")
    assert (second["same_model_as"], second["version"] > first) == (first, True)
    assert pushed_passport(tmp_path, model, serving, license="mit")["version"] == second["version"]
    assert said()[1:] == [
        f"version {second['version']}: the model that is served, with another card",
        f"version {second['version']} holds this very model and is served",
    ]


@pytest.mark.parametrize(("quality", "servability"), [(0, 1), (1, 0), (0, 0)])
def test_a_model_that_a_gate_refused_is_not_pushed(tmp_path, model, serving, said, quality, servability):
    pushed = execute(tmp_path, model, serving, quality, servability)
    assert pushed.get_int_custom_property("pushed") == 0
    assert versions.list_versions(serving) == []
    assert said() == ["not pushed: a gate said no"]


@pytest.mark.parametrize("gate", ["evaluation", "infra_blessing", "data_verdict"])
def test_a_blessing_without_a_verdict_that_lets_through_pushes_nothing(tmp_path, model, serving, data, gate):
    pushed = execute(tmp_path, model, serving, **{gate: {"passed": False}})
    assert pushed.get_int_custom_property("pushed") == 0
    assert versions.list_versions(serving) == []


@pytest.mark.parametrize("misjudged", ["model", "manifest", "statistics"])
def test_what_another_digest_was_judged_of_is_not_pushed(tmp_path, model, serving, data, misjudged):
    with pytest.raises(Damaged, match=rf"gate judged another {misjudged} \(sha256 {'0' * 12}\) than the Pusher"):
        execute(tmp_path, model, serving, misjudged={misjudged: "0" * 64})
    assert not serving.exists()


@pytest.mark.parametrize("gate", ["evaluation", "infra_blessing", "data_verdict"])
def test_a_verdict_that_does_not_say_what_it_judged_pushes_nothing(tmp_path, model, serving, data, gate):
    with pytest.raises(Damaged, match=r"\(sha256 not said\)"):
        execute(tmp_path, model, serving, **{gate: {"judged": {}}})
    assert not serving.exists()


def test_gates_that_judged_different_examples_push_nothing(tmp_path, model, serving, data):
    judged = {"model": digest_folder(str(shutil.copytree(model, tmp_path / "copy" / "Format-Serving").parent))}
    with pytest.raises(Damaged, match=r"servability gate judged another examples .* than the quality gate"):
        execute(
            tmp_path,
            model,
            serving,
            evaluation={"judged": {**judged, "examples": "1" * 64}},
            infra_blessing={"judged": {**judged, "examples": "2" * 64}},
        )


@pytest.mark.parametrize("name", DAMAGES)
def test_a_model_that_was_damaged_after_it_was_judged_is_not_pushed(tmp_path, model, serving, data, name):
    with pytest.raises(Damaged, match="is not the one that was judged: nothing is pushed"):
        execute(tmp_path, model, serving, damage=DAMAGES[name])
    assert not serving.exists()


def test_an_object_store_is_no_place_to_push_to():
    with pytest.raises(InputError, match=r"folder on a mounted file system to push to, got gs://x/y.\n.*Mount a vol"):
        local_folder("gs://x/y")


def channels(**others):
    kinds = {
        "model": standard_artifacts.Model,
        "model_blessing": standard_artifacts.ModelBlessing,
        "infra_blessing": standard_artifacts.InfraBlessing,
        "manifest": Manifest,
        "statistics": standard_artifacts.ExampleStatistics,
        "evaluation": standard_artifacts.ModelEvaluation,
        "data_verdict": DataVerdict,
        "model_run": standard_artifacts.ModelRun,
    }
    return {name: types.Channel(type=kind) for name, kind in kinds.items()} | others


def test_the_node_is_a_pusher_with_its_data():
    node = Pusher(custom_config=CUSTOM, push_destination=pusher_pb2.PushDestination(), **channels())
    assert set(node.inputs) == set(channels())
    assert json.loads(node.exec_properties["custom_config"]) == CUSTOM
    assert node.outputs["pushed_model"].type is standard_artifacts.PushedModel
    assert node.type_annotation is not None


@pytest.mark.parametrize("missing", channels())
def test_no_input_may_be_left_out(missing):
    given = channels()
    del given[missing]
    with pytest.raises(ValueError, match=f"Missing argument '{missing}'"):
        Pusher(custom_config={}, push_destination=pusher_pb2.PushDestination(), **given)


def test_an_input_of_another_type_is_refused():
    with pytest.raises(TypeError, match="statistics"):
        Pusher(
            custom_config={},
            push_destination=pusher_pb2.PushDestination(),
            **channels(statistics=types.Channel(type=Manifest)),
        )
