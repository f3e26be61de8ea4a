"""`report.html` of a run: what its Report node gathered, with what the run alone knows."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contract import features
from components.errors import InputError
from components.files.paths import write_atomically
from components.registry.versions import read_passport
from components.report.inputs import MANIFEST, ReportInputs
from components.report.page import find_corrections, gather_content, is_current, render
from components.report.sections.provenance import list_entries
from pipeline.report.inputs import PAGE_OUTPUT, REPORT_NODE, read_inputs

# Input of the node Report: the node and the output that it comes from, as in the DAG.
SOURCES = {
    "examples": ("ImageExampleGen", "examples"),
    "manifest": ("ImageExampleGen", "manifest"),
    "data_verdict": ("DataGate", "verdict"),
    "model": ("Trainer", "model"),
    "model_run": ("Trainer", "model_run"),
    "baseline_model": ("BaselineModel", "baseline_model"),
    "evaluation": ("Evaluator", "evaluation"),
    "infra_blessing": ("ServableCheck", "blessing"),
}

log = logging.getLogger("graft.report")


def write_page(run: Path, features_dir: Path, at_once: bool = False) -> Path:
    """Writes the page of a run, whether the run came to its end or not.

    Args:
        run: its folder, with `summary.json`.
        features_dir: the feature store of the working directory.
        at_once: whether nothing is gathered from artifacts, which takes seconds: the page of a run that was ended has
            its counts, its ledger and its verdicts. What a node has gathered is shown all the same.

    Returns:
        The path of the page.

    Raises:
        InputError: the run has no summary.
    """
    summary = read_summary(run)
    noted = read_inputs(run)
    content = find_content(noted.get("artifacts", {}))
    inputs = make_inputs(run, summary, {} if at_once else noted, features_dir)
    if content is None or (MANIFEST in inputs.uris and not is_current(content)):
        content = gather_content(inputs)
    config = run / "config.yaml"
    facts = {"summary": summary, "folder": str(run), "config": config.read_text("utf-8") if config.is_file() else ""}
    facts |= {"command": summary.get("command", ""), **describe_pushed(summary)}
    path = run / features.REPORT_FILE
    write_atomically(str(path), render(content, facts))
    if corrections := find_corrections(content):
        write_atomically(str(run / features.CORRECTIONS_FILE), corrections)
    return path


def describe_pushed(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Describes the version that holds the run's model: `serving`, its directory, and `passport`, as rows of a table.

    Both are empty where there is none; the passport also where the version was removed since, or is damaged.
    """
    version = Path((summary.get("model") or {}).get("path", ""))
    try:
        passport = read_passport(version) if version.name else {}
    except InputError as error:
        log.info("the passport of the version is not shown: %s", error)
        passport = {}
    entries = list_entries({**passport, "version": version.name}) if passport else []
    return {"serving": str(version.parent) if version.name else "", "passport": entries}


def read_summary(run: Path) -> dict[str, Any]:
    """Reads the summary of a run.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = run / "summary.json"
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: expected the summary of a run, found none that can be read ({type(error).__name__}).\n"
            "The run may be under way, or was killed: name another one by --run."
        ) from error


def find_content(artifacts: Mapping[str, Mapping[str, str]]) -> dict[str, Any] | None:
    """Reads what the node Report gathered; None where the run has no such artifact, or the artifact is gone."""
    path = Path(artifacts.get(REPORT_NODE, {}).get(PAGE_OUTPUT, ""), features.CONTENT_FILE)
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        log.info("the page's content is gathered again: %s", error)
        return None


def make_inputs(run: Path, summary: dict[str, Any], noted: Mapping[str, Any], features_dir: Path) -> ReportInputs:
    """Makes the inputs of a page from what a run left, as far as the run came and its artifacts are still there."""
    artifacts = noted.get("artifacts", {})
    uris = {name: artifacts.get(node, {}).get(output, "") for name, (node, output) in SOURCES.items()}
    ledger = run / features.LEDGER_FILE
    known = {
        features.DATASET_FILE: summary.get("dataset", {}),
        features.LEDGER_FILE: ledger.read_text("utf-8") if ledger.is_file() else "",
        "gates": summary.get("gates", {}),
    }
    there = {name: uri for name, uri in uris.items() if uri and Path(uri).is_dir()}
    kept = str(features_dir) if features_dir.is_dir() else ""
    return ReportInputs(there, kept, noted.get("data_path", ""), noted.get("passport", {}), known)
