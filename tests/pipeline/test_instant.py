"""Help and configuration errors are instant: nothing heavy is imported for them."""

import subprocess
import sys

import pytest

HEAVY = {"tensorflow", "tfx", "apache_beam", "keras", "sklearn", "tensorflow_transform", "scipy", "PIL", "joblib"}


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "module",
    [
        "components.contract.features",
        "components.options",
        "components.errors",
        "components.registry.versions",
        "components.trainer.backbones.table",  # with the module of each family
        "components.sources.find",
        "components.images.inspection",
        "pipeline.config.configuration",
        "pipeline.cli",
        "pipeline.workdir",
        "components.registry.find",
        "pipeline.predict.inputs",
        "pipeline.predict.writers",
        "pipeline.serve.tensors",
        "pipeline.run.run",
        "pipeline.check",
    ],
)
def test_a_module_of_the_door_imports_nothing_heavy(module):
    done = run("-c", f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))")
    assert (done.returncode, done.stdout.split()) == (0, [])


def test_reading_a_configuration_imports_nothing_heavy():
    program = (
        "import sys\nfrom pipeline.config.configuration import load_config\n"
        "load_config(None, ['trainer.backbone=ResNet50', 'transform.image_size=64'])\n"
        f"print(*sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = run("-c", program)
    assert (done.returncode, done.stdout.split()) == (0, [])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["run", "predict", "models"]),
        (["-h"], ["folder to a pushed and evaluated model"]),
        (["run", "--help"], ["--data", "--workdir", "--set", "--no-cache"]),
        (["predict", "--help"], ["--format", "table", "json", "csv"]),
        (["serve", "--help"], ["--host", "--port", "--max-request-mb", "127.0.0.1"]),
        (["models", "list", "--help"], ["serving"]),
    ],
)
def test_help_answers(arguments, words):
    done = run("-m", "pipeline", *arguments)
    assert done.returncode == 0
    assert all(word in done.stdout for word in words)
    assert done.stderr == ""


def test_the_version_is_that_of_the_package():
    import pipeline

    assert run("-m", "pipeline", "--version").stdout == f"graft {pipeline.__version__}\n"


def test_a_typing_error_is_refused_with_code_2_and_few_words():
    done = run("-m", "pipeline", "run", "gone.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: Expected a configuration file at gone.yaml")
    assert len(done.stderr.splitlines()) <= 3


@pytest.mark.parametrize("arguments", [["rum"], ["run"], ["predict", "model"], ["run", "x.yaml", "--sett", "a=b"]])
def test_wrong_usage_has_code_2(arguments):
    done = run("-m", "pipeline", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr
