"""A small pipeline of real TFX nodes runs on this machine, and an observer is told how it went."""

import os
import re
import shutil
import sqlite3
from functools import partial
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


def test_nodes_run_in_order_and_an_identical_run_takes_everything_from_the_cache(run, tmp_path, monkeypatch):
    begun = []  # what a later node needs is begun beside a node that has work
    monkeypatch.setitem(BEGUN_BESIDE, "Source", lambda: begun.append("Source"))
    first, told = run()
    assert first.error is None
    assert told == ["Source starts", "Source done", "Sink starts", "Sink done"]
    found = find_artifacts(tmp_path / "metadata.sqlite", first.executions)
    assert found["Sink"]["schema"].custom_properties["read"].string_value == "hello"
    assert Path(found["Source"]["model"].uri, "text").read_text() == "hello"
    assert begun == ["Source"]
    second, told = run()
    assert second.cached == ["Source", "Sink"]
    assert told == ["Source starts", "Source cached", "Sink starts", "Sink cached"]
    again = find_artifacts(tmp_path / "metadata.sqlite", second.executions)
    assert again["Source"]["model"].uri == found["Source"]["model"].uri
    assert begun == ["Source"]
    third, told = run(text="other")
    assert third.cached == []
    assert told[1] == "Source done"


def made_by_source(tmp_path):
    """The folders that the first node filled, oldest first."""
    return sorted((tmp_path / "artifacts" / "Source" / "model").iterdir(), key=lambda folder: int(folder.name))


def damage_last(tmp_path, name):
    DAMAGES[name](made_by_source(tmp_path)[-1])


def test_a_damaged_result_is_made_again_with_all_that_follows_and_said(run, tmp_path):
    """Whatever the damage: what a digest sees is tested with the digest."""
    run()
    (kept,) = made_by_source(tmp_path)
    DAMAGES["another file"](kept)
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


def test_what_is_damaged_while_the_run_goes_on_is_refused_and_mended_by_the_next(run, tmp_path):
    for name in ("flipped byte", "missing file"):  # the second run damages what it made again
        damage = partial(damage_last, tmp_path, name)
        trace, told = run(text="other", meanwhile={"Source": damage})
        assert isinstance(trace.error, Damaged)
        assert trace.failed_node == "Sink"
        assert "is not as it was made" in told[-1]
        assert "Run again: it is made anew" in told[-1]
    trace, _ = run(text="other")
    assert trace.error is None
    assert list(trace.damaged) == ["Source"]


def test_the_first_error_comes_back_as_it_was_raised_and_what_failed_is_done_again(run):
    for failure, line in (
        ("gate", "Sink refused the data gate said no"),
        ("input", "Sink refused the input is not usable"),
        ("bug", "Sink failed first line"),
    ):
        trace, told = run(failure=failure)
        assert type(trace.error) is type(FAILURES[failure])
        assert str(trace.error) == str(FAILURES[failure])
        assert trace.failed_node == "Sink"
        assert list(trace.executions) == ["Source"]
        assert told[-1] == line
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
