"""The Pusher's executor: a version is published complete or not at all, under a number that only grows."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.pusher import executor as stock
from tfx.types import artifact_utils

from components import features, versions

LOCK_FILE = ".push.lock"
PARTIAL_PREFIX = ".partial-"
progress = logging.getLogger("graft.progress")


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
        version = publish_model(Path(self.GetModelPath(input_dict)), Path(custom["serving_dir"]), custom["passport"])
        self._MarkPushed(pushed, pushed_destination=str(version))
        progress.info(f"version {version.name}", extra={"done": True})


def publish_model(model: Path, serving: Path, passport: dict[str, Any]) -> Path:
    """Copies a SavedModel beside the served versions, syncs it, and renames it into place.

    A model that is the newest version already (a push that was killed before it was recorded) is not pushed twice.

    Args:
        model: a SavedModel with `assets/graft.json`.
        serving: the serving directory.
        passport: where the model comes from; version, time and weights are added.

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
        (partial / versions.PASSPORT_FILE).write_text(json.dumps(full, indent=2, sort_keys=True), "utf-8")
        _sync_tree(partial)
        os.rename(partial, serving / str(version))
        _sync_path(serving)
    return serving / str(version)


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
