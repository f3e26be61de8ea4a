"""`summary.json`: what a run did, in one file that scripts and auditors read."""

from __future__ import annotations

import json
import os
import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.contract import features
from components.contract.gates import QUALITY, lets_through, used_override
from components.errors import first_line
from components.files.digests import CONTENT, digest_of
from components.files.paths import write_atomically
from components.registry import versions
from pipeline.process import signals
from pipeline.report.tuning import read_tuning
from pipeline.workdir import RESERVE

SAVED_MODEL = "Format-Serving"  # TFX's name for it, below the Trainer's artifact
RunArtifacts = dict[str, dict[str, Any]]  # node id -> output key -> artifact with `uri` and custom properties

NOT_TOLD = ("head", "feature_keys")  # of history.json: the page draws the curves


@dataclass
class Summary:
    """The fields of `summary.json`; see the user guide for their meaning."""

    run_id: str
    status: str = "failed"
    dataset: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    baseline: dict[str, Any] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    cached: list[str] = field(default_factory=list)
    model: dict[str, Any] | None = None
    candidate: dict[str, str] | None = None
    served: int | None = None
    gates: dict[str, Any] = field(default_factory=dict)
    override: dict[str, Any] | None = None
    trainer: dict[str, Any] = field(default_factory=dict)
    tuning: dict[str, Any] | None = None
    reasons: list[str] = field(default_factory=list)
    peak_rss_mb: float = 0.0
    command: str = ""

    def note_error(self, error: BaseException, where: str) -> None:
        """Says why a run came to no end of its own, unless that is said already.

        Args:
            error: that ended it.
            where: the node that was under way; empty: none.
        """
        text = first_line(error)
        if signals.stopped() or isinstance(error, KeyboardInterrupt):  # whatever error came of it
            text = str(signals.stopped() or "interrupted")
            self.status = "interrupted" if self.status == "failed" else self.status
        self.reasons = self.reasons or [f"{where}: {text}" if where else text]

    def write(self, run: Path) -> Path:
        """Writes the file into the run's folder, whole or not at all."""
        self.peak_rss_mb = round(peak_rss_mb(), 1)
        path = run / "summary.json"
        (run / RESERVE).unlink(missing_ok=True)
        write_atomically(str(path), json.dumps({"schema": 1, **self.__dict__}, indent=2) + "\n")
        return path


def peak_rss_mb() -> float:
    """Measures the peak resident memory of the largest process of this run, in MB."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024


def open_metadata(path: Path) -> Any:
    """Opens ML Metadata's database to read it; gives a `MetadataStore`."""
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as proto

    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READONLY
    return metadata_store.MetadataStore(config)


def find_artifacts(metadata: Path, executions: dict[str, int]) -> RunArtifacts:
    """Finds the outputs of each node of a run in ML Metadata, cached ones included."""
    from ml_metadata.proto import metadata_store_pb2 as proto

    store = open_metadata(metadata)
    found: RunArtifacts = {}
    for node, execution in executions.items():
        events = store.get_events_by_execution_ids([execution])
        keys = {e.artifact_id: e.path.steps[0].key for e in events if e.type == proto.Event.OUTPUT}
        found[node] = {keys[artifact.id]: artifact for artifact in store.get_artifacts_by_id(list(keys))}
    return found


def fill_summary(summary: Summary, artifacts: RunArtifacts, pushed_before: list[int]) -> None:
    """Fills a summary from the nodes' outputs, as far as the run came.

    Args:
        summary: filled in place.
        artifacts: of `find_artifacts`.
        pushed_before: the versions that were there when the run began.
    """
    if manifest := artifacts.get("ImageExampleGen", {}).get("manifest"):
        summary.dataset = _read(manifest.uri, features.DATASET_FILE)
    if model_run := artifacts.get("Trainer", {}).get("model_run"):
        summary.trainer = {k: v for k, v in _read(model_run.uri, features.HISTORY_FILE).items() if k not in NOT_TOLD}
    if trained := artifacts.get("Trainer", {}).get("model"):
        summary.candidate = describe_candidate(trained)
    if tuner := artifacts.get("Tuner"):
        summary.tuning = read_tuning(tuner["best_hyperparameters"].uri, tuner["tuner_results"].uri)
    _fill_evaluation(summary, artifacts)
    if blessing := artifacts.get("ServableCheck", {}).get("blessing"):
        summary.gates["servability"] = _read(blessing.uri, features.VERDICT_FILE)
    if verdict := artifacts.get("DataGate", {}).get("verdict"):
        summary.gates["data"] = _read(verdict.uri, features.VERDICT_FILE)
    if pushed := artifacts.get("Pusher", {}).get("pushed_model"):
        _fill_push(summary, pushed, pushed_before)


def describe_candidate(trained: Any) -> dict[str, str]:
    """Describes the model that a run trained, pushed or not: where its SavedModel lies, and what it was made as.

    Args:
        trained: the Trainer's artifact; its digest is over all files below it, the SavedModel's among them.
    """
    digest = trained.custom_properties[CONTENT].string_value
    return {"path": os.path.join(trained.uri, SAVED_MODEL), CONTENT: digest}


def _fill_evaluation(summary: Summary, artifacts: RunArtifacts) -> None:
    if evaluation := artifacts.get("Evaluator", {}).get("evaluation"):
        metrics = _read(evaluation.uri, features.EVALUATION_FILE)
        summary.metrics = metrics["candidate"]
        summary.gates["quality"] = _read(evaluation.uri, features.VERDICT_FILE)
        if "baseline" in metrics:
            version = artifacts["BaselineModel"]["baseline_model"].custom_properties["version"].string_value
            summary.baseline = {"version": int(version), **metrics["baseline"]}


def _fill_push(summary: Summary, pushed: Any, pushed_before: list[int]) -> None:
    stopping = {name: gate for name, gate in summary.gates.items() if not lets_through(gate)}
    summary.reasons = [reason for gate in stopping.values() for reason in gate["reasons"]]
    summary.override = used_override(summary.gates)
    if not pushed.custom_properties["pushed"].int_value:
        summary.status = "not_blessed" if QUALITY in stopping else "not_servable"
        return
    version = Path(pushed.custom_properties["pushed_destination"].string_value)
    summary.status = "unchanged" if int(version.name) in pushed_before else "pushed"
    summary.model = describe_version(version)


def describe_version(version: Path) -> dict[str, Any]:
    """Describes a pushed version as the summary has it."""
    passport = versions.read_passport(version)
    return {
        "version": int(version.name),
        "path": str(version),
        "weights_sha256": passport["model"]["weights_sha256"],
        "passport_sha256": digest_of(version / versions.PASSPORT_FILE),
        "card": passport.get("card"),
    }


def _read(uri: str, name: str) -> dict[str, Any]:
    return dict(json.loads(Path(uri, name).read_text("utf-8")))
