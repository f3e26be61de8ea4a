"""What would help most where a model was refused, with commands that can be pasted."""

import shlex

import pytest
from typer.main import get_command

from components.contract.features import CORRECTIONS_FILE
from pipeline.cli import app
from pipeline.config.configuration import Config
from pipeline.report.advice import find_advice, look_command, override_command
from pipeline.report.summary import Summary

PER_CLASS = {
    "cats": {"examples": 200, "accuracy": 0.9},
    "dogs": {"examples": 100, "accuracy": 0.41},
    "rare": {"examples": 0, "accuracy": 0.0},
}
MATRIX = [[180, 15, 5], [50, 41, 9], [0, 0, 0]]
COMMAND = "graft run 'my photos'"
# Two that are likely wrong, and one that stands there to be looked at.
ERRORS = "path,label,suggested,action\na.jpg,cats,dogs,relabel\n\nb.jpg,dogs,cats,relabel\nc.jpg,cats,dogs,keep\n"


@pytest.fixture
def refused(tmp_path):
    """Makes a refused run in a working directory with a space; gives what is advised."""

    def call(status="not_blessed", errors=None, metrics=None, command=COMMAND, **trainer):
        photos, workdir = tmp_path / "my photos", tmp_path / "my work"
        (photos / "dogs").mkdir(parents=True, exist_ok=True)
        run = workdir / "runs" / "r"
        run.mkdir(parents=True, exist_ok=True)
        content = {"data": {"path": str(photos)}, "trainer": trainer}
        (run / "config.yaml").write_text(Config.model_validate(content).to_yaml(), "utf-8")
        if errors is not None:
            (run / CORRECTIONS_FILE).write_text(errors, "utf-8")
        measured = {"examples": 300, "accuracy": 0.7, "per_class": PER_CLASS, "confusion_matrix": MATRIX}
        dataset = {"per_class": {"train": {"cats": 800, "dogs": 400, "rare": 3}}}
        summary = Summary("r", status, dataset, measured if metrics is None else metrics, command=command)
        return find_advice(summary, run, workdir)

    return call


def parse(command):
    """Parses a command as the command line does; gives its name and what it takes."""
    words = shlex.split(command)
    assert words[0] == "graft"
    root = get_command(app)
    context = root.make_context("graft", words[1:2])
    found = root.get_command(context, words[1])
    return words[1], found.make_context(words[1], words[2:], parent=context).params


def test_the_worst_class_is_named_with_what_it_is_taken_for_and_how_to_look_at_it(refused, tmp_path):
    advice = refused()[0]
    assert "'dogs' is told worst: 0.41 of 100 images, 50 taken for 'cats'" in advice.words
    assert "400 were learned from" in advice.words
    words = shlex.split(advice.command)
    assert words == ["graft", "predict", str(tmp_path / "my work"), str(tmp_path / "my photos" / "dogs"), "--candidate"]


def test_likely_label_errors_are_counted_and_come_first_of_what_the_data_can_mend(refused, tmp_path):
    advice = refused(errors=ERRORS)
    assert advice[0].words.startswith("2 labels are likely wrong")
    name, params = parse(advice[0].command)
    assert name == "run"
    assert params["config"] == "my photos"
    assert params["settings"] == [f"data.corrections={tmp_path}/my work/runs/r/{CORRECTIONS_FILE}"]
    assert "told worst" in advice[1].words


@pytest.mark.parametrize(
    "errors", [None, "path,label,suggested,action\n", "", "path,label,suggested,action\na.jpg,cats,dogs,keep\n"]
)
def test_no_label_errors_are_no_advice(refused, errors):
    assert not [advice for advice in refused(errors=errors) if "likely wrong" in advice.words]


def test_weights_that_saw_digits_only_come_before_all_else(refused):
    first, *others = refused(errors=ERRORS, weights="/x/mobilenet_v2_0.35_digits.weights.h5")
    assert "handwritten digits only" in first.words
    assert parse(first.command)[1]["settings"] == ["preset=balanced"]
    assert not [advice for advice in others if "views" in advice.words or "stronger" in advice.words]


def test_a_stronger_network_or_more_views_are_proposed_with_figures(refused):
    network = refused()[-1]
    assert "0.993, with MobileNetV2 of width 0.35 0.953" in network.words
    assert parse(network.command)[1]["settings"] == ["preset=best"]
    views = refused(backbone="ResNet50")[-1]
    assert "0.953 to 0.973" in views.words
    settings = parse(views.command)[1]["settings"]
    Config.model_validate({"trainer": {"averaged_views": 10}, "transform": {"crop_to_aspect_ratio": True}})
    assert settings == ["trainer.averaged_views=10", "transform.crop_to_aspect_ratio=true"]
    assert len(refused(backbone="ResNet50", averaged_views=2)) == 1


def test_at_most_three_things_are_named_and_few_images_are_one(refused):
    few = {"examples": 12, "accuracy": 0.5, "per_class": {"cats": {"examples": 12, "accuracy": 0.5}}}
    assert "with 12 to judge by" in refused(metrics=few)[-1].words
    assert [len(refused(metrics=few)), len(refused(metrics=few, errors=ERRORS))] == [3, 3]


def test_refused_data_is_looked_at_by_check(refused):
    (advice,) = refused("data_refused", metrics={})
    name, params = parse(advice.command)
    assert name == "check"
    assert params["target"].endswith("my work/runs/latest/config.yaml")


def test_a_run_without_a_command_says_the_options(refused):
    assert refused(command="")[-1].command.startswith("the same run with --set preset=best")


def test_what_is_not_servable_or_failed_has_no_such_advice(refused):
    assert refused("not_servable") == refused("failed") == []


def test_a_run_without_its_configuration_is_no_error(tmp_path):
    summary = Summary("r", "not_blessed", {}, {"examples": 300, "per_class": PER_CLASS})
    (advice,) = find_advice(summary, tmp_path / "gone", tmp_path)
    assert advice.command == f"graft predict {tmp_path} IMAGE --candidate"


def test_the_ways_on_can_be_pasted(tmp_path):
    gates = {"quality": {"passed": False}, "data": {"passed": True}}
    summary = Summary("r", "not_blessed", gates=gates, candidate={"uri": "x"}, command=COMMAND)
    name, params = parse(override_command(summary))
    assert (name, params["override"], params["reason"]) == ("run", ["quality"], "SAY WHY")
    assert look_command(summary, tmp_path / "a b") == f"graft predict '{tmp_path}/a b' IMAGE --candidate"
    assert look_command(Summary("r", "data_refused"), tmp_path) == ""
    assert override_command(Summary("r", "failed", gates=gates)) == ""
