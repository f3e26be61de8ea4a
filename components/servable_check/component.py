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
from components.gates import FAIL, PASS, Check, Gate, Override, at_most
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
        if answer is None:
            measured: dict[str, Any] = {}
            checks = [Check("loads", "no", "yes", FAIL, failure)]
        else:
            measured, checks = judge_answers(answer, expected, labels, gate)
        result = Gate(tuple(checks), extra={"measured": measured})
        result = result.overridden_by(Override.from_json(exec_properties["override"]))
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        mark_blessing(blessing, result.lets_through)
        io_utils.write_string_file(os.path.join(blessing.uri, features.VERDICT_FILE), result.to_json())
        progress.info(describe_verdict(measured, result), extra={"done": True})


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
) -> tuple[dict[str, Any], list[Check]]:
    """Compares each served answer with the training path's.

    Returns:
        What was measured, and the checks.
    """
    answers = answer["answers"]
    widths = {len(row["probabilities"]) for row in answers}
    if widths - {len(labels)}:
        reason = f"serving_default does not answer with one probability a class; there are {len(labels)} classes"
        return {}, [Check("classes", max(widths), len(labels), FAIL, reason)]
    known = [row for row in answers if row["sha256"] in expected]
    unknown = len(answers) - len(known)
    reason = f"{unknown} of {len(answers)} replayed images are unknown to the Trainer"
    checks = [Check("images", len(known), len(answers), PASS if known and not unknown else FAIL, reason)]
    to_training = [float(np.abs(expected[row["sha256"]] - row["probabilities"]).max()) for row in known]
    to_examples = [float(np.abs(np.subtract(row["from_example"], row["probabilities"])).max()) for row in answers]
    checks += [
        _check_difference("parity/training", "the training path", to_training, gate),
        _check_difference("parity/serve_examples", "serve_examples", to_examples, gate),
    ]
    wrong = sum(row["label"] != labels[int(np.argmax(row["probabilities"]))] for row in answers)
    reason = f"{wrong} labels are not the most probable class of {features.LABELS_ASSET}"
    checks.append(at_most("labels", wrong, 0, reason))
    measured = {
        "images": len(answers),
        "max_difference": max(to_training, default=0.0),
        "load_seconds": round(answer["load_seconds"], 3),
        "median_batch_milliseconds": round(float(np.median(answer["batch_milliseconds"] or [0.0])), 1),
        "peak_rss_mb": round(answer["peak_rss_mb"], 1),
    }
    return measured, checks


def _check_difference(name: str, other: str, differences: list[float], gate: ServabilityGateOptions) -> Check:
    worst = float(np.max(differences)) if differences else 0.0  # NaN stays NaN, and fails
    reason = (
        f"serving_default differs from {other} by {worst:.2g} in probability; "
        f"gates.servability.max_difference is {gate.max_difference:.2g}"
    )
    return at_most(name, worst, gate.max_difference, reason)


def mark_blessing(blessing: types.Artifact, blessed: bool) -> None:
    """Says in the artifact whether the model is servable, as TFX's InfraValidator does."""
    io_utils.write_string_file(os.path.join(blessing.uri, "INFRA_BLESSED" if blessed else "INFRA_NOT_BLESSED"), "")
    blessing.set_int_custom_property("blessed", int(blessed))


def describe_verdict(measured: dict[str, Any], result: Gate) -> str:
    """One line for the terminal."""
    if not result.passed:
        return f"{'overridden' if result.lets_through else 'not servable'}: {result.reasons[0]}"
    return (
        f"{measured['images']} images, {measured['max_difference']:.0e} from training, "
        f"loads in {measured['load_seconds']:.1f} s"
    )


class ServableCheckSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `ServableCheck`."""

    PARAMETERS = {name: ExecutionParameter(type=str) for name in ("gate", "override", "source_fingerprint")}
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
        **properties: str,
    ) -> None:
        """Makes the node.

        Args:
            model: the export.
            model_run: of the Trainer, with what the training path answered for the eval split.
            examples: with an `eval` split.
            **properties: `gate`: a `ServabilityGateOptions` as JSON; `override`: of `gates.override_for`;
                `source_fingerprint`: digest of the code behind this node.
        """
        super().__init__(
            ServableCheckSpec(
                model=model,
                model_run=model_run,
                examples=examples,
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
                **properties,
            )
        )
