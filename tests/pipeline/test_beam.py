"""Where each node's Beam pipeline runs, the same here and compiled."""

import json
import socket

import pytest

from components.errors import InputError
from components.options.beam import BeamOptions
from pipeline.beam import (
    ENGINES,
    FN_API_RUNNER,
    IN_PROCESS,
    NO_IMAGE,
    Engine,
    beam_args,
    make_in_process_default,
    name_runner,
    refuse_unseen_by_nodes,
    why_unseen,
    workers_share_the_disk,
)
from pipeline.config.configuration import check_config, model_key
from pipeline.dag import feature_pass_args
from tests import pictures
from tests.pipeline.predict.test_command import graft
from tests.pipeline.test_dag import make

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
        ([ENDPOINT, "--environment_type=EXTERNAL", "--environment_config=localhost:1"], False, [NO_IMAGE]),
        ([ENDPOINT, "--environment_type=DOCKER"], False, []),
        ([ENDPOINT, "--environment_type=PROCESS", "--setup_file=./setup.py"], False, []),
        ([ENDPOINT, "--environment_type=LOOPBACK"], True, [NO_IMAGE]),
        ([ENDPOINT, "--environment_type", "LOOPBACK"], True, [NO_IMAGE]),
        ([ENDPOINT, "--environment_type=LOOPBACK", "--environment_type=DOCKER"], False, []),
    ],
)
def test_workers_that_start_no_container_need_no_package(args, shared, image):
    given = beam_args(BeamOptions(runner="PortableRunner", args=args), "ImageExampleGen")
    assert given == ["--runner=PortableRunner", *args, *image]
    assert workers_share_the_disk(given) is shared


ELSEWHERE = "--job_endpoint=flink-job-server:8099"
EXTERNAL = "--environment_type=EXTERNAL"


@pytest.mark.parametrize(
    ("runner", "args", "reason"),
    [
        ("DirectRunner", [ELSEWHERE], ""),
        ("PortableRunner", [ELSEWHERE, "--environment_type=LOOPBACK"], ""),
        ("PortableRunner", ["--job_endpoint=localhost:1", EXTERNAL], ""),
        ("PortableRunner", ["--job_endpoint=127.0.0.1:1", "--environment_type=PROCESS"], ""),
        ("PortableRunner", ["--job_endpoint=[::1]:1", EXTERNAL], ""),
        ("PortableRunner", [f"--job_endpoint={socket.gethostname()}:1", EXTERNAL], ""),
        ("PortableRunner", ["--job_endpoint=embed"], ""),
        ("PortableRunner", ["--job_endpoint=localhost:1"], "--environment_type=DOCKER"),
        ("PortableRunner", ["--job_endpoint=localhost:1", "--environment_type=DOCKER"], "--environment_type=DOCKER"),
        ("PortableRunner", [ELSEWHERE], ELSEWHERE),
        ("PortableRunner", [ELSEWHERE, EXTERNAL], ELSEWHERE),
        (
            "PortableRunner",
            ["--job_endpoint", "10.0.0.7:8099", "--environment_type=PROCESS"],
            "--job_endpoint=10.0.0.7:8099",
        ),
        ("FlinkRunner", [], ""),
        ("FlinkRunner", ["--flink_master=http://flink:8081", EXTERNAL], "--flink_master=http://flink:8081"),
        ("SparkRunner", ["--spark_master_url=local[4]"], ""),
        ("SparkRunner", ["--spark_master_url=spark://spark:7077", EXTERNAL], "--spark_master_url=spark://spark:7077"),
        ("DataflowRunner", [], "DataflowRunner"),
        ("beam_pyspark_runner.pyspark_runner.PySparkRunner", [], ""),
    ],
)
def test_workers_on_other_machines_need_shared_paths_or_buckets(tmp_path, runner, args, reason):
    options = BeamOptions(nodes={"Evaluator": {"runner": runner, "args": args}})
    assert why_unseen(beam_args(options, "Evaluator")) == reason
    paths = {"--workdir": str(tmp_path / "work"), "data.path": "gs://bucket/data"}
    if not reason:
        refuse_unseen_by_nodes(options, paths)
        return
    with pytest.raises(InputError) as error:
        refuse_unseen_by_nodes(options, paths)
    assert str(error.value).startswith(
        f"--workdir: expected a bucket, or a path that Beam's workers see, found {tmp_path}/work: with {reason} they "
    )
    assert "say so with beam.shared_path" in str(error.value)
    with pytest.raises(InputError, match=r"elsewhere, and see /mnt/shared\.\nUse a shared"):
        refuse_unseen_by_nodes(options.model_copy(update={"shared_path": "/mnt/shared"}), paths)
    refuse_unseen_by_nodes(options.model_copy(update={"shared_path": str(tmp_path)}), paths)
    refuse_unseen_by_nodes(options, {"--workdir": "gs://bucket/work"})


def test_the_commands_refuse_before_anything_is_done(tmp_path):
    folder = pictures.write_tree(tmp_path / "data", {"cats": 3, "dogs": 3})
    remote = ("--set", "beam.runner=PortableRunner", "--set", f"beam.args=['{ELSEWHERE}']")
    config = pictures.write(tmp_path / "config.yaml", b"trainer: {epochs: 1}")
    done = graft("run", config, "--data", folder, "--workdir", tmp_path / "work", *remote)
    assert isinstance(done.exception, InputError)
    assert "--workdir: expected a bucket" in str(done.exception)
    assert not (tmp_path / "work").exists()


def test_an_engine_is_a_row(tmp_path, monkeypatch):
    folder = pictures.write_tree(tmp_path / "data", {"cats": 3, "dogs": 3})
    run = ("run", pictures.write(tmp_path / "config.yaml", b"name: toy"), "--data", folder, "--workdir", tmp_path / "w")
    remote = (*run, "--set", "beam.runner=toys.ToyRunner", "--set", "beam.args=['--toy_master=toy:1']")
    executed = []

    def execute(plan, records, *_):
        _, summary, _ = records
        executed.append(plan)
        summary.status = "unchanged"

    monkeypatch.setattr("pipeline.run.run._execute", execute)
    monkeypatch.setattr("pipeline.run.run.try_early", lambda *given, **settings: None)
    assert graft(*remote, "--set", "trainer.weights=none").exit_code == 0  # nothing says where its workers are
    assert len(executed) == 1
    monkeypatch.setitem(ENGINES, "toyrunner", Engine("toy_master", ("", "local")))
    refused = graft(*remote).exception
    assert "with --toy_master=toy:1 they run elsewhere" in str(refused)
    assert why_unseen(["--runner=toys.ToyRunner", "--toy_master=local"]) == ""
    assert len(executed) == 1


@pytest.mark.parametrize("scheme", ["s3", "minio"])
def test_a_bucket_that_tensorflow_does_not_open_is_refused_when_the_workers_need_it(scheme):
    from pipeline.kubeflow.compile.checks import check_compilable
    from tests.pipeline.kubeflow.conftest import KFP, make_config

    args = {"runner": "PortableRunner", "args": [ELSEWHERE, EXTERNAL]}
    config = make_config(beam={"nodes": {"Evaluator": args}}, kubeflow={"pipeline_root": f"{scheme}://bucket/root"})
    with pytest.raises(
        InputError, match=r"beam: the workers of Evaluator .* see the bucket only, and TensorFlow opens gs"
    ):
        check_compilable(config, KFP)
    args["args"].append("--environment_type=LOOPBACK")
    check_compilable(make_config(beam={"nodes": {"Evaluator": args}}, kubeflow={"pipeline_root": "minio://b/r"}), KFP)


def test_a_node_without_beam_has_no_runner():
    with pytest.raises(InputError, match=r"beam.nodes.Pusher"):
        check_config({"beam": {"nodes": {"Pusher": {"runner": "FlinkRunner"}}}}, "a test")


def test_the_trainers_workers_matter_where_they_compute_features(tmp_path):
    options = BeamOptions(nodes={"Trainer": {"runner": "PortableRunner", "args": [ELSEWHERE]}})
    paths = {"--workdir": str(tmp_path)}
    refuse_unseen_by_nodes(options, paths)
    with pytest.raises(InputError, match="--workdir: expected a bucket, or a path that Beam's workers see"):
        refuse_unseen_by_nodes(options, paths, "beam")
    folder = pictures.write_tree(tmp_path / "data", {"cats": 3, "dogs": 3})
    config = pictures.write(tmp_path / "config.yaml", json.dumps({"beam": options.model_dump()}).encode())
    command = ("run", config, "--data", folder, "--workdir", tmp_path / "work")
    refused = graft(*command, "--set", "trainer.feature_pass=beam").exception
    assert "--workdir: expected a bucket" in str(refused)
    assert not (tmp_path / "work").exists()


def test_trainer_and_tuner_get_the_arguments_where_workers_compute_features(tmp_path):
    args = {"nodes": {"Trainer": {"args": ["--temp_location=/t"]}}}
    wanted = [f"--runner={FN_API_RUNNER}", *IN_PROCESS, "--temp_location=/t", NO_IMAGE]
    assert feature_pass_args(check_config({"beam": args}, "a test")) == []
    config = check_config({"beam": args, "trainer": {"feature_pass": "beam"}, "tuner": {"enabled": True}}, "a test")
    assert feature_pass_args(config) == wanted
    nodes = {node.id: node for node in make(tmp_path, **json.loads(config.model_dump_json())).components}
    for name in ("Trainer", "Tuner"):
        custom = json.loads(nodes[name].exec_properties["custom_config"])
        assert custom["beam_args"] == wanted
        assert json.loads(custom["options"])["feature_pass"] == "beam"


def test_who_computes_features_makes_no_other_model():
    def key(**trainer):
        return model_key(check_config({"trainer": trainer}, "a test"), "f" * 64, {})

    assert key() == key(feature_pass="beam")
    assert key() != key(feature_batch_size=3)


def test_views_that_nobody_keeps_are_not_computed_by_workers():
    trainer = {"feature_pass": "beam", "augment": {"views": 0}}
    with pytest.raises(InputError, match=r"feature_pass: beam with augment\.views: 0: fresh views are kept nowhere"):
        check_config({"trainer": trainer}, "a test")


def test_compiled_tasks_get_the_same_arguments():
    from pipeline.kubeflow.compile.compile import compile_config
    from tests.pipeline.kubeflow.conftest import KFP, make_config

    config = make_config(beam={"runner": "FlinkRunner", "args": ["--flink_master=flink:8081"]})
    executors = compile_config(config, KFP).spec["deploymentSpec"]["executors"]
    for node in ("ImageExampleGen", "StatisticsGen", "Transform", "Evaluator"):
        args = executors[f"{node}_executor"]["container"]["args"]
        wanted = beam_args(config.beam, node)
        assert any(args[i : i + len(wanted)] == wanted for i in range(len(args))), json.dumps(args)
    assert "--runner=FlinkRunner" not in executors["Trainer_executor"]["container"]["args"]
