"""The artifacts of a small run, made by hand: what sections of the page read."""

import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contract import features
from components.contract.gates import Check, Gate
from components.evaluator.outcomes import make_schema
from components.example_gen.manifest import Row, summarise_rows
from components.report.inputs import SERVING_FOLDER, ReportInputs
from tests import pictures
from tests.components.report import evaluated

CLASSES = ["cats", '<img src=x onerror="alert(1)">', "猫"]
SERVED = 7  # the version that was served when the run began


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class MadeRun:
    """The artifacts of a run, each of which a test may change before it asks for `inputs`.

    Attributes:
        folder: of everything.
        rows: of the manifest; `write` counts them.
        answers: of each eval image: its row, the label that the served version answers, and that of the candidate.
    """

    folder: Path
    rows: list[Row] = field(default_factory=list)
    answers: list[tuple[Row, int, int]] = field(default_factory=list)
    findings: dict = field(default_factory=dict)
    counts: dict = field(default_factory=dict)
    history: dict = field(default_factory=dict)
    checks: dict = field(default_factory=lambda: {"data": [], "quality": [], "servability": []})
    passport: dict = field(default_factory=dict)
    served: dict = field(default_factory=dict)
    served_counts: dict = field(default_factory=dict)
    classes: list[str] = field(default_factory=lambda: list(CLASSES))
    baseline: dict = field(default_factory=lambda: {"version": SERVED, "exists": True})

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def add(self, name: str, label: str, split: str = "train", *, content: bytes = b"", **facts) -> Row:
        """Adds a row of the manifest, whose file is there if it has content."""
        if content:
            path = self.data / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        size = {"format": "png", "height": 30, "width": 40, "brightness": 99.0, "bytes": 10}
        row = Row(name=name, label=label, split=split, sha256=digest_of(content or name.encode()), **(size | facts))
        self.rows.append(row)
        return row

    def write(self) -> None:
        """Writes all artifacts."""
        dataset = summarise_rows(self.rows, self.classes) | {"fingerprint": "d" * 64, "container": "folder"}
        dataset |= {f"{kind}_groups": len(groups) for kind, groups in self.findings.items()} | self.counts
        self._json("manifest", features.DATASET_FILE, dataset)
        self._json("manifest", features.FINDINGS_FILE, self.findings)
        lines = "".join(row.to_json() + "\n" for row in self.rows)
        (self.folder / "manifest" / features.MANIFEST_FILE).write_text(lines)
        self._json("model_run", features.HISTORY_FILE, self.history)
        self._json("baseline_model", features.BASELINE_FILE, self.baseline)
        self._json(f"baseline_model/{SERVING_FOLDER}", "passport.json", self.served)
        extra = f"baseline_model/{SERVING_FOLDER}/{features.EXTRA_ASSETS}"
        self._json(extra, features.DATASET_FILE, self.served_counts)
        assets = f"model/{SERVING_FOLDER}/assets"
        facts = {
            "backbone": "MobileNetV2",
            "image_size": [96, 96],
            "backbone_sha256": "b" * 64,
            "head_sha256": "c" * 64,
        }
        self._json(assets, features.FACTS_ASSET, facts)
        (self.folder / assets / features.LABELS_ASSET).write_text("\n".join(self.classes) + "\n", "utf-8")
        self._write_evaluation()
        for gate, name in {"data": "data_verdict", "quality": "evaluation", "servability": "infra_blessing"}.items():
            judged = {"model": "a" * 64, "examples": "e" * 64}
            verdict = Gate(tuple(self.checks[gate]), extra={"judged": judged, "measured": {"version": SERVED}})
            self._json(name, features.VERDICT_FILE, verdict.to_dict())

    def _write_evaluation(self) -> None:
        models = {"candidate": 2, "baseline": 1} if self.baseline["exists"] else {"candidate": 2}
        rows, metrics = [], {}
        for answer in self.answers:
            row = answer[0]
            line = {"sha256": row.sha256, "name": row.name, "label": self.classes.index(row.label)}
            for model, place in models.items():
                values = {"predicted": answer[place], "probability": 0.9, "true_probability": 0.5, "rank": 0}
                line |= {f"{model}/{name}": value for name, value in values.items()}
            rows.append(line)
        for model in models:
            right = [row["label"] == row[f"{model}/predicted"] for row in rows]
            by_class = {
                name: [ok for row, ok in zip(rows, right, strict=True) if row["label"] == index]
                for index, name in enumerate(self.classes)
            }
            metrics[model] = {
                "examples": len(rows),
                "accuracy": sum(right) / max(len(rows), 1),
                "confidence": 0.95,
                "per_class": {
                    name: {"examples": len(oks), "accuracy": sum(oks) / len(oks) if oks else None}
                    for name, oks in by_class.items()
                },
            }
        self._json("evaluation", features.EVALUATION_FILE, metrics)
        table = pa.Table.from_pylist(rows, make_schema(list(models), []))
        pq.write_table(table, self.folder / "evaluation" / features.OUTCOMES_FILE)

    def _json(self, folder: str, name: str, content: object) -> None:
        path = self.folder / folder
        path.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(json.dumps(content))

    def inputs(self, *without: str, data_path: str = "") -> ReportInputs:
        """Writes the artifacts and gives the inputs of the page; `without`: those that the run did not make."""
        self.write()
        names = ("manifest", "model", "model_run", "evaluation", "baseline_model", "data_verdict", "infra_blessing")
        uris = {name: str(self.folder / name) for name in names if name not in without}
        return ReportInputs(uris, data_path=data_path or str(self.data), passport=self.passport)


@pytest.fixture
def made_run(tmp_path) -> MadeRun:
    """A run of three classes with hostile names: 12 train images, 6 eval images that both versions answer right."""
    run = MadeRun(tmp_path)
    for index in range(18):
        label, split = index % 3, "eval" if index >= 12 else "train"
        content = pictures.encode(pictures.noise(30, 40, index), "png")
        row = run.add(f"{split}/{index}.png", CLASSES[label], split, content=content)
        if split == "eval":
            run.answers.append((row, label, label))
    run.history = {"head": {"loss": [0.9, 0.5], "accuracy": [0.5, 0.8]}, "features_computed": 18, "learned": 12}
    run.checks["quality"] = [Check("accuracy", 1.0, 0.9, "pass")]
    run.passport = {
        "name": "pets",
        "data_fingerprint": "d" * 64,
        "config": {"trainer": {"epochs": 2}},
        "parent": SERVED,
    }
    run.served = {"created": "2026-01-31T12:00:00Z", "config": {"trainer": {"epochs": 5}}}
    run.served_counts = {
        "train": 10,
        "eval": 6,
        "per_class": {"train": {"cats": 2, CLASSES[1]: 4, "猫": 4}, "eval": dict.fromkeys(CLASSES, 2)},
    }
    return run


@pytest.fixture
def finished(tmp_path):
    """Call it with what each eval image is and what was answered; gives the inputs of the page."""
    return functools.partial(evaluated.make_run, tmp_path)


@pytest.fixture
def shown():
    """Call it with a section and inputs; gives what the section gathered, its pictures, and its HTML."""
    return evaluated.show
