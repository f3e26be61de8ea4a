"""Working directories with runs of every end, and one whose Trainer is in ML Metadata."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from components.files.digests import digest_folder
from components.registry.versions import SAVED_MODEL_FILE
from pipeline.cli import app
from pipeline.config.configuration import Config

GATES = {
    "quality": {
        "passed": False,
        "reasons": ["accuracy 0.8000 is below gates.quality.min_accuracy 0.9000"],
        "override": None,
        "checks": [
            {"name": "accuracy", "measured": 0.8, "limit": 0.9, "verdict": "fail", "reason": "too low", "stops": True},
            {"name": "drop", "measured": 0.0, "limit": 0.1, "verdict": "pass", "reason": "", "stops": False},
        ],
    },
    "data": {"passed": True, "checks": [], "reasons": [], "override": None},
}


def summary_of(run_id, status="pushed", accuracy=0.9, version=None, **more):
    """A summary as Graft writes it."""
    return {
        "schema": 1,
        "run_id": run_id,
        "status": status,
        "dataset": {
            "train": 80,
            "eval": 20,
            "fingerprint": "f" * 64,
            "per_class": {"train": {"cats": 40, "dogs": 40}, "eval": {"cats": 10, "dogs": 10}},
        },
        "metrics": {
            "accuracy": accuracy,
            "examples": 20,
            "intervals": {"accuracy": [accuracy - 0.1, accuracy + 0.05]},
            "per_class": {"cats": {"accuracy": accuracy}, "dogs": {"accuracy": 1.0}},
        },
        "seconds": {"Trainer": 5.0, "total": 12.0},
        "cached": [],
        "model": {"version": version, "path": f"serving/{version}"} if version else None,
        "gates": {},
        "reasons": [],
        "candidate": None,
        **more,
    }


@pytest.fixture
def workdir(tmp_path):
    """An empty working directory; `workdir.run(...)` adds a run, `workdir.model(...)` a Trainer's model."""
    return Made(tmp_path / "work" / "it's a name")


class Made(type(Path())):
    """A working directory that tests fill."""

    def run(self, run_id, summary=None, *settings, **fields):
        """Adds a run; `summary` None: none was written; a text is written as it is."""
        folder = self / "runs" / run_id
        folder.mkdir(parents=True)
        content = Config().model_dump(mode="json")
        for setting in settings:
            section, key, value = setting
            content[section][key] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(content), "utf-8")
        if isinstance(summary, str):
            (folder / "summary.json").write_text(summary, "utf-8")
        elif summary is not None:
            (folder / "summary.json").write_text(json.dumps({**summary, **fields}), "utf-8")
        return folder

    def model(self, number=7):
        """Makes a model as the Trainer leaves it; gives what a summary says of it."""
        folder = self / "artifacts" / "Trainer" / "model" / str(number) / "Format-Serving"
        folder.mkdir(parents=True)
        (folder / SAVED_MODEL_FILE).write_bytes(b"graph %d" % number)
        return {"path": str(folder), "content_sha256": digest_folder(str(folder.parent))}


@pytest.fixture
def graft(monkeypatch):
    """`graft` as a user types it. Errors in the user's words are raised."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return call
