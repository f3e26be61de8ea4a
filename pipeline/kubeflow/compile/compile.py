"""`graft compile`: the one DAG as a PipelineSpec of schema 2.1.0, which both open-source Kubeflow and Vertex take.

TFX compiles the nodes. Added here is what it leaves out: the task `Plan`, which finds out at run time what `graft run`
finds out before its DAG; runtime parameters with defaults; resources, retries and caching a node; what the UI shows.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as proto
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as tfx_runner

import pipeline
from components.process.lines import library_versions
from pipeline.config.configuration import Config, Plan
from pipeline.config.kubeflow import KubeflowOptions, Resources
from pipeline.dag import create_pipeline
from pipeline.fingerprint import code_digest, lock_digest, source_fingerprints
from pipeline.kubeflow.compile import pointers
from pipeline.kubeflow.compile.checks import PLAN_NODE, check_compilable
from pipeline.kubeflow.compile.parameters import (
    BEAM_ARGUMENTS,
    Binding,
    Parameter,
    Properties,
    check_recorded,
    find_bindings,
    option_parameters,
)
from pipeline.kubeflow.service import Service
from pipeline.kubeflow.watch import GATES
from pipeline.run.planning import hash_weights

PYTHON = ["python", "-m"]
ENTRYPOINT = [*PYTHON, "pipeline.kubeflow.task.entrypoint"]
PLAN_TASK = [*PYTHON, "pipeline.kubeflow.task.plan_task"]
SET, OUTPUTS = "--set", "--json_serialized_outputs_spec_args"
PLANNED = ("data_path", "data_fingerprint", "baseline", "best", "model_key")  # outputs of `Plan`
NEVER_CACHED = (PLAN_NODE, "Pusher")  # they look at the data and at what is being served
ASKED_ONCE = (PLAN_NODE, *GATES)  # they may say no: a retry asks again, and no target tells a no from a crash
RETRY_PAUSE = 30  # seconds; each further pause is twice as long
# Node: outputs that the UI shows, beside those of the executor; `pipeline/kubeflow/task/review.py` fills them.
UI_OUTPUTS = {"Evaluator": {"metrics": "system.Metrics"}, "Report": {"review": "system.HTML"}}
STRING, INTEGER, DOUBLE, BOOLEAN = (
    getattr(proto.ParameterType, name) for name in ("STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE", "BOOLEAN")
)


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
        spec: the PipelineSpec, as plain values.
        platform: the second document, for Kubernetes; empty where the service takes none.
        labels: version and configuration digest, fit for Kubernetes and Google Cloud.
        pipeline_root: where artifacts go; whoever submits must say it too, the server does not read it here.
    """

    spec: dict[str, Any]
    platform: dict[str, Any]
    labels: dict[str, str]
    pipeline_root: str

    def to_yaml(self) -> str:
        """Writes both documents, with a head for people; the same pipeline gives the same text."""
        head = ["# A pipeline for Kubeflow Pipelines v2, made by `graft compile`; do not edit."]
        head += [f"# {key}: {value}" for key, value in sorted(self.labels.items())]
        documents = [self.spec, *([self.platform] if self.platform else [])]
        text = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, width=120, allow_unicode=True)
        return "\n".join(head) + "\n" + text


class _Dumper(yaml.SafeDumper):
    """Without aliases, and with quotes around digests that another YAML reader might take for numbers (`12e45`)."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    style = "'" if re.fullmatch(r"[-+.0-9][-+.0-9_a-fA-F:]*", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def compile_config(config: Config, service: Service) -> Compiled:
    """Compiles a checked configuration. Needs no network, no credentials, no data.

    Raises:
        InputError: the cluster would refuse it, or could not run it; see `checks.py` and `parameters.py`.
    """
    check_compilable(config, service)
    plan = plan_for_pods(config, service)
    options = option_parameters(plan.config)
    spec = _tfx_spec(plan)
    bindings = find_bindings(plan, options, _properties)
    parameters = [
        Parameter("data_path", plan.data_path or None, recorded="config.data.path"),
        Parameter("data_fingerprint", "", recorded="data_fingerprint"),
        Parameter("workdir", str(plan.workdir), recorded="config.kubeflow.workdir"),
        *options,
    ]
    check_recorded(parameters, bindings)
    labels = labels_of(plan.config)
    spec.default_pipeline_root = plan.pipeline_root
    spec.pipeline_info.description = "; ".join(f"{key}: {value}" for key, value in sorted(labels.items()))
    for parameter in parameters:
        spec.root.input_definitions.parameters[parameter.name].CopyFrom(_parameter_spec(parameter))
    for binding in bindings:
        _apply(spec, binding)
    _declare_outputs(spec)
    _add_plan_task(spec, plan, parameters)
    deployment = proto.PipelineDeploymentConfig()
    json_format.ParseDict(json_format.MessageToDict(spec.deployment_spec), deployment)
    for node, task in spec.root.dag.tasks.items():
        _furnish(task, deployment.executors[f"{node}_executor"].container, node, config.kubeflow, service)
    spec.deployment_spec.Clear()
    spec.deployment_spec.update(json_format.MessageToDict(deployment))
    nodes = sorted(spec.root.dag.tasks)
    platform = service.platform(config.kubeflow, nodes, labels)
    return Compiled(json_format.MessageToDict(spec), platform, labels, plan.pipeline_root)


def plan_for_pods(config: Config, service: Service) -> Plan:
    """Makes the plan of the compiled pipeline: paths as they are in a pod, and nothing of the data."""
    cluster = config.kubeflow
    trainer = config.trainer.model_copy(update={"weights": cluster.weights or config.trainer.weights})
    places = {
        "path": cluster.data_path or config.data.path or "",
        "corrections": cluster.corrections or config.data.corrections,
    }
    data = config.data.model_copy(update=places)
    return Plan(
        config=config.model_copy(update={"trainer": trainer, "data": data}),
        workdir=Path(cluster.workdir),
        data_path=data.path or "",
        data_fingerprint="",
        sources=source_fingerprints(),
        libraries=library_versions(),
        lock_sha256=lock_digest(),
        weights_sha256=hash_weights(config.trainer),
        artifacts=cluster.pipeline_root.rstrip("/"),
        remembers=service.HOLDS_DATABASES,
    )


def labels_of(config: Config) -> dict[str, str]:
    """Gives the labels of a compiled pipeline: Graft's version, digests of configuration and code."""
    return {
        "graft-version": pipeline.__version__.replace("+", "-"),
        "graft-config": hashlib.sha256(config.to_yaml().encode()).hexdigest()[:16],
        "graft-code": code_digest(),
    }


def _tfx_spec(plan: Plan) -> proto.PipelineSpec:
    runner_config = tfx_runner.KubeflowV2DagRunnerConfig(
        display_name=plan.config.name,
        default_image=plan.config.kubeflow.image,
        default_commands=ENTRYPOINT,
        use_pipeline_spec_2_1=True,  # the open-source API server takes no other
    )
    logging.getLogger("absl").setLevel(logging.ERROR)
    job = tfx_runner.KubeflowV2DagRunner(runner_config).run(create_pipeline(plan), write_out=False)
    return json_format.ParseDict(job["pipelineSpec"], proto.PipelineSpec())


def _properties(plan: Plan) -> Properties:
    return {
        node.id: {**node.exec_properties, BEAM_ARGUMENTS: list(getattr(node.executor_spec, "beam_pipeline_args", []))}
        for node in create_pipeline(plan).components
    }


def _parameter_spec(parameter: Parameter) -> proto.ComponentInputsSpec.ParameterSpec:
    spec = proto.ComponentInputsSpec.ParameterSpec(parameter_type=_type_of(parameter.default))
    if parameter.default is not None:
        json_format.ParseDict(parameter.default, spec.default_value)
        spec.is_optional = True
    return spec


def _type_of(value: Any) -> Any:
    for kind, name in ((bool, BOOLEAN), (int, INTEGER), (float, DOUBLE)):
        if isinstance(value, kind):
            return name
    return STRING


def _apply(spec: proto.PipelineSpec, binding: Binding) -> None:
    """Makes one execution property follow its parameter: as its source where it is all of it, else by `--set`."""
    task, name = spec.root.dag.tasks[binding.node], binding.parameter
    target = binding.path[0] if binding.is_whole else name
    if binding.parameter in PLANNED and not binding.as_given:
        source = proto.TaskInputsSpec.InputParameterSpec()
        source.task_output_parameter.producer_task = PLAN_NODE
        source.task_output_parameter.output_parameter_key = name
        if PLAN_NODE not in task.dependent_tasks:
            task.dependent_tasks.append(PLAN_NODE)
            task.dependent_tasks.sort()
    else:
        source = proto.TaskInputsSpec.InputParameterSpec(component_input_parameter=name)
    task.inputs.parameters[target].CopyFrom(source)
    definition = spec.components[task.component_ref.name].input_definitions.parameters[target]
    if not binding.is_whole:
        kind = spec.root.input_definitions.parameters[name].parameter_type if name not in PLANNED else STRING
        definition.parameter_type = kind
        value = f"{binding.before}{{{{$.inputs.parameters['{name}']}}}}{binding.after}"
        args = _args_of(spec, binding.node)
        args.extend([SET, f"{pointers.to_pointer(binding.path)}={value}"])


def _args_of(spec: proto.PipelineSpec, node: str) -> Any:
    return spec.deployment_spec["executors"][f"{node}_executor"]["container"]["args"]


def _add_plan_task(spec: proto.PipelineSpec, plan: Plan, parameters: list[Parameter]) -> None:
    """Adds the task that every other one with a planned value waits for."""
    task, component = spec.root.dag.tasks[PLAN_NODE], spec.components[PLAN_NODE]
    task.task_info.name = task.component_ref.name = PLAN_NODE
    component.executor_label = f"{PLAN_NODE}_executor"
    args = ["--config", plan.config.to_json(), "--weights_sha256", plan.weights_sha256, "--code", code_digest()]
    args += ["--remember", str(plan.remembers).lower()]
    for parameter in parameters:
        task.inputs.parameters[parameter.name].component_input_parameter = parameter.name
        component.input_definitions.parameters[parameter.name].parameter_type = _type_of(parameter.default)
        value = f"{{{{$.inputs.parameters['{parameter.name}']}}}}"
        args += [SET, f"{parameter.option}={value}"] if parameter.option else [f"--{parameter.name}", value]
    for name in PLANNED:
        component.output_definitions.parameters[name].parameter_type = STRING
        args += ["--output", f"{name}={{{{$.outputs.parameters['{name}'].output_file}}}}"]
    container = {"image": plan.config.kubeflow.image, "command": PLAN_TASK, "args": args}
    spec.deployment_spec["executors"].update({f"{PLAN_NODE}_executor": {"container": container}})


def _declare_outputs(spec: proto.PipelineSpec) -> None:
    """Adds what the UI shows, and tells each task its outputs: a platform gives it more than these."""
    for node, outputs in UI_OUTPUTS.items():
        shown = spec.components[node].output_definitions
        for name, title in outputs.items():
            shown.artifacts[name].artifact_type.schema_title = title
            shown.artifacts[name].artifact_type.schema_version = "0.0.1"
    for node, task in spec.root.dag.tasks.items():
        declared = spec.components[task.component_ref.name].output_definitions
        _args_of(spec, node).extend([OUTPUTS, json_format.MessageToJson(declared, sort_keys=True)])


def _furnish(task: Any, container: Any, node: str, cluster: KubeflowOptions, service: Service) -> None:
    """Sets resources, caching and retries of a task."""
    own = cluster.nodes.get(node, Resources())
    cached = own.cache is not False and node not in NEVER_CACHED
    task.caching_options.Clear()
    task.caching_options.enable_cache = cached
    retries = own.retries if own.retries is not None else 0 if node in ASKED_ONCE else cluster.retries
    if retries:
        task.retry_policy.max_retry_count = retries
        task.retry_policy.backoff_duration.seconds = RETRY_PAUSE
        task.retry_policy.backoff_factor = 2.0
        task.retry_policy.backoff_max_duration.seconds = service.RETRY_WINDOW
    if own.cpu:
        container.resources.cpu_limit = container.resources.cpu_request = own.cpu
    if own.memory:
        container.resources.memory_limit = container.resources.memory_request = to_gigabytes(own.memory)
    if own.gpu_count:
        container.resources.accelerator.count = own.gpu_count
        container.resources.accelerator.type = service.gpu_type(own)


def to_gigabytes(memory: str) -> float:
    """Converts a size to units of 10^9 bytes, in which the specification counts: `16Gi` to 17.18."""
    number = float(memory.rstrip("KMGTi"))
    unit = memory[len(memory.rstrip("KMGTi")) :]
    power = "KMGT".index(unit[0]) + 1
    return round(number * (1024 if unit.endswith("i") else 1000) ** power / 1e9, 6)
