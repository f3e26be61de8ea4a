"""Small pipelines of shell commands, walked as `graft execute` walks them."""

import io
import json

import pytest
import yaml
from rich.console import Console

from components.errors import InputError
from pipeline.kubeflow.compiled import read_compiled
from pipeline.kubeflow.local.driver import DRIVERS
from pipeline.kubeflow.local.execute import Walker, check_workdir, describe_failure
from pipeline.kubeflow.local.launcher import Launcher
from pipeline.kubeflow.local.record import parse_parameters
from pipeline.kubeflow.local.stores import LOCAL_BUCKET, open_store
from pipeline.kubeflow.services import SERVICES
from tests.damages import DAMAGES
from tests.pipeline.kubeflow.conftest import KFP, VERTEX

WRITE = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.mkdir(parents=True); (p / 'x').write_text(sys.argv[2])"


def make_task(command, after=(), inputs=(), cache=True):
    """A task that runs Python code, with one output artifact `out` and one output parameter `said`."""
    kind = {"artifactType": {"instanceSchema": "title: tfx.Model\ntype: object\n"}}
    return {
        "task": {
            "dependentTasks": [*after],
            "cachingOptions": {"enableCache": cache} if cache else {},
            "inputs": {
                "artifacts": {
                    name: {"taskOutputArtifact": {"producerTask": name, "outputArtifactKey": "out"}} for name in inputs
                },
                "parameters": {
                    "word": {"componentInputParameter": "word"},
                    "number": {"runtimeValue": {"constant": 3}},
                    **{
                        f"{name}_said": {"taskOutputParameter": {"producerTask": name, "outputParameterKey": "said"}}
                        for name in inputs
                    },
                },
            },
        },
        "component": {
            "inputDefinitions": {"artifacts": dict.fromkeys(inputs, kind)},
            "outputDefinitions": {"artifacts": {"out": kind}, "parameters": {"said": {"parameterType": "STRING"}}},
        },
        "container": {"image": "none:1", "command": ["python", "-c"], "args": command},
    }


@pytest.fixture
def walk(tmp_path):
    """Walks a pipeline of tasks; gives how far it came. `printed` holds the terminal's lines."""
    printed = io.StringIO()

    def run(tasks, jobs=1, target=KFP, word="hello"):
        spec = {
            "schemaVersion": "2.1.0",
            "pipelineInfo": {"name": "toy"},
            "root": {
                "dag": {"tasks": {n: {**t["task"], "componentRef": {"name": n}} for n, t in tasks.items()}},
                "inputDefinitions": {"parameters": {"word": {"parameterType": "STRING", "defaultValue": "hello"}}},
            },
            "components": {n: {**t["component"], "executorLabel": f"{n}_e"} for n, t in tasks.items()},
            "deploymentSpec": {"executors": {f"{n}_e": {"container": t["container"]} for n, t in tasks.items()}},
        }
        file = tmp_path / "toy.yaml"
        file.write_text(yaml.safe_dump(spec), "utf-8")
        pipeline = read_compiled(file)
        store = open_store(str(tmp_path / "root"))
        number = len(list(tmp_path.glob("scratch-*")))
        launcher = Launcher(
            store, DRIVERS[target.DRIVER], f"{store.root}/toy/run-{number}", tmp_path / f"scratch-{number}"
        )
        values = pipeline.resolve_parameters({"word": word})
        return Walker(pipeline, launcher, store, values, Console(file=printed, width=200), jobs).walk()

    run.printed = printed
    return run


SAY = "said = pathlib.Path(sys.argv[3]); said.parent.mkdir(parents=True, exist_ok=True); said.write_text('done')"
OUTPUTS = [
    "{{$.outputs.artifacts['out'].path}}",
    "{{$.inputs.parameters['word']}}",
    "{{$.outputs.parameters['said'].output_file}}",
]
FIRST = [f"{WRITE}; {SAY}", *OUTPUTS]
READ = "q = pathlib.Path(sys.argv[4]); (p / 'x').write_text((q / 'x').read_text() + sys.argv[5] + sys.argv[6])"
SECOND = [
    f"{WRITE}; {SAY}; {READ}",
    *OUTPUTS,
    "{{$.inputs.artifacts['first'].path}}",
    "{{$.inputs.parameters['number']}}",
    "{{$.inputs.parameters['first_said']}}",
]


@pytest.mark.parametrize("target", SERVICES.values(), ids=SERVICES)
def test_artifacts_and_parameters_go_from_task_to_task_through_the_root(walk, tmp_path, target):
    result = walk({"first": make_task(FIRST), "second": make_task(SECOND, ["first"], ["first"])}, target=target)
    assert result.code == 0
    assert result.cached == []
    assert (tmp_path / "root" / "toy" / "run-0" / "second" / "out" / "x").read_text() == "hello3done"
    assert "✓ first" in walk.printed.getvalue()
    assert not list((tmp_path / "scratch-0" / "disks").iterdir())


@pytest.mark.parametrize(("target", "kind"), [(KFP, {"instanceSchema": ""}), (VERTEX, None)])
def test_inputs_are_typed_as_the_target_gives_them(walk, tmp_path, target, kind):
    look = f"{WRITE}; {SAY}; (p / 'x').write_text(sys.argv[4])"
    second = make_task([look, *OUTPUTS, "{{$}}"], ["first"], ["first"])
    assert walk({"first": make_task(FIRST), "second": second}, target=target).code == 0
    given = json.loads((tmp_path / "root" / "toy" / "run-0" / "second" / "out" / "x").read_text())
    found = given["inputs"]["artifacts"]["first"]["artifacts"][0]
    assert found["type"] == (kind or {"instanceSchema": "title: tfx.Model\ntype: object\n"})
    assert found["uri"] == "gs://graft-local/toy/run-0/first/out"
    assert given["outputs"]["outputFile"].startswith("gs://" if target is VERTEX else str(tmp_path))


def test_a_disk_is_empty_and_holds_no_other_tasks_files(walk, tmp_path):
    look = f"import os; before = sorted(os.listdir()); {WRITE}; {SAY}; (p / 'x').write_text(repr(before))"
    assert walk({"first": make_task([look, *OUTPUTS]), "second": make_task([look, *OUTPUTS], ["first"])}).code == 0
    for name in ("first", "second"):
        assert (tmp_path / "root" / "toy" / "run-0" / name / "out" / "x").read_text() == "['gcs', 'tmp']"


def test_what_is_complete_is_reused_until_a_parameter_changes(walk):
    tasks = {"first": make_task(FIRST), "second": make_task(SECOND, ["first"], ["first"])}
    walk(tasks)
    assert walk(tasks).cached == ["first", "second"]
    assert walk(tasks, word="other").cached == []
    assert walk(tasks).cached == ["first", "second"]


def test_an_artifact_that_is_gone_is_made_again(walk, tmp_path):
    tasks = {"first": make_task(FIRST)}
    walk(tasks)
    (tmp_path / "root" / "toy" / "run-0" / "first" / "out" / "x").unlink()
    assert walk(tasks).cached == []


def test_a_failed_task_is_told_and_the_next_run_continues(walk, tmp_path):
    broken = "import sys; print('some words'); sys.exit(7)"
    tasks = {
        "look": make_task(FIRST, cache=False),
        "first": make_task(FIRST, ["look"]),
        "second": make_task(SECOND, ["first"], ["first"], cache=False),
        "third": make_task([broken, "{{$.inputs.parameters['word']}}"], ["second"]),
    }
    failed = walk(tasks)
    assert failed.code == 1
    assert list(failed.done) == ["look", "first", "second"]
    name, result = failed.failed[0]
    text = "\n".join(describe_failure(name, result))
    assert "Task third failed with exit code 7." in text
    assert "command  python -c import sys" in text
    assert "    some words" in text
    tasks["third"] = make_task(FIRST, ["second"])
    assert walk(tasks).cached == ["first", "second"]  # what looks outside runs each time
    assert walk(tasks).cached == ["first", "third"]  # after a run that ended well, the cache's rules count again


@pytest.mark.parametrize(
    ("code", "exit_code", "words"), [(3, 3, "a gate said no"), (2, 2, "not usable"), (9, 1, "exit code 9")]
)
def test_the_exit_code_of_a_task_is_that_of_the_run(walk, code, exit_code, words):
    result = walk({"first": make_task([f"import sys; sys.exit({code})"]), "second": make_task(FIRST, ["first"])})
    assert result.code == exit_code
    assert result.done == {}
    assert words in walk.printed.getvalue()


def test_independent_tasks_run_side_by_side(walk, tmp_path):
    """Each waits for the other: neither could end alone."""
    meet = f"""
import sys, pathlib, time
mine, other = (pathlib.Path({str(tmp_path)!r}, name) for name in sys.argv[4:6])
mine.touch()
for _ in range(1200):
    if other.exists(): break
    time.sleep(0.05)
else: sys.exit(1)
{WRITE}; {SAY}
"""
    tasks = {name: make_task([meet, *OUTPUTS, name, other]) for name, other in (("a", "b"), ("b", "a"))}
    assert walk(tasks, jobs=2).code == 0


def write(tmp_path, content):
    file = tmp_path / "file.yaml"
    file.write_text(content, "utf-8")
    return file


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "is no compiled pipeline"),
        ("", "is no compiled pipeline"),
        ("unknown: 1", "is no compiled pipeline"),
        ("schemaVersion: 2.0.0", "expected a pipeline of schema 2.1.0, found 2.0.0"),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        read_compiled(write(tmp_path, content))
    with pytest.raises(InputError, match="Expected a compiled pipeline at"):
        read_compiled(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epoch": "3"}, "there is no parameter 'epoch'. Did you mean 'epochs'?"),
        ({"epochs": "many"}, "--param epochs: expected a number, got 'many'"),
        ({"epochs": "3", "rate": "x"}, "--param rate: expected a number"),
        ({"epochs": "3", "on": "yes"}, "--param on: expected true or false, got 'yes'"),
        ({}, "the parameter 'epochs' has no default"),
    ],
)
def test_parameters_are_checked(tmp_path, given, words):
    kinds = {"epochs": "NUMBER_INTEGER", "rate": "NUMBER_DOUBLE", "on": "BOOLEAN"}
    parameters = {name: {"parameterType": kind} for name, kind in kinds.items()}
    for name, value in (("rate", 0.5), ("on", True)):
        parameters[name]["defaultValue"] = value
    spec = {"schemaVersion": "2.1.0", "root": {"inputDefinitions": {"parameters": parameters}}}
    pipeline = read_compiled(write(tmp_path, yaml.safe_dump(spec)))
    with pytest.raises(InputError) as error:
        pipeline.resolve_parameters(given)
    assert words in str(error.value)
    assert pipeline.resolve_parameters({"epochs": "3"}) == {"epochs": 3, "rate": 0.5, "on": True}


def test_tasks_that_wait_for_one_another_are_refused(tmp_path):
    tasks = {name: {"dependentTasks": [other]} for name, other in (("a", "b"), ("b", "a"))}
    spec = {"schemaVersion": "2.1.0", "root": {"dag": {"tasks": tasks}}}
    with pytest.raises(InputError, match="wait for one another"):
        read_compiled(write(tmp_path, yaml.safe_dump(spec)))


def test_the_volume_of_the_compiled_file_must_be_here_or_elsewhere_by_name(tmp_path):
    with pytest.raises(InputError, match="--param workdir=DIR"):
        check_workdir({"workdir": str(tmp_path / "absent"), "data_path": "x"}, {})
    values = {"workdir": str(tmp_path / "new"), "data_path": "x"}
    assert check_workdir(values, {"workdir": "new"}) == tmp_path / "new"
    with pytest.raises(InputError, match="only graft compile's files are run"):
        check_workdir({"name": "x"}, {})


def test_pairs_of_the_command_line():
    assert parse_parameters(["a=b=c", "d="]) == {"a": "b=c", "d": ""}
    with pytest.raises(InputError, match="expected name=value, got 'a'"):
        parse_parameters(["a"])


DIGEST = (
    "import json; from components.files.digests import CONTENT, digest_folder; o = json.loads(sys.argv[4])['outputs']"
)
ANSWER = (
    f"{DIGEST}; f = pathlib.Path(o['outputFile']); f.parent.mkdir(parents=True, exist_ok=True); "
    "a = {**o['artifacts']['out']['artifacts'][0], 'metadata': {CONTENT: digest_folder(str(p))}}; "
    "f.write_text(json.dumps({'artifacts': {'out': {'artifacts': [a]}}}))"
)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_result_is_made_again_with_what_follows_and_said(walk, tmp_path, name):
    tasks = {
        "first": make_task([f"{WRITE}; {SAY}; {ANSWER}", *OUTPUTS, "{{$}}"]),
        "second": make_task(SECOND, ["first"], ["first"]),
    }
    assert walk(tasks).code == 0
    assert walk(tasks).cached == ["first", "second"]
    kept = tmp_path / "root" / "toy" / "run-0" / "first" / "out"
    DAMAGES[name](kept)
    again = walk(tasks)
    assert (again.code, again.cached) == (0, [])
    if name != "missing file":  # nothing is left of it then, as when someone made room
        assert again.damaged == [
            f"first: its kept output out is not as it was made: made again (gs://{LOCAL_BUCKET}/toy/run-0/first/out)"
        ]
    assert walk(tasks).cached == ["first", "second"]
