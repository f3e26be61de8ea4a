"""`graft runs` and `graft status`, as a user types them."""

import csv
import io
import json
import os

import pytest

from components.errors import InputError
from pipeline.workdir import Workdir
from tests.components.registry.models import make_model
from tests.pipeline.runs.conftest import GATES, summary_of

FIRST, SECOND, THIRD = "20260101-100000-aaaa", "20260101-110000-bbbb", "20260102-100000-cccc"


@pytest.fixture
def history(workdir):
    """A pushed run, a refused one with another option, and one that was killed."""
    workdir.run(FIRST, summary_of(FIRST, version=1764000000))
    reasons = GATES["quality"]["reasons"]
    changed = ("trainer", "epochs", 3)
    workdir.run(SECOND, summary_of(SECOND, "not_blessed", 0.8, gates=GATES, reasons=reasons), changed)
    workdir.run(THIRD)
    return workdir


def test_the_list_has_every_run_newest_first_in_80_columns(history, graft):
    lines = graft("runs", "list", history).stdout.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["run", THIRD, SECOND, FIRST]
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert f"{THIRD} interrupted - - - -" in text
    assert "it left no summary: it was killed" in text
    assert f"{SECOND} not_blessed 0.800 (0.700-0.850) 100 ffffffff 12" in text
    assert "trainer.epochs 20 -> 3" in text
    assert "accuracy 0.8000 is below gates.quality.min_accuracy 0.9000" in text
    assert "2026-01-01 10:00:00; version 1764000000" in text


def test_the_last_option_limits_the_list_and_the_rest_is_counted(history, graft):
    done = graft("runs", "list", history, "--last", 1)
    assert THIRD in done.stdout
    assert SECOND not in done.stdout
    assert "and 2 more: --last 0 shows all" in done.stdout


def test_json_and_csv_have_the_same_rows(history, graft):
    rows = json.loads(graft("runs", "list", history, "--format", "json").stdout)
    cells = list(csv.DictReader(io.StringIO(graft("runs", "list", history, "--format", "csv").stdout)))
    assert [row["run"] for row in rows] == [row["run"] for row in cells] == [THIRD, SECOND, FIRST]
    assert rows[1]["changed"] == {"trainer.epochs": [20, 3]} == json.loads(cells[1]["changed"])
    assert rows[1]["interval"] == pytest.approx([float(cells[1]["low"]), float(cells[1]["high"])])
    assert rows[2]["version"] == int(cells[2]["version"]) == 1764000000
    assert (rows[0]["accuracy"], cells[0]["accuracy"]) == (None, "")


DAMAGED = {
    "no JSON": ("{", "summary.json cannot be read"),
    "no object": ("[1]", "expected an object, found list"),
    "not UTF-8": ("\udcff", "cannot be read"),
    "an older schema": ('{"schema": 0, "status": "pushed"}', "has schema 0, this Graft reads 1"),
    "no schema": ('{"status": "pushed"}', "has schema none"),
    "other types": (json.dumps({"schema": 1, "status": 3, "metrics": [], "seconds": "x", "model": 7, "gates": []}), ""),
    "odd values": (json.dumps({"schema": 1, "status": "pushed", "metrics": {"intervals": {"accuracy": [1]}}}), ""),
    "odd gates": (
        json.dumps({"schema": 1, "status": "not_blessed", "gates": {"quality": {"passed": False}, "x": 1}}),
        "",
    ),
    "odd checks": (
        json.dumps({"schema": 1, "gates": {"quality": {"passed": False, "checks": [{"verdict": "f"}]}}}),
        "",
    ),
}


@pytest.mark.parametrize(("content", "words"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_summary_is_said_in_its_row_by_each_command(workdir, graft, content, words):
    workdir.run(FIRST, summary_of(FIRST, version=5))
    folder = workdir.run(SECOND, "")
    (folder / "summary.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    for command in (("runs", "list"), ("runs", "show"), ("runs", "compare"), ("status",)):
        text = " ".join(graft(*command, workdir).stdout.split())
        assert SECOND in text, command
        assert words in text or command[0] == "status", command


def test_configurations_that_cannot_be_read_are_not_compared(workdir, graft):
    workdir.run(FIRST, summary_of(FIRST))
    folder = workdir.run(SECOND, summary_of(SECOND), ("trainer", "epochs", 3))
    (folder / "config.yaml").write_text("a: [", "utf-8")
    assert "trainer.epochs" not in graft("runs", "list", workdir).stdout
    assert "its config.yaml cannot be read" in graft("runs", "compare", workdir).stdout


@pytest.mark.parametrize("name", [SECOND, "20260101-11", "latest"])
def test_a_run_is_shown_by_id_beginning_or_word(history, graft, name):
    (history / "runs" / THIRD / "config.yaml").unlink()
    (history / "runs" / THIRD).rmdir()
    text = " ".join(graft("runs", "show", history, name).stdout.split())
    assert text.startswith(f"run {SECOND}, 2026-01-01 11:00:00: not_blessed")
    assert "not pushed, the quality gate refused it" in text
    assert "cats: 40 + 10; dogs: 40 + 10 (train + eval)" in text
    assert "✗ fail accuracy: 0.8, limit 0.9" in text
    assert "options trainer.epochs 3" in text
    assert "Trainer 5.0" in text


def test_a_run_is_shown_by_the_version_that_it_pushed(workdir, graft):
    workdir.run(FIRST, summary_of(FIRST, "pushed", version=20260101))
    workdir.run(SECOND, summary_of(SECOND, "unchanged", version=20260101))
    assert graft("runs", "show", workdir, 20260101).stdout.startswith(f"run {FIRST}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("20260101", f"the beginning of several runs: {SECOND}, {FIRST}"),
        ("20260101-100000-aaab", f"Did you mean '{FIRST}'?"),
        ("77", "Expected a run of"),
        ("", "Expected a run of"),
    ],
)
def test_a_run_that_is_none_or_several_is_refused(history, graft, name, words):
    with pytest.raises(InputError) as refused:
        graft("runs", "show", history, name)
    assert words in str(refused.value)


def test_two_runs_are_compared_in_options_data_metrics_gates_and_seconds(history, graft):
    other = summary_of(SECOND, "not_blessed", 0.8, gates=GATES)
    other["dataset"]["per_class"]["train"] = {"cats": 30, "birds": 9}
    other["seconds"]["Trainer"] = 7.0
    (history / "runs" / SECOND / "summary.json").write_text(json.dumps(other))
    done = graft("runs", "compare", history, FIRST, "20260101-11")
    text = " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    for words in (
        "options trainer.epochs 20 -> 3 (-17)",
        "train: cats 40 -> 30 (-10)",
        "train: dogs 40 -> -",
        "train: birds - -> 9",
        "accuracy 0.9 -> 0.8 (-0.1)",
        "accuracy: cats 0.9 -> 0.8 (-0.1)",
        "quality - -> said no",
        "quality: accuracy - -> fail",
        "Trainer 5 -> 7 (+2)",
    ):
        assert words in text, text
    assert "quality: drop" not in text  # it passed, and the other run had none
    found = json.loads(graft("runs", "compare", history, FIRST, SECOND, "--format", "json").stdout)
    assert found["gates"]["quality: drop"] == [None, "pass"]
    rows = list(csv.DictReader(io.StringIO(graft("runs", "compare", history, FIRST, SECOND, "--format", "csv").stdout)))
    assert {"section": "seconds", "key": "Trainer", "first": "5.0", "second": "7.0", "difference": "2.0"} in rows


def test_without_names_the_newest_two_are_compared(history, graft):
    assert graft("runs", "compare", history).stdout.startswith(f"{SECOND} (not_blessed) -> {THIRD} (interrupted)")


def test_one_run_is_nothing_to_compare(workdir, graft):
    workdir.run(FIRST, summary_of(FIRST))
    with pytest.raises(InputError, match="has 1 run: there is nothing to compare with"):
        graft("runs", "compare", workdir)
    with pytest.raises(InputError, match="Expected two runs, got one: latest"):
        graft("runs", "compare", workdir, "latest")
    with pytest.raises(InputError, match="Expected at most 1 run, got 2"):
        graft("runs", "show", workdir, "a", "b")


def test_the_working_directory_is_the_present_folder_or_the_newest_below_work(history, graft, monkeypatch):
    older = history.parent / "older"
    older.run("20250101-100000-dddd", summary_of("x"))
    monkeypatch.chdir(history.parent.parent)
    done = graft("runs", "list")
    assert THIRD in done.stdout
    assert "Working directory: work/it's a name (the newest of 2)" in done.stderr
    monkeypatch.chdir(older)
    done = graft("runs", "list")
    assert "20250101-100000-dddd" in done.stdout
    assert done.stderr == ""


def test_where_there_is_none_the_way_out_is_said(tmp_path, graft, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "events").mkdir(parents=True)  # of another tool
    with pytest.raises(InputError, match=r"found none: .* is none, and below work/ there is none"):
        graft("status")
    with pytest.raises(InputError, match="found nothing"):
        graft("runs", "list", "gone/here")
    with pytest.raises(InputError, match="on this machine, got s3://bucket/work"):
        graft("runs", "list", "s3://bucket/work")


def test_an_outer_folder_is_told_from_the_working_directory_in_it(history, graft):
    with pytest.raises(InputError, match=r"found a folder without records of runs\. Did you mean .*it's a name\?"):
        graft("runs", "show", history.parent)


def test_a_run_under_way_is_told_from_a_killed_one(history, graft):
    with Workdir(history).locked():
        assert f"{THIRD} running" in " ".join(graft("runs", "list", history).stdout.split())
        text = " ".join(graft("status", history).stdout.split())
        assert f"a run is under way: process {os.getpid()}, since" in text
        assert f"tail -f '{history}/runs/{THIRD}/log.txt'".replace("it's", "it'\"'\"'s") in text
    assert "no run is under way" in graft("status", history).stdout


def test_asking_who_holds_the_lock_takes_it_from_nobody(history):
    workdir = Workdir(history)
    with workdir.locked():
        assert "process" in workdir.holder()
        with pytest.raises(InputError, match="another run is using"), workdir.locked():
            pass
    assert workdir.holder() == ""


def push(workdir, number, **passport):
    folder = make_model(workdir / "serving" / str(number))
    (folder / "passport.json").write_text(json.dumps(passport))
    return folder


def test_the_status_says_what_is_served_and_what_to_do(history, graft):
    push(history, 5, created="2026-01-01T09:00:00Z", metrics={"accuracy": 0.9, "examples": 20})
    text = " ".join(graft("status", history).stdout.split())
    assert "served version 5 since 2026-01-01 09:00 UTC accuracy 0.900 on 20 images" in text
    assert "files not known: the version has no digests" in text
    assert f"last run {THIRD}, interrupted" in text
    assert "graft runs show" in text
    found = json.loads(graft("status", history, "--json").stdout)
    assert (found["served"]["version"], found["last_run"]["run"], found["under_way"]) == (5, THIRD, None)


@pytest.mark.parametrize(
    ("status", "command"),
    [
        ("not_blessed", "IMAGE... --candidate"),
        ("not_servable", "IMAGE... --candidate"),
        ("data_refused", "graft runs show"),
        ("failed", "graft runs show"),
        ("pushed", "graft models list"),
    ],
)
def test_what_to_do_next_follows_from_the_last_run(workdir, graft, status, command):
    workdir.run(FIRST, summary_of(FIRST, status))
    assert command in json.loads(graft("status", workdir, "--json").stdout)["next"]["command"]


def test_files_of_the_served_version_are_held_against_their_digests(workdir, graft, monkeypatch):
    workdir.run(FIRST, summary_of(FIRST, version=5))
    folder = push(workdir, 5, files={"saved_model.pb": "0" * 64})
    text = " ".join(graft("status", workdir).stdout.split())
    assert "changed: saved_model.pb" in text
    assert "graft models rollback" in text
    monkeypatch.setattr("pipeline.runs.status.CHEAP", 1)
    text = " ".join(graft("status", workdir).stdout.split())
    assert "files not checked, 0 MB: graft models verify" in text
    (folder / "passport.json").write_text("{")
    assert "version 5" in graft("status", workdir).stdout


def test_a_pointer_to_nothing_is_a_problem_with_a_way_out(workdir, graft):
    workdir.run(FIRST, summary_of(FIRST, version=5))
    push(workdir, 5)
    (workdir / "serving" / "models.config").write_text("nonsense {")
    text = " ".join(graft("status", workdir).stdout.split())
    assert "expected a model server configuration" in text
    assert "graft models promote" in text


def test_nothing_is_written_into_a_directory_that_is_only_looked_at(history, graft):
    push(history, 5)
    before = sorted(history.rglob("*"))
    folders = [history, *(path for path in before if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        for command in (("runs", "list"), ("runs", "show"), ("runs", "compare"), ("status",)):
            graft(*command, history)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert sorted(history.rglob("*")) == before
