"""What Kubeflow's driver does before a task's pod starts: inputs with their kinds, places of outputs, arguments.

Also how artifacts pass through ML Metadata from one task to the next. Written after kubeflow/pipelines 2.17.0;
`tests/pipeline/kubeflow/test_backend.py` lists each behaviour with its source.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as proto

from pipeline.kubeflow.local.values import BackendError, check_kind, through_metadata, to_argument
from pipeline.kubeflow.task.places import FOLDERS

EXECUTOR_LOGS = "executor-logs"  # an output that the driver adds to every task: what its container printed
OUTPUT_PARAMETERS = Path("tmp", "kfp", "outputs")
OUTPUT_FILE = "output_metadata.json"
PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)']}}")
CONDITION = '{"IfPresent":'


def resolve_parameters(definitions: proto.ComponentInputsSpec, values: dict[str, Any]) -> dict[str, Any]:
    """The values of a task's input parameters, each of the kind that its component declares.

    Raises:
        BackendError: a value is missing or of another kind.
    """
    resolved = dict(values)
    for name, definition in definitions.parameters.items():
        if name in values:
            resolved[name] = check_kind(name, values[name], definition.parameter_type)
        elif not definition.is_optional and not definition.HasField("default_value"):
            raise BackendError(f'neither value nor default value provided for non-optional parameter "{name}"')
    return resolved


def provision_outputs(definitions: proto.ComponentOutputsSpec, place: str, pod: Path) -> Any:
    """Where a task's outputs go, and one more than its component declares.

    Args:
        definitions: of the component.
        place: URI of the task's folder in the pipeline root.
        pod: what is `/` to the task.
    """
    outputs = proto.ExecutorInput.Outputs()
    for name, definition in definitions.artifacts.items():
        artifact = proto.RuntimeArtifact(name=name, uri=f"{place}/{name}", type=definition.artifact_type)
        outputs.artifacts[name].artifacts.append(artifact)
    logs = proto.RuntimeArtifact(name=EXECUTOR_LOGS, uri=f"{place}/{EXECUTOR_LOGS}")
    logs.type.schema_title = "system.Artifact"
    outputs.artifacts[EXECUTOR_LOGS].artifacts.append(logs)
    for name in definitions.parameters:
        outputs.parameters[name].output_file = str(pod / OUTPUT_PARAMETERS / name)
    outputs.output_file = str(local_copy(pod, place) / OUTPUT_FILE)
    return outputs


def vertex_outputs(definitions: proto.ComponentOutputsSpec, place: str, pod: Path) -> Any:
    """Where Vertex has the outputs of a task: all of them in the bucket."""
    outputs = proto.ExecutorInput.Outputs(output_file=f"{place}/executor_output.json")
    for name, definition in definitions.artifacts.items():
        artifact = proto.RuntimeArtifact(name=f"{place}/{name}", uri=f"{place}/{name}", type=definition.artifact_type)
        outputs.artifacts[name].artifacts.append(artifact)
    for name in definitions.parameters:
        outputs.parameters[name].output_file = str(local_copy(pod, f"{place}/{name}"))
    return outputs


def local_copy(pod: Path, uri: str) -> Path:
    """Where the launcher copies an artifact to.

    Args:
        pod: what is `/` to the task.
        uri: of the artifact.
    """
    scheme, _, rest = uri.partition("://")
    return pod / FOLDERS[scheme] / rest


def resolve_arguments(arguments: list[str], parameters: dict[str, Any]) -> list[str]:
    """A container's command with the placeholders of input parameters filled, anywhere in an argument.

    Arguments that name an output are left to the launcher.

    Raises:
        BackendError: a placeholder names no parameter of the task.
    """
    resolved: list[str] = []
    for argument in arguments:
        if "$.outputs" in argument:
            resolved.append(argument)
        elif argument.strip().startswith(CONDITION):
            resolved += [_fill(part, parameters) for part in _choose(json.loads(argument), parameters)]
        else:
            resolved.append(_fill(argument, parameters))
    return resolved


def _fill(argument: str, parameters: dict[str, Any]) -> str:
    def value_of(match: re.Match[str]) -> str:
        if match[1] not in parameters:
            raise BackendError(f'parameter "{match[1]}" not found in executor input')
        return to_argument(parameters[match[1]])

    return PLACEHOLDER.sub(value_of, argument)


def _choose(clause: dict[str, Any], parameters: dict[str, Any]) -> list[str]:
    """The arguments of an `IfPresent` clause."""
    condition = clause["IfPresent"]
    chosen = condition.get("Then" if parameters.get(condition["InputName"]) is not None else "Else") or []
    return [chosen] if isinstance(chosen, str) else list(chosen)


def record_artifact(name: str, artifact: proto.RuntimeArtifact) -> dict[str, Any]:
    """An output as ML Metadata keeps it: by a number, with metadata of its own kinds.

    Raises:
        BackendError: it cannot be kept.
    """
    number = int(hashlib.sha256(artifact.uri.encode()).hexdigest()[:12], 16)
    metadata = through_metadata(name, json_format.MessageToDict(artifact.metadata))
    return {**json_format.MessageToDict(artifact), "name": str(number), "metadata": metadata}
