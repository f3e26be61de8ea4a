"""The sample, compiled and executed task by task as a cluster would, against the run on this machine."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.e2e.conftest import NODES, ROOT, Finished, Run, graft, read_summary, served_versions
from tests.object_stores import s3_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]  # the first test waits for two whole runs

WEIGHTS = ROOT / "configs" / "sample" / "mobilenet_v2_0.35_digits.weights.h5"
BUCKET = "graft-artifacts"


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """An S3 endpoint on this machine with one bucket."""
    import boto3

    with s3_server(tmp_path_factory.mktemp("moto")) as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}/runs"


def compile_sample(target: str, folder: Path, *settings: str) -> Path:
    workdir = "/gcs/bucket/graft" if target == "vertex" else "/mnt/graft"
    options = {
        "image": "registry.example/graft:0.1",
        "pipeline_root": "gs://bucket/root",
        "weights": str(WEIGHTS),
        "workdir": workdir,
        "volumes": [] if target == "vertex" else [{"claim": "graft", "mount_path": "/mnt/graft"}],
    }
    arguments = [f"--set=kubeflow.{key}={json.dumps(value)}" for key, value in options.items()]
    output = folder / f"{target}.yaml"
    finished = graft("compile", "configs/sample.yaml", "--target", target, "-o", output, *arguments, *settings)
    assert finished.code == 0, finished.out + finished.err
    return output


def execute(file: Path, root: object, workdir: Path, *arguments: str) -> Finished:
    return graft("execute", file, "--root", root, "--param", f"workdir={workdir}", "--jobs", "2", *arguments)


def assert_equal_models(workdir: Path, summary: dict, local: Run) -> None:
    """Accuracy, data, gates and every weight of the head are those of the local run."""
    assert summary["status"] == local.summary["status"] == "pushed"
    assert summary["metrics"] == local.summary["metrics"]
    assert {k: v for k, v in summary["dataset"].items() if k != "root"} == {
        k: v for k, v in local.summary["dataset"].items() if k != "root"
    }
    assert summary["gates"].keys() == local.summary["gates"].keys()
    assert all(gate["passed"] for gate in summary["gates"].values())
    assert summary["model"]["weights_sha256"] == local.summary["model"]["weights_sha256"]
    ours, theirs = (load_variables(Path(path)) for path in (summary["model"]["path"], local.summary["model"]["path"]))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert Path(summary["model"]["path"]).parent == workdir / "serving"


def load_variables(model: Path) -> dict:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(model / "variables" / "variables"))
    shapes = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in shapes if name != "_CHECKPOINTABLE_OBJECT_GRAPH"}


@pytest.fixture(scope="module")
def on_kubeflow(tmp_path_factory, s3, sample_run):
    """The sample as open-source Kubeflow runs it: untyped inputs, artifacts in S3."""
    folder = tmp_path_factory.mktemp("kubeflow")
    file = compile_sample("kfp", folder)
    finished = execute(file, s3, folder / "work")
    assert finished.code == 0, finished.out + finished.err
    return file, folder / "work", finished


def test_as_kubeflow_runs_it_over_s3_the_model_is_that_of_the_local_run(on_kubeflow, sample_run, s3):
    import boto3

    _, workdir, finished = on_kubeflow
    summary = read_summary(workdir)
    assert_equal_models(workdir, summary, sample_run)
    assert "image    not pulled" in finished.out
    assert all(f"✓ {node}" in finished.out for node in ["Plan", *NODES])
    assert summary["cached"] == []
    assert summary["baseline"] is None
    keys = [row["Key"] for row in boto3.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert sum(key.endswith("/executor-logs-0") for key in keys) == len(["Plan", *NODES])
    passport = json.loads(Path(summary["model"]["path"], "passport.json").read_text("utf-8"))
    expected = json.loads(Path(sample_run.summary["model"]["path"], "passport.json").read_text("utf-8"))
    assert passport["data_fingerprint"] == expected["data_fingerprint"]
    assert passport["dataset"]["split_sha256"] == expected["dataset"]["split_sha256"]


def test_the_ui_gets_numbers_and_a_page(on_kubeflow, s3):
    import boto3

    keys = [row["Key"] for row in boto3.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    page = next(key for key in keys if key.endswith("/Report/review"))
    body = boto3.client("s3").get_object(Bucket=BUCKET, Key=page)["Body"].read().decode()
    assert "Every gate said yes" in body
    assert "This section could not be made" not in body
    records = [
        json.loads(boto3.client("s3").get_object(Bucket=BUCKET, Key=k)["Body"].read()) for k in keys if "/tasks/" in k
    ]
    shown = next(r["artifacts"]["metrics"] for r in records if isinstance(r, dict) and "metrics" in r["artifacts"])
    assert shown["metadata"]["accuracy"] == read_summary(on_kubeflow[1])["metrics"]["accuracy"]


def test_a_second_run_over_the_same_data_is_unchanged_and_another_one_is_compared_with_the_first(on_kubeflow, s3):
    file, workdir, _ = on_kubeflow
    first = read_summary(workdir)
    again = execute(file, s3, workdir)
    summary = read_summary(workdir)
    assert again.code == 0, again.out + again.err
    assert sorted(summary["cached"]) == sorted(set(NODES) - {"Pusher"})
    assert summary["status"] == "unchanged"
    assert summary["metrics"] == first["metrics"]

    damage_object("/StatisticsGen/statistics/Split-eval/FeatureStats.pb")
    other = execute(file, s3, workdir, "--param", "trainer_epochs=60")
    summary = read_summary(workdir)
    assert other.code == 0, other.out + other.err
    assert {"ImageExampleGen", "Transform"} <= set(summary["cached"])
    assert "StatisticsGen" not in summary["cached"]
    assert "StatisticsGen: its kept output statistics is not as it was made: made again" in summary["reasons"][0]
    assert "Trainer" not in summary["cached"]
    assert summary["baseline"]["version"] == first["model"]["version"]
    assert summary["status"] == "pushed"
    passport = json.loads(Path(summary["model"]["path"], "passport.json").read_text("utf-8"))
    assert passport["parent"] == first["model"]["version"]
    assert passport["config"]["trainer"]["epochs"] == 60
    assert len(served_versions(workdir)) == 2


def damage_object(ending: str) -> None:
    """Flips a byte of an object in the bucket."""
    import boto3

    client = boto3.client("s3")
    (key,) = (row["Key"] for row in client.list_objects_v2(Bucket=BUCKET)["Contents"] if row["Key"].endswith(ending))
    content = bytearray(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    content[len(content) // 2] ^= 1
    client.put_object(Bucket=BUCKET, Key=key, Body=bytes(content))


def test_a_changed_picture_is_ingested_again(on_kubeflow, s3, tmp_path):
    """And unchanged ones are not, as the test above says."""
    file, workdir, _ = on_kubeflow
    documents = list(yaml.safe_load_all(file.read_text("utf-8")))
    tasks = documents[0]["root"]["dag"]["tasks"]
    for name in set(tasks) - {"Plan", "ImageExampleGen"}:  # what follows is of no interest here
        del tasks[name]
    short = tmp_path / "short.yaml"
    short.write_text(yaml.safe_dump_all(documents), "utf-8")
    pictures = sorted((workdir / "sample" / "digits" / "7").iterdir())
    pictures[0].write_bytes(pictures[1].read_bytes())
    finished = execute(short, s3, workdir)
    assert "ImageExampleGen" in finished.out, finished.out + finished.err
    assert read_summary(workdir)["cached"] == []


def test_as_vertex_runs_it_the_model_is_that_of_the_local_run(tmp_path, sample_run):
    """And the run's own parameters are what its passport and its record say."""
    data = shutil.copytree(sample_run.workdir / "sample" / "digits", tmp_path / "digits")
    file, places = compile_sample("vertex", tmp_path), (tmp_path / "root", tmp_path / "work")
    finished = execute(file, *places, "--as", "vertex", "--param", f"data_path={data}")
    assert finished.code == 0, finished.out + finished.err
    summary = read_summary(tmp_path / "work")
    assert_equal_models(tmp_path / "work", summary, sample_run)
    passport = json.loads(Path(summary["model"]["path"], "passport.json").read_text("utf-8"))
    assert passport["config"]["data"]["path"] == str(data)
    assert passport["config"]["kubeflow"]["workdir"] == str(tmp_path / "work")
    recorded = yaml.safe_load((tmp_path / "work" / "runs" / "latest" / "config.yaml").read_text("utf-8"))
    assert recorded == passport["config"]
