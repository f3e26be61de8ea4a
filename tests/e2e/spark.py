"""A real Spark on this machine: installed apart from the lock, a master, and two workers of one processor each."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT

PACKAGES = ("pyspark==3.5.3", "py4j==0.10.9.7", "beam-pyspark-runner==0.0.3")
RUNNER = "beam_pyspark_runner.pyspark_runner.PySparkRunner"
LIMIT = 240  # seconds, for anything that is waited for
CACHE = Path(
    os.environ.get("GRAFT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graft"
)


def wait_for(happens, what: str):
    """What a function gives as soon as it is true."""
    end = time.monotonic() + LIMIT
    while not (found := happens()):
        assert time.monotonic() < end, f"no {what} in {LIMIT} s"
        time.sleep(0.05)
    return found


def install_spark() -> Path:
    """The folder of the packages: 300 MB, fetched once.

    Where they cannot be had, the test is skipped.
    """
    folder = CACHE / "-".join(("spark", *(package.partition("==")[2] for package in PACKAGES)))
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=CACHE))
        try:
            uv = subprocess.run(
                [ROOT / "scripts" / "setup_env.sh", "uv"], capture_output=True, text=True
            ).stdout.strip()
            command = [uv or "uv", "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
            done = subprocess.run([*command, "--target", scratch / "new", *PACKAGES], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"{', '.join(PACKAGES)} cannot be installed here: {done.stderr.strip()[-300:]}")
            (scratch / "new").rename(folder)
        finally:
            shutil.rmtree(scratch)
    return folder


@dataclass(frozen=True)
class Cluster:
    """Where the master is, its workers, and the environment in which a driver finds it."""

    master: str
    workers: Sequence[subprocess.Popen]
    environment: dict[str, str]


@contextmanager
def spark_cluster(folder: Path, places: Sequence[object] = (), **variables: object) -> Iterator[Cluster]:
    """A standalone cluster on loopback; its logs and scratch files go into a folder.

    Args:
        folder: an empty one.
        places: where workers look for modules first.
        variables: of the workers' environment.
    """
    if not shutil.which("java"):
        pytest.skip("Spark needs Java, and there is none on this machine")
    packages = install_spark()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (*places, ROOT, packages))),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_HOME": str(packages / "pyspark"),
        "SPARK_SCALA_VERSION": "2.12",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(folder / "scratch"),
        "SPARK_WORKER_DIR": str(folder / "work"),
    }
    started = list[subprocess.Popen]()

    def start(name: str, *args: object) -> Path:
        command = ["java", "-Xmx512m", "-cp", f"{packages}/pyspark/jars/*", f"org.apache.spark.deploy.{name}", *args]
        log = folder / f"{len(started)}.txt"
        with log.open("wb") as out:
            mine = {**environment, **{key: str(value) for key, value in variables.items()}}
            command = [str(part) for part in command]
            started.append(subprocess.Popen(command, env=mine, stdout=out, stderr=subprocess.STDOUT, cwd=folder))
        return log

    try:
        ports = ("--host", "127.0.0.1", "--port", 0, "--webui-port", 0)
        log = start("master.Master", *ports)
        master = wait_for(lambda: re.search(r"spark://127\.0\.0\.1:[1-9]\d*", log.read_text()), "master").group()
        for _ in range(2):
            log = start("worker.Worker", *ports, "--cores", 1, "--memory", "1g", master)
            wait_for(lambda log=log: "Successfully registered" in log.read_text(), "worker")
        submit = f"--master {master} --conf spark.ui.enabled=false --conf spark.driver.host=127.0.0.1 pyspark-shell"
        driver = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, packages))), "PYSPARK_SUBMIT_ARGS": submit}
        yield Cluster(master, started[1:], environment | driver)
    finally:
        for process in started:
            process.kill()
            process.wait()
