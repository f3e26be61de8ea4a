"""What ExampleValidator found, as lines for the reader; pure functions over its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies
    from tensorflow_metadata.proto.v0.schema_pb2 import Feature, Schema

NAMED_VALUES = 10  # of a long list of allowed values, so many are named


class Anomaly(NamedTuple):
    """What does not fit the schema: where, what was measured, and what is allowed (empty where anything is)."""

    place: str
    found: str
    allowed: str

    def describe(self) -> str:
        """A line for the reader."""
        return f"{self.place}: {self.found}" + (f"; allowed: {self.allowed}" if self.allowed else "")


def list_anomalies(anomalies: Anomalies, schema: Schema, split: str) -> list[Anomaly]:
    """The anomalies of one split, by feature."""
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
    """The values that the schema allows; empty where it allows all."""
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
    """Each class of `data.classes` without an example in any split of `dataset.json`."""
    there = {label for counts in dataset["per_class"].values() for label, count in counts.items() if count}
    return [label for label in dict.fromkeys(expected or []) if label not in there]
