"""A serving directory with real pushes of models that are no models."""

import shutil

import pytest
from typer.testing import CliRunner

from components.registry import passport as passports
from components.registry import publish
from components.registry.publish import publish_model
from pipeline.cli import app
from tests.components.registry.models import METRICS, PASSPORT, make_data, make_model

LIBRARIES = {"tfx": "1.16.0"}


@pytest.fixture
def push(tmp_path, serving, monkeypatch):
    """Pushes a version; the clock goes on by a hundred seconds each time."""
    clock = iter(range(1764000000, 1764009900, 100))

    def call(key, accuracy=0.95, libraries=LIBRARIES, metrics=(), **passport):
        monkeypatch.setattr(passports, "library_versions", lambda: libraries)  # the Pusher writes what it runs on
        monkeypatch.setattr(publish.time, "time", lambda: float(next(clock)))
        model = tmp_path / "models" / key
        if not model.exists():
            make_model(model, key)
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        interval = {"accuracy": [accuracy - 0.02, accuracy + 0.01]}
        measured = {**METRICS, "accuracy": accuracy, "intervals": interval, **dict(metrics)}
        data = make_data(tmp_path / "data", metrics=measured)
        known = {"config": {"trainer": {"learning_rate": 0.001}}, "libraries": libraries, "sources": {"Trainer": "t"}}
        passport = {**PASSPORT, **known, "model_key": key, "data_fingerprint": "d" * 64, **passport}
        return publish_model(model, serving, passport, data).version

    return call


@pytest.fixture
def graft(monkeypatch, capsys):
    """`graft` as a user types it: exit code, and what it printed. Errors in the user's words are raised."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        done = CliRunner().invoke(app, ["models", *(str(argument) for argument in arguments)])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    return call
