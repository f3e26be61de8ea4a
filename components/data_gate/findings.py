"""Findings in the statistics: anomalies against the schema, drift in time, and skew between the splits.

Pure functions over TFDV's messages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies, DriftSkewInfo
    from tensorflow_metadata.proto.v0.schema_pb2 import Feature, Schema
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList as Statistics

DISTANCES = {1: "largest change of a share", 2: "Jensen-Shannon divergence"}  # of DriftSkewInfo.Measurement.Type
DIVERGENCE = 2
NAMED_VALUES = 10  # of a long list of allowed values, so many are named


@dataclass(frozen=True)
class Shift:
    """One feature in two sets of images.

    Attributes:
        feature: its name.
        distance: the kind of `value`, one of `DISTANCES`.
        value: 0..1, 0: the same distribution.
        limit: the largest value that is let through: the schema's threshold and what chance does.
        change: what moved, for people: `median 118 -> 59`.
    """

    feature: str
    distance: str
    value: float
    limit: float
    change: str

    @property
    def is_over(self) -> bool:
        """Whether the distance is above its limit."""
        return self.value > self.limit

    def describe(self, place: str, other: str) -> str:
        """The shift as a line of text: place, feature, other set, measured value and limit."""
        change = f"{self.change}; " if self.change else ""
        measured = f"{self.distance} {self.value:.3f}, limit {self.limit:.3f}"
        return f"{place}, {self.feature}: unlike {other} ({change}{measured})"


def measure_shifts(
    current: Statistics,
    control: Statistics,
    schema: Schema,
    kind: Literal["drift", "skew"],
    max_divergence: float | None = None,
) -> list[Shift]:
    """Compares each feature that has a comparator in the schema, sorted by name.

    Args:
        current: of the set that is judged.
        control: of the set that it is held against.
        schema: with `drift_comparator` or `skew_comparator`.
        kind: which of the two comparators counts.
        max_divergence: 0..1, instead of the schema's thresholds for numbers; None: the schema's.
    """
    import tensorflow_data_validation as tfdv

    controls = {"drift": "previous_statistics", "skew": "serving_statistics"}
    found = tfdv.validate_statistics(current, schema, **{controls[kind]: control}).drift_skew_info
    by_chance = chance(current.datasets[0].num_examples, control.datasets[0].num_examples)
    shifts = [
        Shift(
            _name(info),
            DISTANCES[row.type],
            row.value,
            (row.threshold if max_divergence is None or row.type != DIVERGENCE else max_divergence) + by_chance,
            describe_change(*(_find(statistics, _name(info)) for statistics in (control, current))),
        )
        for info in found
        for row in getattr(info, f"{kind}_measurements")
    ]
    return sorted(shifts, key=lambda shift: shift.feature)


def list_unmeasured(schema: Schema, kind: Literal["drift", "skew"], shifts: list[Shift]) -> list[str]:
    """Lists the features that the schema wants compared and that are missing on one side, sorted."""
    wanted = {feature.name for feature in schema.feature if feature.HasField(f"{kind}_comparator")}
    return sorted(wanted - {shift.feature for shift in shifts if not math.isnan(shift.value)})


def chance(current: int, control: int) -> float:
    """Estimates how far two random samples of one set come apart, in either distance; 0.12 for 150 and 150 images.

    The root of 1/n + 1/m, times the largest standard deviation of a share (0.5), is one standard deviation of a
    share's change; twice that is allowed. The noise of the divergence of ten quantiles was measured to be as large.
    """
    return math.sqrt(1 / max(current, 1) + 1 / max(control, 1))


def describe_change(before: Any, now: Any) -> str:
    """Describes what moved: the median of numbers (their mean if that stayed), or the value whose share changed most.

    Args:
        before: the feature's `FeatureNameStatistics` in the control set; None: not there.
        now: the same in the set that is judged.
    """
    if before is None or now is None:
        return ""
    if now.HasField("num_stats"):
        average = "median" if before.num_stats.median != now.num_stats.median else "mean"
        return f"{average} {_number(before.num_stats, average)} -> {_number(now.num_stats, average)}"
    shares = [_shares(statistics) for statistics in (before, now)]
    values = sorted({*shares[0], *shares[1]})
    if not values:
        return ""
    value = max(values, key=lambda value: abs(shares[1].get(value, 0.0) - shares[0].get(value, 0.0)))
    return f"'{value}' {shares[0].get(value, 0.0):.1%} -> {shares[1].get(value, 0.0):.1%}"


def _number(statistics: Any, average: str) -> str:
    value = getattr(statistics, average)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _shares(statistics: Any) -> dict[str, float]:
    counts = {bucket.label: bucket.sample_count for bucket in statistics.string_stats.rank_histogram.buckets}
    total = sum(counts.values())
    return {label: count / total for label, count in counts.items()}


def _name(info: DriftSkewInfo) -> str:
    return ".".join(info.path.step)


def _find(statistics: Statistics, name: str) -> Any:
    rows = statistics.datasets[0].features
    return next((row for row in rows if name in (row.name, ".".join(row.path.step))), None)


class Anomaly(NamedTuple):
    """One way in which data does not fit the schema: place, measured value, allowed values (empty: any)."""

    place: str
    found: str
    allowed: str

    def describe(self) -> str:
        """The anomaly as a line of text."""
        return f"{self.place}: {self.found}" + (f"; allowed: {self.allowed}" if self.allowed else "")


def list_anomalies(anomalies: Anomalies, schema: Schema, split: str) -> list[Anomaly]:
    """Lists the anomalies of one split, sorted by feature."""
    features = {feature.name: feature for feature in schema.feature}
    rows = []
    for name, info in sorted(anomalies.anomaly_info.items()):
        found = " ".join(info.description.split()).rstrip(".")
        allowed = describe_domain(features[name], schema) if name in features else ""
        rows.append(Anomaly(f"{split} split, {name}", f"{found[:1].lower()}{found[1:]}", allowed))
    if anomalies.HasField("dataset_anomaly_info"):
        rows.append(Anomaly(f"{split} split", anomalies.dataset_anomaly_info.description, ""))
    return rows


def describe_domain(feature: Feature, schema: Schema) -> str:
    """Describes the values that the schema allows for a feature; empty where it allows all."""
    kind = feature.WhichOneof("domain_info")
    if kind == "domain":
        domains = {domain.name: list(domain.value) for domain in schema.string_domain}
        values = domains.get(feature.domain, [])
        more = len(values) - NAMED_VALUES
        return ", ".join(values[:NAMED_VALUES]) + (f" and {more:,} more" if more > 0 else "")
    if kind not in ("int_domain", "float_domain"):
        return ""
    domain: Any = getattr(feature, kind)
    lowest = f"{domain.min:g}" if domain.HasField("min") else ""
    return f"{lowest} to {domain.max:g}" if domain.HasField("max") else f"{lowest} or more"


def list_missing_classes(dataset: dict[str, Any], expected: list[str] | None) -> list[str]:
    """Lists the classes of `data.classes` that have no example in any split of `dataset.json`."""
    there = {label for counts in dataset["per_class"].values() for label, count in counts.items() if count}
    return [label for label in dict.fromkeys(expected or []) if label not in there]
