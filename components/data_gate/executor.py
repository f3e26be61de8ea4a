"""The executor of DataGate: collects what speaks against the data, and decides."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.contract import features
from components.contract.artifacts import Artifacts, contents_of
from components.contract.gates import DATA, FAIL, PASS, WARN, Check, Gate, Override, Verdict, warnings_of
from components.contract.limits import (
    FLAT,
    check_bad_fraction,
    check_balance,
    check_corrections,
    check_eval_shares,
    check_flat_fraction,
)
from components.data_gate.findings import (
    Shift,
    list_anomalies,
    list_missing_classes,
    list_unmeasured,
    measure_shifts,
)
from components.errors import GateRefused
from components.files.paths import exists, read_bytes
from components.options.data import DataOptions
from components.options.gates import DataGateOptions
from components.registry import verify
from components.registry.baselines import choose_baseline

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList as Statistics

VERDICT_OF: dict[str, Verdict] = {"stop": FAIL, "warn": WARN}  # what the options say, and what a check then is
progress = logging.getLogger("graft.progress")


@dataclass
class DataFindings:
    """Checks and measurements of the data; with any check that stops, the run stops.

    Attributes:
        checks: all of them.
        files: where there are too many unusable files: what to do, and the worst ones.
        notes: what could not be compared, and why.
        measured: {`drift` or `skew`: {split: {feature: {`value`, `limit`}}}}, the version compared with.
    """

    checks: list[Check] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)

    def add_shifts(self, kind: str, split: str, other: str, shifts: list[Shift], what_to_do: str) -> None:
        """Adds the measurements of one split; a shift over its limit stops or warns."""
        self.measured.setdefault(kind, {})[split] = {
            shift.feature: {"value": round(shift.value, 4), "limit": round(shift.limit, 4)} for shift in shifts
        }
        for shift in shifts:
            reason = f"{shift.describe(f'{split} split', other)}; gates.data.on_{kind} decides" if shift.is_over else ""
            verdict = VERDICT_OF[what_to_do] if shift.is_over else PASS
            name = f"{kind}/{split}/{shift.feature}"
            self.checks.append(Check(name, round(shift.value, 4), round(shift.limit, 4), verdict, reason))

    def to_gate(self, judged: dict[str, str]) -> Gate:
        """Makes the gate's result, with the digests judged, and the entries beside the checks."""
        extra = {"judged": judged, "warnings": warnings_of(self.checks), "notes": self.notes, "measured": self.measured}
        return Gate(tuple(self.checks), notes=tuple(self.files), extra=extra)

    def describe(self) -> str:
        """Describes the findings in one line for the terminal."""
        if warnings := warnings_of(self.checks):
            return f"{len(warnings)} warning{'s' * (len(warnings) > 1)}: {warnings[0]}"
        version = self.measured.get("version")
        like = f", no drift against version {version}" if version is not None and "drift" in self.measured else ""
        return "; ".join([f"no anomaly{like}", *self.notes])


class Executor(base_executor.BaseExecutor):
    """Reads anomalies, statistics and the manifest, and decides."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Writes the verdict.

        Raises:
            GateRefused: with every reason: too many unusable files; anomalies, drift or skew whose option says `stop`;
                and no override.
        """
        inputs = {name: artifact_utils.get_single_instance(artifacts) for name, artifacts in input_dict.items()}
        options = DataGateOptions.from_json(exec_properties["options"])
        schema = read_schema(inputs["schema"].uri)
        statistics = read_statistics(inputs["statistics"].uri)
        verdict = DataFindings()
        judge_counts(verdict, inputs["manifest"].uri, DataOptions.from_json(exec_properties["data"]), options)
        judge_anomalies(verdict, inputs["anomalies"], schema, options)
        judge_drift(verdict, statistics, schema, (exec_properties["serving_dir"], exec_properties["version"]), options)
        judge_skew(verdict, statistics, schema, options)
        gate = verdict.to_gate(contents_of(input_dict)).overridden_by(Override.from_json(exec_properties["override"]))
        if not gate.lets_through:
            raise GateRefused(DATA, gate.reasons, gate.to_dict())
        target = artifact_utils.get_single_instance(output_dict["verdict"])
        io_utils.write_string_file(os.path.join(target.uri, features.VERDICT_FILE), gate.to_json())
        said = verdict.describe() if gate.passed else f"overridden: {gate.reasons[0]}"
        progress.info(said, extra={"done": True})


def judge_counts(verdict: DataFindings, uri: str, data: DataOptions, options: DataGateOptions) -> None:
    """Holds the manifest's counts against the limits of `data`, `data.classes` and one another."""
    dataset = json.loads(read_bytes(os.path.join(uri, features.DATASET_FILE)))
    rejected = read_manifest_rows(os.path.join(uri, features.LEDGER_FILE))
    checks, verdict.files = check_bad_fraction(dataset, rejected, data.max_bad_fraction)
    found = read_manifest_rows(os.path.join(uri, features.MANIFEST_FILE))
    rows = (row for row in found if FLAT in row.get("flags", ()) and not row.get("reason"))
    flat, notes = check_flat_fraction(dataset, rows, data.max_flat_fraction)
    verdict.checks += [*checks, *flat, check_balance(dataset), *check_eval_shares(dataset), *check_corrections(dataset)]
    verdict.files += notes
    for label in list_missing_classes(dataset, data.classes):
        reason = f"class '{label}' has no image; it is expected by data.classes"
        verdict.checks.append(Check(f"classes/{label}", 0, 1, VERDICT_OF[options.on_anomaly], reason))


def judge_anomalies(verdict: DataFindings, anomalies: types.Artifact, schema: Schema, options: DataGateOptions) -> None:
    """Adds a check for each anomaly that ExampleValidator found in a split."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    for split in artifact_utils.decode_split_names(anomalies.split_names):
        path = os.path.join(artifact_utils.get_split_uri([anomalies], split), features.ANOMALIES_FILE)
        found = list_anomalies(anomalies_pb2.Anomalies.FromString(read_bytes(path)), schema, split)
        kind = VERDICT_OF[options.on_anomaly]
        verdict.checks += [
            Check(f"anomaly/{row.place}", row.found, row.allowed or "as the schema says", kind, row.describe())
            for row in found
        ]
        if not found:
            verdict.checks.append(Check(f"anomalies/{split}", 0, 0, PASS))


def judge_drift(
    verdict: DataFindings,
    statistics: dict[str, Statistics],
    schema: Schema,
    served: tuple[str, str],
    options: DataGateOptions,
) -> None:
    """Holds every split against the same split of the version that is being served.

    Args:
        verdict: filled in place.
        statistics: by split.
        schema: with drift comparators.
        served: the serving directory, and a version: a number, `served` or `none`.
        options: what drift does.
    """
    serving, wanted = served
    version = choose_baseline(Path(serving), wanted)
    if version is None:
        return
    verify.check_baseline(Path(serving), version)
    verdict.measured["version"] = version
    folder = os.path.join(serving, str(version), features.EXTRA_ASSETS, features.STATISTICS_ASSETS)
    before = read_statistics(folder)
    for split in sorted(statistics.keys() & before.keys()):
        shifts = measure_shifts(statistics[split], before[split], schema, "drift", options.max_drift)
        verdict.add_shifts("drift", split, f"that of version {version}", shifts, options.on_drift)
        if unmeasured := list_unmeasured(schema, "drift", shifts):
            verdict.notes.append(f"{split} split: no drift measured of {', '.join(unmeasured)}")
    if missing := sorted(statistics.keys() - before.keys()):
        verdict.notes.append(f"version {version} holds no statistics of {' and '.join(missing)}: no drift measured")


def judge_skew(
    verdict: DataFindings, statistics: dict[str, Statistics], schema: Schema, options: DataGateOptions
) -> None:
    """Holds the train split against the eval split."""
    if set(features.SPLITS) <= statistics.keys():
        train, evaluation = (statistics[split] for split in features.SPLITS)
        shifts = measure_shifts(train, evaluation, schema, "skew", options.max_drift)
        verdict.add_shifts("skew", features.TRAIN_SPLIT, f"the {features.EVAL_SPLIT} split", shifts, options.on_skew)


def read_statistics(uri: str) -> dict[str, Statistics]:
    """Reads the statistics of each split that is there: {split: statistics}."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    paths = {split: os.path.join(uri, f"Split-{split}", features.STATISTICS_FILE) for split in features.SPLITS}
    return {
        split: statistics_pb2.DatasetFeatureStatisticsList.FromString(read_bytes(path))
        for split, path in paths.items()
        if exists(path)
    }


def read_schema(uri: str) -> Schema:
    """Reads the schema of a Schema artifact."""
    return io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(uri))


def read_manifest_rows(path: str) -> Iterator[dict[str, Any]]:
    """Reads the rows of a manifest or ledger, one at a time."""
    with fileio.open(path, "r") as file:
        for line in file:
            yield json.loads(line)
