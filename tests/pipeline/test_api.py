"""`pipeline.api`: what notebooks and programs call. Whole runs are in `tests/e2e/test_tutorial.py`."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import InputError
from components.trainer.backbones.downloads import CACHE_VARIABLE
from pipeline import api
from pipeline.first_run import start
from pipeline.results import CheckResult, Report, RunResult
from tests import pictures
from tests.pipeline.runs.conftest import GATES, summary_of

RUN = "20260101-100000-aaaa"


def test_it_imports_at_once_and_says_what_it_has():
    heavy = "numpy tensorflow pydantic yaml rich typer PIL matplotlib"
    program = f"import sys; from pipeline import api; print(*sorted(set({heavy!r}.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    assert {"check", "run", "load", "report"} <= set(dir(api))


@pytest.fixture(autouse=True)
def _without_internet(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "weights"))
    monkeypatch.setattr(start, "can_reach", lambda url: False)


@pytest.fixture
def photographs(tmp_path):
    return pictures.write_tree(tmp_path / "photos", {"cats": 12, "<b>dogs": 12})


def test_check_counts_as_the_command_does(photographs):
    found = api.check(photographs, min_side=8, settings=["data.eval_fraction=0.25"])
    assert isinstance(found, CheckResult)
    assert (found.verdict, found.classes) == ("accepted", ["<b>dogs", "cats"])
    assert {split: sum(counts.values()) for split, counts in found.counts.items()} == {"train": 18, "eval": 6}
    assert found.findings["found"] == 24


def test_check_takes_options_and_configurations_alike(photographs, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(f"data: {{path: {photographs}, min_side: 1000}}")
    refused = api.check(config)
    assert refused.verdict != "accepted"
    assert api.check(photographs, min_side=1000).reasons == refused.reasons != []
    assert "A run would stop" in refused._repr_html_()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: api.check("gone"), "nothing"),
        (lambda: api.check("sample:digits", min_sid=3), "Did you mean 'data.min_side'"),
        (lambda: api.run("gone.yaml"), "Expected a configuration file at gone.yaml"),
        (lambda: api.run("sample:digits", data="more"), "Give a configuration"),
        (lambda: api.run("sample:digits", settings={"trainer.epoch": 3}), "Did you mean 'trainer.epochs'"),
        (lambda: api.run("photos", settings="trainer.epochs=3"), "expected a mapping or a list"),
        (lambda: api.run("photos", override=["quality"]), "--reason TEXT"),
        (lambda: api.load("gone"), "found nothing at gone"),
        (lambda: api.load("gone", run="latest"), "expected candidate=True with it"),
        (lambda: api.report("gone"), "Expected a working directory at gone"),
    ],
)
def test_errors_are_those_of_the_commands(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=None) as refused:
        call()
    assert words in str(refused.value)


def test_an_error_of_the_run_comes_back_typed_and_nothing_is_left(tmp_path, capfd):
    before = signal.getsignal(signal.SIGINT)
    (tmp_path / "work").touch()
    lines = []
    with pytest.raises(InputError, match="--workdir: cannot write into"):
        api.run("sample:digits", tmp_path / "work", say=lines.append)
    assert lines[0].startswith("No configuration: EfficientNetLite0")
    assert signal.getsignal(signal.SIGINT) is before
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "work").is_file()


def test_a_preset_is_a_setting(tmp_path):
    (tmp_path / "work").touch()  # ends the run early
    lines = []
    with pytest.raises(InputError, match="--workdir: cannot write into"):
        api.run("sample:digits", tmp_path / "work", settings={"preset": "best"}, say=lines.append)
    assert lines[0].startswith("No configuration: EfficientNetLite0, images 224x224, packaged ImageNet weights, as the")


def test_a_working_directory_of_other_images_is_not_taken(photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    latest = tmp_path / "work" / "photos" / "runs" / "latest"
    latest.mkdir(parents=True)
    (latest / "config.yaml").write_text("data: {path: sample:digits}")
    with pytest.raises(InputError, match="is the one of sample:digits"):
        api.run(photographs)


def test_several_workers_are_for_the_command(photographs, tmp_path, monkeypatch):
    cluster = {"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(InputError, match="start `graft run` on each of them"):
        api.run(photographs, tmp_path / "work")


@pytest.mark.slow
def test_a_refused_run_is_a_result(photographs, tmp_path):
    """A gate's no: here the data gate's, at the door."""
    for number in range(6):
        (photographs / "cats" / f"bad{number}.png").write_bytes(b"no image")
    lines = []
    result = api.run(photographs, tmp_path / "work", settings={"trainer.weights": "none"}, say=lines.append)
    assert (result.status, result.pushed, result.version, result.model_path) == ("data_refused", False, None, None)
    assert (result.accuracy, result.interval, result.metrics) == (None, None, {})
    assert "bad0.png" in " ".join(result.reasons)
    assert result.summary["run_id"] == result.run_id == Path(tmp_path / "work" / "runs" / "latest").resolve().name
    assert result.summary["command"].startswith("api.run(")
    assert any("Data" in line for line in lines)
    assert "data_refused" not in repr(result)
    assert "the data gate refused it" in repr(result)


@pytest.fixture
def ended(tmp_path):
    """The result of a run that was refused, with a page of its own."""
    folder = tmp_path / "work" / "runs" / RUN
    folder.mkdir(parents=True)
    (folder / "report.html").write_text('<p title="x">page & <script>1</script></p>', "utf-8")
    summary = summary_of(RUN, "not_blessed", 0.8, gates=GATES, reasons=["<img src=x onerror=alert(1)> is too low"])
    return RunResult(RUN, tmp_path / "work", summary)


def test_a_notebook_shows_verdict_numbers_and_the_page_in_a_sandbox(ended):
    shown = ended._repr_html_()
    assert "not pushed, the quality gate refused it" in shown
    assert "accuracy 0.800 (0.700-0.850) on 20 images" in shown
    assert "<td>accuracy</td><td>0.8000</td>" in shown
    assert "<img" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown
    assert 'sandbox="allow-scripts"' in shown
    assert 'srcdoc="&lt;p title=&quot;x&quot;&gt;page &amp; &lt;script&gt;' in shown
    assert "<script>" not in shown
    assert ended.report_path == ended.workdir / "runs" / RUN / "report.html"


def test_without_a_page_the_rest_is_shown(ended):
    ended.report_path.unlink()
    assert ended.report_path is None
    assert "iframe" not in ended._repr_html_()


def test_a_report_is_shown_inline(ended):
    assert 'srcdoc="' in Report(ended.report_path)._repr_html_()


def test_class_names_are_escaped_in_a_notebook(photographs):
    shown = api.check(photographs)._repr_html_()
    assert "&lt;b&gt;dogs" in shown
    assert "<b>dogs" not in shown
