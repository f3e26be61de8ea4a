"""The stages in data order: each is a function that runs the stage's own code once, what leads to it unmeasured."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.made import WIDTH, Place
from benchmarks.scale.measured import measured
from components.contract import features

EPOCHS = 1  # of the head: each takes as long
ALL = list[Callable[[Place], None]]()
DATA_INPUTS = ("manifest", "statistics", "evaluation", "model_run")


def stage(run: Callable[[Place], None]) -> Callable[[Place], None]:
    """Enters a stage into the list; the first line of its docstring is its name in the table."""
    ALL.append(run)
    return run


def artifact(kind: str, uri: str, splits: tuple[str, ...] = ()) -> Any:
    """Makes an artifact of TFX, one of its own or of the contract's, on a folder."""
    from tfx.types import artifact_utils, standard_artifacts

    from components.contract import artifacts

    made = (getattr(standard_artifacts, kind, None) or getattr(artifacts, kind))()
    made.uri, made.id = uri, 1
    if splits:
        made.split_names = artifact_utils.encode_split_names(list(splits))
    made.set_string_custom_property(artifacts.CONTENT, "0" * 64)
    return made


def make_examples(place: Place) -> Any:
    """Gives the Examples artifact, described as ImageExampleGen does."""
    from components.example_gen.executor import describe_artifact

    made = artifact("Examples", place.at("examples"))
    describe_artifact(made, {"fingerprint": "0" * 64})
    return made


def beam_context(place: Place, node: str) -> Any:
    """Gives an executor its Beam arguments as the pipeline does."""
    from tfx.dsl.components.base import base_beam_executor

    from components.options.beam import BeamOptions
    from pipeline.beam import beam_args

    context = base_beam_executor.BaseBeamExecutor.Context
    return context(beam_pipeline_args=beam_args(BeamOptions(), node), tmp_dir=place.at("tmp"), unique_id="1")


@stage
def list_files(place: Place) -> None:
    """Data: list"""
    from components.sources.find import list_sources

    with measured() as found:
        found["files"] = len(list_sources(place.data, place.options).sources)


@stage
def scan_files(place: Place) -> None:
    """Data: recall, compare, split, judge"""
    from components.example_gen.admission import describe_scan, refuse_data
    from components.example_gen.history import open_history
    from components.example_gen.scan import scan_data
    from components.sources.find import list_sources

    with measured() as found, open_history(place.history) as history:
        scan = scan_data(list_sources(place.data, place.options), place.options, history)
        refuse_data(scan, place.options)
        found |= {"read": scan.read, "near_duplicates": len(scan.findings.near_duplicates)}
        found["says"] = describe_scan(scan, 1.0)


@stage
def search_hashes(place: Place) -> None:
    """of it: near-duplicates at 31 bits"""
    from components.example_gen.split import hamming
    from components.options.data import DataOptions

    words = np.random.default_rng(1).integers(0, 2**64, (place.records, hamming.WORDS), np.uint64)
    hamming.connect_near(words[:2], 1)  # loads scipy
    with measured() as found:
        labels = hamming.connect_near(words, DataOptions().near_duplicate_distance or 0)
        found["components"] = len(np.unique(labels))


@stage
def run_ingest(place: Place) -> None:
    """ImageExampleGen"""
    from components.example_gen.executor import Executor

    made = {"examples": [make_examples(place)], "manifest": [artifact("Manifest", place.at("manifest"))]}
    properties = {"data_path": place.data, "options": place.options.to_json(), "memory": place.history}
    executor = Executor(beam_context(place, "ImageExampleGen"))
    with measured() as found:
        executor.Do({}, made, properties)
        found["manifest_mb"] = round(os.path.getsize(f"{place.at('manifest')}/{features.MANIFEST_FILE}") / 1e6, 1)


@stage
def run_statistics(place: Place) -> None:
    """StatisticsGen"""
    from tfx.components.statistics_gen.executor import Executor

    from pipeline.dag import statistics_options

    made = {"statistics": [artifact("ExampleStatistics", place.at("statistics"))]}
    properties = {"stats_options_json": statistics_options().to_json(), "exclude_splits": "[]"}
    executor = Executor(beam_context(place, "StatisticsGen"))
    with measured() as found:
        executor.Do({"examples": [make_examples(place)]}, made, properties)
        found["mb"] = round(sum(p.stat().st_size for p in Path(place.at("statistics")).rglob("*.pb")) / 1e6, 2)


@stage
def run_data_gate(place: Place) -> None:
    """ImportSchemaGen, ExampleValidator, DataGate"""
    from tfx.components.example_validator.executor import Executor as ExampleValidator

    from components import schema
    from components.contract.gates import DATA, override_for
    from components.data_gate.executor import Executor
    from components.options.gates import DataGateOptions

    kinds = {"schema": "Schema", "anomalies": "ExampleAnomalies", "manifest": "Manifest"}
    inputs = {name: [artifact(kind, place.at(name))] for name, kind in kinds.items()}
    inputs["statistics"] = [artifact("ExampleStatistics", place.at("statistics"), features.SPLITS)]
    shutil.rmtree(place.at("schema"), ignore_errors=True)  # the stock import replaces no file
    os.makedirs(place.at("schema"))
    classes = json.dumps([f"class_{label:04d}" for label in range(place.classes)])
    properties = {"options": DataGateOptions().to_json(), "data": place.options.to_json()}
    properties |= {"override": override_for(DATA, None), "serving_dir": place.at("serving"), "version": "none"}
    with measured():
        wanted = {"schema_file": schema.SCHEMA_FILE.name, "classes": classes}
        schema.Executor().Do({}, {"schema": inputs["schema"]}, wanted)
        ExampleValidator().Do(inputs, {"anomalies": inputs["anomalies"]}, {})
        verdict = {"verdict": [artifact("DataVerdict", place.at("data_verdict"))]}
        Executor().Do(inputs, verdict, properties)


def read_splits(place: Place) -> tuple[Any, Any]:
    """Reads both splits as the Trainer does."""
    from components.trainer.features.data import read_split

    train, evaluation = (read_split([f"{place.at('examples')}/Split-{split}/*"]) for split in features.SPLITS)
    return train, evaluation


@stage
def read_records(place: Place) -> None:
    """Trainer: digests and labels of the records"""
    from components.trainer.features.data import names_by_index

    with measured() as found:
        train, evaluation = read_splits(place)
        found |= {"train": len(train), "eval": len(evaluation), "classes": len(names_by_index(train))}


def read_features(place: Place) -> tuple[Any, Any, np.ndarray]:
    """Reads the train split, the sample of the eval split and their features, float32 [n, d], as the Trainer does."""
    from components.trainer.features.data import join_splits, take_sample
    from components.trainer.features.feature_pass import Features
    from components.trainer.features.training_inputs import put_in_order

    train, evaluation = read_splits(place)
    evaluation = take_sample(evaluation, place.sample)
    values, kept = place.store().read(join_splits(train, evaluation).digests(), WIDTH)
    if not kept.all():
        raise SystemExit(f"expected features of all images, {int((~kept).sum()):,} are missing")
    train, evaluation, found = put_in_order(train, evaluation, Features(values, kept, 0, 0.0))
    return train, evaluation, found.values


@stage
def read_store(place: Place) -> None:
    """Trainer: records, store, order"""
    with measured() as found:
        found["features_mb"] = round(read_features(place)[2].nbytes / 1e6)


@stage
def choose_penalty(place: Place) -> None:
    """Trainer: scale and penalty"""
    from components.trainer.devices.strategy import make_strategy
    from components.trainer.heads.head import hold_out
    from components.trainer.heads.scaling import find_penalty

    strategy, (train, _, values) = make_strategy("auto"), read_features(place)
    with measured():
        find_penalty(strategy, values[: len(train)], train, hold_out(train, 0.0), place.classes, "none")


@stage
def train_head(place: Place) -> None:
    """Trainer: head, one epoch"""
    from components.options.trainer import TrainerOptions
    from components.trainer.devices.strategy import make_strategy
    from components.trainer.heads.head import train_head as train

    strategy, (split, _, values) = make_strategy("auto"), read_features(place)
    options = TrainerOptions(epochs=EPOCHS, tensorboard=False)
    with measured() as found:
        head, _ = train(strategy, values[: len(split)], split, place.classes, options, place.at("tmp"))
        found["accuracy"] = round(head.history["accuracy"][-1], 3)


def make_head(place: Place) -> Any:
    """Makes a head that was trained for one epoch, by its record."""
    from components.trainer.heads.head import Head

    kernel = np.random.default_rng(0).normal(0, 0.05, (WIDTH, place.classes)).astype(np.float32)
    history = {"loss": [1.0], "accuracy": [0.9]}
    return Head(kernel, np.zeros(place.classes, np.float32), history, None, 1e-4, np.ones(WIDTH))


@stage
def calibrate_head(place: Place) -> None:
    """Trainer: calibration, of one epoch"""
    from components.options.trainer import TrainerOptions
    from components.trainer.devices.strategy import make_strategy
    from components.trainer.heads.calibration import calibrate

    strategy, (train, _, values) = make_strategy("auto"), read_features(place)
    options = TrainerOptions(epochs=EPOCHS, tensorboard=False)
    with measured() as found:
        found |= calibrate(strategy, make_head(place), values[: len(train)], train, options)[1].facts()


@stage
def make_bank(place: Place) -> None:
    """Trainer: bank of outliers, its calibration"""
    from components.trainer.outliers.typicality import Typicality, choose_rows

    train, _, values = read_features(place)
    with measured() as found:
        rows = choose_rows(train, WIDTH)
        typicality = Typicality.of(values[: len(train)][rows], train.labels[rows], values[len(train) :], 0.05)
        found["bank"] = len(typicality.bank)


@stage
def answer_eval(place: Place) -> None:
    """Trainer: answers for its sample of the eval split, kept"""
    from components.trainer.record import write_record

    train, evaluation, values = read_features(place)
    head, folder = make_head(place), place.at("answers")
    with measured() as found:
        write_record(folder, head, {}, evaluation, head.probabilities(values[len(train) :]))
        found["mb"] = round(os.path.getsize(f"{folder}/{features.PREDICTIONS_FILE}") / 1e6)


@stage
def run_evaluator(place: Place) -> None:
    """Evaluator"""
    from dataclasses import asdict

    from components.contract.artifacts import Baseline
    from components.contract.gates import QUALITY, override_for
    from components.evaluator.executor import Executor
    from components.options.gates import EvaluatorOptions, QualityGateOptions

    inputs = {"examples": [make_examples(place)], "model": [artifact("Model", place.at("model"))]}
    for name in ("baseline_model", "best_model"):
        os.makedirs(place.at(name), exist_ok=True)
        first = json.dumps(asdict(Baseline(reason="no version is being served yet")))
        Path(place.at(name), features.BASELINE_FILE).write_text(first)
        inputs[name] = [artifact("Model", place.at(name))]
    kinds = {"evaluation": "ModelEvaluation", "blessing": "ModelBlessing"}
    made = {name: [artifact(kind, place.at(name))] for name, kind in kinds.items()}
    properties = {"options": EvaluatorOptions().to_json(), "gate": QualityGateOptions().to_json()}
    properties["override"] = override_for(QUALITY, None)
    executor = Executor(beam_context(place, "Evaluator"))
    with measured() as found:
        executor.Do(inputs, made, properties)
        found["mb"] = round(os.path.getsize(f"{place.at('evaluation')}/{features.EVALUATION_FILE}") / 1e6, 1)


def report_inputs(place: Place) -> Any:
    """Gives what the page is made of."""
    from components.report.inputs import ReportInputs

    names = ("examples", "manifest", "data_verdict", "model", "model_run", "baseline_model", "evaluation")
    return ReportInputs({name: place.at(name) for name in names}, place.at("features"), place.data, make_passport())


def make_passport() -> dict[str, Any]:
    """Makes the passport as the plan of a run knows it."""
    from pipeline.config.configuration import Config

    return {"name": "generated", "model_key": "0" * 64, "config": Config().model_dump(mode="json")}


@stage
def write_page(place: Place) -> None:
    """Report"""
    from components.report.page import gather_content, render

    inputs = report_inputs(place)
    with measured() as found:
        content = gather_content(inputs, tolerant=False)
        page = render(content)
        found |= {"html_mb": round(len(page) / 1e6, 2), "pictures": len(content["pictures"])}
        found["sections"] = {name: section["seconds"] for name, section in content["sections"].items()}


@stage
def find_label_errors(place: Place) -> None:
    """of it: label errors"""
    from components.report.known_features import gather_features
    from components.report.sections.label_errors import judge_labels

    inputs = report_inputs(place)
    inputs.once(gather_features)
    with measured() as found:
        judged = judge_labels(inputs)[1]
        found |= {"judged": len(judged.rows), "likely": int(judged.likely.sum()), "notes": judged.notes}


@stage
def suggest_images(place: Place) -> None:
    """graft suggest: rank as many unlabelled images"""
    from types import SimpleNamespace

    from pipeline.suggest import ranking
    from pipeline.suggest.suggest import MOST, Looked, rank, read_labelled

    inputs, random = report_inputs(place), np.random.default_rng(3)
    model: Any = SimpleNamespace(names=inputs.labels)
    count = min(place.records, MOST)
    looked = Looked([f"{number}.jpg" for number in range(count)])
    looked.digests = [random.bytes(32).hex() for _ in range(count)]
    looked.hashes = [random.bytes(32).hex() for _ in range(count)]
    looked.values = ranking.scale(random.random((count, WIDTH), np.float32))
    with measured() as found:
        found["says"] = rank(read_labelled(inputs, model), looked, model.names, 50, []).test


@stage
def push_model(place: Place) -> None:
    """Pusher"""
    from components.contract.artifacts import read_verdicts
    from components.registry.passport import Data
    from components.registry.publish import publish_model
    from components.registry.versions import PASSPORT_FILE

    serving = Path(place.at("work"), "serving")
    shutil.rmtree(serving, ignore_errors=True)
    verdicts = read_verdicts({"data": place.at("data_verdict"), "quality": place.at("evaluation")})
    data = Data(**{name: place.at(name) for name in DATA_INPUTS}, verdicts=verdicts)
    with measured() as found:
        version = publish_model(f"{place.at('model')}/Format-Serving", serving, make_passport(), data).version
        found["passport_mb"] = round((serving / str(version) / PASSPORT_FILE).stat().st_size / 1e6, 2)


@stage
def write_summary(place: Place) -> None:
    """summary.json"""
    from components.registry.versions import served_version
    from pipeline.report.summary import Summary, fill_summary

    kinds = {"ImageExampleGen": ("manifest", "Manifest"), "DataGate": ("verdict", "DataVerdict")}
    kinds |= {"Evaluator": ("evaluation", "ModelEvaluation"), "Pusher": ("pushed_model", "PushedModel")}
    folders = {"verdict": "data_verdict", "pushed_model": "work"}
    made = {node: {key: artifact(kind, place.at(folders.get(key, key)))} for node, (key, kind) in kinds.items()}
    trained = {"model": "Model", "model_run": "ModelRun"}
    made["Trainer"] = {key: artifact(kind, place.at(key)) for key, kind in trained.items()}
    serving, pushed = Path(place.at("work"), "serving"), made["Pusher"]["pushed_model"]
    pushed.set_int_custom_property("pushed", 1)
    pushed.set_string_custom_property("pushed_destination", str(serving / str(served_version(serving))))
    run = Path(place.at("work"), "runs", "20260101-000000")
    run.mkdir(parents=True, exist_ok=True)
    with measured() as found:
        summary = Summary(run.name)
        fill_summary(summary, {node: {k: a.mlmd_artifact for k, a in row.items()} for node, row in made.items()}, [])
        found["mb"] = round(summary.write(run).stat().st_size / 1e6, 2)


@stage
def read_runs(place: Place) -> None:
    """graft status, runs list and runs show, of twenty runs"""
    from pipeline.runs.describe import describe_in_full, describe_run
    from pipeline.runs.find import choose_run
    from pipeline.runs.read import read_runs as read
    from pipeline.runs.status import read_status
    from pipeline.runs.tables import list_lines, show_lines, status_lines

    work = Path(place.at("work"))
    for number in range(1, 20):
        folder = work / "runs" / f"20260101-0000{number:02d}"
        folder.mkdir(exist_ok=True)
        shutil.copy(work / "runs" / "20260101-000000" / "summary.json", folder)
    with measured() as found:
        began = time.monotonic()
        status = list(status_lines(read_status(work)))
        found["status_seconds"] = round(time.monotonic() - began, 3)
        rows = [describe_run(one) for one in read(work, 20)]
        found["list_seconds"] = round(time.monotonic() - began - found["status_seconds"], 3)
        shown = list(show_lines(run := choose_run(work), describe_in_full(run)))
        found |= {"runs": len(rows), "lines": [len(status), len(list(list_lines(rows))), len(shown)]}


def name_of(run: Callable[[Place], None]) -> str:
    """Gives the name of a stage in the table."""
    return (run.__doc__ or run.__name__).splitlines()[0]
