"""What a cluster would refuse, in words."""

import pytest

from components.errors import InputError
from pipeline.kubeflow.compile.checks import MODEL_NODES, check_compilable
from pipeline.kubeflow.services import SERVICES
from tests.pipeline.kubeflow.conftest import KFP, VERTEX, make_config

SECRET = {"name": "s", "env": {"key": "KEY"}}


@pytest.mark.parametrize("target", SERVICES.values(), ids=SERVICES)
def test_a_good_configuration_passes(target):
    check_compilable(make_config(target), target)


@pytest.mark.parametrize(
    ("target", "sections", "words"),
    [
        (KFP, {"kubeflow": {"image": ""}}, "kubeflow.image: expected a container image"),
        (KFP, {"kubeflow": {"image": "host:5000/graft"}}, "host:5000/graft has neither tag nor digest"),
        (KFP, {"kubeflow": {"pipeline_root": ""}}, "expected a gs:// or s3:// or minio:// folder"),
        (KFP, {"kubeflow": {"pipeline_root": "/mnt/root"}}, "found the local path /mnt/root"),
        (KFP, {"kubeflow": {"pipeline_root": "hdfs://root"}}, "found hdfs://root"),
        (VERTEX, {"kubeflow": {"pipeline_root": "s3://bucket"}}, "expected gs://BUCKET/FOLDER, found s3://bucket"),
        (KFP, {"kubeflow": {"workdir": "/elsewhere"}}, "no volume is mounted at /elsewhere"),
        (VERTEX, {"kubeflow": {"workdir": "/mnt/graft"}}, "expected /gcs/BUCKET/FOLDER, found /mnt/graft"),
        (KFP, {"data": {"path": "photos"}}, "data.path: photos is a path of this machine"),
        (KFP, {"data": {"path": "/home/me/photos"}}, "say where it lies in a pod with kubeflow.data_path"),
        (KFP, {"trainer": {"weights": "w.h5"}}, "trainer.weights: w.h5 is a path of this machine"),
        (KFP, {"trainer": {"backbone": "b.keras"}}, "trainer.backbone: b.keras is a path of this machine"),
        (KFP, {"kubeflow": {"nodes": {"Trainr": {}}}}, "there is no such node. Did you mean 'Trainer'?"),
        (KFP, {"kubeflow": {"nodes": {"StatisticsGen": {"gpu_count": 1}}}}, "StatisticsGen cannot use a GPU"),
        (KFP, {"kubeflow": {"nodes": {"Trainer": {"gpu_type": "NVIDIA_L4"}}}}, "without a number; set gpu_count"),
        (
            KFP,
            {"kubeflow": {"nodes": {"Trainer": {"gpu_count": 1, "gpu_type": "tesla"}}}},
            "expected nvidia.com/gpu or",
        ),
        (VERTEX, {"kubeflow": {"nodes": {"Trainer": {"gpu_count": 1}}}}, "such as NVIDIA_TESLA_T4, found none"),
        (
            KFP,
            {"trainer": {"devices": "cpu:2"}, "kubeflow": {"nodes": {"Trainer": {"gpu_count": 1}}}},
            "trainer.devices is 'cpu:2'",
        ),
        (KFP, {"kubeflow": {"node_selector": {"pool name": "x"}}}, "Kubernetes refuses 'pool name: x'"),
        (KFP, {"kubeflow": {"nodes": {"Trainer": {"node_selector": {"a": "b" * 64}}}}}, "nodes.Trainer.node_selector"),
        (
            KFP,
            {"trainer": {"feature_pass": "beam"}, "beam": {"nodes": {"Trainer": {"runner": "DataflowRunner"}}}},
            "trainer.feature_pass: beam: the Trainer's workers do not run in its pod (--runner=DataflowRunner)",
        ),
        (VERTEX, {"kubeflow": {"secrets": [SECRET]}}, "kubeflow.secrets: Vertex has none; give the rights"),
        (VERTEX, {"kubeflow": {"volumes": [{"claim": "c", "mount_path": "/m"}]}}, "kubeflow.volumes: Vertex has none"),
        (VERTEX, {"kubeflow": {"tolerations": [{"key": "k"}]}}, "kubeflow.tolerations: Vertex has none"),
        (
            VERTEX,
            {"kubeflow": {"nodes": {"Pusher": {"node_selector": {"a": "b"}}}}},
            "nodes.Pusher.node_selector: Vertex",
        ),
    ],
)
def test_what_a_cluster_would_refuse_is_said(target, sections, words):
    with pytest.raises(InputError) as error:
        check_compilable(make_config(target, **sections), target)
    assert words in str(error.value)
    assert f"cannot be compiled for {target.NAME}" in str(error.value)


def test_all_problems_are_said_at_once():
    with pytest.raises(InputError) as error:
        check_compilable(make_config(kubeflow={"image": "graft", "pipeline_root": "root"}), KFP)
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize("path", ["/mnt/graft/a", "gs://bucket/a", "sample:digits", "s3://bucket/a"])
def test_data_may_lie_on_a_volume_or_in_a_bucket(path):
    check_compilable(make_config(data={"path": path}), KFP)


def test_the_image_may_hold_the_weights_where_the_user_says_so():
    check_compilable(make_config(trainer={"weights": "w.h5"}, kubeflow={"weights": "/opt/w.h5"}), KFP)


def test_corrections_are_a_path_of_this_machine_unless_the_user_says_where_they_lie():
    with pytest.raises(InputError, match=r"data.corrections: c.csv is a path of this machine; .* kubeflow.corrections"):
        check_compilable(make_config(data={"corrections": "c.csv"}), KFP)
    check_compilable(make_config(data={"corrections": "c.csv"}, kubeflow={"corrections": "/opt/c.csv"}), KFP)


@pytest.mark.parametrize("node", MODEL_NODES)
def test_nodes_that_run_the_model_may_ask_for_a_gpu(node):
    check_compilable(make_config(kubeflow={"nodes": {node: {"gpu_count": 1}}}), KFP)


@pytest.mark.parametrize(
    "section",
    [
        {"volumes": [{"claim": "My_Claim", "mount_path": "/m"}]},
        {"secrets": [{"name": "S!", "env": {"k": "K"}}]},
        {"secrets": [{"name": "s", "env": {"k": "1K"}}]},
        {"workdir": "relative"},
        {"nodes": {"Trainer": {"memory": "16 gigabytes"}}},
        {"nodes": {"Trainer": {"cpu": 0}}},
    ],
)
def test_names_and_quantities_that_kubernetes_refuses_are_no_configuration(section):
    with pytest.raises(ValueError, match="kubeflow"):
        make_config(kubeflow=section)
