"""The executor of the Evaluator: candidate and pushed versions on the same images, then the verdict."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from typing import Any

import pyarrow as pa
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.contract import features
from components.contract.artifacts import contents_of
from components.contract.assets import read_labels
from components.contract.gates import WIDE_INTERVAL, Gate, Override
from components.evaluator.analysis import BASELINE, BEST, CANDIDATE, make_eval_config, read_tfma, run_tfma
from components.evaluator.batched_model import closing_models
from components.evaluator.metrics import measure_model, measure_slice
from components.evaluator.outcomes import Outcomes, outcomes_of, read_table
from components.evaluator.quality_gate import Rival, judge
from components.evaluator.slices import group_images
from components.evaluator.usable import why_not_runnable
from components.options.gates import EvaluatorOptions, QualityGateOptions
from components.registry.peers import Peer

progress = logging.getLogger("graft.progress")


class Executor(base_beam_executor.BaseBeamExecutor):
    """Evaluates candidate, served and best version on the same images, and blesses the candidate or says why not."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes TFMA's outputs, `images.parquet`, `metrics.json` and `verdict.json`; marks the blessing."""
        options = EvaluatorOptions.from_json(exec_properties["options"])
        gate = QualityGateOptions.from_json(exec_properties["gate"])
        evaluation = artifact_utils.get_single_instance(output_dict["evaluation"])
        artifacts = {
            CANDIDATE: artifact_utils.get_single_instance(input_dict["model"]),
            BASELINE: artifact_utils.get_single_instance(input_dict["baseline_model"]),
            BEST: artifact_utils.get_single_instance(input_dict["best_model"]),
        }
        classes = read_labels(path_utils.serving_model_path(artifacts[CANDIDATE].uri))
        peers = find_runnable(artifacts, input_dict["examples"], len(classes))
        twice = are_one(peers)
        names = [CANDIDATE, *(name for name, peer in peers.items() if peer.exists and not (twice and name == BEST))]
        paths = {name: path_utils.serving_model_path(artifacts[name].uri) for name in names}
        config, settings = make_eval_config(len(classes), names), (options.batch_size, options.slices)
        with closing_models(), self._make_beam_pipeline() as pipeline:
            run_tfma(pipeline, input_dict["examples"], paths, config, settings, evaluation.uri)
        metrics, outcomes = measure(evaluation.uri, names, classes, (options, gate))
        check_rows(evaluation.uri, metrics, count_records(input_dict["examples"]))
        if twice:
            metrics[BEST], outcomes[BEST] = metrics[BASELINE], outcomes[BASELINE]
        rivals = {name: Rival(peer, outcomes.get(name)) for name, peer in peers.items()}
        metrics[CANDIDATE]["held_against"] = describe_rivals(rivals)
        checks = judge(metrics[CANDIDATE], outcomes[CANDIDATE], rivals[BASELINE], rivals[BEST], gate)
        result = Gate(tuple(checks), extra={"judged": contents_of(input_dict)}).overridden_by(
            Override.from_json(exec_properties["override"])
        )
        _write_json(evaluation.uri, features.EVALUATION_FILE, metrics)
        _write_json(evaluation.uri, features.VERDICT_FILE, result.to_dict())
        against = {name: artifacts[name] for name in names}
        mark_blessing(artifact_utils.get_single_instance(output_dict["blessing"]), result.lets_through, against)
        progress.info(describe_metrics(metrics, result), extra={"done": True})


def find_runnable(
    artifacts: dict[str, types.Artifact], examples: list[types.Artifact], classes: int
) -> dict[str, Peer]:
    """What the pushed versions are to the candidate; one that does not answer for a real record is not comparable.

    Args:
        artifacts: of `BASELINE` and `BEST`, beside others.
        examples: with an eval split.
        classes: how many the candidate knows.
    """
    peers = {name: read_peer(artifacts[name]) for name in (BASELINE, BEST)}
    record = first_record(examples) if any(peer.exists for peer in peers.values()) else None
    for name, peer in peers.items():
        if not peer.exists or record is None:
            continue
        if name == BEST and peer.version == peers[BASELINE].version:
            peers[name] = replace(peer, exists=peers[BASELINE].exists, reason=peers[BASELINE].reason)
            continue
        if reason := why_not_runnable(path_utils.serving_model_path(artifacts[name].uri), classes, record):
            logging.error("Version %s cannot be evaluated: %s", peer.version, reason)
            peers[name] = replace(peer, exists=False, reason=f"version {peer.version} cannot be evaluated: {reason}")
    return peers


def are_one(peers: dict[str, Peer]) -> bool:
    """Whether the best version ever is the one that is being served: it is run once then."""
    served, best = peers[BASELINE], peers[BEST]
    return served.exists and best.exists and served.version == best.version


def read_peer(artifact: types.Artifact) -> Peer:
    """Of BaselineModel's artifact."""
    with fileio.open(os.path.join(artifact.uri, features.PEER_FILE), "r") as file:
        return Peer(**json.load(file))


def first_record(examples: list[types.Artifact]) -> bytes | None:
    """A record of the eval split; None where it is empty."""
    import tensorflow as tf

    pattern = io_utils.all_files_pattern(artifact_utils.get_split_uri(examples, features.EVAL_SPLIT))
    for path in sorted(fileio.glob(pattern)):
        for record in tf.data.TFRecordDataset(path, "GZIP" if path.endswith(".gz") else "").take(1):
            return bytes(record.numpy())
    return None


def count_records(examples: list[types.Artifact]) -> int:
    """How many records the eval split has."""
    import tensorflow as tf

    pattern, count = io_utils.all_files_pattern(artifact_utils.get_split_uri(examples, features.EVAL_SPLIT)), 0
    for path in fileio.glob(pattern):
        records = tf.data.TFRecordDataset(path, "GZIP" if path.endswith(".gz") else "")
        count += int(records.reduce(0, lambda done, _: done + 1).numpy())
    return count


def check_rows(uri: str, metrics: dict[str, dict[str, Any]], records: int) -> None:
    """Holds what Beam counted and wrote against the eval split: a bundle may be tried again, and must count once.

    Raises:
        RuntimeError: images are missing, or are there twice.
    """
    table = read_table(os.path.join(uri, features.OUTCOMES_FILE))
    images = len(set(zip(table["sha256"].to_pylist(), table["name"].to_pylist(), strict=True)))
    found = {"rows": table.num_rows, "images": images} | {name: row["examples"] for name, row in metrics.items()}
    if wrong := {name: number for name, number in found.items() if number != records}:
        counts = ", ".join(f"{name} {number:,}" for name, number in wrong.items())
        raise RuntimeError(
            f"The evaluation must have each image once: expected {records:,} as in the eval split, found {counts}.\n"
            "Start the run again; if Beam runs elsewhere, its workers may not see the same files."
        )


def measure(
    uri: str, names: list[str], classes: list[str], options: tuple[EvaluatorOptions, QualityGateOptions]
) -> tuple[dict[str, dict[str, Any]], dict[str, Outcomes]]:
    """Reads what TFMA's pass left: the metrics of each model, and what each image got."""
    tell_apart = len(names) > 1  # TFMA keeps no name where there is one model
    by_tfma = {name: read_tfma(uri, name if tell_apart else None, len(classes)) for name in names}
    table = read_table(os.path.join(uri, features.OUTCOMES_FILE))
    outcomes = {name: outcomes_of(table, name, len(classes)) for name in names}
    k, confidence = min(options[0].top_k, len(classes)), options[1].confidence
    metrics = {
        name: measure_model(
            by_tfma[name], outcomes[name], classes, measure_slices(table, outcomes[name], *options), (k, confidence)
        )
        for name in names
    }
    return metrics, outcomes


def measure_slices(
    table: pa.Table, outcomes: Outcomes, options: EvaluatorOptions, gate: QualityGateOptions
) -> dict[str, dict[str, Any]]:
    """Every slice of `evaluator.slices`."""
    return {
        name: {
            place: measure_slice(outcomes, inside, gate.confidence, options.small_slice)
            for place, inside in group_images(name, table[f"slice/{name}"].to_pylist()).items()
        }
        for name in options.slices
    }


def describe_rivals(rivals: dict[str, Rival]) -> dict[str, Any]:
    """What the candidate was held against; the passport keeps it, so that the best version ever is not forgotten.

    Returns:
        `baseline` and `best`: {`version`, `accuracy`, `examples`, `evaluated`, `reason`}; null where there is none. The
        accuracy is the one that the version's own run recorded.
    """
    return {
        name: None
        if rival.peer.version is None or rival.peer.accuracy is None
        else {
            "version": rival.peer.version,
            "accuracy": rival.peer.accuracy,
            "examples": rival.peer.examples,
            "evaluated": rival.outcomes is not None,
            "reason": rival.peer.reason,
        }
        for name, rival in rivals.items()
    }


def mark_blessing(blessing: types.Artifact, blessed: bool, models: dict[str, types.Artifact]) -> None:
    """Says in the artifact, as TFX's Evaluator does, whether the model is blessed and against what."""
    io_utils.write_string_file(os.path.join(blessing.uri, "BLESSED" if blessed else "NOT_BLESSED"), "")
    blessing.set_int_custom_property("blessed", int(blessed))
    blessing.set_string_custom_property("current_model", models[CANDIDATE].uri)
    blessing.set_int_custom_property("current_model_id", models[CANDIDATE].id)
    if BASELINE in models:
        blessing.set_string_custom_property("baseline_model", models[BASELINE].uri)
        blessing.set_int_custom_property("baseline_model_id", models[BASELINE].id)


def _write_json(uri: str, name: str, content: Any) -> None:
    io_utils.write_string_file(os.path.join(uri, name), json.dumps(content, indent=2))


def describe_metrics(metrics: dict[str, dict[str, Any]], result: Gate) -> str:
    """One line for the terminal."""
    ours = metrics[CANDIDATE]
    against = f" (served {metrics[BASELINE]['accuracy']:.3f})" if BASELINE in metrics else ""
    verdict = "blessed" if result.passed else "overridden" if result.lets_through else "not blessed"
    area = f", AUC {ours['auc']:.3f}" if ours["auc"] is not None else ""
    low, high = ours["intervals"]["accuracy"]
    interval = f" ({low:.2f} to {high:.2f})" if high - low > WIDE_INTERVAL else ""
    return f"accuracy {ours['accuracy']:.3f}{interval} of {ours['examples']:,}{against}{area}, {verdict}"
