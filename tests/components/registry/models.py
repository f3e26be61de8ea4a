"""SavedModels that are no models, and what the nodes before the Pusher leave: enough to be pushed."""

import json

from components.contract import features
from components.registry import versions
from components.registry.passport import Data

PASSPORT = {"schema": 1, "name": "pets", "model_key": "k1", "parent": None}
ROWS = [
    {"name": ".DS_Store", "ignored": "hidden"},
    {"name": "cats/é.jpg", "label": "cats", "split": "train", "sha256": "b" * 64},
    {"name": "cats/2.jpg", "label": "cats", "split": "eval", "sha256": "a" * 64},
    {"name": "cats/3.jpg", "label": "cats", "split": "train", "sha256": "c" * 64, "reason": "truncated"},
]
METRICS = {"accuracy": 0.95, "examples": 1000, "intervals": {"accuracy": [0.93, 0.96]}}

TRAINING = {
    "seconds": 12.5,
    "feature_seconds": 3.5,
    "machine": {"processors": 2, "processor": "A Processor", "memory_mb": 8000, "gpus": []},
}


def make_model(folder, weights="w1", size=0):
    """A folder with the files of a SavedModel; `size` bytes of weights."""
    (folder / "assets").mkdir(parents=True)
    (folder / "variables").mkdir()
    (folder / versions.SAVED_MODEL_FILE).write_bytes(b"graph" + bytes(size // 4))
    (folder / "variables" / "variables.index").write_bytes(weights.encode())
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(weights.encode() * (size // len(weights)))
    facts = {"classes": ["cats", "été"], "weights_sha256": weights, "seed": 1}
    (folder / "assets" / features.FACTS_ASSET).write_text(json.dumps(facts), "utf-8")
    return folder


def make_data(folder, rows=ROWS, metrics=METRICS):
    """What ImageExampleGen, StatisticsGen and Evaluator leave."""
    for name in ("manifest", "evaluation", "model_run"):
        (folder / name).mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "manifest" / features.MANIFEST_FILE).write_text(text, "utf-8")
    (folder / "manifest" / features.DATASET_FILE).write_text('{"train": 1, "eval": 1, "quarantined": 1, "found": 4}')
    (folder / "evaluation" / features.EVALUATION_FILE).write_text(json.dumps({"candidate": metrics}))
    (folder / "model_run" / features.HISTORY_FILE).write_text(json.dumps(TRAINING))
    for split in features.SPLITS:
        (folder / "statistics" / f"Split-{split}").mkdir(parents=True)
        (folder / "statistics" / f"Split-{split}" / features.STATISTICS_FILE).write_bytes(split.encode())
    return Data(*(str(folder / name) for name in ("manifest", "statistics", "evaluation", "model_run")))
