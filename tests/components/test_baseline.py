"""The served model as an artifact, or a typed "none"."""

import pytest
from tfx.types import standard_artifacts

from components import features, versions
from components.baseline import Executor, choose_version, why_not_comparable
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
    assert choose_version(serving, wanted) == chosen


def test_nothing_is_served_at_first(tmp_path):
    assert choose_version(tmp_path / "serving", "served") is None
    assert why_not_comparable(tmp_path / "serving", None, CLASSES) == "no version is being served yet"


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


def execute(serving, tmp_path, version, classes=CLASSES):
    make_model(tmp_path / "candidate" / "Format-Serving", classes)
    made = artifact(standard_artifacts.Model, tmp_path / "baseline")
    Executor().Do(
        {"model": [artifact(standard_artifacts.Model, tmp_path / "candidate")]},
        {"baseline_model": [made]},
        {"serving_dir": str(serving), "version": version},
    )
    return made


def test_the_baseline_is_a_copy_that_outlives_the_served_version(serving, tmp_path, said):
    made = execute(serving, tmp_path, "served")
    assert made.get_int_custom_property("exists") == 1
    assert made.get_string_custom_property("version") == "10"
    copied = tmp_path / "baseline" / "Format-Serving"
    assert (copied / versions.SAVED_MODEL_FILE).read_bytes() == b"graph of 10"
    assert (copied / "assets" / features.LABELS_ASSET).read_text("utf-8").split() == CLASSES
    assert said() == ["version 10"]


def test_no_baseline_is_said_and_typed(serving, tmp_path, said):
    made = execute(serving, tmp_path, "served", ["cats", "dogs"])
    assert made.get_int_custom_property("exists") == 0
    assert made.get_string_custom_property("version") == "10"
    assert "knows other classes: cats, été" in made.get_string_custom_property("reason")
    assert not (tmp_path / "baseline" / "Format-Serving").exists()
    assert said() == ["none: version 10 knows other classes: cats, été"]
