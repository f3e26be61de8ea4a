"""BaselineModel: the served baseline and the best baseline of a candidate, as artifacts or typed "none"s.

The served baseline is the model that is being served now, the best baseline the best one ever pushed. TFX's way is a
`Resolver` for the latest blessed model. Open-source Kubeflow Pipelines does not run resolvers, and the latest blessed
model is not what is being served after a rollback.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils, path_utils

from components.contract import features
from components.contract.artifacts import Artifacts, Baseline
from components.contract.assets import read_labels
from components.contract.nodes import PlainNode
from components.registry import verify, versions
from components.registry.baselines import RecordedVersion, choose_baseline, choose_best, find_recorded

progress = logging.getLogger("graft.progress")


class Executor(base_executor.BaseExecutor):
    """Copies the baselines into artifacts, where they can be compared with the candidate.

    A served version that is not as it was pushed stops the run; of a best one, its recorded accuracy counts then.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Writes `baseline.json` into both artifacts, and the SavedModel where it can be compared."""
        candidate = artifact_utils.get_single_instance(input_dict["model"])
        serving = Path(exec_properties["serving_dir"])
        classes = read_labels(path_utils.serving_model_path(candidate.uri))
        version = choose_baseline(serving, exec_properties["version"])
        if version is not None:
            verify.check_baseline(serving, version)
        recorded = choose_best(serving, exec_properties["best"], exec_properties["version"])
        served = describe_baseline(
            serving, version, None if version is None else find_recorded(serving, version), classes
        )
        best = describe_baseline(serving, recorded.version if recorded else None, recorded, classes)
        if best.exists and best.version == served.version:
            best = replace(best, exists=False, reason="it is the version being served")
        for baseline, name in ((served, "baseline_model"), (best, "best_model")):
            write_baseline(artifact_utils.get_single_instance(output_dict[name]), baseline, serving)
        told = f"version {served.version}" if served.exists else f"none: {served.reason}"
        best_told = f", the best ever is version {best.version}" if best.version not in (None, version) else ""
        progress.info(f"{told}{best_told}", extra={"done": True})


def describe_baseline(
    serving: Path, version: int | None, recorded: RecordedVersion | None, classes: list[str]
) -> Baseline:
    """Describes a version as a baseline: comparable with the candidate, or why not.

    Args:
        serving: the serving directory.
        version: None: there is none to compare with.
        recorded: that version as passports record it.
        classes: of the candidate.
    """
    if version is None:
        return Baseline(reason="no version is being served yet")
    reason = why_not_comparable(serving, version, classes)
    found = Baseline(version, exists=not reason, reason=reason)
    return replace(found, accuracy=recorded.accuracy, examples=recorded.examples) if recorded else found


def why_not_comparable(serving: Path, version: int, classes: list[str]) -> str:
    """Says why a version cannot be compared with the candidate; an empty text when it can."""
    if version not in versions.list_versions(serving):
        return f"version {version} is not in {serving}"
    if damage := verify.find_damage(serving, version):
        return f"version {version} is not as it was pushed ({damage})"
    known = read_labels(str(serving / str(version)))
    if known != classes:
        return f"version {version} knows other classes: {', '.join(known) or 'unknown'}"
    return ""


def write_baseline(artifact: types.Artifact, baseline: Baseline, serving: Path) -> None:
    """Fills the artifact: `baseline.json`, properties that tell the same, and a copy of the SavedModel if it exists."""
    version = "" if baseline.version is None else str(baseline.version)
    artifact.set_int_custom_property("exists", int(baseline.exists))
    artifact.set_string_custom_property("version", version)
    artifact.set_string_custom_property("reason", baseline.reason)
    io_utils.write_string_file(os.path.join(artifact.uri, features.BASELINE_FILE), json.dumps(asdict(baseline)))
    if baseline.exists:
        io_utils.copy_dir(str(serving / version), path_utils.serving_model_path(artifact.uri))


class BaselineModel(PlainNode):
    """Gives the Evaluator the served and the best baseline; a version with other classes than `model`'s is none.

    `version` is that of `serving_dir` to compare with: `served`, `none` or a number. `best` is `best`, `none`, a
    number, or empty: `best`, or `none` where `version` is.
    """

    EXECUTOR = Executor
    INPUTS = {"model": standard_artifacts.Model}
    OUTPUTS = {"baseline_model": standard_artifacts.Model, "best_model": standard_artifacts.Model}
    PARAMETERS = ("serving_dir", "version", "best", "source_fingerprint")
