"""Where the model comes from: lineage, passport, configuration, and how to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.section import Facts

TITLE = "Provenance"
TEMPLATE = "provenance.html"
TOLD = ("data", "model", "code", "libraries")  # sections of the passport; the configuration stands by itself
WITHOUT = ("class_map.", "dataset.per_class.", "model.classes")  # a row a class, which the other sections have
HEX = set("0123456789abcdef")
Rows = list[dict[str, Any]]


def gather(inputs: ReportInputs, pictures: Pictures) -> Facts | str:
    """Gathers the lineage and the plan's passport, which the Pusher completes for a version."""
    passport = inputs.passport
    if not passport and not inputs.dataset:
        return "The run ended before anything was known of it."
    config = passport.get("config", {})
    return {
        "steps": trace_lineage(inputs),
        "parent": passport.get("parent"),
        "passport": list_entries(passport),
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True) if config else "",
        "overrides": [
            {"gate": name, **gate["override"]} for name, gate in inputs.gates.items() if gate.get("override")
        ],
        "corrections": describe_corrections(inputs.dataset, config.get("data", {}).get("corrections") or ""),
    }


def describe_corrections(dataset: Mapping[str, Any], path: str) -> dict[str, Any] | None:
    """Describes what a file of corrections changed: `path`, `sha256`, and counts; None where there is no such file."""
    if not dataset.get("corrections_sha256"):
        return None
    counts = {name: dataset.get(name, 0) for name in ("corrected", "excluded")}
    lost = len(dataset.get("lost_corrections", []))
    return {"path": path, "sha256": dataset["corrections_sha256"], **counts, "lost": lost}


def trace_lineage(inputs: ReportInputs) -> Rows:
    """Traces the model from the data on: a step each thing that was made, with its digest and what is said of it.

    The digests of artifacts are those that the gates name as what they judged.
    """
    judged = {key: value for gate in inputs.gates.values() for key, value in gate.get("judged", {}).items()}
    dataset, facts, history = inputs.dataset, inputs.facts, inputs.history
    fingerprint = dataset.get("fingerprint", "") or inputs.passport.get("data_fingerprint", "")
    steps = [_step("Data", fingerprint, f"{dataset.get('found', 0):,} files", inputs.data_path)]
    if judged.get("examples") or "examples" in inputs.uris:
        counts = f"{dataset.get('train', 0):,} train, {dataset.get('eval', 0):,} eval"
        steps.append(_step("Examples", judged.get("examples", ""), counts))
    if facts:
        weights = facts.get("weights_file_sha256") or facts.get("backbone_sha256", "")
        made = f"{history.get('features_computed', 0):,} computed, {history.get('features_kept', 0):,} kept"
        steps.append(_step("Features", facts.get("backbone_sha256", ""), f"of {facts.get('backbone', '')}", made))
        head = f"head {facts.get('head_sha256', '')[:12]}"
        steps.append(_step("Model", judged.get("model", ""), head, f"weights file {weights[:12]}"))
    if inputs.metrics:
        against = f"against version {inputs.baseline.version}" if inputs.baseline.exists else "against no version"
        steps.append(_step("Evaluation", "", f"{inputs.metrics['candidate']['examples']:,} images", against))
    if inputs.gates:
        steps.append(_step("Gates", "", *(f"{name}: {_answer(gate)}" for name, gate in inputs.gates.items())))
    return steps


def _step(title: str, digest: str, *lines: str) -> dict[str, Any]:
    return {"title": title, "digest": digest, "lines": [line for line in lines if line]}


def _answer(gate: Mapping[str, Any]) -> str:
    return "passed" if gate["passed"] else "overridden" if gate.get("override") else "refused"


def list_entries(passport: Mapping[str, Any]) -> Rows:
    """Lists the entries of a passport in groups: {`title`, `rows`}, rows of name, text and whether it is a digest."""
    from components.registry.compare import flatten_sections

    first = {
        name: passport[name] for name in ("name", "version", "created", "parent", "model_key") if passport.get(name)
    }
    sections = flatten_sections(passport)
    groups = {"version": first} | {name: sections[name] for name in TOLD}
    found = []
    for title, values in groups.items():
        rows = [_entry(name, value) for name, value in values.items() if not name.startswith(WITHOUT)]
        found += [{"title": title, "rows": rows}] if rows else []
    return found


def _entry(name: str, value: Any) -> dict[str, Any]:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return {"name": name, "text": text, "digest": len(text) >= 40 and not set(text) - HEX}
