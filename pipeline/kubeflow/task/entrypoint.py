"""What a compiled task runs: `python -m pipeline.kubeflow.task.entrypoint`.

TFX's own entry point needs artifact types, which open-source Kubeflow does not pass (tensorflow/tfx#7768), and works on
URIs that TensorFlow must open itself. This one takes names and types from the compiled file, works on the launcher's
local copies, fills in runtime parameters, and gives the UI its metrics and page. What else a platform adds to a task,
such as Kubeflow's `executor-logs`, is left alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.process.footprint import loading

with loading():  # a quarter of the time that a task's process takes to begin
    import yaml
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2 as proto
    from tfx import types
    from tfx.dsl.components.base import base_beam_executor, base_executor
    from tfx.dsl.io import fileio
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils as stock
    from tfx.orchestration.portable import outputs_utils
    from tfx.utils import import_utils

    from components.contract.artifacts import TYPES, check_contents, read_verdicts, record_contents
    from components.contract.gates import lets_through
    from components.errors import GateRefused
    from components.files.paths import is_remote
    from components.pusher import VERDICT_INPUTS
    from pipeline.beam import workers_share_the_disk
    from pipeline.kubeflow.compile import pointers
    from pipeline.kubeflow.task import pod
    from pipeline.kubeflow.task.review import show, take_ui_outputs

TaskArtifacts = dict[str, list[types.Artifact]]


@dataclass(frozen=True)
class Declared:
    """What a component was compiled with: the names and types of its inputs and outputs, and its properties."""

    inputs: proto.ComponentInputsSpec
    outputs: proto.ComponentOutputsSpec


def main(argv: list[str]) -> None:
    """Runs one task."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow.task.entrypoint", description=__doc__)
    parser.add_argument("--executor_class_path", required=True, help="module.Class of the executor")
    parser.add_argument("--json_serialized_invocation_args", required=True, help="an ExecutorInput as JSON")
    parser.add_argument("--json_serialized_inputs_spec_args", required=True, help="a ComponentInputsSpec as JSON")
    parser.add_argument("--json_serialized_outputs_spec_args", required=True, help="a ComponentOutputsSpec as JSON")
    parser.add_argument("--set", action="append", default=[], help="/place/in/a/property=value", dest="settings")
    arguments, beam_arguments = parser.parse_known_args(argv)
    declared = Declared(
        _parse(arguments.json_serialized_inputs_spec_args, proto.ComponentInputsSpec()),
        _parse(arguments.json_serialized_outputs_spec_args, proto.ComponentOutputsSpec()),
    )
    given = _parse(arguments.json_serialized_invocation_args, proto.ExecutorInput())
    run_task(given, declared, arguments.executor_class_path, arguments.settings, beam_arguments)


def _parse(text: str, message: Any) -> Any:
    return json_format.Parse(text, message, ignore_unknown_fields=True)


def run_task(
    given: proto.ExecutorInput,
    declared: Declared,
    executor_path: str,
    settings: list[str],
    beam_arguments: list[str],
) -> None:
    """Runs an executor on what the platform gave, and writes what the platform expects.

    Args:
        given: the platform's ExecutorInput; artifacts may lack their types, and there may be more than was declared.
        declared: inputs and outputs of the component as compiled.
        executor_path: `module.Class`.
        settings: `/property/path=value`, for scalars inside execution properties.
        beam_arguments: for executors that use Beam.

    Raises:
        GateRefused: by the data gate, or where the Pusher may not push.
        Damaged: an input is not as the task before made it.
    """
    keep_declared(given, declared)
    shown = take_ui_outputs(given)
    if not beam_arguments or workers_share_the_disk(beam_arguments):  # remote workers see nothing but the bucket
        to_local_paths(given)
    names: dict[int, str] = {}
    inputs = stock.parse_raw_artifact_dict(given.inputs.artifacts, names)
    outputs = stock.parse_raw_artifact_dict(given.outputs.artifacts, names)
    properties = read_properties(given, declared.inputs, settings)
    prepare_devices(properties)
    check_contents(inputs)
    make_executor(executor_path, beam_arguments).Do(inputs, outputs, properties)
    refuse_unpushed(inputs, outputs)
    record_contents(outputs)
    outputs_utils.tag_output_artifacts_with_version(outputs)
    answer = proto.ExecutorOutput()
    for key, artifacts in stock.translate_executor_output(outputs, names).items():
        answer.artifacts[key].CopyFrom(artifacts)
    show(shown, outputs, answer)
    write_answer(given.outputs.output_file, answer)


def keep_declared(given: proto.ExecutorInput, declared: Declared) -> None:
    """Takes out every artifact that the component did not declare, and gives the others the types that it declared.

    Open-source Kubeflow passes input artifacts without a type. Types of our own get the path to their class.
    """
    for found, known in (
        (given.inputs.artifacts, declared.inputs.artifacts),
        (given.outputs.artifacts, declared.outputs.artifacts),
    ):
        for name in set(found) - set(known):
            del found[name]
        for name, artifacts in found.items():
            for artifact in artifacts.artifacts:
                artifact.type.CopyFrom(known[name].artifact_type)
                title = artifact.type.schema_title or _title_of(artifact.type.instance_schema)
                if title in TYPES:
                    artifact.type.schema_title = f"{TYPES[title].__module__}.{TYPES[title].__name__}"


def _title_of(schema: str) -> str:
    return str((yaml.safe_load(schema) or {}).get("title", ""))


def to_local_paths(given: proto.ExecutorInput) -> None:
    """Makes every URI the launcher's local copy, and the folders of outputs."""
    for group in (given.inputs.artifacts, given.outputs.artifacts):
        for found in group.values():
            for artifact in found.artifacts:
                artifact.uri = pod.to_local(artifact.uri)
    for found in given.outputs.artifacts.values():
        for artifact in found.artifacts:
            if not is_remote(artifact.uri):
                Path(artifact.uri).mkdir(parents=True, exist_ok=True)


def read_properties(given: proto.ExecutorInput, spec: proto.ComponentInputsSpec, settings: list[str]) -> dict[str, Any]:
    """Reads the execution properties and fills in runtime parameters; other parameters are left out."""
    values = {name: value for name, value in given.inputs.parameter_values.items() if name in spec.parameters}
    properties = stock.parse_execution_properties(values, None, spec)
    for setting in settings:
        pointer, _, text = setting.partition("=")
        name, *path = pointers.from_pointer(pointer)
        properties[name] = pointers.replace(properties[name], tuple(path), text)
    return properties


def prepare_devices(properties: dict[str, Any]) -> None:
    """Makes the devices that the Trainer asks for: that must come before TensorFlow is first used."""
    from components.trainer.devices.strategy import prepare_process

    for path, value in pointers.leaves(properties):
        if path[-2:] == ("options", "devices"):
            prepare_process(value)


def make_executor(path: str, beam_arguments: list[str]) -> base_executor.BaseExecutor:
    """Makes the executor with its context; scratch files go to the pod's own disk."""
    kind = import_utils.import_class_by_path(path)
    scratch, task = tempfile.mkdtemp(prefix="graft-"), path.rpartition(".")[0]
    if issubclass(kind, base_beam_executor.BaseBeamExecutor):
        return kind(base_beam_executor.BaseBeamExecutor.Context(beam_arguments, tmp_dir=scratch, unique_id=task))
    return kind(base_executor.BaseExecutor.Context(extra_flags=beam_arguments, tmp_dir=scratch, unique_id=task))


def refuse_unpushed(inputs: TaskArtifacts, outputs: TaskArtifacts) -> None:
    """Makes a model that was not pushed a failed task: on a cluster nobody reads the artifact's property.

    Raises:
        GateRefused: with the reasons of the gates.
    """
    pushed = outputs.get("pushed_model")
    if not pushed or pushed[0].get_int_custom_property("pushed"):
        return
    verdicts = read_verdicts({gate: inputs[channel][0].uri for gate, channel in VERDICT_INPUTS.items()})
    stopping = {gate: verdict for gate, verdict in verdicts.items() if not lets_through(verdict)}
    gate = next(iter(stopping))
    raise GateRefused(gate, [reason for v in stopping.values() for reason in v["reasons"]], stopping[gate])


def write_answer(path: str, answer: proto.ExecutorOutput) -> None:
    """Writes the ExecutorOutput where the platform looks for it, local paths as URIs again."""
    for found in answer.artifacts.values():
        for artifact in found.artifacts:
            artifact.uri = pod.to_uri(artifact.uri)
            metadata = pod.to_uris(json_format.MessageToDict(artifact.metadata))
            artifact.metadata.Clear()
            artifact.metadata.update(metadata)
    target = pod.to_local(path)
    fileio.makedirs(os.path.dirname(target))
    with fileio.open(target, "w") as file:
        file.write(json_format.MessageToJson(answer))


if __name__ == "__main__":
    pod.log_to_stderr()
    pod.run_and_leave(lambda: main(sys.argv[1:]))
