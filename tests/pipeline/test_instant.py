"""Help and configuration errors are instant: nothing heavy is imported for them."""

import json
import subprocess
import sys

HEAVY = {"tensorflow", "tfx", "apache_beam", "keras", "sklearn", "tensorflow_transform", "scipy", "PIL", "joblib"}


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)


MODULES = [
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
    "pipeline.first_run.load",
    "pipeline.first_run.written",
    "components.registry.find",
    "pipeline.predict.inputs",
    "pipeline.predict.writers",
    "pipeline.serve.tensors",
    "pipeline.run.run",
    "pipeline.check",
    "pipeline.api",
    "pipeline.runs.describe",
    "pipeline.runs.status",
    "pipeline.runs.tables",
]


def test_modules_of_the_door_and_reading_a_configuration_import_nothing_heavy():
    """In one process: where a module imports what is heavy, it and those after it are named."""
    program = (
        f"import importlib, sys\nfor name in {MODULES!r}:\n"
        f"    importlib.import_module(name)\n    print(name, *sorted({HEAVY!r} & set(sys.modules)))\n"
        "from pipeline.config.configuration import load_config\n"
        "load_config(None, ['trainer.backbone=ResNet50', 'transform.image_size=64'])\n"
        f"print('load_config', *sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = run("-c", program)
    assert (done.returncode, done.stdout.splitlines()) == (0, [*MODULES, "load_config"]), done.stderr


HELP = [
    (["--help"], ["run", "predict", "models"]),
    (["-h"], ["folder to a pushed and evaluated model"]),
    (["run", "--help"], ["--data", "--workdir", "--set", "--no-cache"]),
    (["predict", "--help"], ["--format", "table", "json", "csv"]),
    (["serve", "--help"], ["--host", "--port", "--max-request-mb", "127.0.0.1"]),
    (["models", "list", "--help"], ["serving"]),
    (["runs", "list", "--help"], ["--last", "--format"]),
    (["status", "--help"], ["--json"]),
]
WRONG = [["rum"], ["run"], ["predict", "model"], ["run", "x.yaml", "--sett", "a=b"]]
COMMANDS = """
import contextlib, io, json, sys
from pipeline.__main__ import main
for sys.argv[1:] in json.loads(sys.argv[1]):
    said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said[0]), contextlib.redirect_stderr(said[1]):
        try:
            code = main()
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code or 0, said[0].getvalue(), said[1].getvalue()]))
print(*sorted(HEAVY & set(sys.modules)))
"""


def test_help_answers_and_wrong_usage_has_code_2_and_neither_imports_what_is_heavy():
    """One process is asked everything that ends at the door."""
    asked = [*(arguments for arguments, _ in HELP), *WRONG]
    *answers, heavy = run("-c", f"HEAVY = {HEAVY!r}{COMMANDS}", json.dumps(asked)).stdout.splitlines()
    assert len(answers) == len(asked)
    assert heavy == ""
    for (arguments, words), answer in zip(HELP, answers, strict=False):
        code, out, err = json.loads(answer)
        assert (code, err) == (0, ""), arguments
        assert [word for word in words if word not in out] == [], arguments
    for arguments, answer in zip(WRONG, answers[len(HELP) :], strict=True):
        code, out, err = json.loads(answer)
        assert code == 2, arguments
        assert "Traceback" not in out + err
        assert err, arguments


def test_the_version_is_that_of_the_package():
    import pipeline

    assert run("-m", "pipeline", "--version").stdout == f"graft {pipeline.__version__}\n"


def test_a_typing_error_is_refused_with_code_2_and_few_words():
    done = run("-m", "pipeline", "run", "gone.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: Expected a configuration file at gone.yaml")
    assert len(done.stderr.splitlines()) <= 3
