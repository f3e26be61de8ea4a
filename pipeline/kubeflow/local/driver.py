"""What a service does with a task before its pod starts and after it: inputs, places of outputs, arguments, records.

Kubeflow's is written after kubeflow/pipelines 2.17.0; `tests/pipeline/kubeflow/test_backend.py` lists each behaviour
with its source.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as proto

from pipeline.kubeflow.local.values import BackendError, check_kind, through_metadata, to_argument
from pipeline.kubeflow.task.pod import FOLDERS

EXECUTOR_LOGS = "executor-logs"  # an output that the driver adds to every task: what its container printed
OUTPUT_PARAMETERS = Path("tmp", "kfp", "outputs")
OUTPUT_FILE = "output_metadata.json"
PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)']}}")
CONDITION = '{"IfPresent":'
FIRST_ATTEMPT = "-0"  # the launcher gives each attempt's log a name of its own


class Driver:
    """Vertex AI's driver: values and artifacts pass as they are, and all outputs lie in the bucket."""

    def resolve_parameters(self, definitions: proto.ComponentInputsSpec, values: dict[str, Any]) -> dict[str, Any]:
        """Gives the values of a task's input parameters.

        Raises:
            BackendError: a value is missing or of another kind.
        """
        return values

    def pass_artifact(self, content: dict[str, Any]) -> Any:
        """Makes the RuntimeArtifact that a task gets of what the task before left."""
        return json_format.ParseDict(content, proto.RuntimeArtifact())

    def provision_outputs(self, definitions: proto.ComponentOutputsSpec, place: str, pod: Path) -> Any:
        """Says where a task's outputs go.

        Args:
            definitions: of the component.
            place: URI of the task's folder in the pipeline root.
            pod: what is `/` to the task.
        """
        outputs = proto.ExecutorInput.Outputs(output_file=f"{place}/executor_output.json")
        for name, definition in definitions.artifacts.items():
            uri = f"{place}/{name}"
            artifact = proto.RuntimeArtifact(name=uri, uri=uri, type=definition.artifact_type)
            outputs.artifacts[name].artifacts.append(artifact)
        for name in definitions.parameters:
            outputs.parameters[name].output_file = str(local_copy(pod, f"{place}/{name}"))
        return outputs

    def prepare(self, given: Any, pod: Path, log: Path) -> None:
        """Makes the folders in which outputs will lie: none, for a bucket has no folders."""

    def resolve_arguments(self, arguments: list[str], parameters: dict[str, Any]) -> list[str]:
        """Fills the placeholders of a container's command that are not left to the launcher."""
        return arguments

    def record_artifact(self, name: str, artifact: proto.RuntimeArtifact) -> dict[str, Any]:
        """Gives an output as the service keeps it for the tasks after it.

        Raises:
            BackendError: it cannot be kept.
        """
        return dict(json_format.MessageToDict(artifact))


class KubeflowDriver(Driver):
    """Open-source Kubeflow's driver."""

    def resolve_parameters(self, definitions: proto.ComponentInputsSpec, values: dict[str, Any]) -> dict[str, Any]:
        """Gives each value the kind that the component declares."""
        resolved = dict(values)
        for name, definition in definitions.parameters.items():
            if name in values:
                resolved[name] = check_kind(name, values[name], definition.parameter_type)
            elif not definition.is_optional and not definition.HasField("default_value"):
                raise BackendError(f'neither value nor default value provided for non-optional parameter "{name}"')
        return resolved

    def pass_artifact(self, content: dict[str, Any]) -> Any:
        """Makes an artifact without a type: `instanceSchema` is there and empty."""
        artifact = json_format.ParseDict(content, proto.RuntimeArtifact())
        artifact.type.Clear()
        artifact.type.instance_schema = ""
        return artifact

    def provision_outputs(self, definitions: proto.ComponentOutputsSpec, place: str, pod: Path) -> Any:
        """Says where outputs go, and adds one more than the component declares."""
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

    def prepare(self, given: Any, pod: Path, log: Path) -> None:
        """Makes the folders of outputs, but no output except the log, under its artifact's name as well."""
        logs = given.outputs.artifacts[EXECUTOR_LOGS].artifacts[0]
        logs.uri += FIRST_ATTEMPT
        places = [local_copy(pod, found.artifacts[0].uri) for found in given.outputs.artifacts.values()]
        for path in [*places, *(Path(parameter.output_file) for parameter in given.outputs.parameters.values())]:
            path.parent.mkdir(parents=True, exist_ok=True)
        os.link(log, local_copy(pod, logs.uri))

    def resolve_arguments(self, arguments: list[str], parameters: dict[str, Any]) -> list[str]:
        """Fills the placeholders of input parameters."""
        return resolve_arguments(arguments, parameters)

    def record_artifact(self, name: str, artifact: proto.RuntimeArtifact) -> dict[str, Any]:
        """Gives an output as ML Metadata keeps it: by a number, with metadata of its own kinds."""
        number = int(hashlib.sha256(artifact.uri.encode()).hexdigest()[:12], 16)
        metadata = through_metadata(name, json_format.MessageToDict(artifact.metadata))
        return {**json_format.MessageToDict(artifact), "name": str(number), "metadata": metadata}


DRIVERS: dict[str, Driver] = {"kubeflow": KubeflowDriver(), "vertex": Driver()}  # `Service.DRIVER` names a row


def local_copy(pod: Path, uri: str) -> Path:
    """Gives the path that the launcher copies an artifact to.

    Args:
        pod: what is `/` to the task.
        uri: of the artifact.
    """
    scheme, _, rest = uri.partition("://")
    return pod / FOLDERS[scheme] / rest


def resolve_arguments(arguments: list[str], parameters: dict[str, Any]) -> list[str]:
    """Fills the placeholders of input parameters in a container's command, anywhere in an argument.

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
    """Gives the arguments of an `IfPresent` clause."""
    condition = clause["IfPresent"]
    chosen = condition.get("Then" if parameters.get(condition["InputName"]) is not None else "Else") or []
    return [chosen] if isinstance(chosen, str) else list(chosen)
