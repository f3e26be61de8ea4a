"""Likely label errors, as thumbnails and as a CSV file that ingest takes back.

The facts of the template: `judged`, `likely`, `corrected` and `excluded`, counts; `rows`, the likely errors, then some
doubtful ones, {`sha256`, `key` of the picture, `name`, `split`, `given`, `suggested`, `p_given`, `p_suggested`,
`score`, `likely`}; `csv`, the file `file` in base64; `notes`, a sentence each.
"""

from __future__ import annotations

import base64

import numpy as np
from threadpoolctl import threadpool_limits

from components.contract import features
from components.example_gen.corrections import EXCLUDE, KEEP, RELABEL, write_corrections
from components.example_gen.manifest import Row
from components.images.findings import EXCLUDED
from components.report.inputs import ReportInputs
from components.report.known_features import gather_features
from components.report.label_errors import LabelErrors, find_label_errors
from components.report.pictures import Pictures
from components.report.section import Facts

TITLE = "Likely label errors"
TEMPLATE = "label_errors.html"
SHOWN = 60  # thumbnails
# Images that one thread judges in a second: threads of small products wait for one another, and on a busy machine, as
# beside other nodes, two took five times as long.
FEW = 10_000
IN_FILE = 5000  # rows of the CSV file
DOUBTFUL = 20  # rows at least that stand in the file after the likely errors, for who wants to look further


def gather(inputs: ReportInputs, pictures: Pictures) -> Facts | str:
    """Gathers the suggestions, and the file of them."""
    if not inputs.row_of or not inputs.model:
        return "No features were made: the run did not come so far."
    known = inputs.once(gather_features)
    if not known.rows:
        return known.note
    rows, found = inputs.once(judge_labels)
    notes = [*found.notes, *([f"judged were {known.note}"] if known.note else [])]
    listed = _list(found, rows, inputs.labels)
    shown = [row for row in listed if row["score"] > 0][:SHOWN]
    for row in shown:
        row["key"] = pictures.want(row["sha256"])
    corrected, excluded = _earlier(inputs.rows)
    if len(listed) == IN_FILE:
        notes.append(f"the file holds the first {IN_FILE:,} images only")
    return {
        "judged": len(found.rows),
        "likely": int(found.likely.sum()),
        "corrected": len(corrected),
        "excluded": len(excluded),
        "rows": shown,
        "csv": base64.b64encode(_write([*corrected, *excluded], listed)).decode(),
        "file": features.CORRECTIONS_FILE,
        "notes": notes,
    }


def judge_labels(inputs: ReportInputs) -> tuple[list[Row], LabelErrors]:
    """Judges the labels of both sides by the features of the images; sections call it by `inputs.once`.

    Returns:
        The images whose features are at hand, and what `find_label_errors` says of them.
    """
    known = inputs.once(gather_features)
    index = {label: number for number, label in enumerate(inputs.labels)}
    labels = np.array([index[row.label] for row in known.rows], int)
    groups = group_rows(known.rows, inputs)
    with threadpool_limits(1 if len(known.rows) <= FEW else None):
        return known.rows, find_label_errors(known.values, labels, inputs.labels, groups)


def group_rows(rows: list[Row], inputs: ReportInputs) -> np.ndarray:
    """Numbers the groups of images that are near copies or belong together: int [n]."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    place = {row.name: number for number, row in enumerate(rows)}
    findings = inputs.findings
    sets = [*findings.get("near_duplicates", []), *findings.get("duplicates", []), *findings.get("leakage", [])]
    named = [[place[name] for name in names if name in place] for names in sets]
    by_group: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if row.group:
            by_group.setdefault(row.group, []).append(number)
    pairs = [(one[0], other) for one in (*named, *by_group.values()) for other in one[1:]]
    left, right = np.array(pairs, int).reshape(-1, 2).T
    links = coo_matrix((np.ones(len(left)), (left, right)), (len(rows), len(rows)))
    return np.asarray(connected_components(links, directed=False)[1])


def _list(found: LabelErrors, rows: list[Row], labels: list[str]) -> list[Facts]:
    """The likely errors, then as many doubtful ones again, and `DOUBTFUL` at least."""
    likely = int(found.likely.sum())
    count = min(likely + max(likely, DOUBTFUL), IN_FILE, len(found.rows))
    return [
        {
            "sha256": rows[found.rows[i]].sha256,
            "name": rows[found.rows[i]].name,
            "split": rows[found.rows[i]].split,
            "given": labels[found.given[i]],
            "suggested": labels[found.suggested[i]],
            "p_given": round(float(found.p_given[i]), 4),
            "p_suggested": round(float(found.p_suggested[i]), 4),
            "score": round(float(found.score[i]), 4),
            "likely": bool(found.likely[i]),
        }
        for i in range(count)
    ]


def _earlier(rows: list[Row]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Rows of the corrections that the run had: the new file stands in for the old one, so they stay in force."""
    corrected = [
        {
            "path": row.name,
            "sha256": row.sha256,
            "label": row.label_found,
            "suggested": row.label,
            "action": RELABEL,
        }
        for row in rows
        if row.label_found and row.reason != EXCLUDED
    ]
    excluded = [
        {"path": row.name, "sha256": row.sha256, "label": row.label_found or row.label, "action": EXCLUDE}
        for row in rows
        if row.reason == EXCLUDED
    ]
    return corrected, excluded


def _write(earlier: list[dict[str, str]], listed: list[Facts]) -> bytes:
    """Writes earlier corrections, then the suggestions; an image that is in both is corrected anew."""
    again = {row["sha256"] for row in listed if row["likely"]}
    kept = [row for row in earlier if row["sha256"] not in again or not row["sha256"]]
    known = {row["sha256"] for row in kept}
    suggested = [
        {
            "path": row["name"],
            "sha256": row["sha256"],
            "label": row["given"],
            "suggested": row["suggested"],
            "action": RELABEL if row["likely"] else KEEP,
            "score": f"{row['score']:.4f}",
            "p_label": f"{row['p_given']:.4f}",
            "p_suggested": f"{row['p_suggested']:.4f}",
        }
        for row in listed
        if row["sha256"] not in known
    ]
    return write_corrections([*kept, *suggested])
