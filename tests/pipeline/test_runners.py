"""Every runner runs a small pipeline of real TFX nodes, and tells an observer how it went."""

import os
from pathlib import Path

import pytest
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from components.errors import GateRefused, InputError
from pipeline.report.summary import find_artifacts
from pipeline.runners import RUNNERS, Trace

FAILURES = {
    "": None,
    "gate": GateRefused("data", ["too few", "too old"]),
    "input": InputError("class 'cats' has no usable image.\nReplace the files."),
    "bug": ZeroDivisionError("first line\nsecond line"),
}


@component
def Source(model: OutputArtifact[standard_artifacts.Model], text: Parameter[str]):  # noqa: N802
    os.makedirs(model.uri, exist_ok=True)
    with open(os.path.join(model.uri, "text"), "w") as file:
        file.write(text)


@component
def Sink(  # noqa: N802
    model: InputArtifact[standard_artifacts.Model],
    schema: OutputArtifact[standard_artifacts.Schema],
    failure: Parameter[str],
):
    if FAILURES[failure]:
        raise FAILURES[failure]
    with open(os.path.join(model.uri, "text")) as file:
        schema.set_string_custom_property("read", file.read())


class Observer:
    """Keeps what it was told."""

    def __init__(self):
        self.told = []

    def start(self, name):
        self.told.append(f"{name} starts")

    def finish(self, name, how, summary=""):
        self.told.append(f"{name} {how} {summary}".strip())


@pytest.fixture
def run(tmp_path):
    """Runs the two nodes in one working directory; gives trace and what the observer was told."""

    def call(runner, text="hello", failure=""):
        source = Source(text=text)
        sink = Sink(model=source.outputs["model"], failure=failure)
        pipeline = Pipeline(
            pipeline_name="small",
            pipeline_root=str(tmp_path / "artifacts"),
            components=[source, sink],
            enable_cache=True,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite")),
        )
        observer = Observer()
        return RUNNERS[runner](pipeline, observer), observer.told

    return call


@pytest.mark.parametrize("runner", RUNNERS)
def test_nodes_run_in_order_and_are_found_in_the_metadata(run, runner, tmp_path):
    trace, told = run(runner)
    assert trace.error is None
    assert told == ["Source starts", "Source done", "Sink starts", "Sink done"]
    found = find_artifacts(tmp_path / "metadata.sqlite", trace.executions)
    assert found["Sink"]["schema"].custom_properties["read"].string_value == "hello"
    assert Path(found["Source"]["model"].uri, "text").read_text() == "hello"


@pytest.mark.parametrize("runner", RUNNERS)
def test_an_identical_run_takes_everything_from_the_cache_and_a_changed_one_what_it_can(run, runner, tmp_path):
    first, _ = run(runner)
    second, told = run(runner)
    assert second.cached == ["Source", "Sink"]
    assert told == ["Source starts", "Source cached", "Sink starts", "Sink cached"]
    before, after = (find_artifacts(tmp_path / "metadata.sqlite", trace.executions) for trace in (first, second))
    assert before["Source"]["model"].uri == after["Source"]["model"].uri
    third, told = run(runner, text="other")
    assert third.cached == []
    assert told[1] == "Source done"


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(
    ("failure", "line"),
    [
        ("gate", "Sink refused the data gate said no"),
        ("input", "Sink refused the input is not usable"),
        ("bug", "Sink failed first line"),
    ],
)
def test_the_first_error_comes_back_as_it_was_raised(run, runner, failure, line):
    trace, told = run(runner, failure=failure)
    assert type(trace.error) is type(FAILURES[failure])
    assert str(trace.error) == str(FAILURES[failure])
    assert trace.failed_node == "Sink"
    assert list(trace.executions) == ["Source"]
    assert told[-1] == line


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_failed_is_done_again_and_what_was_complete_is_not(run, runner):
    run(runner, failure="bug")
    trace, told = run(runner)
    assert trace.cached == ["Source"]
    assert told[-1] == "Sink done"


@pytest.mark.parametrize(
    ("error", "line"),
    [(RuntimeError(), "Node failed RuntimeError"), (KeyboardInterrupt(), "Node failed interrupted")],
)
def test_an_error_without_words_is_told_by_its_kind(error, line):
    observer = Observer()
    trace = Trace(observer)

    def fail():
        raise error

    with pytest.raises(type(error)):
        trace.launch("Node", fail)
    assert observer.told == ["Node starts", line]
    assert (trace.error, trace.failed_node) == (error, "Node")
