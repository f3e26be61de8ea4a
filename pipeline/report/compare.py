"""`report-compare-A-B.html`: two runs of one working directory side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from components.contract import features
from components.errors import InputError
from components.files.paths import write_atomically
from components.report.inputs import ReportInputs
from components.report.page import render_comparison
from components.report.sections.served import HEADLINES, compare_passports, pair_accuracy
from pipeline.report.inputs import read_inputs
from pipeline.report.page import find_content, make_inputs, read_summary

CLASSES_SHOWN = 100  # rows of classes, those that differ most
CHECK = " gate, "  # between the names of a gate and of its check
COUNTS = {
    "found": "Files found",
    "train": "Train images",
    "eval": "Eval images",
    "quarantined": "Rejected",
    "duplicates": "Copies left out",
}
Pairs = list[dict[str, Any]]  # rows: `name`, `first`, `second`


@dataclass(frozen=True)
class ComparedRun:
    """One of two runs: its folder, with `summary.json`, and the feature store of its working directory."""

    folder: Path
    features_dir: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The record of the run."""
        return read_summary(self.folder)

    @cached_property
    def inputs(self) -> ReportInputs:
        """What the run's page is made of, as far as it is still there."""
        return make_inputs(self.folder, self.summary, read_inputs(self.folder), self.features_dir)

    @cached_property
    def sections(self) -> dict[str, Any]:
        """What the run's page shows: {section: its facts, None where there are none}; empty where none was gathered."""
        content = find_content(read_inputs(self.folder).get("artifacts", {}))
        return {name: row["facts"] for name, row in content["sections"].items()} if content else {}

    @cached_property
    def passport(self) -> dict[str, Any]:
        """The plan's passport; of a run that ended before there was a plan, its configuration alone."""
        config = self.folder / "config.yaml"
        if self.inputs.passport or not config.is_file():
            return dict(self.inputs.passport)
        return {"config": yaml.safe_load(config.read_text("utf-8"))}

    def describe(self) -> dict[str, Any]:
        """Describes the run: its id, how it ended, its accuracy, its charts, and whether it has a page."""
        metrics, learning = self.summary.get("metrics", {}), self.sections.get("learning") or {}
        return {
            "id": self.folder.name,
            **{name: self.summary.get(name) for name in ("status", "command", "model")},
            "reasons": self.summary.get("reasons", []),
            "accuracy": metrics.get("accuracy"),
            "interval": metrics.get("intervals", {}).get("accuracy"),
            "examples": metrics.get("examples", 0),
            "charts": learning.get("charts", []),
            "page": (self.folder / features.REPORT_FILE).is_file(),
        }


def write_comparison(first: Path, second: Path, features_dir: Path) -> Path:
    """Writes the page of two runs beside the page of the second one.

    Args:
        first: folder of a run, with `summary.json`.
        second: another one's.
        features_dir: the feature store of their working directory.

    Returns:
        The path of the page.

    Raises:
        InputError: they are the same, or one of them has no summary.
    """
    if first == second:
        raise InputError(f"--compare: expected two runs, got {first.name} twice.\nTheir ids: graft runs list")
    facts = compare_runs(ComparedRun(first, features_dir), ComparedRun(second, features_dir))
    path = second / f"report-compare-{first.name}-{second.name}.html"
    write_atomically(str(path), render_comparison(facts, f"{first.name} and {second.name}"))
    return path


def compare_runs(first: ComparedRun, second: ComparedRun) -> dict[str, Any]:
    """Compares two runs, as the template takes it."""
    classes = compare_classes(first.summary, second.summary)
    fingerprints = [run.summary.get("dataset", {}).get("fingerprint") for run in (first, second)]
    return {
        "runs": [first.describe(), second.describe()],
        "paired": pair_runs(first.inputs, second.inputs),
        "metrics": _pairs(HEADLINES, *(run.summary.get("metrics", {}) for run in (first, second))),
        "gates": compare_gates(first.summary, second.summary),
        "classes": classes[:CLASSES_SHOWN],
        "more_classes": max(len(classes) - CLASSES_SHOWN, 0),
        **compare_passports(first.passport, second.passport),
        "same_data": bool(fingerprints[0]) and fingerprints[0] == fingerprints[1],
        "counts": _pairs(COUNTS, *(run.summary.get("dataset", {}) for run in (first, second))),
        "seconds": compare_seconds(first.summary, second.summary),
    }


def _pairs(names: Mapping[str, str], first: Mapping[str, Any], second: Mapping[str, Any]) -> Pairs:
    rows = [{"name": words, "first": first.get(name), "second": second.get(name)} for name, words in names.items()]
    return [row for row in rows if (row["first"], row["second"]) != (None, None)]


def pair_runs(first: ReportInputs, second: ReportInputs) -> dict[str, Any] | None:
    """Compares the accuracy on the eval images that both runs have under the same label; None where there are none."""
    right = [_right_by_image(inputs.outcomes, inputs.labels) for inputs in (first, second)]
    common = sorted(right[0].keys() & right[1].keys())
    if not common:
        return None
    confidence = second.metrics.get("candidate", {}).get("confidence", 0.95)
    before, now = (np.array([found[key] for key in common]) for found in right)
    return pair_accuracy(before, now, confidence)


def _right_by_image(table: pa.Table | None, labels: list[str]) -> dict[tuple[str, str], bool]:
    if table is None:
        return {}
    truth, answers = table["label"].to_numpy(), table["candidate/predicted"].to_numpy()
    keys = zip(table["sha256"].to_pylist(), (labels[index] for index in truth), strict=True)
    return dict(zip(keys, (truth == answers).tolist(), strict=True))


def compare_classes(first: dict[str, Any], second: dict[str, Any]) -> Pairs:
    """Compares images and accuracy of each class of either run, the largest change of accuracy first."""
    rows = dict[str, dict[str, Any]]()
    for place, summary in enumerate((first, second)):
        counts, rated = summary.get("dataset", {}).get("per_class", {}), summary.get("metrics", {}).get("per_class", {})
        for label in {**counts.get(features.TRAIN_SPLIT, {}), **rated}:
            empty = {"name": label, "accuracy": [None, None], **{split: [None, None] for split in features.SPLITS}}
            row = rows.setdefault(label, empty)
            row["accuracy"][place] = rated.get(label, {}).get("accuracy")
            for split in features.SPLITS:
                row[split][place] = counts.get(split, {}).get(label)
    return sorted(rows.values(), key=lambda row: (-abs(_change(row["accuracy"])), row["name"]))


def _change(pair: list[float | None]) -> float:
    first, second = pair
    return 0.0 if first is None or second is None else second - first


def compare_gates(first: dict[str, Any], second: dict[str, Any]) -> Pairs:
    """Compares the answers of the gates; then of their checks, those that differ and do not just pass or miss."""
    answers = [dict(_answers(summary.get("gates", {}))) for summary in (first, second)]
    rows = _pairs({name: name for name in {**answers[0], **answers[1]}}, *answers)
    gates = [row for row in rows if CHECK not in row["name"]]
    checks = [row for row in rows if CHECK in row["name"] and row["first"] != row["second"]]
    return gates + [row for row in checks if {row["first"], row["second"]} - {None, "pass"}]


def _answers(gates: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for name, gate in gates.items():
        found.append((name, "passed" if gate["passed"] else "overridden" if gate.get("override") else "refused"))
        found += [(f"{name}{CHECK}{check['name']}", check["verdict"]) for check in gate.get("checks", [])]
    return found


def compare_seconds(first: dict[str, Any], second: dict[str, Any]) -> Pairs:
    """Compares the seconds of each node, with whether a run took it from an earlier one, and the longest of all."""
    seconds = [_seconds(summary) for summary in (first, second)]
    rows = _pairs({name: name for name in {**seconds[0], **seconds[1]}}, *seconds)
    nodes = [row for row in rows if row["name"] != "total"]
    longest = max((row[key] or 0.0 for row in nodes for key in ("first", "second")), default=0.0) or 1.0
    for row in rows:
        row["cached"] = [row["name"] in summary.get("cached", []) for summary in (first, second)]
        row["parts"] = [min((row[key] or 0.0) / longest, 1.0) for key in ("first", "second")]
    return sorted(rows, key=lambda row: row["name"] == "total")


def _seconds(summary: dict[str, Any]) -> dict[str, float]:
    """The seconds of a run; those of the start-up without the look at the data, which is in them."""
    found = dict(summary.get("seconds", {}))
    if "startup" in found:
        found["startup"] = max(found["startup"] - found.get("Data", 0.0), 0.0)
    return found
