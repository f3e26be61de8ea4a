"""A toy form of export: the class names and one weight of the head, in a JSON file."""

import json
import os
from pathlib import Path

import tensorflow as tf

from components.contract import features
from components.contract.assets import read_labels
from components.contract.gates import at_most
from components.errors import InputError

TITLE, FILE = "toys", "toy.json"
PROBE = Path(__file__).with_name("toy_probe.py")


def write(model):
    """Takes networks that have places to explain, and no others."""
    if features.EXPLAIN not in tf.saved_model.load(model).signatures:
        raise InputError("exports: toys cannot take this backbone.")
    weight = tf.train.load_variable(os.path.join(model, "variables", "variables"), "bias/.ATTRIBUTES/VARIABLE_VALUE")
    folder = Path(model, features.EXTRA_ASSETS)
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(json.dumps({"labels": read_labels(model), "weight": float(weight[0])}))


def settings():
    return {"weight_of": "bias"}


def judge(answer, labels, max_difference):
    difference = abs(answer["weight"] - answer["expected"])
    return {"toy_difference": difference}, [
        at_most("toy/weight", difference, max_difference, f"{FILE} differs by {difference:.2g}"),
        at_most("toy/labels", int(answer["labels"] != labels), 0, f"{FILE} has other class names"),
    ]
