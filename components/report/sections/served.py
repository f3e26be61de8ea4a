"""The candidate against the version that was served when the run began: data, options, accuracy, changed answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from components.contract import features
from components.files.paths import exists, read_bytes
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.section import Facts

TITLE = "Against the served version"
TEMPLATE = "served.html"
SHOWN = {"lost": 24, "gained": 24, "other": 12}  # images of each kind
CLASSES_SHOWN = 60  # rows of classes, those that moved most
OPTIONS_SHOWN = 100
HEADLINES = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "top_k": "Right among the first answers",
    "auc": "Area under the ROC curve",
    "log_loss": "Log loss (lower is better)",
    "ece": "Calibration error (lower is better)",
}
MODELS = {"before": "baseline", "now": "candidate"}  # names of the Evaluator
Rows = list[dict[str, Any]]


def gather(inputs: ReportInputs, pictures: Pictures) -> Facts | str:
    """Gathers both versions side by side; a sentence where there is no version to compare with."""
    if not inputs.baseline.exists:
        return describe_absence(inputs)
    passport, dataset = (
        read_served(inputs, name)
        for name in (features.PASSPORT_FILE, os.path.join(features.EXTRA_ASSETS, features.DATASET_FILE))
    )
    classes, table = compare_classes(inputs, dataset), inputs.outcomes
    evaluated = table is not None and "baseline/predicted" in table.column_names
    return {
        "version": inputs.baseline.version,
        "created": passport.get("created", ""),
        "counts": [
            (
                split,
                dataset.get(split),
                inputs.dataset.get(split, 0),
                _change(dataset.get(split), inputs.dataset, split),
            )
            for split in features.SPLITS
        ],
        "classes": classes[:CLASSES_SHOWN],
        "more_classes": max(len(classes) - CLASSES_SHOWN, 0),
        "same_classes": len(inputs.dataset.get("classes", [])) - len(classes),
        "has_counts": bool(dataset),
        **compare_passports(passport, inputs.passport),
        "metrics": compare_metrics(inputs.metrics),
        "accuracy": compare_accuracy(inputs, table) if table is not None and evaluated else None,
        "why_not_evaluated": "" if evaluated else _why_not_evaluated(inputs),
        "changed": find_changed(inputs, table, pictures) if table is not None and evaluated else {},
    }


def describe_absence(inputs: ReportInputs) -> str:
    """Says in one sentence why there is no version to compare with."""
    if inputs.baseline.version is None:
        return f"There is nothing to compare with: {inputs.baseline.reason}."
    return f"The served version {inputs.baseline.version} cannot be compared: {inputs.baseline.reason[:400]}."


def _why_not_evaluated(inputs: ReportInputs) -> str:
    held = inputs.metrics.get("candidate", {}).get("held_against", {}).get("baseline") or {}
    return held.get("reason", "") or "the run did not evaluate it"


def read_served(inputs: ReportInputs, name: str) -> dict[str, Any]:
    """Reads a JSON file of the served version; empty where the version has none, as one that Graft did not push."""
    path = os.path.join(inputs.baseline_model, name)
    return dict(json.loads(read_bytes(path))) if exists(path) else {}


def _change(before: int | None, dataset: dict[str, Any], split: str) -> int | None:
    return None if before is None else int(dataset.get(split, 0)) - before


def compare_classes(inputs: ReportInputs, dataset: dict[str, Any]) -> Rows:
    """Compares counts of images and accuracy of each class; rows of classes that moved, the largest moves first."""
    counts = {"before": dataset.get("per_class", {}), "now": inputs.dataset.get("per_class", {})}
    accuracy = {name: inputs.metrics.get(key, {}).get("per_class", {}) for name, key in MODELS.items()}
    rows = []
    for label in inputs.labels:
        row: dict[str, Any] = {"name": label}
        for split in features.SPLITS:
            row[split] = [counts[when].get(split, {}).get(label) for when in MODELS]
        row["accuracy"] = [accuracy[when].get(label, {}).get("accuracy") for when in MODELS]
        if any(before != now for before, now in (row["train"], row["eval"], row["accuracy"])):
            rows.append(row)
    return sorted(rows, key=_moved, reverse=True)


def _moved(row: dict[str, Any]) -> tuple[float, int]:
    before, now = row["accuracy"]
    images = sum(abs((row[split][1] or 0) - (row[split][0] or 0)) for split in features.SPLITS)
    return abs((now or 0.0) - (before or 0.0)), images


def compare_passports(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Compares options, libraries and code of two passports.

    Returns:
        `options` and `libraries`: rows (name, before, now); `more_options`: how many are not among them; `code`: nodes
        whose code is another one; `known`: whether the served version has a passport.
    """
    from components.registry.compare import diff_sections, flatten_sections

    found = diff_sections(flatten_sections(before), flatten_sections(now))
    options = list(_to_rows(found["configuration"], "config."))
    return {
        "known": bool(before),
        "options": options[:OPTIONS_SHOWN],
        "more_options": max(len(options) - OPTIONS_SHOWN, 0),
        "libraries": [row for row in _to_rows(found["libraries"], "libraries.") if None not in row],
        "code": [key.removeprefix("sources.") for key in found["code"] if key.startswith("sources.")],
    }


def _to_rows(pairs: dict[str, tuple[Any, Any]], prefix: str) -> Iterator[tuple[str, Any, Any]]:
    for key, values in pairs.items():
        before, now = (None if value is None else _to_text(value) for value in values)
        yield key.removeprefix(prefix), before, now


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def compare_metrics(metrics: dict[str, Any]) -> Rows:
    """Compares the headline metrics that both models have."""
    models = [metrics.get(key, {}) for key in MODELS.values()]
    return [
        {"name": words, "before": values[0], "now": values[1], "change": values[1] - values[0]}
        for name, words in HEADLINES.items()
        if None not in (values := [model.get(name) for model in models])
    ]


def compare_accuracy(inputs: ReportInputs, table: pa.Table) -> dict[str, Any]:
    """Compares the accuracy of both versions on the same images, with what the quality gate said of the difference."""
    labels = table["label"].to_numpy()
    before, now = (table[f"{model}/predicted"].to_numpy() == labels for model in MODELS.values())
    checks = inputs.gates.get("quality", {}).get("checks", [])
    gate = next((check for check in checks if check["name"] == "accuracy_drop"), None)
    return {**pair_accuracy(before, now, inputs.metrics.get("candidate", {}).get("confidence", 0.95)), "gate": gate}


def pair_accuracy(before: np.ndarray, now: np.ndarray, confidence: float) -> dict[str, Any]:
    """Gives the difference of two accuracies with its interval, by the statistics of the quality gate.

    Args:
        before: bool [images], whether the first model was right.
        now: the same of the second one, for the same images.
        confidence: of both sides of the interval together.

    Returns:
        `before`, `now`, their `difference` and its `interval`, all -1..1; `confidence`; counts: `images`, `lost` (newly
        wrong), `gained` (newly right).
    """
    from components.contract.statistics import count_pairs, loss_bounds

    pair = count_pairs(before, now)
    low, high = loss_bounds(pair, (1 + confidence) / 2)  # each bound is one-sided
    return {
        "before": float(before.mean()),
        "now": float(now.mean()),
        "difference": -pair.loss,
        "interval": [-high, -low],
        "confidence": confidence,
        "images": pair.images,
        "lost": pair.lost,
        "gained": pair.gained,
    }


def find_changed(inputs: ReportInputs, table: pa.Table, pictures: Pictures) -> dict[str, Any]:
    """Finds the images whose answer changed: `lost`, newly wrong, with activation maps; `gained`; `other`, still wrong.

    Returns:
        {kind: {`count`, `cards`}}; in each kind those first of which the candidate is surest.
    """
    labels, before, now = (table[name].to_numpy() for name in ("label", "baseline/predicted", "candidate/predicted"))
    changed, right, was_right = before != now, now == labels, before == labels
    sure = table["candidate/probability"].to_numpy()
    kinds = {"lost": changed & was_right, "gained": changed & right, "other": changed & ~right & ~was_right}
    found = {}
    for kind, mask in kinds.items():
        places = np.flatnonzero(mask)
        chosen = places[np.argsort(-sure[places], kind="stable")][: SHOWN[kind]]
        rows = table.take(pa.array(chosen)).to_pylist()
        found[kind] = {
            "count": len(places),
            "cards": [make_card(row, inputs.labels, pictures, with_map=kind == "lost") for row in rows],
        }
    return found


def make_card(row: dict[str, Any], labels: list[str], pictures: Pictures, with_map: bool) -> dict[str, Any]:
    """Makes the card of an eval image: its picture, and what both models answer."""
    answers = {
        when: f"{labels[row[f'{model}/predicted']]} ({row[f'{model}/probability']:.0%})"
        for when, model in MODELS.items()
    }
    return {
        "key": pictures.want(row["sha256"]),
        "map": pictures.want_map(row["sha256"]) if with_map else "",
        "name": row["name"],
        "lines": [f"label: {labels[row['label']]}", f"served: {answers['before']}", f"now: {answers['now']}"],
    }
