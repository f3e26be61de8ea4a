"""Where each node's Beam pipeline runs, the same here and compiled."""

import json

import pytest

from components.errors import InputError
from components.options import BeamOptions
from pipeline.beam import LOCAL_ARGS, NO_IMAGE, beam_args, workers_share_the_disk
from pipeline.config import check_config

ENDPOINT = "--job_endpoint=localhost:8099"


def test_by_default_in_this_process():
    assert beam_args(BeamOptions(), "Evaluator") == [*LOCAL_ARGS]


def test_a_node_may_run_elsewhere():
    options = BeamOptions.model_validate(
        {
            "args": ["--temp_location=gs://b/tmp"],
            "nodes": {"Evaluator": {"runner": "DataflowRunner", "args": ["--project=p", "--sdk_container_image=i:1"]}},
        }
    )
    assert beam_args(options, "Transform") == [*LOCAL_ARGS[:-1], "--temp_location=gs://b/tmp", NO_IMAGE]
    assert beam_args(options, "Evaluator") == [
        "--runner=DataflowRunner",
        "--temp_location=gs://b/tmp",
        "--project=p",
        "--sdk_container_image=i:1",
    ]


@pytest.mark.parametrize(
    ("args", "shared", "image"),
    [
        ([ENDPOINT, "--environment_type=EXTERNAL", "--environment_config=localhost:1"], True, [NO_IMAGE]),
        ([ENDPOINT, "--environment_type=DOCKER"], False, []),
        ([ENDPOINT, "--environment_type=PROCESS", "--setup_file=./setup.py"], True, []),
    ],
)
def test_workers_that_start_no_container_need_no_package(args, shared, image):
    given = beam_args(BeamOptions(runner="PortableRunner", args=args), "ImageExampleGen")
    assert given == ["--runner=PortableRunner", *args, *image]
    assert workers_share_the_disk(given) is shared


def test_a_node_without_beam_has_no_runner():
    with pytest.raises(InputError, match=r"beam.nodes.Trainer"):
        check_config({"beam": {"nodes": {"Trainer": {"runner": "FlinkRunner"}}}}, "a test")


def test_compiled_tasks_get_the_same_arguments():
    from pipeline.kubeflow.checks import Target
    from pipeline.kubeflow.compile import compile_config
    from tests.pipeline.kubeflow.conftest import make_config

    config = make_config(beam={"runner": "FlinkRunner", "args": ["--flink_master=flink:8081"]})
    executors = compile_config(config, Target.KFP).spec["deploymentSpec"]["executors"]
    for node in ("ImageExampleGen", "StatisticsGen", "Transform", "Evaluator"):
        args = executors[f"{node}_executor"]["container"]["args"]
        wanted = beam_args(config.beam, node)
        assert any(args[i : i + len(wanted)] == wanted for i in range(len(args))), json.dumps(args)
    assert "--runner=FlinkRunner" not in executors["Trainer_executor"]["container"]["args"]
