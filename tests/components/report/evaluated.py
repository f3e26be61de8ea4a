"""A run that was evaluated, made by hand: what sections on the quality of a model read, and what they show of it."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.contract import features
from components.evaluator.measure import measure_slice
from components.evaluator.metrics import accuracy_interval
from components.evaluator.outcomes import make_schema, outcomes_of
from components.example_gen.manifest import Row, summarise_rows
from components.report.inputs import ReportInputs
from components.report.page import _environment
from components.report.pictures import Pictures
from components.trainer.features.store import FeatureStore

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "قطط",
    "猫" * 200,
    'it\'s "quoted" & $x^2$ {{ 7 * 7 }}',
]


def digest(name):
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def make_run(
    root, labels, actual, predicted, probability=None, true_probability=None, kept=None, train=(), name="{}.png"
):
    """Makes the artifacts of a run, and the inputs of its page.

    Args:
        root: the folder.
        labels: class names.
        actual: index of each eval image's class; likewise `predicted`, `probability`.
        kept: {name of an image: its features}; None: nothing was kept.
        train: index of each train image's class.
        name: of an image, from split and number.
    """
    count = len(actual)
    probability = [0.9] * count if probability is None else probability
    true_probability = [p if a == b else (1 - p) / 2 for a, b, p in zip(actual, predicted, probability, strict=True)]
    names = {
        split: [name.format(f"{split}-{n}") for n in range(len(of))]
        for split, of in (("train", train), ("eval", actual))
    }
    rows = [
        {
            "name": names[split][n],
            "label": labels[label],
            "split": split,
            "sha256": digest(names[split][n]),
            "bytes": 9,
            "format": "png",
        }
        for split, of in (("train", train), ("eval", actual))
        for n, label in enumerate(of)
    ]
    outcomes = [
        {
            "sha256": digest(names["eval"][n]),
            "name": names["eval"][n],
            "label": actual[n],
            "slice/size": ("under 128 px", "128 px and more")[n % 2],
            "candidate/predicted": predicted[n],
            "candidate/probability": probability[n],
            "candidate/true_probability": true_probability[n],
            "candidate/rank": int(actual[n] != predicted[n]),
        }
        for n in range(count)
    ]
    return write(root, labels, rows, outcomes, kept)


def write(root: Path, labels, rows, outcomes, kept):
    for folder in ("manifest", "model/Format-Serving/assets", "model_run", "evaluation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(outcomes, make_schema(["candidate"], ["size"]))
    pq.write_table(table, root / "evaluation" / features.OUTCOMES_FILE)
    (root / "manifest" / features.MANIFEST_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    dataset = summarise_rows([Row(**row) for row in rows], labels)
    (root / "manifest" / features.DATASET_FILE).write_text(json.dumps(dataset))
    (root / "manifest" / features.FINDINGS_FILE).write_text(json.dumps({"near_duplicates": []}))
    assets = root / "model" / "Format-Serving" / "assets"
    (assets / features.LABELS_ASSET).write_text("\n".join(labels), "utf-8")
    width = len(next(iter(kept.values()))) if kept else 0
    (assets / features.FACTS_ASSET).write_text(json.dumps({"feature_width": width, "image_size": [64, 64]}))
    keys = []
    if kept:
        store = FeatureStore(str(root / "features"), {"made": "by hand"})
        with store.writing() as writer:
            raw = np.array([bytes.fromhex(digest(name)) for name in kept], "S32")
            writer.add(raw, np.array(list(kept.values()), np.float32))
        keys = [store.key]
    (root / "model_run" / features.HISTORY_FILE).write_text(json.dumps({"feature_keys": keys}))
    (root / "evaluation" / features.EVALUATION_FILE).write_text(json.dumps({"candidate": measured(table, labels)}))
    inputs = {"manifest": "manifest", "model": "model", "model_run": "model_run", "evaluation": "evaluation"}
    return ReportInputs({key: str(root / folder) for key, folder in inputs.items()}, str(root / "features"))


def measured(table, labels):
    found = outcomes_of(table, "candidate", len(labels))
    half = np.arange(len(found.labels))
    slices = {
        name: measure_slice(found, half[n::2], 0.95, 30)
        for n, name in enumerate(("under 128 px", "128 px and more"))
        if len(half[n::2])
    }
    return {
        "examples": len(found.labels),
        "accuracy": float(found.right.mean()) if len(found.labels) else None,
        "confidence": 0.95,
        "k": 1,
        "intervals": {"accuracy": accuracy_interval(found, 1, 0.95)},
        "slices": {"class": {}, "size": slices},
    }


def show(section, inputs, run=None):
    """Gives what a section gathered, the pictures that it asked for, and its HTML."""
    pictures = Pictures()
    facts = json.loads(json.dumps(section.gather(inputs, pictures)))
    urls = {
        key: f"data:image/webp;base64,{key[:8]}" for key in (*pictures.thumbs, *(f"{sha}/map" for sha in pictures.maps))
    }
    template = _environment().get_template(f"sections/{section.TEMPLATE}")
    html = "" if isinstance(facts, str) else template.render(facts=facts, pictures=urls, run=run)
    return SimpleNamespace(facts=facts, pictures=pictures, html=html)
