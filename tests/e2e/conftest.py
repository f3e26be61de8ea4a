"""Real runs of `graft` as a process, as a user starts it."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
    "Report",
]


@dataclass(frozen=True)
class Finished:
    """A finished command: exit code and what it printed."""

    code: int
    out: str
    err: str


def start_graft(*args: object, cwd: Path = ROOT, within: Sequence[str] = ()) -> subprocess.Popen[str]:
    command = [*within, sys.executable, "-m", "pipeline", *(str(arg) for arg in args)]
    environment = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(cwd)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=pipe, stderr=pipe, text=True, preexec_fn=_heed_interrupts
    )


def _heed_interrupts() -> None:
    """What a shell starts in the background ignores SIGINT, what `nohup` starts SIGHUP, and so would their children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def graft(*args: object, cwd: Path = ROOT, within: Sequence[str] = ()) -> Finished:
    process = start_graft(*args, cwd=cwd, within=within)
    out, err = process.communicate(timeout=500)
    return Finished(process.returncode, out, err)


def read_summary(workdir: Path) -> dict:
    return json.loads((workdir / "runs" / "latest" / "summary.json").read_text("utf-8"))


def served_versions(workdir: Path) -> list[str]:
    """Every folder that TensorFlow Serving would load."""
    serving = workdir / "serving"
    return sorted(p.name for p in serving.iterdir() if p.name.isdigit()) if serving.is_dir() else []


@functools.cache
def without_network() -> tuple[str, ...]:
    """What starts a command in a network namespace without interfaces; nothing where this machine allows none."""
    for command in (("unshare", "--net"), ("unshare", "--net", "--map-root-user")):
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    return ()


@dataclass(frozen=True)
class Run:
    """A run of the sample: where, how it ended, its summary, what it asked of a network, and whether it had one."""

    workdir: Path
    finished: Finished
    summary: dict
    asked: str
    had_network: bool


@pytest.fixture(scope="session")
def sample_run(made_once) -> Run:
    """One run for all processes of the tests: its folder is read, and never written."""

    def fill(folder: Path) -> None:
        log = folder / "network.txt"
        log.touch()
        watched = (f"PYTHONPATH={ROOT}:{Path(__file__).with_name('network')}", f"GRAFT_NETWORK_LOG={log}")
        command = ("run", "configs/sample.yaml", "--workdir", folder / "work")
        finished = graft(*command, within=(*without_network(), "env", *watched))
        assert finished.code == 0, finished.out + finished.err
        (folder / "finished.json").write_text(json.dumps(asdict(finished)), "utf-8")

    made = made_once("sample-run", fill, copied=False)
    finished = Finished(**json.loads((made / "finished.json").read_text("utf-8")))
    asked = (made / "network.txt").read_text("utf-8")
    return Run(made / "work", finished, read_summary(made / "work"), asked, had_network=not without_network())
