"""A toy form of export: the class names and their number, in a JSON file."""

import json
from pathlib import Path

import tensorflow as tf

from components.contract import features
from components.contract.assets import read_labels
from components.contract.gates import at_most
from components.errors import InputError

TITLE, FILE = "toys", "toy.json"
PROBE = Path(__file__).with_name("toy_probe.py")
ALL_IMAGES = False


def write(model, images):
    """Takes networks that have places to explain, and no others."""
    if features.EXPLAIN not in tf.saved_model.load(model).signatures:
        raise InputError("exports: toys cannot take this backbone.")
    folder = Path(model, features.EXTRA_ASSETS)
    folder.mkdir(exist_ok=True)
    content = {"labels": read_labels(model), "count": len(read_labels(model)), "images": len(images(2))}
    (folder / FILE).write_text(json.dumps(content))


def settings():
    return {"count_of": features.LABELS_ASSET}


def judge(answer, reference, gate):
    difference = abs(answer["count"] - answer["expected"])
    return {"toy_difference": difference}, [
        at_most("toy/count", difference, gate.max_difference, f"{FILE} differs by {difference:.2g}"),
        at_most("toy/labels", int(answer["labels"] != reference.labels), 0, f"{FILE} has other class names"),
    ]
