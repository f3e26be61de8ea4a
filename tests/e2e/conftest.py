"""Real runs of `graft` as a process, as a user starts it."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
CATS_AND_DOGS = SHARED / "data" / "cats_and_dogs_filtered"
WEIGHTS = SHARED / "weights" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
NODES = [
    "ImageExampleGen",
    "StatisticsGen",
    "ImportSchemaGen",
    "ExampleValidator",
    "DataGate",
    "Transform",
    "Trainer",
    "BaselineModel",
    "Evaluator",
    "ServableCheck",
    "Pusher",
]


@dataclass(frozen=True)
class Finished:
    """A finished command: exit code and what it printed."""

    code: int
    out: str
    err: str


def start_graft(*args: object, cwd: Path = ROOT) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline", *(str(arg) for arg in args)]
    environment = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(cwd)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=pipe, stderr=pipe, text=True, preexec_fn=_heed_interrupts
    )


def _heed_interrupts() -> None:
    """What a shell starts in the background ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def graft(*args: object, cwd: Path = ROOT) -> Finished:
    process = start_graft(*args, cwd=cwd)
    out, err = process.communicate(timeout=500)
    return Finished(process.returncode, out, err)


def read_summary(workdir: Path) -> dict:
    return json.loads((workdir / "runs" / "latest" / "summary.json").read_text("utf-8"))


def served_versions(workdir: Path) -> list[str]:
    """Every folder that TensorFlow Serving would load."""
    serving = workdir / "serving"
    return sorted(p.name for p in serving.iterdir() if p.name.isdigit()) if serving.is_dir() else []


@dataclass(frozen=True)
class Run:
    """A run of the sample: where, how it ended, its summary."""

    workdir: Path
    finished: Finished
    summary: dict


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    workdir = tmp_path_factory.mktemp("sample")
    finished = graft("run", "configs/sample.yaml", "--workdir", workdir)
    assert finished.code == 0, finished.out + finished.err
    return Run(workdir, finished, read_summary(workdir))
