"""A version is run again from its passport; the run itself is an end-to-end test."""

import json
import shutil
from types import SimpleNamespace

import pytest

from components.contract import features
from components.errors import InputError
from components.process.lines import LINES, current_line, library_versions
from components.registry import versions
from components.registry.passport import describe_data
from pipeline import reproduce
from pipeline.config.configuration import Config
from pipeline.fingerprint import lock_digest, source_fingerprints
from pipeline.reproduce import Places, check_weights_file, config_of, read_full_passport, reproduce_version
from pipeline.run.planning import RunOptions
from tests.components.registry.models import make_data, make_model


def passport_of(tmp_path, **changes):
    (tmp_path / "photos").mkdir(exist_ok=True)
    config = Config.model_validate({"data": {"path": str(tmp_path / "photos")}, "trainer": {"weights": "none"}})
    return {
        "config": config.model_dump(mode="json"),
        "sources": source_fingerprints(),
        "libraries": library_versions(),
        "lock_sha256": lock_digest(),
        "weights_sha256": "",
        **changes,
    }


@pytest.fixture
def pushed(push, tmp_path, serving):
    """Pushes the model `a` with the code and libraries of now; changes of its passport are given."""

    def call(**changes):
        number = push("a", **passport_of(tmp_path, **changes))
        path = serving / str(number) / versions.PASSPORT_FILE
        passport = json.loads(path.read_text())
        passport["model"] |= {"head_sha256": "h" * 64, "backbone_sha256": "b" * 64}
        path.write_text(json.dumps(passport))
        return number

    return call


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Stands for the pipeline: leaves what its Trainer and ImageExampleGen would leave; what it was asked for."""
    asked = []
    monkeypatch.setattr(reproduce, "verify_version", lambda *_: SimpleNamespace(clean=True))  # we edit passports

    def run(config, workdir, wishes):
        asked.append((config, wishes, sorted(path.name for path in workdir.iterdir())))
        exported = workdir / "artifacts" / "Trainer" / "model" / "7" / "Format-Serving"
        make_model(exported, "a")
        facts = json.loads((exported / "assets" / features.FACTS_ASSET).read_text())
        facts |= {"head_sha256": "h" * 64, "backbone_sha256": "b" * 64}
        (exported / "assets" / features.FACTS_ASSET).write_text(json.dumps(facts))
        make_data(workdir / "made")
        manifest = workdir / "artifacts" / "ImageExampleGen" / "manifest" / "1"
        manifest.parent.mkdir(parents=True)
        shutil.copytree(workdir / "made" / "manifest", manifest)

    monkeypatch.setattr(reproduce, "run_pipeline", run)
    return asked


def test_the_run_has_the_configuration_the_data_and_the_sides_of_then(pushed, runs, serving, tmp_path):
    number = pushed()
    (serving.parent / "data.sqlite").write_bytes(b"sides")
    found = reproduce_version(serving, number, tmp_path / "again", Places())
    ((config, wishes, before),) = runs
    assert config.data.path == str(tmp_path / "photos")
    assert wishes == RunOptions(verify=True, expected_data="d" * 64)
    assert before == ["data.sqlite"]
    assert found.identical
    assert found.reasons == []
    assert found.same == ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]
    assert found.different == ["assets/graft.json"]
    assert json.loads(found.to_json())["identical"] is True


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sources": {**source_fingerprints(), "Trainer": "other"}}, "the code of Trainer differs"),
        ({"sources": {**source_fingerprints(), "Evaluator": "other"}}, None),
        ({"libraries": {**library_versions(), "keras": "2.0"}}, "keras 2.0 then, "),
        ({"lock_sha256": "other"}, "the lock file differs: other libraries may too"),
    ],
)
def test_what_differs_of_what_decides_a_model_is_named(pushed, runs, serving, tmp_path, changes, reason):
    found = reproduce_version(serving, pushed(**changes), tmp_path / "again", Places())
    assert len(found.reasons) == (reason is not None)
    assert all(line.startswith(reason) for line in found.reasons)


def test_another_line_is_named_first_and_is_no_other_code(pushed, runs, serving, tmp_path):
    line = current_line().name
    other = next(name for name in LINES if name != line)
    number = pushed(libraries={**library_versions(), "tfx": f"{other}.0", "keras": "2.0"})
    found = reproduce_version(serving, number, tmp_path / "again", Places())
    assert found.reasons[0] == (
        f"the TFX line differs: {other} then, {line} now; with GRAFT_TFX={other} `make run` sets up the line of then"
    )
    assert [reason.partition(" ")[0] for reason in found.reasons[1:]] == ["tfx", "keras"]


def test_another_split_is_named(pushed, runs, serving, tmp_path):
    number = pushed()
    path = serving / str(number) / versions.PASSPORT_FILE
    passport = json.loads(path.read_text())
    passport["dataset"]["split_sha256"] = "e" * 64
    path.write_text(json.dumps(passport))
    found = reproduce_version(serving, number, tmp_path / "again", Places())
    now = describe_data(str(tmp_path / "again" / "made" / "manifest"))["split_sha256"]
    assert found.reasons == [f"the split into train and eval differs: eeeeeeeeeeee then, {now[:12]} now"]


def test_other_weights_are_no_reproduction(pushed, runs, serving, tmp_path, graft):
    number = pushed()
    path = serving / str(number) / versions.PASSPORT_FILE
    passport = json.loads(path.read_text())
    passport["model"]["head_sha256"] = "0" * 64
    path.write_text(json.dumps(passport))
    code, out = graft("reproduce", serving, number, "--workdir", tmp_path / "again")
    assert code == 3
    assert "head      DIFFERS: 0000000000000000 then, hhhhhhhhhhhhhhhh now" in out
    assert "backbone  byte-identical" in out
    assert "files     3 of 4 of the SavedModel are byte-identical" in out
    assert "the machine must differ" in out


def test_a_directory_that_is_not_fresh_is_refused(pushed, runs, serving, tmp_path):
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "x").touch()
    with pytest.raises(InputError, match="expected a fresh directory, found files in"):
        reproduce_version(serving, pushed(), tmp_path / "again", Places())
    assert runs == []


def test_a_run_whose_data_was_refused_came_to_no_model(pushed, serving, tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "run_pipeline", lambda *_: None)
    with pytest.raises(InputError, match=r"came to no model; its summary says why: .*summary.json"):
        reproduce_version(serving, pushed(), tmp_path / "again", Places())


def test_a_version_of_others_cannot_be_run_again(push, serving):
    number = push("a")
    (serving / str(number) / versions.PASSPORT_FILE).write_text('{"config": {}}')
    with pytest.raises(InputError, match="its passport has no data_fingerprint, model, sources, libraries"):
        read_full_passport(serving, number)


def test_what_moved_since_is_taken_from_where_it_is_now(tmp_path):
    passport = passport_of(tmp_path)
    (tmp_path / "w.h5").write_bytes(b"weights")
    config = config_of(passport, 7, Places("elsewhere", str(tmp_path / "w.h5"), "mine.csv"))
    assert (config.data.path, config.trainer.weights) == ("elsewhere", str(tmp_path / "w.h5"))
    assert config.data.corrections == "mine.csv"
    with pytest.raises(InputError, match=r"weights of version 7, sha256 none; .*w.h5 has [0-9a-f]{12}.\n.*--weights"):
        check_weights_file(config, passport, 7)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("trainer", "weights", "gone.h5", r"there is no file gone.h5.*\n.*--data PATH, --weights FILE"),
        ("trainer", "epochz", 5, r"the passport of version 7 is not usable:\n.*epochz: unknown key"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_said(tmp_path, section, key, value, message):
    passport = passport_of(tmp_path)
    passport["config"][section][key] = value
    with pytest.raises(InputError, match=message):
        config_of(passport, 7, Places())
