"""A configuration that compiles, what it compiles to, and a server on this machine to send it to."""

import copy
import functools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main
import yaml

from pipeline.config.configuration import Config
from pipeline.kubeflow import service
from pipeline.kubeflow.services import SERVICES
from tests.pipeline.kubeflow.kfp_server import KfpServer

SECTIONS = {
    "name": "night",
    "data": {"path": "/mnt/graft/photos"},
    "trainer": {"weights": "none"},
    "kubeflow": {
        "image": "registry.example/graft:0.1",
        "pipeline_root": "gs://bucket/root",
        "volumes": [{"claim": "graft", "mount_path": "/mnt/graft"}],
    },
}
KFP, VERTEX = SERVICES["kfp"], SERVICES["vertex"]
IN_BUCKETS = {"kubeflow": {"workdir": "/gcs/bucket/graft", "data_path": "/gcs/bucket/photos", "volumes": []}}


def make_config(target: service.Service = KFP, **sections) -> Config:
    """The configuration above for a target, with more options a section."""
    content = copy.deepcopy(SECTIONS)
    for more in (IN_BUCKETS if target is VERTEX else {}, sections):
        for name, options in more.items():
            content[name] = {**content.get(name, {}), **options} if isinstance(options, dict) else options
    return Config.model_validate(content)


@pytest.fixture(scope="session")
def compiled():
    """The pipeline of the configuration for each target."""
    from pipeline.kubeflow.compile.compile import compile_config

    return {target: compile_config(make_config(target), target) for target in SERVICES.values()}


@pytest.fixture(scope="session")
def compiled_files(compiled, tmp_path_factory):
    """The file of each."""
    folder = tmp_path_factory.mktemp("compiled")
    files = {target: folder / f"{name}.yaml" for name, target in SERVICES.items()}
    for target, file in files.items():
        file.write_text(compiled[target].to_yaml(), "utf-8")
    return files


@pytest.fixture(scope="session")
def pipelines(compiled_files):
    """Each as it is read back."""
    from pipeline.kubeflow.compiled import read_compiled

    return {target: read_compiled(file) for target, file in compiled_files.items()}


NODES = ("Plan", "ImageExampleGen", "DataGate", "Trainer", "Pusher")


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def server() -> Iterator[KfpServer]:
    with KfpServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()
    assert running.schema_errors == []


@pytest.fixture(autouse=True)
def fast_and_bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials or context of the machine, and retries that do not wait."""
    for name in ("GRAFT_KFP_TOKEN", "GRAFT_KFP_COOKIES", "KF_PIPELINES_SA_TOKEN_PATH", "KF_PIPELINES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("GRAFT_NAMESPACE", raising=False)
    monkeypatch.setattr(service, "PACE", service.Pace(attempts=3, pause=0.001, poll=0.002, patience=0.02))


make_command = functools.cache(typer.main.get_command)  # one for all calls, where each process makes its own


@pytest.fixture
def graft(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The command line, in this process: code, standard output, standard error."""
    from pipeline.__main__ import main

    monkeypatch.setattr(typer.main, "get_command", make_command)

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["graft", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return call


def write_pipeline(
    path: Path, epochs: int = 5, required: bool = False, platform: bool = True, tasks: Sequence[str] = NODES
) -> Path:
    """A small pipeline that a server takes, with the names of Graft's nodes."""
    container = {"image": "registry.example.org/graft:1", "command": ["true"]}
    parameters: dict[str, dict[str, object]] = {
        "trainer_epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": epochs, "isOptional": True},
        "data_path": {"parameterType": "STRING", "defaultValue": "/data", "isOptional": True},
    }
    if required:
        parameters["data_path"] = {"parameterType": "STRING"}
    spec = {
        "pipelineInfo": {"name": "flowers"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "tfx-1.16.0",
        "defaultPipelineRoot": "s3://bucket/root",
        "root": {
            "inputDefinitions": {"parameters": parameters},
            "dag": {"tasks": {node: {"taskInfo": {"name": node}, "componentRef": {"name": node}} for node in tasks}},
        },
        "components": {node: {"executorLabel": f"{node}_executor"} for node in tasks},
        "deploymentSpec": {"executors": {f"{node}_executor": {"container": container} for node in tasks}},
    }
    kubernetes = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"Trainer_executor": {}}}}}}
    path.write_text(yaml.safe_dump_all([spec, kubernetes][: 1 + platform], sort_keys=True), "utf-8")
    return path


@pytest.fixture
def pipeline_file(tmp_path: Path) -> Path:
    return write_pipeline(tmp_path / "flowers.yaml")
