"""BaselineModel: the model that is being served now, as an artifact, or a typed "none".

TFX's way is a `Resolver` for the latest blessed model. Open-source Kubeflow Pipelines does not run resolvers, and the
latest blessed model is not what is being served after a rollback.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import io_utils, path_utils

from components import features, versions

NONE, SERVED = "none", "served"
progress = logging.getLogger("graft.progress")


class Executor(base_executor.BaseExecutor):
    """Copies the served version into an artifact, where it can be compared with the candidate."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Sets `exists`, `version` and `reason` on the artifact; copies the SavedModel where there is one."""
        candidate = artifact_utils.get_single_instance(input_dict["model"])
        baseline = artifact_utils.get_single_instance(output_dict["baseline_model"])
        serving = Path(exec_properties["serving_dir"])
        version = choose_version(serving, exec_properties["version"])
        reason = why_not_comparable(serving, version, read_labels(Path(path_utils.serving_model_path(candidate.uri))))
        baseline.set_int_custom_property("exists", int(not reason))
        baseline.set_string_custom_property("version", "" if version is None else str(version))
        baseline.set_string_custom_property("reason", reason)
        if not reason:
            io_utils.copy_dir(str(serving / str(version)), path_utils.serving_model_path(baseline.uri))
        progress.info(f"none: {reason}" if reason else f"version {version}", extra={"done": True})


def choose_version(serving: Path, wanted: str) -> int | None:
    """The version to compare with: `none`, `served` (what is being served now), or a number."""
    if wanted == SERVED:
        return versions.served_version(serving)
    return None if wanted == NONE else int(wanted)


def why_not_comparable(serving: Path, version: int | None, classes: list[str]) -> str:
    """Why there is no baseline, or an empty string when there is one."""
    if version is None:
        return "no version is being served yet"
    if version not in versions.list_versions(serving):
        return f"version {version} is not in {serving}"
    served = read_labels(serving / str(version))
    if served != classes:
        return f"version {version} knows other classes: {', '.join(served) or 'unknown'}"
    return ""


def read_labels(model: Path) -> list[str]:
    """The class names of a SavedModel; empty for a model that Graft did not export."""
    path = model / "assets" / features.LABELS_ASSET
    return path.read_text("utf-8").splitlines() if os.path.exists(path) else []


class BaselineModelSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `BaselineModel`."""

    PARAMETERS = {
        "serving_dir": ExecutionParameter(type=str),
        "version": ExecutionParameter(type=str),
        "source_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS = {"baseline_model": ChannelParameter(type=standard_artifacts.Model)}


class BaselineModel(base_component.BaseComponent):
    """The served model as an artifact, for the Evaluator."""

    SPEC_CLASS = BaselineModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, model: types.BaseChannel, serving_dir: str, version: str, source_fingerprint: str) -> None:
        """Makes the node.

        Args:
            model: the candidate; a version with other classes is no baseline for it.
            serving_dir: where versions are pushed.
            version: `served`, `none`, or the number of a version.
            source_fingerprint: digest of the code behind this node, part of the cache key.
        """
        super().__init__(
            BaselineModelSpec(
                model=model,
                serving_dir=serving_dir,
                version=version,
                source_fingerprint=source_fingerprint,
                baseline_model=types.Channel(type=standard_artifacts.Model),
            )
        )
