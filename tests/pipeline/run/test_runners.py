"""A small pipeline of real TFX nodes runs on this machine, and an observer is told how it went."""

import os
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from components.errors import Damaged, GateRefused, InputError
from components.files.digests import CONTENT
from pipeline.report.summary import find_artifacts
from pipeline.run.runners import BEGUN_BESIDE, Trace, run_on_beam
from tests.damages import DAMAGES

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

    def __init__(self, meanwhile=None):
        self.told, self.meanwhile = [], meanwhile or {}

    def start(self, name):
        self.told.append(f"{name} starts")

    def finish(self, name, how, summary=""):
        self.told.append(f"{name} {how} {summary}".strip())
        self.meanwhile.get(name, lambda: None)()


def run_in(folder):
    """Runs the two nodes in one working directory; gives trace and what the observer was told."""

    def call(text="hello", failure="", meanwhile=None):
        source = Source(text=text)
        sink = Sink(model=source.outputs["model"], failure=failure)
        pipeline = Pipeline(
            pipeline_name="small",
            pipeline_root=str(folder / "artifacts"),
            components=[source, sink],
            enable_cache=True,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(folder / "metadata.sqlite")),
        )
        observer = Observer(meanwhile)
        return run_on_beam(pipeline, observer), observer.told

    return call


@pytest.fixture
def run(tmp_path):
    return run_in(tmp_path)


def test_nodes_run_in_order_and_are_found_in_the_metadata(run, tmp_path):
    trace, told = run()
    assert trace.error is None
    assert told == ["Source starts", "Source done", "Sink starts", "Sink done"]
    found = find_artifacts(tmp_path / "metadata.sqlite", trace.executions)
    assert found["Sink"]["schema"].custom_properties["read"].string_value == "hello"
    assert Path(found["Source"]["model"].uri, "text").read_text() == "hello"


def test_an_identical_run_takes_everything_from_the_cache_and_a_changed_one_what_it_can(run, tmp_path):
    first, _ = run()
    second, told = run()
    assert second.cached == ["Source", "Sink"]
    assert told == ["Source starts", "Source cached", "Sink starts", "Sink cached"]
    before, after = (find_artifacts(tmp_path / "metadata.sqlite", trace.executions) for trace in (first, second))
    assert before["Source"]["model"].uri == after["Source"]["model"].uri
    third, told = run(text="other")
    assert third.cached == []
    assert told[1] == "Source done"


def test_what_a_later_node_needs_is_begun_beside_a_node_that_has_work(run, monkeypatch):
    begun = []
    monkeypatch.setitem(BEGUN_BESIDE, "Source", lambda: begun.append("Source"))
    run()
    assert begun == ["Source"]
    run()  # from the cache
    assert begun == ["Source"]


def made_by_source(tmp_path):
    """The folders that the first node filled, oldest first."""
    return sorted((tmp_path / "artifacts" / "Source" / "model").iterdir(), key=lambda folder: int(folder.name))


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_result_is_made_again_with_all_that_follows_and_said(run, tmp_path, name):
    run()
    (kept,) = made_by_source(tmp_path)
    DAMAGES[name](kept)
    trace, told = run()
    assert (trace.error, trace.cached) == (None, [])
    assert list(trace.damaged) == ["Source"]
    line = trace.damaged["Source"]
    assert re.fullmatch(rf"Source: its kept output model is not as it was made \(.*\): made again \({kept}\)", line)
    assert told == ["Source starts", "Source done", "Sink starts", "Sink done"]
    assert Path(made_by_source(tmp_path)[1], "text").read_text() == "hello"


def test_results_that_are_gone_or_without_a_digest_are_made_again(run, tmp_path):
    run()
    shutil.rmtree(made_by_source(tmp_path)[0])
    assert "is gone: made again" in run()[0].damaged["Source"]
    with sqlite3.connect(tmp_path / "metadata.sqlite") as database:
        database.execute("DELETE FROM ArtifactProperty WHERE name = ?", (CONTENT,))
    assert "has no digest of when it was made: made again" in run()[0].damaged["Source"]
    trace, _ = run()
    assert (trace.cached, trace.damaged) == (["Source", "Sink"], {})


@pytest.mark.parametrize("name", ["flipped byte", "missing file"])
def test_what_is_damaged_while_the_run_goes_on_is_refused_and_mended_by_the_next(run, tmp_path, name):
    def damage():
        DAMAGES[name](made_by_source(tmp_path)[-1])

    for _ in range(2):  # the second one damages what it took from the cache, or made again
        trace, told = run(text="other", meanwhile={"Source": damage})
        assert isinstance(trace.error, Damaged)
        assert trace.failed_node == "Sink"
        assert "is not as it was made" in told[-1]
        assert "Run again: it is made anew" in told[-1]
    trace, _ = run(text="other")
    assert trace.error is None
    assert list(trace.damaged) == ["Source"]


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        ("gate", "Sink refused the data gate said no"),
        ("input", "Sink refused the input is not usable"),
        ("bug", "Sink failed first line"),
    ],
)
def test_the_first_error_comes_back_as_it_was_raised(run, failure, line):
    trace, told = run(failure=failure)
    assert type(trace.error) is type(FAILURES[failure])
    assert str(trace.error) == str(FAILURES[failure])
    assert trace.failed_node == "Sink"
    assert list(trace.executions) == ["Source"]
    assert told[-1] == line


def test_what_failed_is_done_again_and_what_was_complete_is_not(run):
    run(failure="bug")
    trace, told = run()
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
