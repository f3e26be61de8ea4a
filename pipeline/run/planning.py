"""From a configuration and its data to a `Plan`: all facts that the DAG depends on, found out before it is built."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from components.contract.gates import Override
from components.example_gen.scan import Scan
from components.files.digests import digest_path
from components.files.paths import is_remote
from components.options.trainer import TrainerOptions
from components.process.lines import library_versions
from components.registry import verify, versions
from components.registry.baselines import RecordedVersion, best_of_passport, find_best
from components.registry.find import find_version_of
from components.trainer.backbones.table import find_bringer, package_facts
from pipeline.config.configuration import Config, Plan, model_key
from pipeline.config.overrides import read_override
from pipeline.fingerprint import lock_digest, node_fingerprints
from pipeline.workdir import Workdir

Detail = Literal["quiet", "normal", "verbose"]  # the end alone; a line a node; those of the log as well


@dataclass(frozen=True)
class RunOptions:
    """What the command line asks of a run, beside its configuration.

    Attributes:
        enable_cache: False executes every node again.
        verify: read every file, also those that look unchanged since an earlier run.
        if_changed: end at once where the model that would come out is being served already.
        override: who lets which gates say no without stopping, and why.
        expected_data: fingerprint that the data must have; empty: any.
        command: as it was typed, for the record; empty: the run was not started from a command line.
        detail: what the terminal shows: see `Detail`.
    """

    enable_cache: bool = True
    verify: bool = False
    if_changed: bool = False
    override: Override | None = None
    expected_data: str = ""
    command: str = ""
    detail: Detail = "normal"


def make_plan(config: Config, workdir: Workdir, scan: Scan, options: RunOptions, sources: dict[str, str]) -> Plan:
    """Finds out what the DAG depends on: the data's fingerprint, the code's, and the served version.

    Args:
        config: checked.
        workdir: the working directory.
        scan: of the data.
        options: of the command line.
        sources: digest of the code behind each node.
    """
    digest = scan.dataset["fingerprint"]
    libraries, weights = library_versions(), hash_weights(config.trainer)
    key = model_key(config, digest, node_fingerprints(sources, libraries), weights)
    parent, best = find_baselines(workdir.serving, key, options.enable_cache)
    if config.data.corrections:
        data = config.data.model_copy(update={"corrections": absolute(config.data.corrections)})
        config = config.model_copy(update={"data": data})
    return Plan(
        config=config,
        workdir=workdir.root,
        data_path=absolute(scan.listing.root),
        data_fingerprint=digest,
        sources=sources,
        libraries=libraries,
        weights_sha256=weights,
        baseline="none" if parent is None else str(parent),
        best="none" if best is None else str(best.version),
        parent=parent,
        enable_cache=options.enable_cache,
        override=options.override or find_override(workdir.serving, key),
        lock_sha256=lock_digest(),
    )


def find_override(serving: Path, key: str) -> Override | None:
    """The override by which this very model was pushed, so that an identical run is an identical plan."""
    held = find_version_of(serving, key)
    return read_override(versions.read_passport(serving / str(held))) if held is not None else None


def hash_weights(trainer: TrainerOptions) -> str:
    """Digest of what the backbone starts from: its files, and packages that build it; empty where there is none."""
    own = find_bringer(trainer.backbone)
    path = own.path_in(trainer.backbone) if own else ""
    found = [own.digest(path)] if own and path else []
    paths = [] if trainer.weights in ("imagenet", "none") else [trainer.weights]
    built_by = package_facts(trainer.backbone)
    packages = [hashlib.sha256(json.dumps(built_by, sort_keys=True).encode()).hexdigest()] if built_by else []
    return "".join([*found, *(digest_path(path) for path in paths), *packages])


def find_baselines(serving: Path, key: str, enable_cache: bool) -> tuple[int | None, RecordedVersion | None]:
    """The versions that a candidate is compared with: the served one, and the best one ever pushed.

    Where this very model is being served already, or was taken back for the one that it was compared with, they are
    those that it was compared with itself, so that an identical run is an identical plan and nothing is executed again.

    Raises:
        InputError: the served version is not as it was pushed, and this run would not push its model anew.
    """
    served, held = versions.served_version(serving), find_version_of(serving, key)
    if served is None:
        return None, None
    if held != served:
        verify.check_baseline(serving, served)
    if held is not None and (enable_cache or verify.find_damage(serving, held)):
        passport = versions.read_passport(serving / str(held))
        parent = passport.get("parent")
        if held == served or parent == served:
            return None if parent is None else int(parent), best_of_passport(passport)
    return served, find_best(serving)


def absolute(path: str) -> str:
    """A local path in full, so that it means the same for every node; a remote one as it is."""
    return path if is_remote(path) else str(Path(path).resolve())
