"""A compiled pipeline, read back: its parameters, its tasks in an order that can be run, and what is sent of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as proto

from components.contract.secrets import refuse_secrets
from components.errors import InputError, did_you_mean

SCHEMA_VERSION = "2.1.0"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is


@dataclass(frozen=True)
class Task:
    """One task: what it takes and gives, and the container that does it."""

    name: str
    task: Any
    component: Any
    container: Any

    @property
    def looks_outside(self) -> bool:
        """Tells whether the task must run each time: never cached, and without an artifact of another task."""
        return not self.task.caching_options.enable_cache and not self.task.inputs.artifacts

    @property
    def upstream(self) -> set[str]:
        """Gives the names of the tasks that must be done before."""
        return set(self.task.dependent_tasks)


@dataclass(frozen=True)
class CompiledPipeline:
    """A PipelineSpec with its tasks, each after those that it depends on."""

    name: str
    spec: Any
    tasks: list[Task]

    def resolve_parameters(self, given: dict[str, str]) -> dict[str, Any]:
        """Gives the values of all runtime parameters: from the given texts, else the defaults.

        Raises:
            InputError: an unknown name, a text that is no such number, or a value that is missing.
        """
        known = self.spec.root.input_definitions.parameters
        for name in given:
            if name not in known:
                hint = did_you_mean(name, list(known))
                raise InputError(f"--param: there is no parameter '{name}'.{hint} Known: {', '.join(sorted(known))}.")
        values = {}
        for name, definition in known.items():
            if name in given:
                values[name] = _typed(name, given[name], definition.parameter_type)
            elif definition.HasField("default_value"):
                values[name] = _plain(json_format.MessageToDict(definition.default_value), definition.parameter_type)
            else:
                raise InputError(f"--param: the parameter '{name}' has no default; add --param {name}=VALUE.")
        refuse_secrets(values, "--param")
        return values


def read_compiled(path: Path) -> CompiledPipeline:
    """Reads what `graft compile` wrote.

    Raises:
        InputError: no such file, or none of that kind.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[CompiledPipeline, list[Any]]:
    """Gives the pipeline of a file, and the file's documents."""
    try:
        documents = list(yaml.load_all(path.read_text("utf-8"), LOADER))
        spec = json_format.ParseDict(documents[0], proto.PipelineSpec())
    except OSError as error:
        raise InputError(
            f"Expected a compiled pipeline at {path}: {error.strerror}.\nMake one: graft compile."
        ) from error
    except (yaml.YAMLError, json_format.ParseError, UnicodeDecodeError, AttributeError, IndexError) as error:
        raise InputError(
            f"{path} is no compiled pipeline: {' '.join(str(error).split())[:200]}\nMake one: graft compile."
        ) from error
    if spec.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: expected a pipeline of schema {SCHEMA_VERSION}, found {spec.schema_version or 'none'}.\n"
            "Make one: graft compile."
        )
    deployment = json_format.ParseDict(
        json_format.MessageToDict(spec.deployment_spec), proto.PipelineDeploymentConfig()
    )
    tasks = {
        name: Task(
            name,
            task,
            spec.components[task.component_ref.name],
            deployment.executors[spec.components[task.component_ref.name].executor_label].container,
        )
        for name, task in sorted(spec.root.dag.tasks.items())
    }
    ordered = [tasks[name] for name in _ordered(tasks, path)]
    return CompiledPipeline(spec.pipeline_info.name, spec, ordered), documents


def _ordered(tasks: dict[str, Task], path: Path) -> list[str]:
    try:
        return list(TopologicalSorter({name: sorted(task.upstream) for name, task in tasks.items()}).static_order())
    except CycleError as error:
        raise InputError(f"{path}: its tasks wait for one another: {' -> '.join(error.args[1])}.") from error


def _typed(name: str, text: str, kind: int) -> Any:
    try:
        if kind == proto.ParameterType.NUMBER_INTEGER:
            return int(text)
        if kind == proto.ParameterType.NUMBER_DOUBLE:
            return float(text)
    except ValueError as error:
        raise InputError(f"--param {name}: expected a number, got '{text}'.") from error
    if kind == proto.ParameterType.BOOLEAN:
        if text not in ("true", "false"):
            raise InputError(f"--param {name}: expected true or false, got '{text}'.")
        return text == "true"
    return text


def _plain(value: Any, kind: int) -> Any:
    return int(value) if kind == proto.ParameterType.NUMBER_INTEGER else value


@dataclass(frozen=True)
class Package:
    """A compiled file.

    Attributes:
        path: of the file, `.yaml`.
        pipeline: what is in it.
        digest: of its content, 16 hex digits.
    """

    path: Path
    pipeline: CompiledPipeline
    digest: str

    @property
    def name(self) -> str:
        """Gives the name of the pipeline."""
        return self.pipeline.name

    @property
    def nodes(self) -> tuple[str, ...]:
        """Gives the names of the tasks, each after the tasks that it waits for."""
        return tuple(task.name for task in self.pipeline.tasks)

    @property
    def root(self) -> str:
        """Gives the pipeline root that the file names; empty: none."""
        return str(self.pipeline.spec.default_pipeline_root)

    def nodes_of(self, sent: Sent) -> tuple[str, ...]:
        """Gives the tasks of a run: this pipeline's, unless the server tells of another pipeline."""
        return self.nodes if sent.digest in ("", self.digest) else sent.nodes

    def sent_with(self, parameters: dict[str, Any]) -> Sent:
        """Describes a run that is made from this pipeline with these parameters."""
        return Sent(self.name, self.nodes, self.digest, self.root, parameters)

    def check_parameters(self, given: list[str]) -> dict[str, Any]:
        """Reads `name=value` pairs of `--param` with the types that the file asks for; defaults are left to the server.

        Raises:
            InputError: no such parameter, another type, or one without a default that is not given.
        """
        texts = {}
        for text in given:
            name, equals, value = text.partition("=")
            if not equals or not name:
                raise InputError(f"--param: expected NAME=VALUE, got '{text}'.")
            texts[name] = value
        values = self.pipeline.resolve_parameters(texts)
        return {name: values[name] for name in texts}


@dataclass(frozen=True)
class Sent:
    """What a run is made from.

    Attributes:
        name: of the pipeline; empty: the server does not say what it ran.
        nodes: its tasks.
        digest: of the pipeline, see `digest_of`.
        root: the pipeline root; empty: the server's.
        parameters: that differ from the pipeline's defaults.
    """

    name: str = ""
    nodes: tuple[str, ...] = ()
    digest: str = ""
    root: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


def read_sent(spec: dict[str, Any], parameters: dict[str, Any], root: str) -> Sent:
    """Reads what a run was made from, as a server tells it.

    Args:
        spec: a PipelineSpec, or one beside the `platform_spec`, as the client sends both.
        parameters: of the run.
        root: of the run.
    """
    own, platform = spec.get("pipeline_spec", spec), spec.get("platform_spec", {})
    parameters = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in parameters.items()}
    if "pipelineInfo" not in own:
        return Sent(root=root, parameters=parameters)
    nodes = tuple(own.get("root", {}).get("dag", {}).get("tasks", {}))
    return Sent(own["pipelineInfo"].get("name", ""), nodes, digest_of(own, platform), root, parameters)


def digest_of(spec: dict[str, Any], platform: dict[str, Any]) -> str:
    """Digests a pipeline by its content, 16 hex digits: the same for the file and for a server's copy.

    Servers keep both documents as they are; numbers may come back as floats, and comments do not.
    """
    content = json_format.ParseDict({"spec": spec, "platform": platform}, struct_pb2.Struct())
    text = json.dumps(json_format.MessageToDict(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_compiled(path: str) -> bool:
    """Tells whether a file is a compiled pipeline rather than a configuration."""
    try:
        return "\npipelineInfo:" in "\n" + Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def read_package(path: Path) -> Package:
    """Reads a compiled file, with or without a second document for the platform.

    Raises:
        InputError: it cannot be read, or it is no compiled pipeline that Kubeflow would take.
    """
    pipeline, documents = _read(path)
    platform = documents[1] if len(documents) > 1 else {}
    return Package(path, pipeline, digest_of(documents[0], platform or {}))
