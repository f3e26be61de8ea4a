"""Where each node's Beam pipeline runs, the same here and compiled."""

import json

import pytest

from components.errors import InputError
from components.options import BeamOptions
from pipeline.beam import (
    FN_API_RUNNER,
    IN_PROCESS,
    NO_IMAGE,
    beam_args,
    make_in_process_default,
    name_runner,
    workers_share_the_disk,
)
from pipeline.config import check_config

ENDPOINT = "--job_endpoint=localhost:8099"


def test_by_default_in_this_process():
    assert beam_args(BeamOptions(), "Evaluator") == [f"--runner={FN_API_RUNNER}", *IN_PROCESS, NO_IMAGE]


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--runner=DirectRunner"],
        ["--runner", "direct"],
        ["--runner=FlinkRunner", "--runner=directrunner"],
        ["--runner=apache_beam.runners.direct.direct_runner.SwitchingDirectRunner"],
        [f"--runner={FN_API_RUNNER}"],
    ],
)
def test_the_in_process_runner_has_its_full_name_however_it_is_asked_for(args):
    """Beam 2.77 takes `DirectRunner` for a switch that downloads another engine first."""
    assert name_runner([*args, "--temp_location=/t"]) == [
        f"--runner={FN_API_RUNNER}",
        *IN_PROCESS,
        "--temp_location=/t",
    ]
    options = BeamOptions(args=args)
    assert beam_args(options, "Transform")[0] == f"--runner={FN_API_RUNNER}"


@pytest.mark.parametrize("args", [["--runner=PrismRunner"], ["--runner", "FlinkRunner"]])
def test_another_runner_stays_what_it_is(args):
    assert name_runner(args) == [f"--runner={args[-1].rpartition('=')[2]}"]


def test_beam_makes_the_runner_that_is_named_and_takes_it_where_none_is():
    import apache_beam as beam
    from apache_beam.options.pipeline_options import StandardOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    assert type(beam.Pipeline(argv=name_runner([])).runner) is FnApiRunner
    before = StandardOptions.DEFAULT_RUNNER
    try:
        make_in_process_default()
        assert type(beam.Pipeline().runner) is FnApiRunner
    finally:
        StandardOptions.DEFAULT_RUNNER = before


def test_a_node_may_run_elsewhere():
    options = BeamOptions.model_validate(
        {
            "args": ["--temp_location=gs://b/tmp"],
            "nodes": {"Evaluator": {"runner": "DataflowRunner", "args": ["--project=p", "--sdk_container_image=i:1"]}},
        }
    )
    in_process = [f"--runner={FN_API_RUNNER}", *IN_PROCESS]
    assert beam_args(options, "Transform") == [*in_process, "--temp_location=gs://b/tmp", NO_IMAGE]
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
