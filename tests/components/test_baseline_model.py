"""The served model as an artifact, or a typed "none"."""

import json

import pytest
from tfx.types import standard_artifacts

from components.baseline_model import Executor, describe_baseline, why_not_comparable
from components.contract import features
from components.contract.artifacts import Baseline
from components.errors import InputError
from components.files.digests import digest_files
from components.registry import versions
from components.registry.baselines import choose_baseline, choose_best, find_best
from tests.conftest import artifact

CLASSES = ["cats", "été"]


def make_model(folder, classes=CLASSES):
    (folder / "assets").mkdir(parents=True)
    (folder / versions.SAVED_MODEL_FILE).write_bytes(b"graph of " + folder.name.encode())
    if classes is not None:
        (folder / "assets" / features.LABELS_ASSET).write_text("".join(f"{name}\n" for name in classes), "utf-8")
    return folder


@pytest.fixture
def serving(tmp_path):
    for name in ("9", "10"):
        make_model(tmp_path / "serving" / name)
    return tmp_path / "serving"


@pytest.mark.parametrize(("wanted", "chosen"), [("none", None), ("served", 10), ("9", 9), ("8", 8)])
def test_the_version_to_compare_with(serving, wanted, chosen):
    assert choose_baseline(serving, wanted) == chosen


def test_nothing_is_served_at_first(tmp_path):
    assert choose_baseline(tmp_path / "serving", "served") is None
    assert describe_baseline(tmp_path / "serving", None, None, CLASSES) == Baseline(
        reason="no version is being served yet"
    )


def test_a_version_that_is_gone_is_no_baseline(serving):
    assert why_not_comparable(serving, 8, CLASSES) == f"version 8 is not in {serving}"


def test_a_version_with_the_same_classes_is_a_baseline(serving):
    assert why_not_comparable(serving, 9, CLASSES) == ""


@pytest.mark.parametrize("classes", [["cats", "dogs"], ["été", "cats"], ["cats"]])
def test_a_version_that_knows_other_classes_is_no_baseline(serving, classes):
    assert why_not_comparable(serving, 9, classes) == "version 9 knows other classes: cats, été"


def test_a_model_of_others_is_no_baseline(serving):
    make_model(serving / "11", classes=None)
    assert why_not_comparable(serving, 11, CLASSES) == "version 11 knows other classes: unknown"


def execute(serving, tmp_path, version, classes=CLASSES, best=""):
    make_model(tmp_path / "candidate" / "Format-Serving", classes)
    made = {name: [artifact(standard_artifacts.Model, tmp_path / name)] for name in ("baseline_model", "best_model")}
    Executor().Do(
        {"model": [artifact(standard_artifacts.Model, tmp_path / "candidate")]},
        made,
        {"serving_dir": str(serving), "version": version, "best": best},
    )
    return made["baseline_model"][0]


def baseline_in(tmp_path, name):
    return Baseline(**json.loads((tmp_path / name / features.BASELINE_FILE).read_text()))


def write_passport(serving, number, accuracy, best=None):
    metrics = {"accuracy": accuracy, "examples": 100, "held_against": {"best": best}}
    (serving / str(number) / versions.PASSPORT_FILE).write_text(json.dumps({"metrics": metrics}))


def test_the_baseline_is_a_copy_that_outlives_the_served_version(serving, tmp_path, said):
    made = execute(serving, tmp_path, "served")
    assert made.get_int_custom_property("exists") == 1
    assert made.get_string_custom_property("version") == "10"
    assert baseline_in(tmp_path, "baseline_model") == Baseline(10, True)
    copied = tmp_path / "baseline_model" / "Format-Serving"
    assert (copied / versions.SAVED_MODEL_FILE).read_bytes() == b"graph of 10"
    assert (copied / "assets" / features.LABELS_ASSET).read_text("utf-8").split() == CLASSES
    assert said() == ["version 10"]


def edit_answers(serving, number):
    """Two versions with kept answers; then somebody makes those of one look better, or worse."""
    for version, accuracy in (("9", 0.95), ("10", 0.94)):
        answers = serving / version / "assets.extra" / features.ANSWERS_FILE
        answers.parent.mkdir()
        answers.write_bytes(b"answers")
        passport = {"files": digest_files(str(serving / version)), "metrics": {"accuracy": accuracy, "examples": 100}}
        (serving / version / versions.PASSPORT_FILE).write_text(json.dumps(passport))
    (serving / number / "assets.extra" / features.ANSWERS_FILE).write_bytes(b"others!")


def test_a_served_version_whose_kept_answers_were_edited_is_refused(serving, tmp_path):
    edit_answers(serving, "10")
    with pytest.raises(InputError, match=r"Version 10 in .* is not as it was pushed \(changed: assets.extra/answers"):
        execute(serving, tmp_path, "served")


def test_of_a_best_version_whose_kept_answers_were_edited_its_recorded_accuracy_counts(serving, tmp_path):
    edit_answers(serving, "9")
    execute(serving, tmp_path, "served")
    assert baseline_in(tmp_path, "baseline_model").exists
    reason = "version 9 is not as it was pushed (changed: assets.extra/answers.parquet)"
    assert baseline_in(tmp_path, "best_model") == Baseline(9, False, reason, 0.95, 100)


def test_a_baseline_brings_its_kept_answers(serving, tmp_path):
    (serving / "10" / "assets.extra").mkdir()
    (serving / "10" / "assets.extra" / features.ANSWERS_FILE).write_bytes(b"answers")
    execute(serving, tmp_path, "served")
    copied = tmp_path / "baseline_model" / "Format-Serving" / "assets.extra" / features.ANSWERS_FILE
    assert copied.read_bytes() == b"answers"


def test_no_baseline_is_said_and_typed(serving, tmp_path, said):
    made = execute(serving, tmp_path, "served", ["cats", "dogs"])
    assert made.get_int_custom_property("exists") == 0
    assert made.get_string_custom_property("version") == "10"
    assert "knows other classes: cats, été" in made.get_string_custom_property("reason")
    assert not (tmp_path / "baseline_model" / "Format-Serving").exists()
    assert said() == ["none: version 10 knows other classes: cats, été"]


def test_the_best_version_ever_is_copied_too(serving, tmp_path, said):
    write_passport(serving, 9, 0.95)
    write_passport(serving, 10, 0.9)
    execute(serving, tmp_path, "served")
    assert baseline_in(tmp_path, "baseline_model") == Baseline(10, True, "", 0.9, 100)
    assert baseline_in(tmp_path, "best_model") == Baseline(9, True, "", 0.95, 100)
    assert (tmp_path / "best_model" / "Format-Serving" / versions.SAVED_MODEL_FILE).read_bytes() == b"graph of 9"
    assert said() == ["version 10, the best ever is version 9"]


def test_the_served_version_is_copied_once_where_it_is_the_best(serving, tmp_path):
    write_passport(serving, 10, 0.9)
    execute(serving, tmp_path, "served")
    assert baseline_in(tmp_path, "best_model") == Baseline(10, False, "it is the version being served", 0.9, 100)
    assert not (tmp_path / "best_model" / "Format-Serving").exists()


@pytest.mark.parametrize("best", ["best", "3"])
def test_a_best_version_that_was_pruned_is_known_by_the_passports_of_later_ones(serving, tmp_path, best):
    write_passport(serving, 9, 0.9, {"version": 3, "accuracy": 0.97, "examples": 500})
    write_passport(serving, 10, 0.92)
    execute(serving, tmp_path, "10", best=best)
    assert baseline_in(tmp_path, "best_model") == Baseline(3, False, f"version 3 is not in {serving}", 0.97, 500)


def test_nothing_is_the_best_where_no_passport_tells(serving, tmp_path):
    execute(serving, tmp_path, "served", best="best")
    assert baseline_in(tmp_path, "best_model").version is None
    write_passport(serving, 9, 0.9)
    assert choose_best(serving, "none", "served") is None
    assert choose_best(serving, "", "none") is None
    assert choose_best(serving, "", "served").version == 9


def test_the_newest_of_equals_is_the_best(serving):
    write_passport(serving, 9, 0.9)
    write_passport(serving, 10, 0.9)
    assert find_best(serving).version == 10
