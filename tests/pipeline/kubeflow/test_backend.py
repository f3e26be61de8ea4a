"""What Kubeflow's driver and launcher do, a row each with its source, and that `graft execute` does the same.

The rows are the table: a behaviour stands in it with the file of kubeflow/pipelines that was read, the releases in
which it was found, and the check that walks it through a task's own process. Where releases differ, the newest counts.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as proto

from pipeline.kubeflow.compiled import Task
from pipeline.kubeflow.local.driver import DRIVERS
from pipeline.kubeflow.local.launcher import Launcher, Result, TaskInputs
from pipeline.kubeflow.local.stores import open_store

DRIVER, RESOLVE, UTIL = (f"backend/src/v2/driver/{name}.go" for name in ("driver", "resolve", "util"))
LAUNCHER = "backend/src/v2/component/launcher_v2.go"
CLIENT, CONVERTER = (f"backend/src/v2/metadata/{name}.go" for name in ("client", "converter"))
ALL = "2.5.0 to 2.17.0"
MODEL = {"instanceSchema": "title: tfx.Model\ntype: object\n"}
SHOW = "print(json.dumps(sys.argv[1:]))"
SAY = "p = pathlib.Path(json.loads(sys.argv[1])['outputs']['outputFile']); p.write_text(json.dumps(%s))"
FILE = "{{$.outputs.parameters['said'].output_file}}"


@dataclass(frozen=True)
class Row:
    """A behaviour, where it was read, in which releases, and its check."""

    behaviour: str
    source: str
    releases: str
    check: Callable[["Backend"], None]


TABLE: list[Row] = []


def behaviour(words: str, source: str, releases: str = ALL) -> Callable[..., Any]:
    """Adds a check to the table."""

    def add(check: Callable[["Backend"], None]) -> Callable[["Backend"], None]:
        TABLE.append(Row(words, source, releases, check))
        return check

    return add


class Backend:
    """Runs single tasks of Python code through driver and launcher."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(str(folder / "root"))
        self.scratch = folder / "scratch"
        self.launcher = Launcher(self.store, DRIVERS["kubeflow"], f"{self.store.root}/run", self.scratch)

    def run(
        self,
        code: str,
        *arguments: str,
        parameters: dict[str, Any] | None = None,
        kinds: dict[str, str] | None = None,
        artifacts: dict[str, Any] | None = None,
        said: str = "",
    ) -> Result:
        """One task with an output artifact `out` and, where a kind is named, an output parameter `said`."""
        definitions = {name: {"parameterType": kind} for name, kind in (kinds or {}).items()}
        outputs = {"artifacts": {"out": {"artifactType": MODEL}}}
        if said:
            outputs["parameters"] = {"said": {"parameterType": said}}
        component = {"inputDefinitions": {"parameters": definitions}, "outputDefinitions": outputs}
        container = proto.PipelineDeploymentConfig.PipelineContainerSpec(
            command=["python", "-c"], args=[f"import json, os, pathlib, sys; {code}", *arguments]
        )
        task = Task(
            "task", proto.PipelineTaskSpec(), json_format.ParseDict(component, proto.ComponentSpec()), container
        )
        return self.launcher.run(task, TaskInputs(parameters or {}, artifacts or {}))

    def show(self, *arguments: str, **given: Any) -> list[str]:
        """The arguments as a task's process gets them."""
        result = self.run(SHOW, *arguments, **given)
        assert result.code == 0, result.log.read_text()
        return json.loads(result.log.read_text())


@pytest.fixture
def backend(tmp_path):
    return Backend(tmp_path)


def fails(result: Result, words: str) -> None:
    assert result.code == 1
    assert words in result.log.read_text()


@behaviour("an output `executor-logs` of type system.Artifact is added to every task", f"{DRIVER}: provisionOutputs")
def logs_are_an_output(backend):
    (given,) = backend.show("{{$}}")
    outputs = json.loads(given)["outputs"]["artifacts"]
    assert outputs.keys() == {"out", "executor-logs"}
    assert outputs["executor-logs"]["artifacts"][0]["type"] == {"schemaTitle": "system.Artifact"}


@behaviour("the log is a file at the artifact's local path while the task runs, and is uploaded", LAUNCHER)
def logs_are_a_file(backend):
    path = "{{$.outputs.artifacts['executor-logs'].path}}"
    result = backend.run("print('before', flush=True); print(open(sys.argv[1]).read(), 'after')", path)
    assert result.log.read_text() == "before\nbefore\n after\n"
    assert backend.store.read(result.artifacts["executor-logs"]["uri"]) == "before\nbefore\n after\n"


@behaviour("a task that fails leaves its log, and no other output", f"{LAUNCHER}: executeV2", "2.16.0 to 2.17.0")
def failed_tasks_leave_their_log(backend):
    code = "print('why'); p = pathlib.Path(sys.argv[1]); p.write_text('x'); sys.exit(5)"
    assert backend.run(code, "{{$.outputs.artifacts['out'].path}}").code == 5
    assert backend.store.read(f"{backend.store.root}/run/task/executor-logs-0") == "why\n"
    assert not backend.store.exists(f"{backend.store.root}/run/task/out")


@behaviour("each attempt's log has its number", f"{LAUNCHER}: qualifyExecutorLogsURI", "2.16.1 to 2.17.0")
def logs_are_numbered(backend):
    assert backend.show("{{$.outputs.artifacts['executor-logs'].uri}}")[0].endswith("/task/executor-logs-0")


@behaviour("what an executor says of the log is ignored", f"{LAUNCHER}: uploadOutputArtifacts", "2.16.1 to 2.17.0")
def logs_stay_where_they_are(backend):
    said = {"artifacts": {"executor-logs": {"artifacts": [{"uri": "gs://else/where", "metadata": {"a": 1}}]}}}
    logs = backend.run(SAY % repr(said), "{{$}}").artifacts["executor-logs"]
    assert logs["uri"].endswith("/task/executor-logs-0")
    assert "a" not in logs["metadata"]


@behaviour("output parameters are files below /tmp/kfp/outputs, whose folder is there", f"{DRIVER}: provisionOutputs")
def parameters_are_files(backend):
    result = backend.run("open(sys.argv[1], 'w').write('a b\\n'); print(sys.argv[1])", FILE, said="STRING")
    assert result.log.read_text().strip().endswith("/tmp/kfp/outputs/said")
    assert result.log.read_text().startswith(str(backend.scratch / "disks" / "task"))  # not shared with other tasks
    assert result.parameters == {"said": "a b\n"}


@behaviour("the text of an output parameter becomes a value of its kind, or fails", f"{CONVERTER}: TextToPbValue")
def parameters_have_kinds(backend):
    code = "open(sys.argv[1], 'w').write(sys.argv[2])"
    for kind, text, value in (
        ("NUMBER_INTEGER", " 7\n", 7),
        ("NUMBER_DOUBLE", "1e-3", 0.001),
        ("BOOLEAN", "True", True),
        ("BOOLEAN", "0\n", False),
        ("LIST", "[1, 2]", [1, 2]),
        ("STRUCT", '{"a": null}', {"a": None}),
    ):
        assert backend.run(code, FILE, text, said=kind).parameters == {"said": value}
    for kind, text in (("NUMBER_INTEGER", "7.5"), ("BOOLEAN", "yes"), ("STRUCT", "[1]"), ("LIST", "{}")):
        fails(backend.run(code, FILE, text, said=kind), f"expected a {kind}")


@behaviour("a task that leaves an output parameter out has failed", f"{LAUNCHER}: collectOutputParameters")
def parameters_are_required(backend):
    fails(backend.run("pass", said="STRING"), 'failed to read output parameter name="said"')


@behaviour("the output metadata file lies in the local task root", f"{DRIVER}: provisionOutputs", "2.15.0 to 2.17.0")
def metadata_file_is_in_the_task_root(backend):
    (given,) = backend.show("{{$}}")
    assert json.loads(given)["outputs"]["outputFile"].endswith("/gcs/graft-local/run/task/output_metadata.json")


@behaviour("values of that file win over the files of parameters", f"{LAUNCHER}: collectOutputParameters")
def metadata_file_wins(backend):
    code = f"{SAY % {'parameterValues': {'said': 3}}}; open(sys.argv[2], 'w').write('4')"
    assert backend.run(code, "{{$}}", FILE, said="NUMBER_INTEGER").parameters == {"said": 3}


@behaviour("URI and metadata of that file are merged, for declared outputs only", f"{LAUNCHER}: mergeRuntimeArtifacts")
def metadata_is_merged(backend):
    said = {"out": {"artifacts": [{"metadata": {"a": 1}}, {"metadata": {"b": 2}}]}, "more": {"artifacts": [{}]}}
    result = backend.run(SAY % {"artifacts": said}, "{{$}}")
    assert result.artifacts.keys() == {"out", "executor-logs"}
    assert result.artifacts["out"]["metadata"]["a"] == 1
    assert "b" not in result.artifacts["out"]["metadata"]


@behaviour("an output metadata file that is none fails the task", f"{LAUNCHER}: getExecutorOutputFile")
def metadata_file_is_read_strictly(backend):
    fails(backend.run(SAY % {"unknown": 1}, "{{$}}"), "failed to unmarshall ExecutorOutput")


@behaviour("folders of outputs are made, outputs are not; one that is not made is allowed", LAUNCHER)
def outputs_may_stay_away(backend):
    code = "p = pathlib.Path(sys.argv[1]); print(p.parent.is_dir(), p.exists())"
    result = backend.run(code, "{{$.outputs.artifacts['out'].path}}")
    assert result.log.read_text() == "True False\n"
    assert result.code == 0
    assert result.kept == []


@behaviour("the driver writes whole numbers by %d and others by %g", f"{UTIL}: pbValueToString", "2.17.0")
def numbers_of_the_driver(backend):
    for value, text in (
        (20, "20"),
        (20.0, "20"),
        (-3.0, "-3"),
        (123456789012, "123456789012"),
        (0.001, "0.001"),
        (0.00001, "1e-05"),
        (0.000123, "0.000123"),
        (1234567.5, "1.2345675e+06"),
        (123456.5, "123456.5"),
        (True, "true"),
    ):
        kind = "BOOLEAN" if value is True else "NUMBER_DOUBLE"
        shown = backend.show("={{$.inputs.parameters['x']}}", parameters={"x": value}, kinds={"x": kind})
        assert shown == [f"={text}"]


@behaviour(
    "the launcher, which fills arguments that name an output, writes no exponents", f"{LAUNCHER}: getPlaceholders"
)
def numbers_of_the_launcher(backend):
    argument = "{{$.outputs.artifacts['out'].uri}} {{$.inputs.parameters['x']}}"
    for value, text in ((20.0, "20"), (0.00001, "0.00001"), (1234567.5, "1234567.5"), (1e21, "1" + 21 * "0")):
        (shown,) = backend.show(argument, parameters={"x": value}, kinds={"x": "NUMBER_DOUBLE"})
        assert shown.endswith(f"/out {text}")


@behaviour("placeholders are filled anywhere in an argument, in JSON too", f"{UTIL}: resolveContainerArgs", "2.17.0")
def placeholders_inside_arguments(backend):
    argument = '{"a": {"b": "{{$.inputs.parameters[\'x\']}}/c", "d": {{$.inputs.parameters[\'y\']}}}}'
    shown = backend.show(argument, parameters={"x": "v", "y": {"e": [1, "<"]}}, kinds={"x": "STRING", "y": "STRUCT"})
    assert json.loads(shown[0]) == {"a": {"b": "v/c", "d": {"e": [1, "<"]}}}
    assert '{"e":[1,"\\u003c"]}' in shown[0]


@behaviour("a clause IfPresent gives the arguments of its branch", f"{UTIL}: resolveCondition", "2.17.0")
def conditions_are_resolved(backend):
    clause = json.dumps(
        {"IfPresent": {"InputName": "x", "Then": ["--x", "{{$.inputs.parameters['x']}}"], "Else": "no"}}
    )
    assert backend.show(clause, parameters={"x": 1}, kinds={"x": "NUMBER_INTEGER"}) == ["--x", "1"]
    assert backend.show(clause) == ["no"]


@behaviour("a placeholder of no parameter fails the task before its pod", f"{UTIL}: resolveSinglePlaceholder", "2.17.0")
def unknown_placeholders_fail(backend):
    result = backend.run("print('started')", "{{$.inputs.parameters['x']}}")
    fails(result, 'parameter "x" not found in executor input')
    assert "started" not in result.log.read_text()


@behaviour("a value becomes a text where one is declared; other kinds must fit", f"{RESOLVE}: resolveInputs")
def inputs_have_kinds(backend):
    (given,) = backend.show("{{$}}", parameters={"x": 3.0}, kinds={"x": "STRING"})
    assert json.loads(given)["inputs"]["parameterValues"] == {"x": "3"}
    for value, kind in (("3", "NUMBER_INTEGER"), (1, "BOOLEAN"), (True, "NUMBER_DOUBLE"), ([1], "STRUCT")):
        fails(backend.run("pass", parameters={"x": value}, kinds={"x": kind}), f"type mismatch: expect {kind}")
    fails(backend.run("pass", kinds={"x": "STRING"}), 'non-optional parameter "x"')


@behaviour("numbers of the ExecutorInput have no `.0`", f"{LAUNCHER}: compileCmdAndArgs")
def executor_input_is_go_json(backend):
    (given,) = backend.show("{{$}}", parameters={"x": 3.0, "y": 0.5}, kinds=dict.fromkeys("xy", "NUMBER_DOUBLE"))
    assert '"x":3,' in given or '"x":3}' in given
    assert '"y":0.5' in given


def pass_on(backend, metadata):
    """The artifact `out` of a task that said its metadata, as the next task gets it."""
    first = backend.run(SAY % {"artifacts": {"out": {"artifacts": [{"metadata": metadata}]}}}, "{{$}}")
    assert first.code == 0, first.log.read_text()
    (given,) = backend.show("{{$}}", artifacts={"before": first.artifacts["out"]})
    return json.loads(given)["inputs"]["artifacts"]["before"]["artifacts"][0]


@behaviour("input artifacts have no type but an empty instanceSchema", f"{CLIENT}: ToRuntimeArtifact")
def inputs_are_untyped(backend):
    assert pass_on(backend, {})["type"] == {"instanceSchema": ""}


@behaviour("the name of an input artifact is its number in ML Metadata", f"{CONVERTER}: toRuntimeArtifact")
def inputs_are_numbered(backend):
    assert pass_on(backend, {})["name"].isdigit()


@behaviour("ML Metadata keeps switches as numbers, lists and objects wrapped", f"{CONVERTER}: StructValueToMLMDValue")
def metadata_changes_its_kind(backend):
    kept = pass_on(backend, {"a": True, "b": [1], "c": {"d": 2}, "e": "f"})["metadata"]
    assert {name: kept[name] for name in "abce"} == {"a": 1, "b": {"list": [1]}, "c": {"struct": {"d": 2}}, "e": "f"}


@behaviour("metadata of an artifact that is null fails the task", f"{CONVERTER}: StructValueToMLMDValue")
def metadata_is_never_null(backend):
    code = SAY % {"artifacts": {"out": {"artifacts": [{"metadata": {"a": None}}]}}}
    fails(backend.run(code, "{{$}}"), "a is null")


@behaviour("artifacts come with metadata that no executor wrote", f"{CLIENT}: RecordArtifact")
def metadata_of_the_platform(backend):
    kept = pass_on(backend, {})["metadata"]
    assert kept["display_name"] == "out"
    assert "store_session_info" in kept


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.check.__name__)
def test_graft_execute_does_what_the_backend_does(row, backend):
    assert row.source.startswith("backend/src/v2/")
    row.check(backend)
