"""What the page is made of: the artifacts of a run, each read when a section first asks for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.contract import features
from components.contract.assets import read_facts, read_labels
from components.example_gen.manifest import Row, parse_row
from components.files.paths import exists, opened, read_bytes

if TYPE_CHECKING:
    from components.contract.artifacts import Baseline

Made = TypeVar("Made")

# Inputs of the node, of which a run that was stopped has left only the first ones.
EXAMPLES, MANIFEST, MODEL, MODEL_RUN = "examples", "manifest", "model", "model_run"
EVALUATION, BASELINE, DATA_VERDICT, SERVABLE = "evaluation", "baseline_model", "data_verdict", "infra_blessing"
SERVING_FOLDER = "Format-Serving"  # TFX's name of the SavedModel in a Model artifact


@dataclass(frozen=True)
class ReportInputs:
    """The artifacts of one run; what was not made is empty.

    Attributes:
        uris: {input of the node: its folder}, local or remote.
        features_dir: the feature store; empty: nothing was kept.
        data_path: where the data was read from; it may be gone, or on another machine.
        passport: of the plan: configuration, fingerprints, libraries.
        known: content of files by their name, for a run whose data was refused before any artifact was made:
            `DATASET_FILE` and `LEDGER_FILE`; and `gates`, the verdicts.
    """

    uris: Mapping[str, str]
    features_dir: str = ""
    data_path: str = ""
    passport: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Any] = field(default_factory=dict)
    _made: dict[Any, Any] = field(default_factory=dict, repr=False)
    _locks: dict[Any, Lock] = field(default_factory=dict, repr=False)

    def once(self, make: Callable[[ReportInputs], Made]) -> Made:
        """Gives what a function makes of these inputs; it is called once, however many sections and threads ask."""
        with self._locks.setdefault(make, Lock()):
            if make not in self._made:
                self._made[make] = make(self)
            return self._made[make]

    def _json(self, name: str, file: str) -> dict[str, Any]:
        """Reads a JSON file of an artifact; empty where there is none."""
        path = os.path.join(self.uris[name], file) if name in self.uris else ""
        return dict(json.loads(read_bytes(path))) if path and exists(path) else {}

    @cached_property
    def dataset(self) -> dict[str, Any]:
        """Counts of the data: `dataset.json`, as `summarise_rows` makes it."""
        return self._json(MANIFEST, features.DATASET_FILE) or dict(self.known.get(features.DATASET_FILE, {}))

    @cached_property
    def findings(self) -> dict[str, Any]:
        """Groups of names: copies, near copies, conflicts, leakage between train and eval."""
        return self._json(MANIFEST, features.FINDINGS_FILE)

    @cached_property
    def rows(self) -> list[Row]:
        """The manifest: a row for each file of the data; only the rejected ones where the data was refused."""
        if MANIFEST in self.uris:
            with opened(os.path.join(self.uris[MANIFEST], features.MANIFEST_FILE)) as file:
                return [parse_row(line.decode("utf-8")) for line in iter(file.readline, b"") if line.strip()]
        text = str(self.known.get(features.LEDGER_FILE, ""))
        return [parse_row(line) for line in text.splitlines() if line]

    @cached_property
    def row_of(self) -> dict[str, Row]:
        """The first row of each image that is an example, by its sha256."""
        return {row.sha256: row for row in reversed(self.rows) if row.is_example}

    @cached_property
    def history(self) -> dict[str, Any]:
        """The learning curves and the Trainer's rates: `history.json`."""
        return self._json(MODEL_RUN, features.HISTORY_FILE)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What the Evaluator measured: `candidate`, and `baseline` and `best` where there are such versions."""
        return self._json(EVALUATION, features.EVALUATION_FILE)

    @cached_property
    def gates(self) -> dict[str, dict[str, Any]]:
        """The verdict of each gate that was asked: {data, quality, servability: `verdict.json`}, in this order."""
        inputs = {"data": DATA_VERDICT, "quality": EVALUATION, "servability": SERVABLE}
        found = {gate: self._json(name, features.VERDICT_FILE) for gate, name in inputs.items()}
        return {gate: verdict for gate, verdict in found.items() if verdict} or dict(self.known.get("gates", {}))

    @cached_property
    def outcomes(self) -> pa.Table | None:
        """What each model answered for each eval image: `images.parquet`, see `components/evaluator/outcomes.py`."""
        if EVALUATION not in self.uris:
            return None
        return pq.read_table(pa.BufferReader(read_bytes(os.path.join(self.uris[EVALUATION], features.OUTCOMES_FILE))))

    @cached_property
    def baseline(self) -> Baseline:
        """The served version that the candidate was held against, or why there is none."""
        from components.contract.artifacts import Baseline  # TFX: a page that was gathered before is written without

        found = self._json(BASELINE, features.BASELINE_FILE)
        return Baseline(**found) if found else Baseline(reason="the run did not come so far")

    @cached_property
    def model(self) -> str:
        """The candidate's SavedModel; empty where none was trained."""
        return os.path.join(self.uris[MODEL], SERVING_FOLDER) if MODEL in self.uris else ""

    @cached_property
    def baseline_model(self) -> str:
        """The served version's folder as it was pushed, its passport in it; empty where it cannot be compared."""
        return os.path.join(self.uris[BASELINE], SERVING_FOLDER) if self.baseline.exists else ""

    @cached_property
    def labels(self) -> list[str]:
        """Class names in the order of the label index."""
        return read_labels(self.model) if self.model else list(self.dataset.get("classes", []))

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the candidate is made of: `assets/graft.json`."""
        return read_facts(self.model) if self.model else {}

    def read_features(self, digests: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Reads features that the run kept: the Trainer in the store, the Evaluator in its artifact.

        Args:
            digests: sha256 of images, 64 hex digits each.

        Returns:
            float32 [n, d], and bool [n]: which of them were found; the others' rows are zeros.
        """
        from components.evaluator.kept_features import fill_in  # the same
        from components.trainer.features.store import read_kept

        raw = np.array([bytes.fromhex(digest) for digest in digests], "S32")
        width = int(self.facts.get("feature_width", 0))
        values, found = np.zeros([0, width], np.float32), np.zeros(len(raw), bool)
        for key in self.history.get("feature_keys", []) if self.features_dir and width else []:
            kept, there = read_kept(self.features_dir, key, raw, width)
            if not found.any():  # as a rule the only key: a second array of all features would double the memory
                values, found = kept, there
            else:
                values[there & ~found] = kept[there & ~found]
                found |= there
        values = values if len(values) == len(raw) else np.zeros([len(raw), width], np.float32)
        if EVALUATION in self.uris and width:
            fill_in(self.uris[EVALUATION], raw, values, found)
        return values, found
