"""TFMA's files of an evaluation, against those that TFMA's own pipeline writes of the same batches."""

import math

import apache_beam as beam
import pytest
import tensorflow_model_analysis as tfma

from components.evaluator.outcomes import BASELINE, CANDIDATE
from components.evaluator.tfma_results import (
    CONFIG_FILE,
    METRICS_FILE,
    Sums,
    make_eval_config,
    make_extracts,
    read_tfma,
    write_results,
)
from pipeline.beam import NO_IMAGE, name_runner
from tests.components.evaluator.test_rows import rows_of

BATCHES = ([*range(7)], [*range(7, 20)], [20, 21, 22])


def write_ours(folder, batches, models):
    sums = Sums(list(models))
    for rows in batches:
        sums.add(rows)
    folder.mkdir()
    write_results(str(folder), make_eval_config(list(models)), models, sums.finish())


def write_theirs(folder, batches, models):
    config, metrics = make_eval_config(list(models)), {tfma.METRICS_KEY: str(folder / tfma.METRICS_KEY)}
    writers = [
        tfma.writers.EvalConfigWriter(str(folder), config, model_locations=dict(models)),
        tfma.writers.MetricsPlotsAndValidationsWriter(metrics, config),
    ]
    extractors = [tfma.extractors.SliceKeyExtractor(eval_config=config, materialize=False)]
    with beam.Pipeline(argv=name_runner([NO_IMAGE])) as pipeline:
        _ = (
            pipeline
            | beam.Create([make_extracts(rows, list(models)) for rows in batches], reshuffle=False)
            | tfma.ExtractEvaluateAndWriteResults(eval_config=config, extractors=extractors, writers=writers)
        )


@pytest.mark.slow
@pytest.mark.parametrize("names", [(CANDIDATE,), (CANDIDATE, BASELINE)])
def test_the_metrics_are_to_the_byte_those_of_tfmas_own_pipeline(tmp_path, names):
    models = {name: f"/{name}" for name in names}
    batches = [rows_of(numbers, names) for numbers in BATCHES]
    write_theirs(tmp_path / "theirs", batches, models)
    write_ours(tmp_path / "ours", batches, models)
    ours, theirs = ((tmp_path / place / METRICS_FILE).read_bytes() for place in ("ours", "theirs"))
    assert ours == theirs
    assert sorted((tmp_path / "ours" / CONFIG_FILE).read_text()) == sorted(
        (tmp_path / "theirs" / CONFIG_FILE).read_text()
    )
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == [CONFIG_FILE, METRICS_FILE]


def test_metrics_are_read_back_a_model_and_how_much_is_above_the_baseline_beside_them(tmp_path):
    models = {CANDIDATE: "/here", BASELINE: "/there"}
    write_ours(tmp_path / "out", [rows_of(numbers, models) for numbers in BATCHES], models)
    found = {name: read_tfma(str(tmp_path / "out"), name) for name in models}
    assert found[CANDIDATE]["examples"] == found[BASELINE]["examples"] == 23
    assert found[CANDIDATE]["accuracy"] == pytest.approx(18 / 23)
    assert found[CANDIDATE]["log_loss"] < found[BASELINE]["log_loss"]
    result = tfma.load_eval_result(str(tmp_path / "out"), model_name=CANDIDATE)
    assert result.model_location == "/here"


def test_a_loss_that_is_no_number_is_none(tmp_path):
    sums = Sums([CANDIDATE])
    sums.add(rows_of([0, 1]))
    metrics = {key: math.nan if key.name == "log_loss" else value for key, value in sums.finish().items()}
    write_results(str(tmp_path), make_eval_config([CANDIDATE]), {CANDIDATE: "/here"}, metrics)
    assert read_tfma(str(tmp_path), None)["log_loss"] is None
