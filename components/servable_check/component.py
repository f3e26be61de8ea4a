"""The TFX node of ServableCheck: a standard InfraBlessing, as TFX's InfraValidator gives it, without a container."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import io_utils, path_utils

from components import features
from components.options import ServabilityGateOptions

PROBE = Path(__file__).with_name("probe.py")
BATCH = 32
progress = logging.getLogger("graft.progress")


class Executor(base_executor.BaseExecutor):
    """Starts the probe and judges its answers."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `verdict.json` and marks the InfraBlessing."""
        gate = ServabilityGateOptions.from_json(exec_properties["gate"])
        model = artifact_utils.get_single_instance(input_dict["model"])
        model_run = artifact_utils.get_single_instance(input_dict["model_run"])
        records = sorted(
            fileio.glob(
                io_utils.all_files_pattern(artifact_utils.get_split_uri(input_dict["examples"], features.EVAL_SPLIT))
            )
        )
        request = {
            "model": path_utils.serving_model_path(model.uri),
            "records": records,
            "images": gate.images,
            "batch_size": BATCH,
            "image_feature": features.IMAGE,
            "sha256_feature": features.SHA256,
        }
        answer, failure = run_probe(request, gate.timeout_seconds)
        expected = read_predictions(model_run.uri)
        labels = read_labels(request["model"])
        measured, reasons = ({}, [failure]) if answer is None else judge_answers(answer, expected, labels, gate)
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        mark_blessing(blessing, not reasons)
        verdict = {"passed": not reasons, "reasons": reasons, "measured": measured}
        io_utils.write_string_file(os.path.join(blessing.uri, features.VERDICT_FILE), json.dumps(verdict, indent=2))
        progress.info(describe_verdict(measured, reasons), extra={"done": True})


def run_probe(request: dict[str, Any], timeout: int) -> tuple[dict[str, Any] | None, str]:
    """Runs the probe in a fresh, isolated interpreter; gives its answer, or None and why there is none."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TF_CONFIG"))}
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "request.json"), Path(folder, "answer.json")
        asked.write_text(json.dumps(request), "utf-8")
        command = [sys.executable, "-I", str(PROBE), str(asked), str(answered)]
        try:
            done = subprocess.run(
                command, env=environment, cwd=folder, timeout=timeout, capture_output=True, text=True, check=False
            )
        except subprocess.TimeoutExpired:
            return None, f"the export did not answer within gates.servability.timeout_seconds ({timeout} s)"
        if done.returncode:
            logging.error("The probe said:\n%s", done.stderr)
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return None, f"the export does not work in a fresh process (exit code {done.returncode}): {last[:300]}"
        return json.loads(answered.read_text("utf-8")), ""


def read_predictions(uri: str) -> dict[str, np.ndarray]:
    """What the training path answered: sha256 to probabilities float32 [classes]."""
    with fileio.open(os.path.join(uri, features.PREDICTIONS_FILE), "rb") as file:
        stored = np.load(file)
        return {key.decode(): row for key, row in zip(stored["sha256"], stored["probabilities"], strict=True)}


def read_labels(model: str) -> list[str]:
    """The class names in the export."""
    with fileio.open(os.path.join(model, "assets", features.LABELS_ASSET), "rb") as file:
        return file.read().decode("utf-8").splitlines()


def judge_answers(
    answer: dict[str, Any], expected: dict[str, np.ndarray], labels: list[str], gate: ServabilityGateOptions
) -> tuple[dict[str, Any], list[str]]:
    """Compares each served answer with the training path's.

    Returns:
        What was measured, and every reason against the export.
    """
    answers = answer["answers"]
    known = [row for row in answers if row["sha256"] in expected]
    reasons = []
    if any(len(row["probabilities"]) != len(labels) for row in answers):
        return {}, [f"serving_default does not answer with one probability a class; there are {len(labels)} classes"]
    if len(known) < len(answers) or not answers:
        reasons.append(f"{len(answers) - len(known)} of {len(answers)} replayed images are unknown to the Trainer")
    to_training = [float(np.abs(expected[row["sha256"]] - row["probabilities"]).max()) for row in known]
    to_examples = [float(np.abs(np.subtract(row["from_example"], row["probabilities"])).max()) for row in answers]
    for name, differences in (("the training path", to_training), ("serve_examples", to_examples)):
        worst = max(differences, default=0.0)
        if not worst <= gate.max_difference:
            reasons.append(
                f"serving_default differs from {name} by {worst:.2g} in probability; "
                f"gates.servability.max_difference is {gate.max_difference:.2g}"
            )
    wrong = [row for row in answers if row["label"] != labels[int(np.argmax(row["probabilities"]))]]
    if wrong:
        reasons.append(f"{len(wrong)} labels are not the most probable class of {features.LABELS_ASSET}")
    measured = {
        "images": len(answers),
        "max_difference": max(to_training, default=0.0),
        "load_seconds": round(answer["load_seconds"], 3),
        "median_batch_milliseconds": round(float(np.median(answer["batch_milliseconds"] or [0.0])), 1),
        "peak_rss_mb": round(answer["peak_rss_mb"], 1),
    }
    return measured, reasons


def mark_blessing(blessing: types.Artifact, blessed: bool) -> None:
    """Says in the artifact whether the model is servable, as TFX's InfraValidator does."""
    io_utils.write_string_file(os.path.join(blessing.uri, "INFRA_BLESSED" if blessed else "INFRA_NOT_BLESSED"), "")
    blessing.set_int_custom_property("blessed", int(blessed))


def describe_verdict(measured: dict[str, Any], reasons: list[str]) -> str:
    """One line for the terminal."""
    if reasons:
        return f"not servable: {reasons[0]}"
    return (
        f"{measured['images']} images, {measured['max_difference']:.0e} from training, "
        f"loads in {measured['load_seconds']:.1f} s"
    )


class ServableCheckSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `ServableCheck`."""

    PARAMETERS = {"gate": ExecutionParameter(type=str), "source_fingerprint": ExecutionParameter(type=str)}
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_run": ChannelParameter(type=standard_artifacts.ModelRun),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}


class ServableCheck(base_component.BaseComponent):
    """Loads the export in a fresh process and compares its answers with the training path's."""

    SPEC_CLASS = ServableCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_run: types.BaseChannel,
        examples: types.BaseChannel,
        gate: str,
        source_fingerprint: str,
    ) -> None:
        """Makes the node.

        Args:
            model: the export.
            model_run: of the Trainer, with what the training path answered for the eval split.
            examples: with an `eval` split.
            gate: a `ServabilityGateOptions` as JSON.
            source_fingerprint: digest of the code behind this node, part of the cache key.
        """
        super().__init__(
            ServableCheckSpec(
                model=model,
                model_run=model_run,
                examples=examples,
                gate=gate,
                source_fingerprint=source_fingerprint,
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
