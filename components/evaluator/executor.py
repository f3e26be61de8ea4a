"""The executor of the Evaluator: candidate and pushed versions on the same images, then the verdict."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.contract import features
from components.contract.artifacts import Artifacts, Baseline, contents_of
from components.contract.assets import read_facts, read_labels
from components.contract.gates import WIDE_INTERVAL, Gate, Override
from components.contract.statistics import Pair, count_pairs, loss_bounds
from components.errors import InputError
from components.evaluator.analysis import ask_models, list_records, works_here
from components.evaluator.areas import remove_probabilities
from components.evaluator.batched_model import closing_models, open_model, why_not_runnable
from components.evaluator.kept_answers import KeptAnswers, find_answers, keep_answers
from components.evaluator.kept_features import join_parts
from components.evaluator.measure import measure, read_outcomes
from components.evaluator.outcomes import BASELINE, BEST, CANDIDATE, Outcomes
from components.evaluator.quality_gate import EvaluatedBaseline, judge_candidate
from components.evaluator.rows import join_rows
from components.evaluator.tfma_results import make_eval_config, write_results
from components.files.records import open_records
from components.options.gates import EvaluatorOptions, QualityGateOptions

progress = logging.getLogger("graft.progress")


class Executor(base_beam_executor.BaseBeamExecutor):
    """Evaluates candidate, served and best version on the same images, and blesses the candidate or says why not."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Writes TFMA's outputs, what is of each image, `metrics.json` and `verdict.json`; marks the blessing.

        Raises:
            InputError: the eval split is empty.
        """
        options = EvaluatorOptions.from_json(exec_properties["options"])
        gate = QualityGateOptions.from_json(exec_properties["gate"])
        evaluation = artifact_utils.get_single_instance(output_dict["evaluation"])
        artifacts = {
            CANDIDATE: artifact_utils.get_single_instance(input_dict["model"]),
            BASELINE: artifact_utils.get_single_instance(input_dict["baseline_model"]),
            BEST: artifact_utils.get_single_instance(input_dict["best_model"]),
        }
        examples, candidate = input_dict["examples"], path_utils.serving_model_path(artifacts[CANDIDATE].uri)
        classes, pipeline = read_labels(candidate), self._make_beam_pipeline()
        with closing_models(), opening(candidate, examples, works_here(pipeline)):
            records = count_records(examples)
            if not records:
                raise InputError(
                    "The eval split holds no example: nothing to evaluate. Add images, or change data.eval_fraction."
                )
            kept = find_kept(artifacts, len(classes))
            baselines = find_runnable(artifacts, examples, len(classes), kept)
            twice = are_one(baselines)
            others = [name for name, row in baselines.items() if row.exists and not (twice and name == BEST)]
            names = [CANDIDATE, *others]
            paths = {name: path_utils.serving_model_path(artifacts[name].uri) for name in names}
            settings = (options.batch_size, options.slices, len(classes))
            with pipeline:
                kept = {name: kept[name] for name in names if name in kept}
                ask_models(pipeline, examples, paths, settings, evaluation.uri, kept)
        join_parts(evaluation.uri)
        sums = join_rows(evaluation.uri, names, options.slices, len(classes))
        write_results(evaluation.uri, make_eval_config(names), paths, sums.finish())
        metrics, outcomes = measure(evaluation.uri, names, classes, (options, gate))
        keep_answers(evaluation.uri, paths[CANDIDATE], CANDIDATE, records, len(classes))
        remove_probabilities(evaluation.uri)
        check_counts(evaluation.uri, metrics, records)
        if twice:
            metrics[BEST], outcomes[BEST] = metrics[BASELINE], outcomes[BASELINE]
        evaluated = {name: EvaluatedBaseline(row, outcomes.get(name)) for name, row in baselines.items()}
        metrics[CANDIDATE]["held_against"] = describe_baselines(evaluated, outcomes[CANDIDATE], gate.confidence)
        checks = judge_candidate(
            *(metrics[CANDIDATE], outcomes[CANDIDATE], evaluated[BASELINE], evaluated[BEST], gate),
            calibrated_on=read_facts(paths[CANDIDATE]).get(features.OUTLIERS_FACT, {}).get("calibrated_on"),
        )
        result = Gate(tuple(checks), extra={"judged": contents_of(input_dict)}).overridden_by(
            Override.from_json(exec_properties["override"])
        )
        _write_json(evaluation.uri, features.EVALUATION_FILE, metrics, indent=None)  # a matrix has classes^2 numbers
        _write_json(evaluation.uri, features.VERDICT_FILE, result.to_dict(), indent=2)
        against = {name: artifacts[name] for name in names}
        bless_model(artifact_utils.get_single_instance(output_dict["blessing"]), result.lets_through, against)
        progress.info(describe_metrics(metrics, result), extra={"done": True})


@contextmanager
def opening(path: str, examples: Sequence[types.Artifact], ahead: bool) -> Iterator[None]:
    """Loads a model beside what is done in the meantime; an error is that of whoever asks the model.

    Args:
        path: of the SavedModel.
        examples: with an eval split.
        ahead: whether it is asked in this process.
    """
    with ThreadPoolExecutor(1) as pool:
        if ahead:
            pool.submit(lambda: open_model(path, first_record(examples)))
        yield


def find_kept(artifacts: dict[str, types.Artifact], classes: int) -> dict[str, KeptAnswers]:
    """Finds what earlier runs had of the baselines' answers: {name: answers}."""
    found = {
        name: find_answers(path_utils.serving_model_path(artifacts[name].uri), classes)
        for name in (BASELINE, BEST)
        if read_baseline(artifacts[name]).exists
    }
    return {name: answers for name, answers in found.items() if answers}


def find_runnable(
    artifacts: dict[str, types.Artifact],
    examples: Sequence[types.Artifact],
    classes: int,
    kept: Mapping[str, KeptAnswers],
) -> dict[str, Baseline]:
    """Reads both baselines; one that does not answer for a real record is marked as not comparable.

    One with kept answers gave them, and is not loaded to find that out.

    Args:
        artifacts: of `BASELINE` and `BEST`, beside others.
        examples: with an eval split.
        classes: number of the candidate's classes.
        kept: of `find_kept`.
    """
    baselines = {name: read_baseline(artifacts[name]) for name in (BASELINE, BEST)}
    record = first_record(examples) if any(row.exists for row in baselines.values()) else None
    for name, row in baselines.items():
        if not row.exists or name in kept or record is None:
            continue
        if name == BEST and row.version == baselines[BASELINE].version:
            baselines[name] = replace(row, exists=baselines[BASELINE].exists, reason=baselines[BASELINE].reason)
            continue
        if reason := why_not_runnable(path_utils.serving_model_path(artifacts[name].uri), classes, record):
            logging.error("Version %s cannot be evaluated: %s", row.version, reason)
            reason = f"version {row.version} cannot be evaluated: {reason}"
            baselines[name] = replace(row, exists=False, reason=reason)
    return baselines


def are_one(baselines: dict[str, Baseline]) -> bool:
    """Whether the best baseline is the served one: it is run once then."""
    served, best = baselines[BASELINE], baselines[BEST]
    return served.exists and best.exists and served.version == best.version


def read_baseline(artifact: types.Artifact) -> Baseline:
    """Reads what BaselineModel wrote into an artifact."""
    with fileio.open(os.path.join(artifact.uri, features.BASELINE_FILE), "r") as file:
        return Baseline(**json.load(file))


def first_record(examples: Sequence[types.Artifact]) -> bytes | None:
    """Reads a record of the eval split; None where it is empty."""
    for path in list_records(examples):
        for record in open_records([path]).take(1):
            return bytes(record.numpy())
    return None


def count_records(examples: Sequence[types.Artifact]) -> int:
    """Counts the records of the eval split."""
    counts = (open_records([path]).reduce(0, lambda done, _: done + 1) for path in list_records(examples))
    return sum(int(count.numpy()) for count in counts)


def check_counts(uri: str, metrics: dict[str, dict[str, Any]], records: int) -> None:
    """Holds what Beam counted and wrote against the eval split: a bundle may be tried again, and must count once.

    Raises:
        RuntimeError: images are missing, or are there twice.
    """
    table = read_outcomes(os.path.join(uri, features.OUTCOMES_FILE))
    images = len(set(zip(table["sha256"].to_pylist(), table["name"].to_pylist(), strict=True)))
    found = {"rows": table.num_rows, "images": images} | {name: row["examples"] for name, row in metrics.items()}
    if wrong := {name: number for name, number in found.items() if number != records}:
        counts = ", ".join(f"{name} {number:,}" for name, number in wrong.items())
        raise RuntimeError(
            f"The evaluation must have each image once: expected {records:,} as in the eval split, found {counts}.\n"
            "Start the run again; if Beam runs elsewhere, its workers may not see the same files."
        )


def describe_baselines(
    evaluated: dict[str, EvaluatedBaseline], candidate: Outcomes, confidence: float
) -> dict[str, Any]:
    """Describes what the candidate was held against; the passport keeps it, so that the best version is not forgotten.

    Args:
        evaluated: both baselines.
        candidate: its outcomes, on the same images.
        confidence: of the two-sided intervals.

    Returns:
        `baseline` and `best`: {`version`, `accuracy`, `examples`, `evaluated`, `reason`, `difference`}; null where
        there is none. The accuracy is the one that the version's own run recorded; the difference is that of
        `describe_difference`, null where the version was not run.
    """
    return {
        name: None
        if row.baseline.version is None or row.baseline.accuracy is None
        else {
            "version": row.baseline.version,
            "accuracy": row.baseline.accuracy,
            "examples": row.baseline.examples,
            "evaluated": row.outcomes is not None,
            "reason": row.baseline.reason,
            "difference": None
            if row.outcomes is None
            else describe_difference(count_pairs(row.outcomes.right, candidate.right), confidence),
        }
        for name, row in evaluated.items()
    }


def describe_difference(pair: Pair, confidence: float) -> dict[str, Any]:
    """Describes how much better the candidate is: `accuracy` -1..1, its `interval`, `lost` and `gained` images."""
    low, high = loss_bounds(pair, 0.5 + confidence / 2)
    return {
        "accuracy": -pair.loss,
        "interval": [-high, -low],
        "images": pair.images,
        "lost": pair.lost,
        "gained": pair.gained,
    }


def bless_model(blessing: types.Artifact, blessed: bool, models: dict[str, types.Artifact]) -> None:
    """Marks the artifact as TFX's Evaluator does: whether the model is blessed, and against which baseline."""
    io_utils.write_string_file(os.path.join(blessing.uri, "BLESSED" if blessed else "NOT_BLESSED"), "")
    blessing.set_int_custom_property("blessed", int(blessed))
    blessing.set_string_custom_property("current_model", models[CANDIDATE].uri)
    blessing.set_int_custom_property("current_model_id", models[CANDIDATE].id)
    if BASELINE in models:
        blessing.set_string_custom_property("baseline_model", models[BASELINE].uri)
        blessing.set_int_custom_property("baseline_model_id", models[BASELINE].id)


def _write_json(uri: str, name: str, content: Any, indent: int | None) -> None:
    io_utils.write_string_file(os.path.join(uri, name), json.dumps(content, indent=indent))


def describe_metrics(metrics: dict[str, dict[str, Any]], result: Gate) -> str:
    """Describes accuracy, AUC and verdict in one line for the terminal."""
    ours = metrics[CANDIDATE]
    against = f" (served {metrics[BASELINE]['accuracy']:.3f})" if BASELINE in metrics else ""
    verdict = "blessed" if result.passed else "overridden" if result.lets_through else "not blessed"
    area = f", AUC {ours['auc']:.3f}" if ours["auc"] is not None else ""
    low, high = ours["intervals"]["accuracy"]
    interval = f" ({low:.2f} to {high:.2f})" if high - low > WIDE_INTERVAL else ""
    return f"accuracy {ours['accuracy']:.3f}{interval} of {ours['examples']:,}{against}{area}, {verdict}"
