"""The limits that a run found in its own model and data, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.contract.gates import GATES, PASS
from components.images.findings import FLAGS

Json = Mapping[str, Any]
WORST_SLICES = 5
REASONS_SHOWN = 20  # checks of a gate that did not plainly pass


def list_limits(metrics: Json, verdicts: Json, dataset: Json) -> list[str]:
    """Lists sentences: checks that did not plainly pass, weak slices, calibration, thin classes, flags.

    Args:
        metrics: of the candidate; empty: not evaluated.
        verdicts: {gate: the content of its `verdict.json`}.
        dataset: `dataset.json`.
    """
    return [
        *_checks(verdicts),
        *_slices(metrics),
        *_thin_classes(metrics),
        *_calibration(metrics),
        *_flags(dataset),
    ]


def _checks(verdicts: Json) -> Iterator[str]:
    for gate in (gate for gate in GATES if gate in verdicts):
        checks = verdicts[gate].get("checks", [])
        rows = [row for row in checks if row["verdict"] != PASS and row["reason"]]
        rows.sort(key=lambda row: not row["stops"])
        yield from (f"{row['verdict']} of the {gate} gate: {row['reason']}" for row in rows[:REASONS_SHOWN])
        if len(rows) > REASONS_SHOWN:
            yield f"{len(rows) - REASONS_SHOWN:,} more checks of the {gate} gate did not plainly pass"


def _slices(metrics: Json) -> Iterator[str]:
    """The slices, but those of classes, that are shown to be worse than all images together, the worst first."""
    overall = metrics.get("accuracy")
    rows = [
        (row["accuracy"], kind, place, row)
        for kind, places in (metrics.get("slices") or {}).items()
        for place, row in places.items()
        if kind != "class" and overall is not None and row["interval"][1] < overall
    ]
    for accuracy, kind, place, row in sorted(rows, key=lambda found: found[:3])[:WORST_SLICES]:
        low, high = row["interval"]
        yield (
            f"weak where {kind} is '{place}': accuracy {accuracy:.4f} ({low:.4f} to {high:.4f}) on "
            f"{row['examples']:,} images, against {overall:.4f} on all"
        )
    if len(rows) > WORST_SLICES:
        yield f"{len(rows) - WORST_SLICES:,} more slices are shown to be worse than all images together"


def _thin_classes(metrics: Json) -> Iterator[str]:
    """How many classes have so few eval images that their accuracy means little."""
    per_class, slices = metrics.get("per_class") or {}, (metrics.get("slices") or {}).get("class") or {}
    untested = [name for name, row in per_class.items() if not row.get("examples")]
    small = [name for name, row in slices.items() if row.get("small")]
    if untested:
        yield f"{len(untested):,} of {len(per_class):,} classes have no eval image: nothing is known of them"
    if small:
        yield f"{len(small):,} of {len(per_class):,} classes have so few eval images that their accuracy means little"


def _calibration(metrics: Json) -> Iterator[str]:
    ece, before = metrics.get("ece"), metrics.get("ece_uncalibrated")
    if ece is not None:
        change = f"; {before:.4f} before its temperature" if before not in (None, ece) else ""
        yield f"its probabilities are off by {ece:.4f} on average (expected calibration error, 15 bins{change})"


def _flags(dataset: Json) -> Iterator[str]:
    images = (dataset.get("train") or 0) + (dataset.get("eval") or 0)
    for flag, count in sorted((dataset.get("flags") or {}).items(), key=lambda row: -row[1]):
        share = f" ({count / images:.1%} of the images used)" if images else ""
        yield f"{count:,} images flagged {flag}{share}: {FLAGS.get(flag, 'a flag of another Graft')}"
