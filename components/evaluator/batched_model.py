"""Pushed models in the Evaluator: whether one can be run at all, and one that takes large batches in parts.

Two parts run at once: memory is that of the parts, and no processor waits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.contract import features
from components.errors import first_line
from components.evaluator.kept_features import FeatureKeeper

PARTS = 8  # of the model's batches that TFMA sees as one
PARTS_AT_ONCE = 2


@dataclass(frozen=True)
class PartedSignature:
    """A signature of one input, string [n] to a dict of tensors with n rows each.

    Features are no answer that TFMA is told of, as it would carry them through all its steps.

    Attributes:
        signature: a `ConcreteFunction` of a loaded SavedModel.
        batch_size: the largest batch that it is given.
        keeper: takes the features; None: nobody does.
    """

    signature: Any
    batch_size: int
    keeper: FeatureKeeper | None = None

    @property
    def structured_input_signature(self) -> Any:
        """The signature's input, which TFMA reads."""
        return self.signature.structured_input_signature

    def __call__(self, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers in the order of the rows."""
        answers = self._ask(values)
        found = answers.pop(features.OUTPUT_FEATURES, None)
        if found is not None and self.keeper:
            self.keeper.keep(values, found.numpy())
        return answers

    def _ask(self, values: tf.Tensor) -> dict[str, tf.Tensor]:
        (name,) = self.structured_input_signature[1]
        parts = [values[start : start + self.batch_size] for start in range(0, len(values), self.batch_size)]
        if len(parts) < 2:
            return dict(self.signature(**{name: values}))
        with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
            answers = list(pool.map(lambda part: self.signature(**{name: part}), parts))
        return {key: tf.concat([answer[key] for answer in answers], axis=0) for key in answers[0]}


@dataclass(frozen=True)
class PartedModel:
    """The attributes of a loaded SavedModel that TFMA reads.

    Attributes:
        model: loaded; what it holds lives as long as it does.
        signatures: by name.
    """

    model: Any
    signatures: dict[str, PartedSignature]


_loaded: dict[str, Any] = {}  # by path: what was looked at in this process need not be loaded again to be run


def load_to_look(path: str) -> Any:
    """Loads a SavedModel, and keeps it for a TFMA that runs in this process; see `closing_models`."""
    _loaded[path] = tf.saved_model.load(path)
    return _loaded[path]


@contextmanager
def closing_models() -> Iterator[None]:
    """Frees at its end the models that `load_to_look` kept and TFMA did not take."""
    try:
        yield
    finally:
        _loaded.clear()


def why_not_runnable(path: str, classes: int, record: bytes) -> str:
    """Says why a SavedModel does not answer for one record; an empty text where it does.

    Args:
        path: of the SavedModel.
        classes: how many probabilities are expected.
        record: a serialized tf.Example.
    """
    try:
        model = load_to_look(path)
        signature = model.signatures.get(features.SERVE_EXAMPLES)
        if signature is None:
            return f"it has no signature {features.SERVE_EXAMPLES}"
        answer = PartedSignature(signature, 1)(tf.constant([record]))
        found = answer.get(features.OUTPUT_PROBABILITIES)
        if found is None:
            return f"its signature {features.SERVE_EXAMPLES} gives no {features.OUTPUT_PROBABILITIES}"
        if tuple(found.shape) != (1, classes):
            return f"it answers with shape {tuple(found.shape)} for one image of {classes} classes"
        if not bool(tf.reduce_all(tf.math.is_finite(found))):
            return "its probabilities are no numbers"
    except Exception as error:  # noqa: BLE001  whatever a foreign model raises, it cannot be compared with
        return f"it does not work: {first_line(error)[:200]}"
    return ""


def in_parts(
    shared: tfma.EvalSharedModel, batch_size: int, keeper: FeatureKeeper | None = None
) -> tfma.EvalSharedModel:
    """Wraps a model for TFMA so that it is given batches of at most `batch_size`; `keeper` takes its features."""
    loader = shared.model_loader
    construct = functools.partial(_construct, shared.model_path, loader.construct_fn, batch_size, keeper)
    return shared._replace(model_loader=type(loader)(construct, loader.tags))


def _construct(path: str, load: Callable[[], Any], batch_size: int, keeper: FeatureKeeper | None) -> PartedModel:
    model = _loaded.pop(path, None) or load()
    found = {name: PartedSignature(signature, batch_size, keeper) for name, signature in model.signatures.items()}
    return PartedModel(model, found)
