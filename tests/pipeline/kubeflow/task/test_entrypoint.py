"""Our entry module where TFX's own fails: untyped inputs, as open-source Kubeflow passes them."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as proto
from tfx.components.statistics_gen import executor as statistics_executor
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as stock
from tfx.types import artifact_utils

from components.contract import features
from components.contract.artifacts import Page
from components.errors import Damaged, GateRefused
from components.files.digests import CONTENT, combine, digest_folder
from pipeline.kubeflow.local.driver import DRIVERS
from pipeline.kubeflow.local.launcher import Launcher, TaskInputs, fill_placeholders
from pipeline.kubeflow.local.stores import LOCAL_BUCKET, open_store
from pipeline.kubeflow.service import Service
from pipeline.kubeflow.services import SERVICES
from pipeline.kubeflow.task import entrypoint, pod
from tests.damages import DAMAGES
from tests.pipeline.kubeflow.conftest import KFP, VERTEX

EXAMPLES = f"gs://{LOCAL_BUCKET}/run/ImageExampleGen/examples"


@pytest.fixture
def statistics_args(tmp_path, pipelines, examples_uri, examples_artifact, monkeypatch):
    """Arguments of the compiled StatisticsGen task on a disk with real records; call it with a target."""
    monkeypatch.setenv(pod.LOCAL_ROOT_VARIABLE, str(tmp_path / "disk"))
    (tmp_path / "disk" / "tmp").mkdir(parents=True)
    shutil.copytree(examples_uri, tmp_path / "disk" / "gcs" / EXAMPLES.removeprefix("gs://"))
    task = next(task for task in pipelines[KFP].tasks if task.name == "StatisticsGen")
    metadata = {"split_names": examples_artifact.split_names, CONTENT: digest_folder(str(examples_uri))}
    for name in ("payload_format", "file_format"):
        metadata[name] = examples_artifact.get_string_custom_property(
            name
        ) or examples_artifact.get_int_custom_property(name)
    schema = json_format.MessageToDict(task.component.input_definitions.artifacts["examples"].artifact_type)
    constants = {
        name: json_format.MessageToDict(source.runtime_value.constant)
        for name, source in task.task.inputs.parameters.items()
    }
    artifact = {"name": "1", "uri": EXAMPLES, "type": schema, "metadata": metadata}

    def make(target: Service) -> list[str]:
        store = open_store(str(tmp_path / "root"))
        launcher = Launcher(store, DRIVERS[target.DRIVER], f"{store.root}/run", tmp_path / "scratch")
        given = launcher.executor_input(task, TaskInputs(constants, {"examples": artifact}), tmp_path / "disk")
        return fill_placeholders(list(task.container.args), given, tmp_path / "disk")

    return make


@pytest.fixture
def statistics_are_a_word(monkeypatch):
    """TFX computes none: what its executor would be given and give stays."""

    def write(self, inputs, outputs, properties):
        assert artifact_utils.decode_split_names(inputs["examples"][0].split_names) == list(features.SPLITS)
        outputs["statistics"][0].split_names = inputs["examples"][0].split_names
        for split in features.SPLITS:
            path = Path(outputs["statistics"][0].uri, f"Split-{split}", features.STATISTICS_FILE)
            path.parent.mkdir(parents=True)
            path.write_text("word", "utf-8")

    monkeypatch.setattr(statistics_executor.Executor, "Do", write)


def on_local_paths(args: list[str], disk: Path) -> list[str]:
    """TFX's entry point knows no local copies: give it paths in the place of URIs."""
    return [arg.replace(f"gs://{LOCAL_BUCKET}", str(disk / "gcs" / LOCAL_BUCKET)) for arg in args]


@pytest.mark.usefixtures("statistics_are_a_word")
def test_the_stock_entry_point_fails_on_untyped_inputs_and_on_nothing_else(tmp_path, statistics_args):
    untyped = on_local_paths(statistics_args(KFP), tmp_path / "disk")
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'get'"):
        stock.main(stock._parse_flags(["run", *untyped]))
    typed = on_local_paths(statistics_args(VERTEX), tmp_path / "disk")
    stock.main(stock._parse_flags(["run", *typed]))
    assert list((tmp_path / "disk" / "gcs").rglob(f"Split-train/{features.STATISTICS_FILE}"))


@pytest.mark.parametrize("target", SERVICES.values(), ids=SERVICES)
def test_ours_takes_both_and_answers_in_uris(tmp_path, request, statistics_args, target):
    if target is VERTEX:  # TFX computes them once
        request.getfixturevalue("statistics_are_a_word")
    entrypoint.main(statistics_args(target))
    disk = tmp_path / "disk"
    folder = disk / "gcs" / LOCAL_BUCKET / "run" / "StatisticsGen"
    assert (folder / "statistics" / "Split-eval" / features.STATISTICS_FILE).is_file()
    path = folder / "output_metadata.json" if target is KFP else folder / "executor_output.json"
    answer = json_format.Parse(path.read_text("utf-8"), proto.ExecutorOutput())
    artifact = answer.artifacts["statistics"].artifacts[0]
    assert artifact.uri == f"gs://{LOCAL_BUCKET}/run/StatisticsGen/statistics"
    assert json.loads(artifact.metadata["split_names"]) == ["train", "eval"]
    assert artifact.metadata[CONTENT] == digest_folder(str(folder / "statistics"))


@pytest.mark.parametrize(
    ("target", "name"), [*((KFP, name) for name in DAMAGES), (VERTEX, next(iter(DAMAGES)))], ids=str
)
def test_an_input_that_is_not_as_it_was_made_is_refused(tmp_path, statistics_args, target, name):
    DAMAGES[name](tmp_path / "disk" / "gcs" / EXAMPLES.removeprefix("gs://"))
    with pytest.raises(
        Damaged, match=r"the examples in .* is not as it was made .*kubeflow.nodes.<node>.cache is false for the task"
    ):
        entrypoint.main(statistics_args(target))


def test_an_input_without_a_digest_is_refused(tmp_path, statistics_args):
    arguments = [part.replace(CONTENT, "lost") for part in statistics_args(VERTEX)]
    with pytest.raises(Damaged, match=r"the examples in .* has no digest of when it was made"):
        entrypoint.main(arguments)


def executor_input(tmp_path, monkeypatch, inputs, outputs):
    monkeypatch.setenv(pod.LOCAL_ROOT_VARIABLE, str(tmp_path))
    (tmp_path / "s3").mkdir(exist_ok=True)
    given = proto.ExecutorInput()
    for group, artifacts in ((given.inputs.artifacts, inputs), (given.outputs.artifacts, outputs)):
        for name, content in artifacts.items():
            group[name].artifacts.append(json_format.ParseDict(content, proto.RuntimeArtifact()))
    given.outputs.output_file = str(tmp_path / "out.json")
    return given


def declare(inputs: dict[str, str], outputs: dict[str, str]) -> entrypoint.Declared:
    """A component whose inputs and outputs have these types."""
    declared = entrypoint.Declared(proto.ComponentInputsSpec(), proto.ComponentOutputsSpec())
    for group, titles in ((declared.inputs, inputs), (declared.outputs, outputs)):
        for name, title in titles.items():
            group.artifacts[name].artifact_type.schema_title = title
    return declared


@pytest.mark.parametrize("kind", [{}, {"instanceSchema": ""}, {"instanceSchema": "title: x\n"}, {"schemaTitle": "x"}])
def test_types_are_those_that_were_declared_and_our_own_lead_to_their_class(tmp_path, monkeypatch, kind):
    given = executor_input(
        tmp_path,
        monkeypatch,
        {"manifest": {"uri": "s3://b/m", "type": kind}},
        {"verdict": {"uri": "s3://b/v", "type": kind}},
    )
    entrypoint.keep_declared(given, declare({"manifest": "graft.Manifest"}, {"verdict": "graft.DataVerdict"}))
    assert given.inputs.artifacts["manifest"].artifacts[0].type.schema_title == "components.contract.artifacts.Manifest"
    assert (
        given.outputs.artifacts["verdict"].artifacts[0].type.schema_title == "components.contract.artifacts.DataVerdict"
    )


PLANNED = {"data_path": "/d", "data_fingerprint": "f", "baseline": "none", "best": "none", "model_key": "k"}
FOREIGN_TYPES = (
    {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"},
    {"schemaTitle": "system.HTML"},
    {"schemaTitle": "system.Metrics"},
    {"schemaTitle": "tfx.Model"},
    {"instanceSchema": "title: graft.Manifest\n"},
    {"instanceSchema": ""},
    {},
)
FOREIGN_NAMES = ("executor-logs", "metrics", "review", "evaluation", "examples", "x.y z")


def take_inputs(pipeline, task):
    """What a task gets: values of all its parameters, and an artifact for each input."""
    values, inputs = pipeline.resolve_parameters({}), TaskInputs()
    for name, source in task.task.inputs.parameters.items():
        kind = source.WhichOneof("kind")
        if kind == "component_input_parameter":
            inputs.parameters[name] = values[source.component_input_parameter]
        elif kind == "task_output_parameter":
            inputs.parameters[name] = PLANNED[source.task_output_parameter.output_parameter_key]
        else:
            inputs.parameters[name] = json_format.MessageToDict(source.runtime_value.constant)
    for name in task.component.input_definitions.artifacts:
        metadata = {"display_name": "x", CONTENT: combine({})}
        inputs.artifacts[name] = {"name": "1", "uri": f"gs://{LOCAL_BUCKET}/{name}", "metadata": metadata}
    return inputs


def add_foreign(text, kind):
    """An ExecutorInput with inputs, outputs and parameters that no component declared."""
    given = json.loads(text)
    for side in ("inputs", "outputs"):
        group = given[side].setdefault("artifacts", {})
        for name in FOREIGN_NAMES:
            uri = f"gs://{LOCAL_BUCKET}/foreign/{side}/{name}"
            group.setdefault(name, {"artifacts": [{"name": name, "uri": uri, "type": kind, "metadata": {"a": [1]}}]})
    given["inputs"].setdefault("parameterValues", {}).update({"unknown": None, "more": {"a": [1]}, "x": 1})
    given["outputs"].setdefault("parameters", {})["unknown"] = {"outputFile": "/nowhere/unknown"}
    return json.dumps({**given, "unknown": 1})


def work(inputs, outputs, seen):
    """What the executors leave that the entry point reads."""
    seen.update(inputs=set(inputs), outputs=set(outputs))
    for name, artifacts in outputs.items():
        assert Path(artifacts[0].uri).is_dir(), name
    if "pushed_model" in outputs:
        outputs["pushed_model"][0].set_int_custom_property("pushed", 1)
    if "page" in outputs:
        Path(outputs["page"][0].uri, features.REPORT_FILE).write_text("a page", "utf-8")
    if "evaluation" in outputs:
        for name, content in (
            (features.EVALUATION_FILE, {"candidate": {"accuracy": 0.75}}),
            (features.VERDICT_FILE, {"passed": True}),
        ):
            Path(outputs["evaluation"][0].uri, name).write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize(
    ("target", "kind"), [*((KFP, kind) for kind in FOREIGN_TYPES), (VERTEX, FOREIGN_TYPES[0])], ids=str
)
def test_what_a_platform_adds_to_any_task_is_left_alone(tmp_path, pipelines, monkeypatch, target, kind):
    """Each task of the pipeline, with inputs, outputs and parameters of any name and type beside its own."""
    monkeypatch.setenv(pod.LOCAL_ROOT_VARIABLE, str(tmp_path))
    monkeypatch.setattr(entrypoint, "prepare_devices", lambda properties: None)
    foreign = tmp_path / "gcs" / LOCAL_BUCKET / "foreign" / "outputs"
    foreign.mkdir(parents=True)
    (foreign / "executor-logs").write_text("log", "utf-8")  # the launcher has it open
    pipeline, seen = pipelines[target], {}
    monkeypatch.setattr(
        entrypoint, "make_executor", lambda *_: SimpleNamespace(Do=lambda i, o, properties: work(i, o, seen))
    )
    store = open_store(str(tmp_path / "root"))
    launcher = Launcher(store, DRIVERS[target.DRIVER], f"{store.root}/run", tmp_path)
    for task in [task for task in pipeline.tasks if task.name != "Plan"]:
        given = launcher.executor_input(task, take_inputs(pipeline, task), tmp_path)
        args = fill_placeholders(list(task.container.args), given, tmp_path)
        place = args.index("--json_serialized_invocation_args") + 1
        args[place] = add_foreign(args[place], kind)
        entrypoint.main(args)
        declared = set(task.component.output_definitions.artifacts)
        assert seen["inputs"] == set(task.component.input_definitions.artifacts), task.name
        assert seen["outputs"] == declared - {"metrics", "review"}, task.name
        answer = json.loads(Path(pod.to_local(given.outputs.output_file)).read_text("utf-8"))
        assert answer["artifacts"].keys() == declared, task.name
        assert "parameterValues" not in answer
    assert [path.name for path in foreign.iterdir()] == ["executor-logs"]
    assert (foreign / "executor-logs").read_text("utf-8") == "log"


def test_parameters_are_set_inside_properties_and_others_are_left_out(tmp_path, monkeypatch):
    given = executor_input(tmp_path, monkeypatch, {}, {})
    config = {"options": json.dumps({"epochs": 20}), "serving_dir": "/mnt/serving"}
    for name, value in {"custom_config": json.dumps(config), "workdir": "/w", "epochs": 5}.items():
        json_format.ParseDict(value, given.inputs.parameter_values[name])
    spec = json_format.ParseDict(
        {"parameters": {"custom_config": {"parameterType": "STRING"}}}, proto.ComponentInputsSpec()
    )
    settings = ["/custom_config/options/epochs=5", "/custom_config/serving_dir=/w/a=b"]
    properties = entrypoint.read_properties(given, spec, settings)
    assert set(properties) == {"custom_config"}
    changed = json.loads(properties["custom_config"])
    assert json.loads(changed["options"]) == {"epochs": 5}
    assert changed["serving_dir"] == "/w/a=b"


def pushed_model(folder, pushed, verdicts):
    from tfx.types import standard_artifacts

    from components.pusher import VERDICT_INPUTS

    inputs = {}
    for gate, channel in VERDICT_INPUTS.items():
        inputs[channel] = [standard_artifacts.ModelEvaluation()]
        inputs[channel][0].uri = str(folder / channel)
        (folder / channel).mkdir()
        reasons = verdicts.get(gate, [])
        content = {"passed": not reasons, "checks": [], "reasons": reasons, "override": None}
        (folder / channel / features.VERDICT_FILE).write_text(json.dumps(content), "utf-8")
    output = standard_artifacts.PushedModel()
    output.set_int_custom_property("pushed", int(pushed))
    return inputs, {"pushed_model": [output]}


def test_a_model_that_is_not_pushed_is_a_failed_task_with_its_reasons(tmp_path):
    inputs, outputs = pushed_model(tmp_path, pushed=False, verdicts={"quality": ["accuracy 0.4 is below 0.9"]})
    with pytest.raises(GateRefused) as error:
        entrypoint.refuse_unpushed(inputs, outputs)
    assert error.value.gate == "quality"
    assert error.value.reasons == ["accuracy 0.4 is below 0.9"]


def test_a_model_that_is_pushed_is_none(tmp_path):
    entrypoint.refuse_unpushed(*pushed_model(tmp_path, pushed=True, verdicts={}))


def test_the_ui_gets_numbers_that_the_executor_knows_nothing_of(tmp_path, monkeypatch):
    from tfx.types import standard_artifacts

    outputs = {
        "evaluation": {"uri": "s3://b/e", "type": {"schemaTitle": "tfx.ModelEvaluation"}},
        "metrics": {"uri": "s3://b/metrics", "type": {"schemaTitle": "system.Metrics"}},
    }
    candidate = {"accuracy": 0.75, "examples": 4, "per_class": {"<b>": {"recall": 0.5}}, "confusion_matrix": [[1]]}
    written = shown_by_the_ui(
        (tmp_path, monkeypatch),
        outputs,
        standard_artifacts.ModelEvaluation(),
        {features.EVALUATION_FILE: json.dumps({"candidate": candidate, "baseline": {"accuracy": 0.5}})},
    )
    assert written["metrics"]["artifacts"][0]["metadata"] == {"accuracy": 0.75, "examples": 4.0, "served_accuracy": 0.5}


def test_the_ui_gets_the_page_of_the_report(tmp_path, monkeypatch):
    outputs = {
        "page": {"uri": "s3://b/p", "type": {"schemaTitle": "graft.Page"}},
        "review": {"uri": "s3://b/review", "type": {"schemaTitle": "system.HTML"}},
    }
    page = "<!DOCTYPE html><title>&lt;b&gt;</title>"
    shown_by_the_ui((tmp_path, monkeypatch), outputs, Page(), {features.REPORT_FILE: page})
    assert (tmp_path / "s3" / "b" / "review").read_text("utf-8") == page


def shown_by_the_ui(place, outputs, made, files):
    """Artifacts as the task answers them, where its executor has written files into the first of its outputs."""
    given = executor_input(*place, {}, outputs)
    own, *_ = outputs
    shown = entrypoint.take_ui_outputs(given)
    assert set(given.outputs.artifacts) == {own}
    entrypoint.to_local_paths(given)
    made.uri = given.outputs.artifacts[own].artifacts[0].uri
    for name, content in files.items():
        Path(made.uri, name).write_text(content, "utf-8")
    answer = proto.ExecutorOutput()
    entrypoint.show(shown, {own: [made]}, answer)
    entrypoint.write_answer(given.outputs.output_file, answer)
    return json.loads((place[0] / "out.json").read_text("utf-8"))["artifacts"]


def test_a_node_whose_workers_are_elsewhere_works_on_the_bucket(tmp_path, monkeypatch):
    """Nothing on this pod's disk would be there for them."""
    seen = {}

    class Executor:
        def Do(self, inputs, outputs, properties):
            seen.update(inputs=inputs["examples"][0].uri, outputs=outputs["statistics"][0].uri)

    monkeypatch.setattr(entrypoint, "make_executor", lambda path, arguments: Executor())
    monkeypatch.setattr("components.contract.artifacts.digest_folder", lambda uri: combine({}))
    for arguments, prefix in (
        (["--runner=DataflowRunner"], "s3://b"),
        (["--runner=DirectRunner"], str(tmp_path / "s3")),
    ):
        given = executor_input(
            tmp_path,
            monkeypatch,
            {
                "examples": {
                    "uri": "s3://b/e",
                    "type": {"schemaTitle": "tfx.Examples"},
                    "metadata": {CONTENT: combine({})},
                }
            },
            {"statistics": {"uri": "s3://b/s", "type": {"schemaTitle": "tfx.ExampleStatistics"}}},
        )
        declared = declare({"examples": "tfx.Examples"}, {"statistics": "tfx.ExampleStatistics"})
        entrypoint.run_task(given, declared, "none.Executor", [], arguments)
        assert seen["inputs"].startswith(prefix)
        assert seen["outputs"].startswith(prefix)
