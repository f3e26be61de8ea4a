"""Holds every row of `keras.applications` against the installed Keras, which takes minutes, and notes what was proven.

    python -m tests.components.trainer.backbones.families.walk

`proven.json` has a digest of the rows and the versions of Keras that they were held against; unit tests walk a few rows
and refuse rows or a version that are not in it. Call it once on each TFX line (`scripts/other_line.sh` for the other).
"""

import dataclasses
import hashlib
import importlib
import inspect
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.utils import file_utils

from components.trainer.backbones.build import scale_pixels
from components.trainer.backbones.families.keras_applications import ROWS, find_weights
from components.trainer.backbones.family import PublishedWeights
from components.trainer.features.folding import pool
from tests import pictures

COMMAND = "python -m tests.components.trainer.backbones.families.walk"
PROVEN = Path(__file__).with_name("proven.json")


class AskedError(Exception):
    """Carries what a constructor of Keras asked for out of it."""


def table_digest():
    """sha256 of all rows."""
    rows = [{**dataclasses.asdict(row), "variants": sorted(row.variants.items())} for row in ROWS.values()]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def proven_versions():
    """The versions of Keras that the present rows were held against."""
    proven = json.loads(PROVEN.read_text("utf-8"))
    return proven["keras"] if proven["table_sha256"] == table_digest() else []


def constructor_of(name):
    return getattr(keras.applications, name)


def module_of(name):
    return importlib.import_module(constructor_of(name).__module__)


def models_of_keras():
    """Names of all constructors of image models."""
    functions = {name: value for name, value in vars(keras.applications).items() if inspect.isfunction(value)}
    return {name for name, value in functions.items() if "include_top" in inspect.signature(value).parameters}


def unmade(name, size, weights=None, **arguments):
    """A network with shapes and no variables: drawing them would take most of the time."""
    with keras.StatelessScope(initialize_variables=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras says which size the weights are of
        return constructor_of(name)(weights=weights, include_top=False, input_shape=(*size, 3), **arguments)


def asked_of_keras(name, size, arguments):
    """The file that Keras' constructor fetches."""

    def get_file(fname, origin, file_hash=None, **_):
        raise AskedError(PublishedWeights(fname, origin, file_hash or ""))

    with mock.patch.object(file_utils, "get_file", get_file):
        try:
            unmade(name, size, "imagenet", **arguments)
        except AskedError as asked:
            return asked.args[0]
    raise AssertionError(f"{name} did not ask for its weights")


def check_weights_of(name):
    """Holds the address and digest of each variant against what Keras' constructor asks for."""
    row = ROWS[name]
    square = (row.default_size, row.default_size)
    sizes = [*((side, side) for side in row.sides), *([(100, 130)] if row.sides else [])]
    variants = [dict(zip(row.arguments, key, strict=True)) for key in row.variants]
    for size, arguments in [(square, {}), *((size, {}) for size in sizes), *((square, given) for given in variants)]:
        assert find_weights(name, size, arguments) == asked_of_keras(name, size, arguments), (name, size, arguments)


def check_scaling(name):
    """Holds a row's scaling against what Keras does to pixels for this network."""
    pixels = pictures.noise(4, 5).astype(np.float32)[None]
    expected = module_of(name).preprocess_input(pixels.copy(), data_format="channels_last")
    np.testing.assert_allclose(scale_pixels(tf.constant(pixels), ROWS[name].scaling), expected, atol=1e-4, err_msg=name)


def check_row(name):
    """Holds the other columns of a row against Keras: width, scaling, smallest size, arguments."""
    row = ROWS[name]
    model = unmade(name, (row.smallest_size,) * 2)
    assert len(model.output_shape) == 4, name
    assert model.output_shape[-1] == row.width, name
    inside = {"Rescaling", "Normalization", "PreStem"} & {type(layer).__name__ for layer in model.layers}
    assert (row.scaling == "inside") is bool(inside), name
    with pytest.raises(ValueError, match=f"at least {row.smallest_size}x{row.smallest_size}"):
        unmade(name, (row.smallest_size - 1,) * 2)
    check_scaling(name)
    parameters = inspect.signature(constructor_of(name)).parameters
    assert {key: parameters[key].default for key in row.arguments} == row.arguments, name


def check_graph(name):
    """Runs a graph of the network on two images; its convolutions average, other variables are 1."""
    row = ROWS[name]
    shape = (row.smallest_size, row.smallest_size, 3)
    pixels = tf.constant(np.stack([pictures.noise(*shape[:2], seed) for seed in (1, 2)]), tf.float32)
    model = unmade(name, shape[:2])
    for variable in model.variables:
        variable._initializer = lambda shape, dtype=None: tf.fill(
            shape, tf.constant(1.0 / np.prod(shape[:-1]), dtype or tf.float32)
        )
    with keras.StatelessScope(initialize_variables=False):
        forward = tf.function(lambda x: pool(model(scale_pixels(x, row.scaling), training=False)), autograph=False)
        features = forward.get_concrete_function(tf.TensorSpec([None, *shape], tf.float32))(pixels).numpy()
    assert features.shape == (2, row.width), name
    assert np.isfinite(features).all(), name


def in_a_thread(function, *arguments):
    """Keras keeps names, and variables that were never made, in lists of the thread: they go with it."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *arguments).result()


def main():
    """Walks all rows; one graph of each module of Keras is run, the smallest."""
    assert set(ROWS) == models_of_keras()
    smallest = {module_of(name).__name__: name for name in reversed(ROWS)}
    for name in ROWS:
        print(name, flush=True)
        in_a_thread(check_row, name)
        in_a_thread(check_weights_of, name)
        if name in smallest.values():
            in_a_thread(check_graph, name)
    versions = sorted({*proven_versions(), keras.__version__})
    PROVEN.write_text(json.dumps({"table_sha256": table_digest(), "keras": versions}, indent=2) + "\n", "utf-8")
    print(f"All {len(ROWS)} rows are what Keras {keras.__version__} makes of them: {PROVEN}")


if __name__ == "__main__":
    main()
