"""The executor of ServableCheck: starts the probe, and judges its answers."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.contract import features
from components.contract.artifacts import contents_of
from components.contract.assets import read_labels
from components.contract.gates import FAIL, Check, Gate, Override
from components.exports.answers import Reference
from components.exports.table import EXPORT_FORMS, file_of, load_form
from components.files.paths import is_remote, read_bytes
from components.options.gates import ServabilityGateOptions
from components.servable_check.probe_process import run_probe
from components.servable_check.servability_gate import MEGABYTE, judge_answers

REPLAY_BATCH = 32
IMAGES_A_TIMEOUT = 1000  # gates.servability.timeout_seconds is for so many images
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
        model = path_utils.serving_model_path(artifact_utils.get_single_instance(input_dict["model"]).uri)
        model_run = artifact_utils.get_single_instance(input_dict["model_run"])
        request = make_request(model, input_dict["examples"], gate, list(read_truth(model_run.uri)))
        with tempfile.TemporaryDirectory(prefix="graft-pixels-") as folder:
            forms = find_forms(model)
            request |= {"pixels": os.path.join(folder, "pixels.float32")} if forms else {}
            answer, failure = run_probe(request, gate.timeout_seconds)
            measured: dict[str, Any] = {}
            checks = [Check("loads", "no", "yes", FAIL, failure)]
            if answer is not None:
                known = make_reference(read_labels(model), answer, model_run.uri)
                measured, checks = judge_answers(answer, known.trained, known.labels, size_on_disk(model), gate)
                for name in forms if "answers" in answer else ():
                    more, further = check_form(name, request, answer, known, gate)
                    measured, checks = measured | more, [*checks, *further]
        extra = {"judged": contents_of(input_dict), "measured": measured, **describe_odd_inputs(answer or {})}
        result = Gate(tuple(checks), extra=extra).overridden_by(Override.from_json(exec_properties["override"]))
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        mark_servable(blessing, result.lets_through)
        io_utils.write_string_file(os.path.join(blessing.uri, features.VERDICT_FILE), result.to_json())
        progress.info(describe_verdict(measured, result), extra={"done": True})


def make_request(
    model: str, examples: list[types.Artifact], gate: ServabilityGateOptions, known: list[str]
) -> dict[str, Any]:
    """Makes the request of the probe; `known`: sha256 of the images that the training path answered, a sample."""
    pattern = io_utils.all_files_pattern(artifact_utils.get_split_uri(examples, features.EVAL_SPLIT))
    return {
        "model": model,
        "records": sorted(fileio.glob(pattern)),
        "images": gate.images,
        "batch_size": REPLAY_BATCH,
        "image_feature": features.IMAGE,
        "sha256_feature": features.SHA256,
        "known": known,
    }


def find_forms(model: str) -> list[str]:
    """Lists the names of the further forms that an export has."""
    return [name for name in EXPORT_FORMS if fileio.exists(file_of(load_form(name), model))]


def make_reference(labels: list[str], answer: dict[str, Any], model_run: str) -> Reference:
    """Gathers what further forms are held against: what the SavedModel's probe and the Trainer answered."""
    served = {row["sha256"]: np.array(row["probabilities"], np.float32) for row in answer.get("answers", ())}
    return Reference(labels, served, read_predictions(model_run), read_truth(model_run))


def check_form(
    name: str, request: dict[str, Any], answered: dict[str, Any], known: Reference, gate: ServabilityGateOptions
) -> tuple[dict[str, Any], list[Check]]:
    """Runs the probe of a further form that the export has, and judges its answers.

    Args:
        name: of the form.
        request: of the SavedModel's probe.
        answered: by that probe.
        known: what the answers are held against.
        gate: tolerance and time.

    Returns:
        What was measured, and the checks.
    """
    form = load_form(name)
    images = len(known.trained) if form.ALL_IMAGES else len(known.served)
    asked = {**request, "images": -1 if form.ALL_IMAGES else request["images"], **form.settings()}
    asked |= {"digests": list(known.served), "pixels_shape": answered.get("pixels_shape")}
    timeout = gate.timeout_seconds * math.ceil(max(images, 1) / IMAGES_A_TIMEOUT)
    with local_copy(file_of(form, request["model"])) as asked["file"]:
        answer, failure = run_probe(asked, timeout, form.PROBE)
    if answer is None:
        return {}, [Check(f"{name}/loads", "no", "yes", FAIL, f"{form.FILE}: {failure}")]
    return form.judge(answer, known, gate)


@contextmanager
def local_copy(path: str) -> Iterator[str]:
    """Gives the path of a file on this machine: of a remote one a copy, as a probe may have nothing to open it with."""
    if not is_remote(path):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="graft-form-") as file:
        file.write(read_bytes(path))
        file.flush()
        yield file.name


def read_predictions(uri: str) -> dict[str, np.ndarray]:
    """Reads what the training path answered: sha256 to probabilities float32 [classes]."""
    return _read_run(uri, "probabilities")


def read_truth(uri: str) -> dict[str, int]:
    """Reads the label index of every eval image by its sha256."""
    return {digest: int(label) for digest, label in _read_run(uri, "labels").items()}


def _read_run(uri: str, column: str) -> dict[str, Any]:
    with fileio.open(os.path.join(uri, features.PREDICTIONS_FILE), "rb") as file:
        stored = np.load(file)
        return {key.decode(): row for key, row in zip(stored["sha256"], stored[column], strict=True)}


def size_on_disk(model: str) -> float:
    """Adds up the files of the export, in MB."""
    import tensorflow as tf

    places = [os.path.join(folder, name) for folder, _, names in tf.io.gfile.walk(model) for name in names]
    return sum(tf.io.gfile.stat(place).length for place in places) / MEGABYTE


def describe_odd_inputs(answer: dict[str, Any]) -> dict[str, Any]:
    """Gives what the signature made of each odd input, and of a batch with a bad row, for the record."""
    return {name: answer[name] for name in ("odd_inputs", "mixed_batch") if name in answer}


def mark_servable(blessing: types.Artifact, blessed: bool) -> None:
    """Says in the artifact whether the model is servable, as TFX's InfraValidator does."""
    io_utils.write_string_file(os.path.join(blessing.uri, "INFRA_BLESSED" if blessed else "INFRA_NOT_BLESSED"), "")
    blessing.set_int_custom_property("blessed", int(blessed))


def describe_verdict(measured: dict[str, Any], result: Gate) -> str:
    """Makes the line for the terminal."""
    if not result.passed:
        return f"{'overridden' if result.lets_through else 'not servable'}: {result.reasons[0]}"
    latency = f", {measured['p50_milliseconds_1']:.0f} ms an image" if "p50_milliseconds_1" in measured else ""
    sizes = {name: measured.get(f"{name.replace('-', '_')}_megabytes") for name in EXPORT_FORMS}
    forms = "".join(f", {name} {size:.1f} MB" for name, size in sizes.items() if size is not None)
    return (
        f"{measured['images']} images, {measured['max_difference']:.0e} from training, "
        f"loads in {measured['load_seconds']:.1f} s{latency}{forms}"
    )
