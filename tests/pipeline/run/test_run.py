"""`graft run` around the DAG: what is planned, what is refused, and how it ends."""

import io
import json
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from components.contract.gates import Override
from components.errors import Damaged, GateRefused, InputError
from components.options.trainer import TrainerOptions
from components.registry import pointer, versions
from components.registry.baselines import RecordedVersion
from components.sources.find import list_sources
from pipeline import __main__ as console_script
from pipeline.cli import app
from pipeline.config.configuration import Config
from pipeline.fingerprint import source_fingerprints
from pipeline.process.progress import Progress
from pipeline.report.ending import EXIT_CODES, describe_end, describe_start, describe_unused_override
from pipeline.report.summary import Summary
from pipeline.run.planning import RunOptions, find_baselines, hash_weights, make_plan
from pipeline.run.run import _execute, look_at_data, run_pipeline
from pipeline.workdir import Workdir
from tests import pictures


def console_of(width=80):
    return Console(file=io.StringIO(), width=width, color_system=None, highlight=False)


def push(serving, number, **passport):
    folder = serving / str(number)
    folder.mkdir(parents=True)
    (folder / versions.SAVED_MODEL_FILE).touch()
    (folder / versions.PASSPORT_FILE).write_text(json.dumps(passport))


def test_nothing_is_compared_with_at_first(tmp_path):
    assert find_baselines(tmp_path / "serving", "k", True) == (None, None)


def test_another_model_is_compared_with_what_is_being_served_and_with_the_best_ever(tmp_path):
    push(tmp_path, 5, model_key="old", metrics={"accuracy": 0.9, "examples": 100})
    push(tmp_path, 9, model_key="new", parent=5, metrics={"accuracy": 0.8, "examples": 100})
    assert find_baselines(tmp_path, "k", True) == (9, RecordedVersion(5, 0.9, 100))


def test_the_model_that_is_being_served_already_is_compared_with_what_it_was_compared_with(tmp_path):
    best = {"version": 3, "accuracy": 0.95, "examples": 50}
    push(tmp_path, 5, model_key="old")
    metrics = {"accuracy": 0.8, "examples": 100, "held_against": {"best": best}}
    push(tmp_path, 9, model_key="k", parent=5, metrics=metrics)
    assert find_baselines(tmp_path, "k", True) == (5, RecordedVersion(3, 0.95, 50))
    assert find_baselines(tmp_path, "k", False) == (9, RecordedVersion(3, 0.95, 50))


def test_the_first_model_pushed_again_has_no_parent(tmp_path):
    push(
        tmp_path,
        5,
        model_key="k",
        parent=None,
        metrics={"accuracy": 0.8, "examples": 9, "held_against": {"best": None}},
    )
    assert find_baselines(tmp_path, "k", True) == (None, None)


@pytest.mark.parametrize(
    ("taken_back_to", "baselines"), [(5, (5, RecordedVersion(5, 0.7, 50))), (3, (3, RecordedVersion(9, 0.8, 100)))]
)
def test_a_model_that_was_taken_back_is_compared_with_what_it_was_compared_with(tmp_path, taken_back_to, baselines):
    """Where that is served again; otherwise with what is served."""
    best = {"version": 5, "accuracy": 0.7, "examples": 50}
    push(tmp_path, 3, model_key="older")
    push(tmp_path, 5, model_key="old")
    push(
        tmp_path, 9, model_key="k", parent=5, metrics={"accuracy": 0.8, "examples": 100, "held_against": {"best": best}}
    )
    history = versions.imply_pointer(tmp_path).history
    pointer.record(tmp_path, pointer.make_event(taken_back_to, "rollback"), "pets", history)
    assert find_baselines(tmp_path, "k", True) == baselines
    assert find_baselines(tmp_path, "k", False)[0] == taken_back_to


@pytest.mark.parametrize("weights", ["imagenet", "none"])
def test_weights_that_are_no_file_have_no_digest(weights):
    assert hash_weights(TrainerOptions(weights=weights)) == ""


def test_the_digest_of_weights_is_that_of_the_file(tmp_path):
    path = pictures.write(tmp_path / "w.h5", b"abc")
    assert (
        hash_weights(TrainerOptions(weights=str(path)))
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_a_saved_backbone_is_digested_with_all_its_files(tmp_path):
    trunk = tmp_path / "trunk"
    pictures.write(trunk / "saved_model.pb", b"graph")
    before = hash_weights(TrainerOptions(backbone=str(trunk)))
    pictures.write(trunk / "variables" / "v", b"1")
    after = hash_weights(TrainerOptions(backbone=str(trunk)))
    assert len(before) == len(after) == 64
    assert before != after


@pytest.fixture
def planned(tmp_path):
    """Makes plans of one folder of images in one working directory."""
    root = pictures.write_tree(tmp_path / "photos", {"cats": 12, "dogs": 12})
    workdir = Workdir(tmp_path / "work")
    workdir.create()

    def call(**sections):
        config = Config.model_validate({"trainer": {"weights": "none"}, **sections})
        listing = list_sources(str(root), config.data)
        scan = look_at_data(config, listing, workdir, False, Progress(console_of()))
        return make_plan(config, workdir, scan, RunOptions(), source_fingerprints())

    call.root, call.workdir = root, workdir
    return call


def test_the_same_folder_and_configuration_give_the_same_plan(planned):
    first = planned()
    assert first == planned()
    assert first.data_path == str(planned.root)
    assert (first.baseline, first.parent) == ("none", None)


def test_a_changed_picture_gives_another_model_key(planned):
    before = planned()
    pictures.write(planned.root / "cats" / "000.png", pictures.encode(pictures.noise(seed=99)))
    after = planned()
    assert before.model_key != after.model_key


def test_the_served_version_is_the_baseline_of_another_model(planned):
    push(planned.workdir.serving, 7, model_key="old")
    plan = planned()
    assert (plan.baseline, plan.parent) == ("7", 7)


def test_a_run_without_data_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(InputError, match=r"no data folder is given.\nAdd --data DIR"):
        run_pipeline(Config(), tmp_path / "work", RunOptions())
    assert not (tmp_path / "work").exists()


def test_bad_data_is_refused_before_anything_is_made(tmp_path):
    config = Config.model_validate({"data": {"path": str(tmp_path / "gone")}})
    with pytest.raises(InputError, match="found nothing at"):
        run_pipeline(config, tmp_path / "work", RunOptions())
    assert not (tmp_path / "work").exists()


def dirty_tree(root):
    """60 images in two classes, one of them cut."""
    pictures.write_tree(root, {"cats": 30, "dogs": 30})
    pictures.write(root / "cats" / "000.png", (root / "cats" / "000.png").read_bytes()[:-300])
    return root


def run_on(root, workdir, options=None, **data):
    config = Config.model_validate({"trainer": {"weights": "none"}, "data": {"path": str(root), **data}})
    return run_pipeline(config, workdir, options or RunOptions())


def test_too_much_bad_data_ends_the_run_at_the_door_with_a_record(tmp_path):
    outcome = run_on(dirty_tree(tmp_path / "data"), tmp_path / "work")
    assert outcome.code == 3
    summary = json.loads(outcome.path.read_text())
    assert summary["status"] == "data_refused"
    assert summary["dataset"]["reasons"] == {"truncated": 1}
    assert summary["model"] is None
    assert any("data.max_bad_fraction" in reason for reason in summary["reasons"])
    assert any("cats/000.png: truncated" in reason for reason in summary["reasons"])
    ledger = (outcome.path.parent / "quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in ledger] == ["cats/000.png"]
    page = (outcome.path.parent / "report.html").read_text("utf-8")
    assert "Not pushed: the data was refused" in page
    assert "This section could not be made" not in page


def test_unusable_data_is_an_error_with_a_record(tmp_path):
    root = dirty_tree(tmp_path / "data")
    pictures.write(root / "birds" / "1.png", b"")
    with pytest.raises(InputError, match="class 'birds' has no usable image"):
        run_on(root, tmp_path / "work", max_bad_fraction=1.0)
    summary = json.loads((tmp_path / "work" / "runs" / "latest" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "class 'birds' has no usable image" in summary["reasons"][0]
    assert summary["dataset"]["found"] == 61
    page = (tmp_path / "work" / "runs" / "latest" / "report.html").read_text("utf-8")
    assert "Not pushed: the run failed" in page
    assert "class &#39;birds&#39; has no usable image" in page


def test_a_page_that_cannot_be_written_ends_no_run(tmp_path, monkeypatch):
    def fail(*args):
        raise ValueError("no page today")

    monkeypatch.setattr("pipeline.report.page.write_page", fail)
    outcome = run_on(dirty_tree(tmp_path / "data"), tmp_path / "work")
    assert outcome.code == 3
    assert "ValueError: no page today" in (outcome.path.parent / "log.txt").read_text("utf-8")


def test_nothing_is_done_where_that_very_model_is_served(tmp_path, planned, monkeypatch):
    plan = planned()
    push(planned.workdir.serving, 7, model_key=plan.model_key, model={"weights_sha256": "w"})
    monkeypatch.setattr("pipeline.run.run._execute", lambda *args: pytest.fail("the DAG was run"))
    outcome = run_on(planned.root, planned.workdir.root, RunOptions(if_changed=True))
    assert (outcome.code, outcome.summary.status) == (0, "unchanged")
    assert (outcome.summary.model["version"], outcome.summary.model["weights_sha256"]) == (7, "w")
    assert outcome.summary.model["path"] == str(planned.workdir.serving / "7")
    assert outcome.summary.dataset["found"] == 24


def test_another_card_for_the_served_model_is_work_to_do(planned, monkeypatch):
    plan, executed = planned(), []
    config = {"card": {"license": "mit"}}
    push(planned.workdir.serving, 7, model_key=plan.model_key, model={"weights_sha256": "w"}, config=config)
    assert planned(**config).model_key == plan.model_key
    monkeypatch.setattr("pipeline.run.run._execute", lambda plan, *args: executed.append(plan))
    run_on(planned.root, planned.workdir.root, RunOptions(if_changed=True))
    assert len(executed) == 1
    pointer.record(planned.workdir.serving, pointer.make_event(7, "push"), "pets")
    push(planned.workdir.serving, 5, model_key="other")
    pointer.record(planned.workdir.serving, pointer.make_event(5, "promote"), "pets")  # 7 is taken back
    run_on(planned.root, planned.workdir.root, RunOptions(if_changed=True))
    assert len(executed) == 1


@pytest.mark.parametrize("options", [RunOptions(), RunOptions(if_changed=True), RunOptions(enable_cache=False)])
def test_a_damaged_served_version_is_pushed_anew_by_its_own_run_and_stops_any_other(planned, monkeypatch, options):
    plan, serving, executed = planned(), planned.workdir.serving, []
    files = {"saved_model.pb": "0" * 64}
    push(serving, 7, model_key=plan.model_key, files=files, parent=None)
    monkeypatch.setattr("pipeline.run.run._execute", lambda plan, *args: executed.append(plan))
    run_on(planned.root, planned.workdir.root, options)
    assert [plan.parent for plan in executed] == [None], "it is compared with what it was compared with"
    push(serving, 9, model_key="other", files=files)
    with pytest.raises(InputError, match=r"Version 9 .* not as it was pushed \(changed: saved_model.pb\): no"):
        run_on(planned.root, planned.workdir.root, options)
    assert len(executed) == 1


def test_nothing_is_done_where_that_very_model_was_taken_back(tmp_path, planned, monkeypatch):
    plan, serving = planned(), planned.workdir.serving
    push(serving, 7, model_key="old")
    push(serving, 9, model_key=plan.model_key, model={"weights_sha256": "w"})
    pointer.record(serving, pointer.make_event(7, "rollback"), "pets", versions.imply_pointer(serving).history)
    monkeypatch.setattr("pipeline.run.run._execute", lambda *args: pytest.fail("the DAG was run"))
    outcome = run_on(planned.root, planned.workdir.root, RunOptions(if_changed=True))
    assert (outcome.code, outcome.summary.status) == (0, "unchanged")
    assert (outcome.summary.model["version"], outcome.summary.served) == (9, 7)
    assert "version 9 holds this very model and was taken back by rollback" in outcome.summary.reasons[0]


def test_data_that_is_not_the_expected_one_is_refused_before_anything_is_run(tmp_path, planned, monkeypatch):
    monkeypatch.setattr("pipeline.run.run._execute", lambda *args: pytest.fail("the DAG was run"))
    found = planned().data_fingerprint
    message = rf"expected data with the fingerprint eeeeeeeeeeee .*found {found[:12]} in .*\n.*--data PATH"
    with pytest.raises(InputError, match=message):
        run_on(planned.root, planned.workdir.root, RunOptions(expected_data="e" * 64))


@pytest.mark.parametrize(("key", "options"), [("old", RunOptions(if_changed=True)), (None, RunOptions())])
def test_the_dag_is_run_where_another_model_is_served_or_nobody_asked(planned, monkeypatch, key, options):
    plan, executed = planned(), []
    push(planned.workdir.serving, 7, model_key=key or plan.model_key)
    monkeypatch.setattr("pipeline.run.run._execute", lambda plan, *args: executed.append(plan))
    run_on(planned.root, planned.workdir.root, options)
    assert len(executed) == 1


@pytest.mark.parametrize(
    ("error", "reasons"),
    [
        (Damaged("the model in x is not as it was made."), ["Pusher: the model in x is not as it was made."]),
        (GateRefused("quality", ["accuracy 0.4 is below 0.9"]), ["accuracy 0.4 is below 0.9"]),
    ],
)
def test_damage_is_told_with_whatever_else_ended_the_run(planned, monkeypatch, error, reasons):
    """What is damaged is not read for the summary."""
    from pipeline.run.runners import Trace

    trace = Trace(None, failed_node="Pusher", error=error, damaged={"Trainer": "Trainer: made again"})
    monkeypatch.setattr("pipeline.dag.create_pipeline", lambda plan: None)
    monkeypatch.setattr("pipeline.run.runners.run_on_beam", lambda pipeline, observer: trace)
    monkeypatch.setattr("pipeline.run.run.find_artifacts", lambda *args: {})
    filled = []
    monkeypatch.setattr("pipeline.run.run.fill_summary", lambda *args: filled.append(args))
    plan, summary = planned(), Summary("r")
    with pytest.raises(Damaged) if isinstance(error, Damaged) else nullcontext():
        _execute(plan, (planned.workdir.new_run(), summary, Progress(console_of())), planned.workdir)
    assert summary.reasons == [*reasons, "Trainer: made again"]
    assert len(filled) == (not isinstance(error, Damaged))


def test_the_start_says_what_is_about_to_happen(tmp_path):
    console = console_of(60)
    config = Config.model_validate(
        {
            "name": "pets",
            "trainer": {"backbone_args": {"alpha": 0.35}, "weights": "[x].h5"},
            "transform": {"image_size": 96},
        }
    )
    describe_start(console, config, "/photos/[cats]", tmp_path, ["the class is [x]", "left aside: 2 images"])
    text = console.file.getvalue()
    for words in (
        "pets: MobileNetV2",
        "alpha 0.35",
        "96x96",
        "weights  [x].h5",
        "data     /photos/[cats]",
        "layout   the class is [x]\n           left aside: 2 images",
        "workdir  ",
    ):
        assert words in text


def test_the_start_does_not_say_imagenet_of_a_backbone_that_brings_its_weights(tmp_path):
    for backbone in ("keras_hub:dinov2_small", "./trunk.keras"):
        console = console_of(60)
        config = Config.model_validate({"name": "pets", "trainer": {"backbone": backbone}})
        describe_start(console, config, "/photos", tmp_path)
        assert "weights  of the backbone itself" in console.file.getvalue()


def summary_of(status, **fields):
    metrics = {"accuracy": 0.98765, "examples": 12345}
    return Summary("run-1", status=status, seconds={"total": 61.4}, metrics=metrics, **fields)


@pytest.mark.parametrize(
    ("status", "served", "words"),
    [
        ("pushed", 7, "Pushed version 7"),
        ("unchanged", 7, "Unchanged: already serving version 7"),
        ("unchanged", 5, "Not served: version 7"),
    ],
)
def test_a_good_end_says_where_things_are_and_what_to_do_next(tmp_path, status, served, words):
    console = console_of(70)
    model = {"version": 7, "path": "/a/long/way/to/the/working/directory/of/this/run/serving/7", "weights_sha256": "w"}
    path = tmp_path / "runs" / "run-1" / "summary.json"
    assert describe_end(console, summary_of(status, model=model, served=served), path) == 0
    lines = console.file.getvalue().splitlines()
    assert lines[0].startswith(words)
    assert "accuracy 0.9877 on 12,345 images" in " ".join(" ".join(lines[:2]).split())
    assert "(61 s)" in " ".join(lines[:2])
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line.startswith("  ")}
    assert shown["model"].endswith("/serving/7")
    assert shown["summary"].endswith("runs/latest/summary.json")
    assert shown["next"] == f"graft predict {shown['model']} IMAGE..."


@pytest.mark.parametrize(("open_fields", "lines"), [(["license", "owner"], 1), ([], 0)])
def test_open_fields_of_the_card_are_one_line(tmp_path, open_fields, lines):
    console = console_of(120)
    model = {"version": 7, "path": "/w/serving/7", "card": {"fields": 9, "open": open_fields}}
    path = tmp_path / "runs" / "run-1" / "summary.json"
    describe_end(console, summary_of("pushed", model=model, served=7), path)
    said = [line for line in console.file.getvalue().splitlines() if line.startswith("  card ")]
    assert len(said) == lines
    assert all(line.endswith("/w/serving/7/MODEL_CARD.md, 2 of 9 fields for a person are open") for line in said)


@pytest.mark.parametrize(("interval", "said"), [([0.9, 1.0], " (0.90 to 1.00 is likely)"), ([0.985, 0.99], "")])
def test_a_wide_interval_stands_beside_the_accuracy(tmp_path, interval, said):
    console = console_of(120)
    metrics = {"accuracy": 0.9877, "examples": 81, "intervals": {"accuracy": interval}}
    summary = Summary("r", status="not_blessed", seconds={"total": 61.4}, metrics=metrics)
    describe_end(console, summary, tmp_path / "runs" / "r" / "summary.json")
    assert f"accuracy 0.9877 on 81 images{said} (" in console.file.getvalue()


@pytest.mark.parametrize("status", ["data_refused", "not_blessed", "not_servable"])
def test_a_refusal_gives_the_reasons_and_what_to_do(tmp_path, status):
    console = console_of()
    reasons = [f"reason {number} with a [bracket]" for number in range(20)]
    code = describe_end(console, summary_of(status, reasons=reasons), tmp_path / "runs" / "r" / "summary.json")
    text = console.file.getvalue()
    assert code == EXIT_CODES[status] == 3
    assert text.startswith(f"Not pushed: {status}")
    assert text.count("with a [bracket]") == 16
    assert "change the limit under gates:" in text


def test_an_override_that_was_not_needed_is_said(tmp_path):
    console = console_of()
    asked = Override(("data", "quality"), "ann@lab", "2026-01-31T12:00:00Z", "why not")
    summary = summary_of("pushed", gates={"data": {"passed": True}, "quality": {"passed": False}})
    describe_unused_override(console, asked, summary)
    assert (
        console.file.getvalue() == "  note     the data gate passed: its override was not needed and is not recorded\n"
    )
    describe_unused_override(console, None, summary)
    assert console.file.getvalue().count("\n") == 1


def test_a_model_that_was_pushed_by_an_override_is_planned_with_it_again(planned):
    kept = {"gates": ["quality"], "who": "ann@lab", "when": "2026-01-31T12:00:00Z", "reason": "why not"}
    push(planned.workdir.serving, 7, model_key=planned().model_key, override=kept)
    assert planned().override == Override(("quality",), *list(kept.values())[1:])
    push(planned.workdir.serving, 9, model_key="another", override=kept)
    assert planned().override is None


def test_every_status_has_an_exit_code():
    assert EXIT_CODES == {
        "pushed": 0,
        "unchanged": 0,
        "failed": 1,
        "data_refused": 3,
        "not_blessed": 3,
        "not_servable": 3,
        "interrupted": 130,
    }


def leave(monkeypatch, capsys, error):
    """What `main` does with an error: exit code and the lines on stderr."""
    import pipeline.cli

    def fail():
        raise error

    monkeypatch.setattr(pipeline.cli, "app", fail)
    with pytest.raises(SystemExit) as left:
        console_script.main()
    return left.value.code, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (InputError("mend this.\nSo."), 2, ["Error: mend this.", "So."]),
        (BrokenPipeError(), 0, []),
        (
            OSError(28, "No space left on device"),
            1,
            [
                "Failed: OSError: [Errno 28] No space left on device",
                "The run's log.txt has the details; GRAFT_TRACEBACK=1 shows the traceback.",
            ],
        ),
        (
            RuntimeError("a\nb"),
            1,
            ["Failed: RuntimeError: a", "The run's log.txt has the details; GRAFT_TRACEBACK=1 shows the traceback."],
        ),
    ],
)
def test_errors_become_exit_codes_and_a_few_lines(monkeypatch, capsys, error, code, lines):
    monkeypatch.delenv("GRAFT_TRACEBACK", raising=False)
    assert leave(monkeypatch, capsys, error) == (code, lines)


def test_an_interrupted_run_says_that_it_can_be_continued(monkeypatch, tmp_path):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.run.multi_worker.run_pipeline", interrupt)
    config = pictures.write(tmp_path / "my.yaml", b"trainer: {weights: none}")
    done = CliRunner().invoke(app, ["run", str(config), "--workdir", str(tmp_path / "work")])
    assert done.exit_code == 130
    assert done.stderr == "Interrupted. The next run continues from what is complete.\n"


def test_the_traceback_can_be_asked_for(monkeypatch, capsys):
    monkeypatch.setenv("GRAFT_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        leave(monkeypatch, capsys, ZeroDivisionError())


def test_main_is_the_console_script():
    text = (Path(console_script.__file__).parents[1] / "setup.py").read_text("utf-8")
    assert "graft = pipeline.__main__:main" in text
    assert sys.modules["pipeline.__main__"] is console_script
