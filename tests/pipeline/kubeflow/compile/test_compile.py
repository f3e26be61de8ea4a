"""The compiled pipeline, for each target, against the published protos and against the DAG."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as proto

from components.errors import InputError
from pipeline.fingerprint import NODE_MODULES, POD_MODULES, ROOT, node_files
from pipeline.kubeflow.compile.checks import PLAN_NODE
from pipeline.kubeflow.compile.compile import PLANNED, compile_config, to_gigabytes
from pipeline.kubeflow.compiled import LOADER
from pipeline.kubeflow.services import SERVICES
from tests.pipeline.kubeflow.conftest import KFP, VERTEX, make_config

ALL_TASKS = {PLAN_NODE, *NODE_MODULES} - {"Tuner"}  # that one is there only where the pipeline tunes
GPU = {"nodes": {"Trainer": {"cpu": 4, "memory": "16G", "gpu_count": 1, "gpu_type": "NVIDIA_TESLA_T4"}}}


def spec_of(compiled):
    return json_format.ParseDict(compiled.spec, proto.PipelineSpec())


def executors_of(compiled):
    deployment = json_format.MessageToDict(spec_of(compiled).deployment_spec)
    return json_format.ParseDict(deployment, proto.PipelineDeploymentConfig()).executors


def task_of(compiled, name):
    return spec_of(compiled).root.dag.tasks[name]


@pytest.mark.parametrize("target", SERVICES.values(), ids=SERVICES)
def test_it_is_a_pipeline_of_schema_2_1_with_all_nodes_of_the_dag(compiled, target):
    spec = spec_of(compiled[target])
    assert spec.schema_version == "2.1.0"
    assert set(spec.root.dag.tasks) == ALL_TASKS
    assert spec.default_pipeline_root == "gs://bucket/root"
    assert all(
        executor.container.image == "registry.example/graft:0.1" for executor in executors_of(compiled[target]).values()
    )
    assert {executor.WhichOneof("spec") for executor in executors_of(compiled[target]).values()} == {"container"}


@pytest.mark.parametrize("target", SERVICES.values(), ids=SERVICES)
def test_every_input_comes_from_a_task_that_is_waited_for_and_gives_it(compiled, target):
    spec = spec_of(compiled[target])
    for name, task in spec.root.dag.tasks.items():
        for source in task.inputs.artifacts.values():
            given = source.task_output_artifact
            assert given.producer_task in task.dependent_tasks, name
            producer = spec.components[spec.root.dag.tasks[given.producer_task].component_ref.name]
            assert given.output_artifact_key in producer.output_definitions.artifacts
        for parameter, source in task.inputs.parameters.items():
            assert parameter in spec.components[task.component_ref.name].input_definitions.parameters
            if source.WhichOneof("kind") == "task_output_parameter":
                assert source.task_output_parameter.producer_task in task.dependent_tasks
                assert source.task_output_parameter.output_parameter_key in PLANNED
            if source.WhichOneof("kind") == "component_input_parameter":
                assert source.component_input_parameter in spec.root.input_definitions.parameters


@pytest.mark.parametrize("target", SERVICES.values(), ids=SERVICES)
def test_runtime_parameters_have_defaults(compiled, target):
    parameters = spec_of(compiled[target]).root.input_definitions.parameters
    defaults = {name: json_format.MessageToDict(p.default_value) for name, p in parameters.items()}
    place = "/gcs/bucket" if target is VERTEX else "/mnt/graft"
    workdir = f"{place}/graft" if target is VERTEX else place
    assert defaults == {
        "data_path": f"{place}/photos",
        "data_fingerprint": "",
        "workdir": workdir,
        "trainer_epochs": 20,
    }
    assert parameters["trainer_epochs"].parameter_type == proto.ParameterType.NUMBER_INTEGER


def settings_of(compiled):
    """Node: place in its execution properties: the value that the run puts there."""
    args = {name: list(executor.container.args) for name, executor in executors_of(compiled).items()}
    return {
        name.removesuffix("_executor"): {
            row[i + 1].split("=")[0]: row[i + 1].split("=", 1)[1] for i, a in enumerate(row) if a == "--set"
        }
        for name, row in args.items()
    }


def test_a_parameter_reaches_every_place_that_depends_on_it(compiled):
    settings = settings_of(compiled[KFP])
    epochs, workdir = "{{$.inputs.parameters['trainer_epochs']}}", "{{$.inputs.parameters['workdir']}}"
    assert settings["Trainer"]["/custom_config/options/epochs"] == epochs
    assert settings["Trainer"]["/custom_config/features_dir"] == f"{workdir}/features"
    assert settings["Pusher"]["/custom_config/passport/config/trainer/epochs"] == epochs
    assert settings["Pusher"]["/custom_config/serving_dir"] == f"{workdir}/serving"
    assert settings["Pusher"]["/custom_config/passport/parent"] == "{{$.inputs.parameters['baseline']}}"
    assert settings["Pusher"]["/custom_config/passport/model_key"] == "{{$.inputs.parameters['model_key']}}"
    assert settings["ImageExampleGen"] == {"/memory": f"{workdir}/data.sqlite"}
    assert settings["Evaluator"] == settings["StatisticsGen"] == {}
    ingest = task_of(compiled[KFP], "ImageExampleGen").inputs.parameters
    assert ingest["data_path"].task_output_parameter.producer_task == PLAN_NODE
    assert ingest["data_fingerprint"].task_output_parameter.output_parameter_key == "data_fingerprint"
    assert (
        task_of(compiled[KFP], "BaselineModel").inputs.parameters["version"].task_output_parameter.output_parameter_key
        == "baseline"
    )


def test_only_what_looks_at_the_world_is_never_cached(compiled):
    tasks = spec_of(compiled[KFP]).root.dag.tasks
    assert {name for name, task in tasks.items() if not task.caching_options.enable_cache} == {PLAN_NODE, "Pusher"}


def test_caching_and_retries_a_node():
    compiled = compile_config(
        make_config(kubeflow={"retries": 2, "nodes": {"Trainer": {"cache": False, "retries": 5}}}), KFP
    )
    assert not task_of(compiled, "Trainer").caching_options.enable_cache
    assert task_of(compiled, "Trainer").retry_policy.max_retry_count == 5
    assert task_of(compiled, "Evaluator").retry_policy.max_retry_count == 2
    assert not task_of(compiled, "DataGate").HasField("retry_policy")  # a gate's answer stays the same


@pytest.mark.parametrize(("target", "kind"), [(KFP, "nvidia.com/gpu"), (VERTEX, "NVIDIA_TESLA_T4")])
def test_one_gpu_as_each_target_spells_it(target, kind):
    compiled = compile_config(make_config(target, kubeflow=GPU), target)
    resources = executors_of(compiled)["Trainer_executor"].container.resources
    assert (resources.accelerator.type, resources.accelerator.count) == (kind, 1)
    assert (
        (resources.cpu_limit, resources.memory_limit)
        == (resources.cpu_request, resources.memory_request)
        == (4.0, 16.0)
    )
    assert not executors_of(compiled)["Evaluator_executor"].container.HasField("resources")


@pytest.mark.parametrize(("text", "value"), [("16G", 16.0), ("512M", 0.512), ("16Gi", 17.179869), ("1Ti", 1099.511628)])
def test_memory_is_counted_in_gigabytes(text, value):
    assert to_gigabytes(text) == value


@pytest.fixture(scope="module")
def executor_config():
    """The proto of kfp-kubernetes, as installed.

    TFX 1.16 only: with the two messages that the releases of its newer line brought. Their numbers are those of
    kubernetes_platform/proto/kubernetes_executor_config.proto in kubeflow/pipelines.
    """
    installed = kubernetes_executor_config_pb2.KubernetesExecutorConfig
    if "tolerations" in installed.DESCRIPTOR.fields_by_name:
        return installed
    file = descriptor_pb2.FileDescriptorProto()
    kubernetes_executor_config_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = "with_newer_messages.proto", "newer"
    for kind in file.message_type:
        for field in [*kind.field, *(field for nested in kind.nested_type for field in nested.field)]:
            if field.type_name:
                field.type_name = field.type_name.replace(".kfp_kubernetes.", ".newer.")
    config = next(kind for kind in file.message_type if kind.name == "KubernetesExecutorConfig")
    text, integer, message = 9, 3, 11
    toleration = file.message_type.add(name="Toleration")
    for number, name in enumerate(("key", "operator", "value", "effect"), start=1):
        toleration.field.add(name=name, number=number, type=text, label=1)
    toleration.field.add(name="toleration_seconds", number=5, type=integer, label=1)
    pod = file.message_type.add(name="PodMetadata")
    entry = pod.nested_type.add(name="LabelsEntry")
    entry.options.map_entry = True
    for number, name in ((1, "key"), (2, "value")):
        entry.field.add(name=name, number=number, type=text, label=1)
    pod.field.add(name="labels", number=1, type=message, type_name=".newer.PodMetadata.LabelsEntry", label=3)
    config.field.add(name="pod_metadata", number=5, type=message, type_name=".newer.PodMetadata", label=1)
    config.field.add(name="tolerations", number=12, type=message, type_name=".newer.Toleration", label=3)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_google_struct())
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindMessageTypeByName("newer.KubernetesExecutorConfig")
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def _google_struct() -> bytes:
    from google.protobuf import struct_pb2

    return struct_pb2.DESCRIPTOR.serialized_pb


def test_volumes_secrets_selectors_and_tolerations_are_a_second_document(executor_config):
    section = {
        "secrets": [{"name": "bucket-key", "env": {"id": "AWS_ACCESS_KEY_ID", "secret": "AWS_SECRET_ACCESS_KEY"}}],
        "node_selector": {"pool": "batch"},
        "tolerations": [{"key": "batch", "operator": "Exists", "effect": "NoSchedule"}],
        "nodes": {
            "Trainer": {
                "node_selector": {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"},
                "tolerations": [{"key": "gpu", "value": "yes", "effect": "NoExecute", "seconds": 60}],
            }
        },
    }
    compiled = compile_config(make_config(kubeflow=section), KFP)
    documents = list(yaml.load_all(compiled.to_yaml(), LOADER))
    assert len(documents) == 2
    platform = json_format.ParseDict(documents[1], proto.PlatformSpec())
    executors = platform.platforms["kubernetes"].deployment_spec.executors
    configs = {
        name: json_format.ParseDict(json_format.MessageToDict(content), executor_config())
        for name, content in executors.items()
    }
    assert set(configs) == {f"{name}_executor" for name in ALL_TASKS}
    trainer = configs["Trainer_executor"]
    assert [(mount.constant, mount.mount_path) for mount in trainer.pvc_mount] == [("graft", "/mnt/graft")]
    assert [(row.secret_key, row.env_var) for row in trainer.secret_as_env[0].key_to_env] == [
        ("id", "AWS_ACCESS_KEY_ID"),
        ("secret", "AWS_SECRET_ACCESS_KEY"),
    ]
    assert dict(trainer.node_selector.labels) == {
        "pool": "batch",
        "cloud.google.com/gke-accelerator": "nvidia-tesla-t4",
    }
    assert [(t.key, t.operator, t.value, t.effect, t.toleration_seconds) for t in trainer.tolerations] == [
        ("batch", "Exists", "", "NoSchedule", 0),
        ("gpu", "Equal", "yes", "NoExecute", 60),
    ]
    assert dict(configs["Plan_executor"].node_selector.labels) == {"pool": "batch"}
    assert set(trainer.pod_metadata.labels) == {"graft-version", "graft-config", "graft-code"}


def test_vertex_takes_one_document(compiled_files):
    documents = list(yaml.load_all(compiled_files[VERTEX].read_text("utf-8"), LOADER))
    assert len(documents) == 1
    assert json_format.ParseDict(documents[0], proto.PipelineSpec()).pipeline_info.name == "night"


def test_a_digest_that_looks_like_a_number_stays_a_text():
    compiled = compile_config(make_config(), KFP)
    compiled.labels["graft-config"] = "12e4567890123456"
    compiled.platform["x"] = "12e4567890123456"
    assert "x: '12e4567890123456'" in compiled.to_yaml()


@pytest.fixture(scope="module")
def other_process(tmp_path_factory):
    """What a process loads for a task, and what it compiles then, with every connection refused.

    It has no credentials, and another hash seed than this one.
    """
    folder = tmp_path_factory.mktemp("other")
    config, output = folder / "config.yaml", folder / "pipeline.yaml"
    config.write_text(make_config().to_yaml(), "utf-8")
    script = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('a connection was opened')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "import pipeline.kubeflow.task.entrypoint, pipeline.kubeflow.task.plan_task\n"
        "ours = [name for name in sys.modules if name.startswith(('components.', 'pipeline.'))]\n"
        "print(*(sys.modules[name].__file__ for name in ours), flush=True)\n"
        "from pipeline.cli import app\n"
        f"app(['compile', {str(config)!r}, '-o', {str(output)!r}])\n"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": seed, "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0].split(), output.read_text("utf-8")


def test_compiling_again_gives_the_same_bytes_without_network_or_credentials(other_process, compiled_files):
    assert other_process[1] == compiled_files[KFP].read_text("utf-8")
    assert json.dumps(list(yaml.load_all(other_process[1], LOADER)))


def test_what_pods_load_is_in_the_digest_of_an_image(other_process):
    """Nothing of ours is loaded by a task's program that the digest does not know of."""
    known = {
        str(path) for path in node_files((*POD_MODULES, *(e for entries in NODE_MODULES.values() for e in entries)))
    }
    loaded = {path for path in other_process[0] if Path(path).name != "__init__.py"}
    assert len(loaded) > 30
    assert loaded <= known


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("trainer.epoch", "there is no option 'trainer.epoch'. Did you mean 'trainer.epochs'?"),
        ("transform.image_size", "only numbers, switches and texts"),
        ("trainer.pooling", "is a choice among words"),
        ("kubeflow.image", "there is no option"),
    ],
)
def test_what_cannot_change_from_run_to_run_is_refused(option, words):
    with pytest.raises(InputError) as error:
        compile_config(make_config(kubeflow={"parameters": [option]}), KFP)
    assert words in str(error.value)


def test_more_options_may_be_runtime_parameters():
    options = ["trainer.learning_rate", "trainer.deterministic", "gates.quality.min_accuracy", "data.eval_fraction"]
    compiled = compile_config(make_config(kubeflow={"parameters": options}), KFP)
    kinds = {name: p.parameter_type for name, p in spec_of(compiled).root.input_definitions.parameters.items()}
    kind = proto.ParameterType
    assert kinds["trainer_learning_rate"] == kinds["gates_quality_min_accuracy"] == kind.NUMBER_DOUBLE
    assert kinds["trainer_deterministic"] == kind.BOOLEAN
    assert "gates_quality_min_accuracy" in task_of(compiled, "Evaluator").inputs.parameters
    assert "data_eval_fraction" in task_of(compiled, "ImageExampleGen").inputs.parameters


def test_a_crop_reaches_the_pixels_and_the_facts_of_the_model():
    option = "transform.crop_to_aspect_ratio"
    settings = settings_of(compile_config(make_config(kubeflow={"parameters": [option]}), KFP))
    value = "{{$.inputs.parameters['transform_crop_to_aspect_ratio']}}"
    assert settings["Transform"]["/custom_config/options/crop_to_aspect_ratio"] == value
    assert settings["Trainer"]["/custom_config/crop_to_aspect_ratio"] == value


def test_the_promised_share_of_refused_images_reaches_the_model_and_its_gate():
    settings = settings_of(compile_config(make_config(kubeflow={"parameters": ["gates.quality.max_refused"]}), KFP))
    value = "{{$.inputs.parameters['gates_quality_max_refused']}}"
    assert settings["Trainer"]["/custom_config/max_refused"] == value
    assert settings["Evaluator"]["/gate/max_refused"] == value


def test_a_pipeline_that_tunes_has_one_more_task():
    compiled = compile_config(
        make_config(tuner={"enabled": True}, kubeflow={"nodes": {"Tuner": {"gpu_count": 1}}}), KFP
    )
    assert set(spec_of(compiled).root.dag.tasks) == {*ALL_TASKS, "Tuner"}
    assert "Tuner" in task_of(compiled, "Trainer").dependent_tasks
    assert executors_of(compiled)["Tuner_executor"].container.resources.accelerator.count == 1
