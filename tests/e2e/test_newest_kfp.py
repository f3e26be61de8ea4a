"""The compiled file under the newest kfp and kfp-kubernetes, which people have beside Graft's locked ones."""

import json
import os
import subprocess
import warnings
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import ROOT
from tests.e2e.test_kubeflow import compile_sample

pytestmark = pytest.mark.e2e

CACHE = Path(
    os.environ.get("GRAFT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "graft"
)
# What uv says where a machine has no index or no Python 3.11; anything else that goes wrong is a failure of the test.
LACKING = ("error sending request", "failed to fetch", "failed to connect", "dns error", "timed out", "no interpreter")
TIMED_OUT = 124  # what `timeout` ends with
LIMIT = 150  # seconds; a first call takes about one minute on a slow line, a later one two seconds


@pytest.fixture(scope="module")
def newest_python() -> Path:
    """The Python of an environment with the newest releases; .venv is left alone, and a later call only updates."""
    folder = CACHE / "newest-kfp"
    install = [ROOT / "scripts" / "setup_env.sh", "apart", folder, "kfp", "kfp-kubernetes"]
    command = ["timeout", "--kill-after=5", str(LIMIT), *install]  # with all that it has started
    environment = {**os.environ, "UV_HTTP_TIMEOUT": "20"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode == TIMED_OUT:
        pytest.skip(f"the packages could not be fetched within {LIMIT} s")
    if done.returncode and any(words in done.stderr.lower() for words in LACKING):
        pytest.skip(f"the newest kfp cannot be had here: {' '.join(done.stderr.split())[-300:]}")
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, compiled with everything that a configuration can ask of Kubernetes."""
    everything = {
        "retries": 2,
        "secrets": [{"name": "bucket-key", "env": {"id": "AWS_ACCESS_KEY_ID"}}],
        "node_selector": {"pool": "batch"},
        "tolerations": [{"key": "batch", "operator": "Exists", "effect": "NoExecute", "seconds": 60}],
        "nodes": {"Evaluator": {"cpu": 4, "memory": "16G", "gpu_count": 1}},
    }
    settings = (f"--set=kubeflow.{key}={json.dumps(value)}" for key, value in everything.items())
    return compile_sample("kfp", tmp_path_factory.mktemp("compiled"), *settings)


def read_with(python: Path, file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [python, Path(__file__).with_name("reading_kfp.py"), file, folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)


def test_the_newest_kfp_reads_the_file_and_writes_it_again(newest_python: Path, file: Path, tmp_path: Path) -> None:
    done = read_with(newest_python, file, tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    said = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    warnings.warn(f"the newest are {said}", stacklevel=1)  # what pytest shows of a test that passes, in every process
    assert found["same spec"], found["versions"]
    assert found["same platform"], found["versions"]
    spec, platform = yaml.safe_load_all(file.read_text("utf-8"))
    written = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert found["executors"].keys() == written.keys() == {f"{task}_executor" for task in spec["root"]["dag"]["tasks"]}
    trainer = found["executors"]["Trainer_executor"]
    assert trainer["nodeSelector"] == {"labels": {"pool": "batch"}}
    assert trainer["tolerations"] == [
        {"key": "batch", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": "60"}
    ]
    assert trainer["secretAsEnv"][0]["keyToEnv"] == [{"secretKey": "id", "envVar": "AWS_ACCESS_KEY_ID"}]
    assert trainer["podMetadata"]["labels"].keys() == {"graft-version", "graft-config", "graft-code"}


def test_a_field_that_the_newest_kfp_does_not_know_is_found(newest_python: Path, file: Path, tmp_path: Path) -> None:
    """The test above can fail."""
    other = tmp_path / "other.yaml"
    other.write_text(file.read_text("utf-8").replace("pvcMount:", "pvcMounted:"), "utf-8")
    done = read_with(newest_python, other, tmp_path)
    assert done.returncode != 0
    assert "pvcMounted" in done.stderr
