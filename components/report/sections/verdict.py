"""The verdict in words: pushed or not and why, and every check of every gate."""

from __future__ import annotations

from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.section import Facts

TITLE = "Verdict"
TEMPLATE = "verdict.html"
GATES = {"data": "Data", "quality": "Quality", "servability": "Servability"}
TOLD_FIRST = {"fail": 0, "undecided": 1, "warn": 2, "skip": 3, "pass": 4}


def gather(inputs: ReportInputs, pictures: Pictures) -> Facts | str:
    """Gathers the checks of each gate, those that need a look first, and the headline numbers."""
    candidate = inputs.metrics.get("candidate", {})
    return {
        "passed": bool(inputs.gates) and all(gate["passed"] for gate in inputs.gates.values()),
        "gates": [
            {
                "title": GATES[name],
                "passed": gate["passed"],
                "override": gate.get("override"),
                "reasons": gate.get("reasons", []),
                "checks": sorted(gate["checks"], key=lambda row: TOLD_FIRST.get(row["verdict"], 0)),
            }
            for name, gate in inputs.gates.items()
        ],
        "accuracy": candidate.get("accuracy"),
        "interval": candidate.get("intervals", {}).get("accuracy"),
        "examples": candidate.get("examples", 0),
        "train": inputs.dataset.get("train", 0),
        "classes": len(inputs.dataset.get("classes", [])),
        "backbone": inputs.facts.get("backbone", ""),
        "parent": inputs.passport.get("parent"),
        "name": inputs.passport.get("name", ""),
        "data_fingerprint": inputs.passport.get("data_fingerprint", "") or inputs.dataset.get("fingerprint", ""),
    }
