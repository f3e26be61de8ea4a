"""A compiled pipeline, read back: its parameters and its tasks in an order that can be run."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as proto

from components.contract.secrets import refuse_secrets
from components.errors import InputError, did_you_mean

SCHEMA_VERSION = "2.1.0"


@dataclass(frozen=True)
class Task:
    """One task: what it takes and gives, and the container that does it."""

    name: str
    task: Any
    component: Any
    container: Any

    @property
    def looks_outside(self) -> bool:
        """Whether it must run each time: never cached, and made of nothing that the pipeline has made."""
        return not self.task.caching_options.enable_cache and not self.task.inputs.artifacts

    @property
    def upstream(self) -> set[str]:
        """The tasks that must be done before."""
        return set(self.task.dependent_tasks)


@dataclass(frozen=True)
class CompiledPipeline:
    """A PipelineSpec with its tasks, each after those that it depends on."""

    name: str
    spec: Any
    tasks: list[Task]

    def resolve_parameters(self, given: dict[str, str]) -> dict[str, Any]:
        """Values of all runtime parameters: those given as text, else the defaults.

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
    try:
        documents = list(yaml.safe_load_all(path.read_text("utf-8")))
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
    return CompiledPipeline(spec.pipeline_info.name, spec, [tasks[name] for name in _ordered(tasks, path)])


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
