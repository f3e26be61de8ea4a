"""A form of export is a module and a row: the configuration, the trial, the Trainer and ServableCheck find it there."""

import ast
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from components.contract import features
from components.errors import InputError
from components.exports.answers import Reference
from components.exports.table import EXPORT_FORMS, Form, load_form
from components.options.gates import ServabilityGateOptions
from components.options.trainer import TrainerOptions
from components.servable_check.executor import check_form
from components.trainer.train import run_fn
from components.trainer.trial import try_network
from pipeline.config.configuration import check_config
from tests.components.servable_check.test_probe import execute
from tests.components.trainer.test_trial import SIZE, save
from tests.conftest import CLASSES

pytestmark = pytest.mark.slow


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(EXPORT_FORMS, "toy", "tests.components.exports.toy_form")


@pytest.mark.parametrize("name", EXPORT_FORMS)
def test_each_module_has_the_names_of_its_kind(name):
    form = load_form(name)
    assert isinstance(form, Form)
    assert form.PROBE.is_file()


@pytest.mark.parametrize("name", EXPORT_FORMS)
def test_a_probe_imports_what_its_runtime_needs_and_nothing_of_ours(name):
    tree = list(ast.walk(ast.parse(load_form(name).PROBE.read_text("utf-8"))))
    imported = {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in tree if isinstance(node, ast.ImportFrom)}
    runtime = {"numpy", "onnxruntime"} if name == "onnx" else {"tensorflow"}
    assert {module.partition(".")[0] for module in imported} - set(sys.stdlib_module_names) == runtime


def test_the_names_of_forms_load_no_tensorflow():
    script = "import sys, components.exports.table; print({'tensorflow', 'scipy', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "set()\n"


def test_the_configuration_takes_the_names_of_the_table_alone(monkeypatch):
    with pytest.raises(InputError, match=r"exports\.0: Input should be 'tflite' or 'tflite-int8' or 'onnx'; got 'toy'"):
        check_config({"exports": ["toy"]}, "here")
    monkeypatch.setitem(EXPORT_FORMS, "toy", "tests.components.exports.toy_form")
    assert check_config({"exports": ["toy"]}, "here").exports == ["toy"]
    with pytest.raises(InputError, match=r"exports\.1: Input should be 'tflite' or .* or 'toy'; got \['toy'\]"):
        check_config({"exports": ["toy", ["toy"]]}, "here")


@pytest.mark.usefixtures("toy")
def test_the_trial_refuses_a_network_that_a_form_cannot_hold(tmp_path):
    options = TrainerOptions(backbone=save(tmp_path, "a"))
    assert try_network(options, SIZE, ["toy"]) == options.backbone
    options = TrainerOptions(backbone=save(tmp_path, "a", pooled=True))
    assert try_network(options, SIZE, []) == options.backbone
    with pytest.raises(InputError, match="exports: toys cannot take this backbone"):
        try_network(options, SIZE, ["toy"])


@pytest.fixture
def exported(toy, trained, train_records, eval_records, transform_uri, tmp_path):
    """The Trainer's folders with the toy form; the features are those that `trained` kept."""
    made = SimpleNamespace(model=tmp_path / "model", run=tmp_path / "run")
    options = trained.options.model_copy(update={"epochs": 1})
    run_fn(
        SimpleNamespace(
            custom_config={
                "options": options.to_json(),
                "features_dir": str(trained.kept / "features"),
                "exports": ["toy"],
            },
            transform_output=transform_uri,
            train_files=train_records.pattern,
            eval_files=eval_records.pattern,
            serving_model_dir=str(made.model / "Format-Serving"),
            model_run_dir=str(made.run),
            hyperparameters=None,
        )
    )
    return made


@pytest.mark.usefixtures("asked_here")
def test_a_form_goes_from_the_trainer_through_servable_check(exported, examples_artifact, tmp_path):
    file = exported.model / "Format-Serving" / features.EXTRA_ASSETS / "toy.json"
    written = json.loads(file.read_text())
    assert written["labels"] == CLASSES
    assert written["images"] == 2

    def check(name):
        (tmp_path / name).mkdir()
        blessing, verdict = execute(tmp_path / name, exported.model, exported.run, examples_artifact)
        found = {row["name"]: row["verdict"] for row in verdict["checks"] if row["name"].startswith("toy/")}
        return blessing.get_int_custom_property("blessed"), found, verdict

    blessed, found, verdict = check("good")
    assert (blessed, found) == (1, {"toy/count": "pass", "toy/labels": "pass"}), verdict["reasons"]
    assert verdict["measured"]["toy_difference"] == 0

    file.write_text(json.dumps({**written, "count": written["count"] + 1}))
    blessed, found, verdict = check("damaged")
    assert (blessed, found) == (0, {"toy/count": "fail", "toy/labels": "pass"})
    assert verdict["reasons"] == ["toy.json differs by 1"]
    assert verdict["measured"]["toy_difference"] == 1


@pytest.mark.usefixtures("toy")
def test_a_file_that_its_probe_cannot_read_is_refused(tmp_path):
    (tmp_path / features.EXTRA_ASSETS).mkdir()
    (tmp_path / features.EXTRA_ASSETS / "toy.json").write_text('{"labels": [')
    asked = {"model": str(tmp_path), "images": 1}
    _, (only,) = check_form("toy", asked, {}, Reference(CLASSES), ServabilityGateOptions())
    assert (only.name, only.verdict) == ("toy/loads", "fail")
    assert only.reason.startswith("toy.json: the export does not work in a fresh process (exit code 1): json.")
