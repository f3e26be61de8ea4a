"""BaselineModel: the model that is being served now, and the best one ever pushed, as artifacts or typed "none"s.

TFX's way is a `Resolver` for the latest blessed model. Open-source Kubeflow Pipelines does not run resolvers, and the
latest blessed model is not what is being served after a rollback.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import io_utils, path_utils

from components.contract import features
from components.contract.assets import read_labels
from components.registry import verify, versions
from components.registry.baselines import Best, find_best, recall
from components.registry.peers import Peer

NONE, SERVED, BEST = "none", "served", "best"
progress = logging.getLogger("graft.progress")


class Executor(base_executor.BaseExecutor):
    """Copies the versions into artifacts, where they can be compared with the candidate.

    A served version that is no longer what was pushed stops the run; a best one is then only compared with as recorded.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `peer.json` into both artifacts, and the SavedModel where it can be compared."""
        candidate = artifact_utils.get_single_instance(input_dict["model"])
        serving = Path(exec_properties["serving_dir"])
        classes = read_labels(path_utils.serving_model_path(candidate.uri))
        version = choose_version(serving, exec_properties["version"])
        if version is not None:
            verify.check_baseline(serving, version)
        best = choose_best(serving, exec_properties["best"], exec_properties["version"])
        served = describe_peer(serving, version, None if version is None else recall(serving, version), classes)
        champion = describe_peer(serving, best.version if best else None, best, classes)
        if champion.exists and champion.version == served.version:
            champion = replace(champion, exists=False, reason="it is the version being served")
        for peer, name in ((served, "baseline_model"), (champion, "best_model")):
            write_peer(artifact_utils.get_single_instance(output_dict[name]), peer, serving)
        told = f"version {served.version}" if served.exists else f"none: {served.reason}"
        best_told = f", the best ever is version {champion.version}" if best and best.version != version else ""
        progress.info(f"{told}{best_told}", extra={"done": True})


def choose_version(serving: Path, wanted: str) -> int | None:
    """The version to compare with: `none`, `served` (what is being served now), or a number."""
    if wanted == SERVED:
        return versions.served_version(serving)
    return None if wanted == NONE else int(wanted)


def choose_best(serving: Path, wanted: str, version: str) -> Best | None:
    """The best version ever: `none`, `best`, or a number; empty: `best`, or `none` where `version` is `none`."""
    wanted = wanted or (NONE if version == NONE else BEST)
    if wanted == BEST:
        return find_best(serving)
    return None if wanted == NONE else recall(serving, int(wanted))


def describe_peer(serving: Path, version: int | None, recorded: Best | None, classes: list[str]) -> Peer:
    """What a version is to the candidate: comparable, or why not.

    Args:
        serving: the serving directory.
        version: None: there is none to compare with.
        recorded: what passports tell of that version.
        classes: of the candidate.
    """
    if version is None:
        return Peer(reason="no version is being served yet")
    reason = why_not_comparable(serving, version, classes)
    peer = Peer(version, exists=not reason, reason=reason)
    return replace(peer, accuracy=recorded.accuracy, examples=recorded.examples) if recorded else peer


def why_not_comparable(serving: Path, version: int, classes: list[str]) -> str:
    """Why a version cannot be compared with the candidate, or an empty string when it can."""
    if version not in versions.list_versions(serving):
        return f"version {version} is not in {serving}"
    if damage := verify.find_damage(serving, version):
        return f"version {version} is not as it was pushed ({damage})"
    known = read_labels(str(serving / str(version)))
    if known != classes:
        return f"version {version} knows other classes: {', '.join(known) or 'unknown'}"
    return ""


def write_peer(artifact: types.Artifact, peer: Peer, serving: Path) -> None:
    """Fills the artifact: `peer.json`, properties that tell the same, and a copy of the SavedModel if it exists."""
    artifact.set_int_custom_property("exists", int(peer.exists))
    artifact.set_string_custom_property("version", "" if peer.version is None else str(peer.version))
    artifact.set_string_custom_property("reason", peer.reason)
    io_utils.write_string_file(os.path.join(artifact.uri, features.PEER_FILE), json.dumps(asdict(peer), indent=2))
    if peer.exists:
        io_utils.copy_dir(str(serving / str(peer.version)), path_utils.serving_model_path(artifact.uri))


class BaselineModelSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `BaselineModel`."""

    PARAMETERS = {
        name: ExecutionParameter(type=str) for name in ("serving_dir", "version", "best", "source_fingerprint")
    }
    INPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS = {
        "baseline_model": ChannelParameter(type=standard_artifacts.Model),
        "best_model": ChannelParameter(type=standard_artifacts.Model),
    }


class BaselineModel(base_component.BaseComponent):
    """The served model, and the best one ever pushed, as artifacts for the Evaluator."""

    SPEC_CLASS = BaselineModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, model: types.BaseChannel, **properties: str) -> None:
        """Makes the node.

        Args:
            model: the candidate; a version with other classes is no baseline for it.
            **properties: `serving_dir`: where versions are pushed; `version`: `served`, `none`, or the number of a
                version; `best`: `best`, `none`, a number, or empty: `best`, or `none` where `version` is;
                `source_fingerprint`: digest of the code behind this node.
        """
        super().__init__(
            BaselineModelSpec(
                model=model,
                baseline_model=types.Channel(type=standard_artifacts.Model),
                best_model=types.Channel(type=standard_artifacts.Model),
                **properties,
            )
        )
