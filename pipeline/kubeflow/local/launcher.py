"""One task, as a cluster runs it: an empty disk, an ExecutorInput, the container's own command, and what it left.

Written after kubeflow/pipelines' `launcher_v2.go`: inputs are copied in and outputs copied out, placeholders in the
command are replaced, and what the command wrote about its outputs is merged with what was planned for them. Each
behaviour stands with its source in `tests/pipeline/kubeflow/test_backend.py`. A path of the pod, such as
`/tmp/kfp/outputs`, lies below the task's own disk: tasks that run side by side here share one machine.
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

from components.files.paths import is_remote
from pipeline.fingerprint import ROOT
from pipeline.kubeflow.compiled import Task
from pipeline.kubeflow.local.driver import EXECUTOR_LOGS, Driver, local_copy
from pipeline.kubeflow.local.stores import Store
from pipeline.kubeflow.local.values import BackendError, from_text, to_text, whole_numbers
from pipeline.kubeflow.task.pod import CLOSING, FOLDERS, LOCAL_ROOT_VARIABLE, VERDICT


@dataclass
class TaskInputs:
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
        """Reads what the task said of its result, in one line."""
        lines = [line for line in self._lines() if line.startswith(CLOSING)]
        return lines[-1].removeprefix(CLOSING) if lines else ""

    def last_lines(self, count: int) -> list[str]:
        """Reads the end of the task's log."""
        return self._lines()[-count:]

    def _lines(self) -> list[str]:
        return self.log.read_text("utf-8", errors="replace").splitlines()


@dataclass(frozen=True)
class Launcher:
    """Runs tasks of one run.

    Attributes:
        store: the pipeline root.
        driver: the ways of the service that are imitated.
        folder: URI below which this run's outputs go.
        scratch: local folder for the tasks' disks and logs.
        running: the tasks' processes.
    """

    store: Store
    driver: Driver
    folder: str
    scratch: Path
    running: set[subprocess.Popen[bytes]] = field(default_factory=set)

    def stop(self) -> None:
        """Ends the tasks that are running."""
        for process in tuple(self.running):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)

    def run(self, task: Task, inputs: TaskInputs) -> Result:
        """Runs a task on a disk of its own, which is gone afterwards; its outputs are in the store."""
        log = self.scratch / f"{task.name}.log"
        with self._disk(task.name) as disk:
            log.touch()
            try:
                return self._run_on(disk, task, inputs, log)
            except BackendError as error:
                log.write_text(f"{log.read_text('utf-8', errors='replace')}{error}\n", "utf-8")
                return Result(1, {}, {}, log, [*task.container.command, *task.container.args])

    def _run_on(self, disk: Path, task: Task, inputs: TaskInputs, log: Path) -> Result:
        given = self.executor_input(task, inputs, disk)
        for artifacts in given.inputs.artifacts.values():
            for artifact in artifacts.artifacts:
                self.store.download(artifact.uri, local_copy(disk, artifact.uri))
        self.driver.prepare(given, disk, log)
        command = [*task.container.command, *task.container.args]
        command = self.driver.resolve_arguments(command, _plain_parameters(given))
        command = fill_placeholders(command, given, disk)
        code = self._run_command(command, disk, task, log)
        if code:
            self._upload(given.outputs.artifacts.get(EXECUTOR_LOGS), disk)
            said = disk / VERDICT
            verdict = json.loads(said.read_text("utf-8")) if said.is_file() else {}
            return Result(code, {}, {}, log, command, verdict=verdict)
        artifacts, parameters = self._collect(task, given, disk)
        results = [artifact["uri"] for name, artifact in artifacts.items() if name != EXECUTOR_LOGS]
        return Result(code, artifacts, parameters, log, command, [uri for uri in results if self.store.exists(uri)])

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

    def executor_input(self, task: Task, inputs: TaskInputs, disk: Path) -> Any:
        """Builds the ExecutorInput of a task as the service would."""
        given, definitions = proto.ExecutorInput(), task.component
        parameters = self.driver.resolve_parameters(definitions.input_definitions, inputs.parameters)
        for name, value in parameters.items():
            json_format.ParseDict(value, given.inputs.parameter_values[name])
        for name, content in inputs.artifacts.items():
            given.inputs.artifacts[name].artifacts.append(self.driver.pass_artifact(content))
        place = f"{self.folder}/{task.name}"
        given.outputs.CopyFrom(self.driver.provision_outputs(definitions.output_definitions, place, disk))
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

    def _collect(self, task: Task, given: Any, disk: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """Uploads the outputs; gives artifacts and parameters.

        Raises:
            BackendError: an output parameter was not written, or an output cannot be kept.
        """
        written = _read_answer(given.outputs.output_file, disk)
        parameters = {
            name: json_format.MessageToDict(written.parameter_values[name])
            if name in written.parameter_values
            else _read_parameter(name, parameter.output_file, task)
            for name, parameter in given.outputs.parameters.items()
        }
        artifacts = {}
        for name, planned in given.outputs.artifacts.items():
            artifact = planned.artifacts[0]
            if name in written.artifacts and name != EXECUTOR_LOGS:
                _merge(artifact, written.artifacts[name].artifacts)
            self._upload(planned, disk)
            artifacts[name] = self.driver.record_artifact(name, artifact)
        return artifacts, parameters

    def _upload(self, planned: Any, disk: Path) -> None:
        for artifact in planned.artifacts if planned else ():
            self.store.upload(local_copy(disk, artifact.uri), artifact.uri)


def _read_answer(output_file: str, disk: Path) -> Any:
    """Reads what the executor said of its outputs; nothing where it said nothing."""
    path = local_copy(disk, output_file) if is_remote(output_file) else Path(output_file)
    try:
        return json_format.Parse(path.read_text("utf-8") if path.is_file() else "{}", proto.ExecutorOutput())
    except json_format.ParseError as error:
        raise BackendError(f"failed to unmarshall ExecutorOutput in file {path}: {error}") from error


def _read_parameter(name: str, output_file: str, task: Task) -> Any:
    try:
        text = Path(output_file).read_text("utf-8")
        return from_text(text, task.component.output_definitions.parameters[name].parameter_type)
    except (OSError, BackendError) as error:
        raise BackendError(f'failed to read output parameter name="{name}" path={output_file}: {error}') from error


def _merge(artifact: Any, said: Any) -> None:
    """Lets what the executor said of an output win over what was planned."""
    for found in said[:1]:
        artifact.uri = found.uri or artifact.uri
        artifact.metadata.update(json_format.MessageToDict(found.metadata))


def _plain_parameters(given: Any) -> dict[str, Any]:
    return {name: json_format.MessageToDict(value) for name, value in given.inputs.parameter_values.items()}


def fill_placeholders(command: list[str], given: Any, disk: Path) -> list[str]:
    """Replaces every `{{$...}}` of a command, as the launcher does it."""
    content = whole_numbers(json_format.MessageToDict(given))
    known = {"{{$}}": json.dumps(content, ensure_ascii=False, separators=(",", ":"))}
    for name, value in _plain_parameters(given).items():
        known[f"{{{{$.inputs.parameters['{name}']}}}}"] = to_text(value)
    for kind, group in (("inputs", given.inputs.artifacts), ("outputs", given.outputs.artifacts)):
        for name, found in group.items():
            known[f"{{{{$.{kind}.artifacts['{name}'].uri}}}}"] = found.artifacts[0].uri
            known[f"{{{{$.{kind}.artifacts['{name}'].path}}}}"] = str(local_copy(disk, found.artifacts[0].uri))
    for name, parameter in given.outputs.parameters.items():
        known[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = parameter.output_file
    filled = list(command)
    for placeholder, value in known.items():
        filled = [part.replace(placeholder, value) for part in filled]
    return filled
