"""One task, as a cluster runs it: an empty disk, an ExecutorInput, the container's own command, and what it left.

Written after kubeflow/pipelines' `launcher_v2.go`: inputs are copied in and outputs copied out, placeholders in the
command are replaced, and what the command wrote about its outputs is merged with what was planned for them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as proto

from pipeline.fingerprint import ROOT
from pipeline.kubeflow.checks import Target
from pipeline.kubeflow.compiled import Task
from pipeline.kubeflow.places import FOLDERS, LOCAL_ROOT_VARIABLE
from pipeline.kubeflow.pod import CLOSING, VERDICT
from pipeline.kubeflow.stores import Store


@dataclass
class Inputs:
    """What one task is given: values of its parameters, and artifacts as the tasks before it left them."""

    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)  # name -> RuntimeArtifact as plain values


@dataclass
class Result:
    """How a task ended.

    Attributes:
        code: exit code of its command.
        artifacts: name -> RuntimeArtifact as plain values.
        parameters: values of its output parameters.
        log: file with all that it printed.
        command: as it was run.
        kept: URIs of the artifacts that have files; some say all in their metadata.
        verdict: of a gate that said no, {gate: what it said}.
    """

    code: int
    artifacts: dict[str, Any]
    parameters: dict[str, Any]
    log: Path
    command: list[str]
    kept: list[str] = field(default_factory=list)
    verdict: dict[str, Any] = field(default_factory=dict)

    @property
    def closing(self) -> str:
        """What the task said of its result, in one line."""
        lines = [line for line in self._lines() if line.startswith(CLOSING)]
        return lines[-1].removeprefix(CLOSING) if lines else ""

    def last_lines(self, count: int) -> list[str]:
        """The end of its log."""
        return self._lines()[-count:]

    def _lines(self) -> list[str]:
        return self.log.read_text("utf-8", errors="replace").splitlines()


@dataclass(frozen=True)
class Launcher:
    """Runs tasks of one run.

    Attributes:
        store: the pipeline root.
        target: whose ways are imitated: Kubeflow's, which passes artifacts without a type, or Vertex'.
        folder: URI below which this run's outputs go.
        scratch: local folder for the tasks' disks and logs.
        running: the tasks' processes.
    """

    store: Store
    target: Target
    folder: str
    scratch: Path
    running: set[subprocess.Popen[bytes]] = field(default_factory=set)

    def stop(self) -> None:
        """Ends the tasks that are running."""
        for process in tuple(self.running):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)

    def run(self, task: Task, inputs: Inputs) -> Result:
        """Runs a task on a disk of its own, which is gone afterwards; its outputs are in the store."""
        log = self.scratch / f"{task.name}.log"
        with self._disk(task.name) as disk:
            given = self.executor_input(task, inputs, disk)
            for artifacts in given.inputs.artifacts.values():
                for artifact in artifacts.artifacts:
                    self.store.download(artifact.uri, _local(disk, artifact.uri))
            command = fill_placeholders([*task.container.command, *task.container.args], given, disk)
            code = self._run_command(command, disk, task, log)
            if code:
                said = disk / VERDICT
                verdict = json.loads(said.read_text("utf-8")) if said.is_file() else {}
                return Result(code, {}, {}, log, command, verdict=verdict)
            artifacts, parameters = self._collect(given, disk)
        kept = [artifact["uri"] for artifact in artifacts.values() if self.store.exists(artifact["uri"])]
        return Result(code, artifacts, parameters, log, command, kept)

    @contextmanager
    def _disk(self, name: str) -> Iterator[Path]:
        disk = self.scratch / "disks" / name
        shutil.rmtree(disk, ignore_errors=True)
        (disk / "tmp").mkdir(parents=True)
        (disk / FOLDERS[self.store.root.partition("://")[0]]).mkdir()
        try:
            yield disk
        finally:
            shutil.rmtree(disk, ignore_errors=True)

    def executor_input(self, task: Task, inputs: Inputs, disk: Path) -> Any:
        """The ExecutorInput of a task, as the target would build it."""
        given = proto.ExecutorInput()
        for name, value in inputs.parameters.items():
            json_format.ParseDict(value, given.inputs.parameter_values[name])
        for name, content in inputs.artifacts.items():
            artifact = json_format.ParseDict(content, proto.RuntimeArtifact())
            if self.target is Target.KFP:
                artifact.type.Clear()
                artifact.type.instance_schema = ""
            given.inputs.artifacts[name].artifacts.append(artifact)
        place = f"{self.folder}/{task.name}"
        for name, definition in task.component.output_definitions.artifacts.items():
            artifact = proto.RuntimeArtifact(
                name=f"{place}/{name}", uri=f"{place}/{name}", type=definition.artifact_type
            )
            given.outputs.artifacts[name].artifacts.append(artifact)
        meta = f"{place}/executor_output.json"
        kfp_outputs = disk / "tmp" / "kfp_outputs"
        for name in task.component.output_definitions.parameters:
            where = _local(disk, f"{place}/{name}") if self.target is Target.VERTEX else kfp_outputs / name
            given.outputs.parameters[name].output_file = str(where)
        is_vertex = self.target is Target.VERTEX
        given.outputs.output_file = meta if is_vertex else str(kfp_outputs / "output_metadata.json")
        return given

    def _run_command(self, command: list[str], disk: Path, task: Task, log: Path) -> int:
        """Runs a container's command in this environment, as a process group of its own; gives its exit code."""
        environment = {**os.environ, **{variable.name: variable.value for variable in task.container.env}}
        environment |= {
            LOCAL_ROOT_VARIABLE: str(disk),
            "TMPDIR": str(disk / "tmp"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": str(ROOT),  # in the image the packages are installed
        }
        with open(log, "wb") as file:
            process = subprocess.Popen(
                command, cwd=disk, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.running.add(process)
        try:
            return process.wait()
        finally:
            self.running.discard(process)

    def _collect(self, given: Any, disk: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """Uploads the outputs; gives artifacts and parameters."""
        path = Path(given.outputs.output_file)
        written = proto.ExecutorOutput()
        path = _local(disk, given.outputs.output_file) if "://" in given.outputs.output_file else path
        if path.is_file():
            json_format.Parse(path.read_text("utf-8"), written)
        artifacts = {}
        for name, planned in given.outputs.artifacts.items():
            artifact = planned.artifacts[0]
            for found in written.artifacts[name].artifacts if name in written.artifacts else []:
                artifact.uri = found.uri or artifact.uri
                artifact.metadata.update(json_format.MessageToDict(found.metadata))
            self.store.upload(_local(disk, artifact.uri), artifact.uri)
            artifacts[name] = json_format.MessageToDict(artifact)
        parameters = {
            name: Path(parameter.output_file).read_text("utf-8") for name, parameter in given.outputs.parameters.items()
        }
        return artifacts, parameters


def _local(disk: Path, uri: str) -> Path:
    scheme, _, rest = uri.partition("://")
    return disk / FOLDERS[scheme] / rest


def fill_placeholders(command: list[str], given: Any, disk: Path) -> list[str]:
    """The command with every `{{$...}}` replaced."""
    known = {"{{$}}": json_format.MessageToJson(given, indent=None)}
    for name, value in given.inputs.parameter_values.items():
        known[f"{{{{$.inputs.parameters['{name}']}}}}"] = _as_text(json_format.MessageToDict(value))
    for kind, group in (("inputs", given.inputs.artifacts), ("outputs", given.outputs.artifacts)):
        for name, found in group.items():
            known[f"{{{{$.{kind}.artifacts['{name}'].uri}}}}"] = found.artifacts[0].uri
            known[f"{{{{$.{kind}.artifacts['{name}'].path}}}}"] = str(_local(disk, found.artifacts[0].uri))
    for name, parameter in given.outputs.parameters.items():
        known[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = parameter.output_file
    filled = list(command)
    for placeholder, value in known.items():
        filled = [part.replace(placeholder, value) for part in filled]
    return filled


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
