"""The Pusher: a version is published complete or not at all, under a number that only grows.

Beside the model, a version holds what data it is made of: its statistics, which the next run's DataGate compares
with, its counts, and the digests of its manifest and of its split.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.pusher import executor as stock
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter
from tfx.types.standard_component_specs import PusherSpec as StockSpec
from tfx.utils import json_utils

from components import features, versions
from components.artifacts import DataVerdict, Manifest, read_verdicts
from components.gates import DATA, QUALITY, SERVABILITY, used_override

LOCK_FILE = ".push.lock"
PARTIAL_PREFIX = ".partial-"
VERDICTS = {DATA: "data_verdict", QUALITY: "evaluation", SERVABILITY: "infra_blessing"}  # gate: input with its verdict
progress = logging.getLogger("graft.progress")


@dataclass(frozen=True)
class Data:
    """What a model is made of: the folders of a Manifest and of an ExampleStatistics artifact."""

    manifest: Path
    statistics: Path


class Executor(stock.Executor):
    """TFX's Pusher with an atomic publish; runs where both blessings are given."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Publishes the model if both gates blessed it; marks the artifact either way."""
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            progress.info("not pushed: a gate said no", extra={"done": True})
            return
        custom = json.loads(exec_properties["custom_config"])
        data = Data(*(Path(artifact_utils.get_single_uri(input_dict[name])) for name in ("manifest", "statistics")))
        uris = {gate: artifact_utils.get_single_uri(input_dict[channel]) for gate, channel in VERDICTS.items()}
        passport = {**custom["passport"], "override": used_override(read_verdicts(uris))}
        version = publish_model(Path(self.GetModelPath(input_dict)), Path(custom["serving_dir"]), passport, data)
        self._MarkPushed(pushed, pushed_destination=str(version))
        progress.info(f"version {version.name}", extra={"done": True})


def publish_model(model: Path, serving: Path, passport: dict[str, Any], data: Data | None = None) -> Path:
    """Copies a SavedModel beside the served versions, syncs it, and renames it into place.

    A model that is the newest version already (a push that was killed before it was recorded) is not pushed twice.

    Args:
        model: a SavedModel with `assets/graft.json`.
        serving: the serving directory.
        passport: where the model comes from; version, time, weights and data set are added.
        data: goes into `assets.extra/`, where servers do not look; None: nothing is known of it.

    Returns:
        The folder of the version.
    """
    serving.mkdir(parents=True, exist_ok=True)
    facts = json.loads((model / "assets" / features.FACTS_ASSET).read_text("utf-8"))
    with _push_lock(serving):
        for leftover in serving.glob(f"{PARTIAL_PREFIX}*"):
            shutil.rmtree(leftover)
        existing = versions.list_versions(serving)
        if existing and _is_same_model(serving / str(existing[-1]), passport, facts):
            return serving / str(existing[-1])
        version = next_version(existing, int(time.time()))
        partial = serving / f"{PARTIAL_PREFIX}{version}"
        shutil.copytree(model, partial)
        full = {
            **passport,
            "version": version,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "model": facts,
        }
        if data is not None:
            copy_data(data, partial / features.EXTRA_ASSETS)
            full["dataset"] = describe_data(data.manifest)
        (partial / versions.PASSPORT_FILE).write_text(json.dumps(full, indent=2, sort_keys=True), "utf-8")
        _sync_tree(partial)
        os.rename(partial, serving / str(version))
        _sync_path(serving)
    return serving / str(version)


def copy_data(data: Data, target: Path) -> None:
    """Copies the statistics of each split and the counts of the data set."""
    for split in sorted(data.statistics.glob("Split-*")):
        shutil.copytree(split, target / features.STATISTICS_ASSETS / split.name)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy2(data.manifest / features.DATASET_FILE, target / features.DATASET_FILE)


def describe_data(manifest: Path) -> dict[str, Any]:
    """The data set as the passport has it.

    Returns:
        `train`, `eval` and `quarantined` counts; `manifest_sha256` of the manifest's bytes; `split_sha256` over the
        sorted lines `<sha256> <side>` of its examples, so that it says who was on which side, whatever the names.
    """
    dataset = json.loads((manifest / features.DATASET_FILE).read_text("utf-8"))
    digest, sides = hashlib.sha256(), []
    with open(manifest / features.MANIFEST_FILE, "rb") as file:
        for line in file:
            digest.update(line)
            row = json.loads(line)
            if not row.get("reason") and not row.get("ignored"):
                sides.append(f"{row['sha256']} {row['split']}\n")
    return {
        **{name: dataset[name] for name in (features.TRAIN_SPLIT, features.EVAL_SPLIT, "quarantined")},
        "manifest_sha256": digest.hexdigest(),
        "split_sha256": hashlib.sha256("".join(sorted(sides)).encode()).hexdigest(),
    }


def next_version(existing: list[int], now: int) -> int:
    """The time in seconds, or one more than the newest version where the clock stepped back."""
    return max(now, existing[-1] + 1) if existing else now


def _is_same_model(version: Path, passport: dict[str, Any], facts: dict[str, Any]) -> bool:
    pushed = versions.read_passport(version)
    return pushed.get("model_key") == passport["model_key"] and pushed.get("model") == facts


@contextmanager
def _push_lock(serving: Path) -> Iterator[None]:
    """One push at a time; the system frees the lock when its holder dies."""
    with open(serving / LOCK_FILE, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync_tree(folder: Path) -> None:
    for current, _, files in os.walk(folder):
        for name in files:
            _sync_path(Path(current, name))
        _sync_path(Path(current))


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class PusherSpec(StockSpec):
    """The stock specification, and what the data was; nothing is optional."""

    INPUTS = {
        **{name: ChannelParameter(type=row.type) for name, row in StockSpec.INPUTS.items()},
        "manifest": ChannelParameter(type=Manifest),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "data_verdict": ChannelParameter(type=DataVerdict),
    }


class Pusher(base_component.BaseComponent):
    """TFX's Pusher with two more inputs; what the stock node can do without is required here."""

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        push_destination: pusher_pb2.PushDestination,
        custom_config: dict[str, Any],
        **inputs: types.BaseChannel,
    ) -> None:
        """Makes the node.

        Args:
            push_destination: a folder, as TFX's Pusher takes it.
            custom_config: `serving_dir`, `passport`, and `source_fingerprint`: digest of the code behind this node.
            **inputs: `model`, `model_blessing`, `infra_blessing`, `manifest`, `statistics`, `evaluation` and
                `data_verdict`, none left out.

        Raises:
            ValueError: an input is missing.
        """
        super().__init__(
            PusherSpec(
                push_destination=push_destination,
                custom_config=json_utils.dumps(custom_config),
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
                **inputs,
            )
        )
