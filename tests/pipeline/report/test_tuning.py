"""`graft run --tune`: what it asks for, and what the terminal says of it."""

import io
import json

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config.configuration import check_config, load_config, model_key
from pipeline.report.tuning import SHOWN, describe_tuning, read_tuning
from pipeline.run import multi_worker

VALUES = {"learning_rate": 2.5e-05, "dropout": 0.25, "hidden_units": 64, "schedule": "cosine"}


@pytest.fixture
def tuning(tmp_path):
    """As TFX's Tuner writes its artifacts, with what Hyperband keeps among the values."""
    rows = [{"trial_id": f"{n:02d}", "score": 0.1 + n, **VALUES, "tuner/epochs": 3} for n in range(SHOWN + 2)]
    for name, content in (("best", {"space": [], "values": {**VALUES, "tuner/epochs": 3}}), ("results", rows)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(json.dumps(content))
    return read_tuning(str(tmp_path / "best"), str(tmp_path / "results"))


def test_the_summary_has_the_best_values_and_all_trials(tuning):
    assert tuning["values"] == VALUES
    assert len(tuning["trials"]) == SHOWN + 2
    assert tuning["trials"][0] == {"trial": "00", "score": 0.1, **VALUES}


def test_the_terminal_shows_the_best_trials_and_how_to_keep_the_values(tuning):
    out = io.StringIO()
    describe_tuning(Console(file=out, width=80), tuning)
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines[0] == ["trial", "score", "dropout", "hidden_units", "learning_rate", "schedule"]
    assert lines[1] == ["00", "0.1000", "0.25", "64", "2.5e-05", "cosine"]
    assert ["and", "2", "more", "in", "the", "summary"] in lines
    assert lines[-1][0] == "keep"
    kept = load_config(None, [word for word in lines[-1][1:] if word != "--set"]).trainer
    assert {name: getattr(kept, name) for name in VALUES} == VALUES


def test_the_switch_is_a_setting(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(multi_worker, "run_pipeline", lambda config, *_: seen.append(config) or exit(0))
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"tuner": {"trials": 3}}))
    for options in ([], ["--tune"]):
        CliRunner().invoke(app, ["run", str(config), *options])
    assert [(found.tuner.enabled, found.tuner.trials) for found in seen] == [(False, 3), (True, 3)]


def test_a_limit_of_a_gate_makes_no_other_model_but_for_the_promise_that_is_in_it():
    def key(**quality):
        return model_key(check_config({"gates": {"quality": quality}}, "a test"), "f" * 64, {})

    assert key() == key(min_accuracy=0.9) == key(max_refused=0.05)
    assert key() != key(max_refused=0.1)


def test_a_search_makes_another_model_and_one_that_is_not_asked_for_does_not():
    def key(**tuner):
        return model_key(check_config({"tuner": tuner}, "a test"), "f" * 64, {"Tuner": "digest"})

    assert key() == key(trials=7)
    assert len({key(), key(enabled=True), key(enabled=True, trials=7)}) == 3
