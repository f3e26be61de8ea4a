"""Two runs side by side."""

import json

import pytest
from typer.testing import CliRunner

from components.errors import InputError
from pipeline.cli import app
from pipeline.report.compare import compare_classes, compare_gates, compare_seconds, write_comparison
from pipeline.report.inputs import note_inputs
from tests.components.report.conftest import CLASSES, made_run  # noqa: F401  a fixture

IDS = ("20260130-120000-aaaa", "20260131-120000-bbbb")


def summary_of(run_id, accuracy, **changes):
    per_class = {name: {"accuracy": accuracy, "examples": 2} for name in CLASSES}
    counts = {"train": {"cats": 4, CLASSES[1]: 4}, "eval": dict.fromkeys(CLASSES, 2)}
    return {
        "run_id": run_id,
        "status": "not_blessed",
        "reasons": [f"too bad {CLASSES[1]}"],
        "dataset": {"train": 8, "eval": 6, "fingerprint": "d" * 64, "per_class": counts},
        "metrics": {"accuracy": accuracy, "intervals": {"accuracy": [0.5, 1.0]}, "examples": 6, "per_class": per_class},
        "gates": {"quality": {"passed": False, "checks": [{"name": "accuracy", "verdict": "fail"}]}},
        "model": None,
        "seconds": {"startup": 12.0, "Data": 8.0, "Trainer": 20.0, "total": 40.0},
        "cached": ["Trainer"],
        "command": "graft run <pets>.yaml",
        **changes,
    }


@pytest.fixture
def runs(tmp_path, made_run):  # noqa: F811  the fixture
    """The folders of two runs that evaluated the same images; the second one with other options and one image lost."""
    folders = []
    for number, run_id in enumerate(IDS):
        made_run.folder = tmp_path / "artifacts" / run_id
        made_run.answers[0] = (made_run.answers[0][0], 0, number)
        made_run.write()
        folder = tmp_path / "runs" / run_id
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps(summary_of(run_id, 1 - number / 6)))
        (folder / "report.html").touch()
        nodes = {"Evaluator": "evaluation", "Trainer": "model"}
        artifacts = {node: {output: str(made_run.folder / output)} for node, output in nodes.items()}
        passport = {"config": {"trainer": {"epochs": 5 + number}}}
        note_inputs(folder, data_path="/photos", passport=passport, artifacts=artifacts)
        folders.append(folder)
    return folders


def test_the_page_lies_beside_that_of_the_second_run(runs, tmp_path):
    path = write_comparison(*runs, tmp_path / "features")
    html = " ".join(path.read_text("utf-8").split())
    assert path == runs[1] / f"report-compare-{IDS[0]}-{IDS[1]}.html"
    assert f'<a href="../{IDS[0]}/report.html">{IDS[0]}</a>' in html
    assert "100.0 % and 83.3 %, a difference of -16.7 points" in html
    assert "of the 6 eval images that both runs have, 1 are right only in the first and 0 only in the second" in html
    assert 'name">trainer.epochs</th><td><code>5</code></td><td><code>6</code></td>' in html
    assert "The data is the same." in html
    assert "Quality gate</th><td>refused</td><td>refused</td>" in html
    assert "graft run &lt;pets&gt;.yaml" in html
    assert CLASSES[1] not in html


def test_runs_whose_artifacts_are_gone_are_compared_by_their_summaries(runs, tmp_path):
    for folder in runs:
        (folder / "inputs.json").unlink()
        (folder / "config.yaml").write_text(f"name: {folder.name}\n")
    html = write_comparison(*runs, tmp_path / "features").read_text("utf-8")
    assert "no eval images in common" in html
    assert 'name">name</th>' in html
    assert "-0.1667" in html


def test_a_run_whose_data_was_refused_is_compared_as_far_as_it_came(runs, tmp_path):
    refused = {"metrics": {}, "status": "data_refused", "gates": {"data": {"passed": False, "checks": []}}}
    (runs[0] / "summary.json").write_text(json.dumps(summary_of(IDS[0], 0.5, **refused, seconds={"total": 3.0})))
    (runs[0] / "inputs.json").unlink()
    html = write_comparison(*runs, tmp_path / "features").read_text("utf-8")
    assert "Nothing was evaluated." in html
    assert "Data refused" in html


def test_the_command_takes_beginnings_of_ids_and_latest(runs, tmp_path):
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--compare", IDS[0][:8], "latest"])
    assert done.exit_code == 0, done
    assert done.stdout.strip() == str(runs[1] / f"report-compare-{IDS[0]}-{IDS[1]}.html")
    missing = CliRunner().invoke(app, ["report", str(tmp_path), "--compare", IDS[0], "1999"])
    assert isinstance(missing.exception, InputError)
    assert f"Expected a run of {tmp_path}, got '1999'" in str(missing.exception)


def test_a_run_is_not_compared_with_itself(runs, tmp_path):
    with pytest.raises(InputError, match=r"expected two runs, got .*bbbb twice\."):
        write_comparison(runs[1], runs[1], tmp_path)


def test_classes_of_either_run_are_there_the_largest_change_first():
    first = {"metrics": {"per_class": {"a": {"accuracy": 1.0}, "b": {"accuracy": 1.0}, "gone": {"accuracy": 0.1}}}}
    second = {"metrics": {"per_class": {"a": {"accuracy": 0.9}, "b": {"accuracy": 0.5}, "new": {"accuracy": 0.2}}}}
    rows = compare_classes(first, second)
    assert [row["name"] for row in rows] == ["b", "a", "gone", "new"]
    assert [row["accuracy"] for row in rows[2:]] == [[0.1, None], [None, 0.2]]


def test_checks_that_only_one_run_had_and_that_passed_are_no_difference():
    def gates(passed, **checks):
        rows = [{"name": name, "verdict": verdict} for name, verdict in checks.items()]
        return {"gates": {"quality": {"passed": passed, "checks": rows}}}

    rows = compare_gates(gates(True, a="pass", b="pass", c="warn"), gates(False, b="fail", c="warn", d="pass"))
    assert [(row["name"], row["first"], row["second"]) for row in rows] == [
        ("quality", "passed", "refused"),
        ("quality gate, b", "pass", "fail"),
    ]


def test_the_start_up_is_told_without_the_look_at_the_data():
    rows = compare_seconds(
        summary_of("a", 1.0), summary_of("b", 1.0, seconds={"Trainer": 5.0, "total": 6.0}, cached=[])
    )
    found = {row["name"]: row for row in rows}
    assert (found["startup"]["first"], found["startup"]["second"]) == (4.0, None)
    assert found["Trainer"]["cached"] == [True, False]
    assert found["Trainer"]["parts"] == [1.0, 0.25]
    assert rows[-1]["name"] == "total"
