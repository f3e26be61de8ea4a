"""The passport of a version: where its model comes from, how good it is, and the digest of every file."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.contract import features
from components.files.paths import opened
from components.process.lines import library_versions, line_name
from components.registry.card.facts import Sources
from components.registry.card.fields import given_card, list_fields, list_open

CORRECTED = ("corrected", "excluded", "corrections_sha256")  # entries of `dataset.json`


@dataclass(frozen=True)
class Data:
    """Data and quality of a model: the URIs of four artifacts, and the verdicts.

    Attributes:
        manifest: Manifest.
        statistics: ExampleStatistics.
        evaluation: ModelEvaluation; empty: not evaluated.
        model_run: ModelRun; empty: nothing is known of the training.
        verdicts: {gate: the content of its `verdict.json`}.
    """

    manifest: str
    statistics: str
    evaluation: str = ""
    model_run: str = ""
    verdicts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """Content of a version: the model's `assets/graft.json`, and sha256 of each copied file by its path."""

    facts: dict[str, Any]
    model_files: dict[str, str]
    data_files: dict[str, str]


def complete_passport(passport: dict[str, Any], material: Material, data: Data | None) -> dict[str, Any]:
    """Completes the plan's passport with the entries that only the Pusher knows.

    Returns:
        The passport without its `version`: as given, with `created`, `tfx_line`, `libraries` {name: version}, `model`,
        `class_map` {class: index}, `seeds`, `card`, `files` {path: sha256} of model and data; with data also
        `dataset`, `metrics` of the candidate.
    """
    facts = material.facts
    full = {
        **passport,
        **describe_libraries(passport),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "model": facts,
        "class_map": {name: index for index, name in enumerate(facts["classes"])},
        "seeds": {"trainer": facts.get("seed")},
        "card": describe_card(passport, facts),
        "files": dict(sorted({**material.model_files, **material.data_files}.items())),
    }
    if data is not None:
        full["dataset"] = describe_data(data.manifest)
        if data.evaluation:
            full["metrics"] = read_json(os.path.join(data.evaluation, features.EVALUATION_FILE))["candidate"]
    return full


def describe_libraries(passport: dict[str, Any]) -> dict[str, Any]:
    """Describes this process's libraries: a compiled pipeline may run in an image of another TFX line.

    Args:
        passport: as the plan knew it.

    Returns:
        `tfx_line`, `libraries`, and `lock_sha256`, which is empty where the plan's lock is that of another line.
    """
    libraries = library_versions()
    line = line_name(libraries["tfx"])
    planned = line_name(passport.get("libraries", {}).get("tfx", libraries["tfx"]))
    return {
        "tfx_line": line,
        "libraries": libraries,
        "lock_sha256": passport.get("lock_sha256", "") if planned == line else "",
    }


def describe_data(manifest: str) -> dict[str, Any]:
    """Describes the data set as the passport has it.

    Args:
        manifest: URI of a Manifest artifact.

    Returns:
        `train`, `eval` and `quarantined` counts; with corrections also `corrected` and `excluded`, and
        `corrections_sha256` of their file; `manifest_sha256` of the manifest's bytes; `split_sha256` over the
        sorted lines `<sha256> <side>` of its examples, so that it says who was on which side, whatever the names.
    """
    dataset = read_json(os.path.join(manifest, features.DATASET_FILE))
    digest, sides = hashlib.sha256(), []
    with opened(os.path.join(manifest, features.MANIFEST_FILE)) as file:
        for line in file:
            digest.update(line)
            row = json.loads(line)
            if not row.get("reason") and not row.get("ignored"):
                sides.append(f"{row['sha256']} {row['split']}\n")
    return {
        **{name: dataset[name] for name in (features.TRAIN_SPLIT, features.EVAL_SPLIT, "quarantined")},
        **({name: dataset[name] for name in CORRECTED} if dataset.get("corrections_sha256") else {}),
        "manifest_sha256": digest.hexdigest(),
        "split_sha256": hashlib.sha256("".join(sorted(sides)).encode()).hexdigest(),
    }


def read_sources(data: Data | None) -> Sources:
    """Reads what a card tells beside the passport."""
    if data is None:
        return Sources()
    return Sources(
        metrics=read_json(os.path.join(data.evaluation, features.EVALUATION_FILE)) if data.evaluation else {},
        verdicts=data.verdicts,
        dataset=read_json(os.path.join(data.manifest, features.DATASET_FILE)),
        training=read_json(os.path.join(data.model_run, features.HISTORY_FILE)) if data.model_run else {},
    )


def describe_card(passport: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Describes the card of a version as the passport has it.

    Args:
        passport: with its configuration.
        facts: the model's `assets/graft.json`.

    Returns:
        `fields`: how many a person is asked to fill; `open`: the options below `card:` that nobody has filled.
    """
    weights = facts.get("weights") or {}
    return {"fields": len(list_fields(weights)), "open": list_open(given_card(passport), weights)}


def read_json(path: str) -> dict[str, Any]:
    """Reads the object in a local or remote JSON file."""
    with opened(path) as file:
        return dict(json.loads(file.read().decode("utf-8")))
