"""The TFX lines, and that every place which names them agrees with the table."""

import importlib
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from components.process.lines import LIBRARIES, LINES, Line, current_line, library_versions, line_name
from tests.conftest import make_interpreter

ROOT = Path(__file__).parents[3]
PYTHONS = sorted({python for line in LINES.values() for python in line.pythons}, key=lambda text: text.split("."))
KINDS = ("tfx", "cuda", "dev")


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_line_is_that_of_the_installed_tfx():
    assert metadata.version("tfx").startswith(f"{current_line().name}.")
    assert "{}.{}".format(*sys.version_info) in current_line().pythons


@pytest.mark.parametrize(("version", "line"), [("1.21.0", "1.21"), ("1.16.0rc1", "1.16"), ("", "")])
def test_a_version_has_a_line(version, line):
    assert line_name(version) == line


def test_a_line_without_a_row_is_taken_as_the_newest(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda _: "1.99.0")
    assert current_line() is next(iter(LINES.values()))


def test_versions_of_what_decides_a_result_are_known():
    found = library_versions()
    assert found["tensorflow"] == tf.__version__
    assert found["keras"] == keras.__version__
    assert set(found) == {"python", *LIBRARIES}


def test_the_interpreter_of_tensorflow_lite_runs_a_model_and_warns_of_nothing():
    content = tf.lite.TFLiteConverter.from_concrete_functions(
        [tf.function(lambda x: x * 2.0).get_concrete_function(tf.TensorSpec([3], tf.float32))], None
    ).convert()
    interpreter = make_interpreter(content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tf.constant([1.0, 2.0, 3.0]).numpy())
    interpreter.invoke()
    assert interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tolist() == [2.0, 4.0, 6.0]


def test_beam_s_own_default_is_not_what_either_line_runs_on():
    """The runner's full name is right on both lines: the short one means another engine on the newer."""
    from pipeline.beam import FN_API_RUNNER

    module, _, name = FN_API_RUNNER.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))


# --- Places that name the lines --------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_set_up_knows_the_line_and_its_pythons(line: Line):
    script = read("scripts/setup_env.sh")
    assert f'readonly LINES="{" ".join(LINES)}"' in script
    assert f'{line.name}) echo "{" ".join(line.pythons)}" ;;' in script


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_line_has_locks_with_hashes_that_agree(line: Line, kind: str):
    pins = {name: dict(_pins(f"requirements/{name}-{line.name}.txt")) for name in ("tfx", kind)}
    assert pins["tfx"]["tfx"].startswith(f"{line.name}.")
    both = pins["tfx"].keys() & pins[kind].keys()
    assert both
    assert {name: pins["tfx"][name] for name in both} == {name: pins[kind][name] for name in both}
    text = read(f"requirements/{kind}-{line.name}.txt")
    assert text.count("--hash=sha256:") >= len(pins[kind])
    assert "make lock" in text


def _pins(path: str) -> list[tuple[str, str]]:
    return re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,-]+\])?==(\S+)", read(path), re.MULTILINE)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_every_lock_is_made_by_make_lock(line: Line):
    recipe = read("Makefile")
    for kind in KINDS:
        assert f"-o {kind}-{line.name}.txt" in recipe


def test_the_newest_line_needs_no_overrides():
    newest = next(iter(LINES))
    assert [path.name for path in (ROOT / "requirements").glob("overrides*")] == ["overrides-1.16.txt"]
    assert f"{newest}.in --override" not in read("Makefile")


def test_the_package_is_for_the_pythons_of_all_lines():
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "--classifiers"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    given = re.findall(r"^Programming Language :: Python :: (\d+\.\d+)$", done.stdout, re.MULTILINE)
    assert given == PYTHONS
    last = PYTHONS[-1].rpartition(".")[2]
    assert f'python_requires=">={PYTHONS[0]},<3.{int(last) + 1}"' in read("setup.py")


def test_the_python_of_the_checkout_is_the_one_that_set_up_prefers():
    assert read(".python-version").strip() == next(iter(LINES.values())).pythons[0]


def test_the_image_is_on_the_newest_line_and_the_others_are_a_build_argument():
    dockerfile = read("Dockerfile")
    newest = next(iter(LINES))
    assert f"ARG TFX={newest}" in dockerfile
    for line in LINES.values():
        (python,) = re.findall(
            rf"^FROM \S+/python:(\d+\.\d+)-slim-\w+ AS base-{re.escape(line.name)}$", dockerfile, re.M
        )
        assert python in line.pythons
