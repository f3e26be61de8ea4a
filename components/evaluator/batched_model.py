"""A model that takes large batches in parts, two of them at once: memory is that of the parts, no processor waits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma

PARTS = 8  # of the model's batches that TFMA sees as one
AT_ONCE = 2


@dataclass(frozen=True)
class PartedSignature:
    """A signature of one input, string [n] to a dict of tensors with n rows each.

    Attributes:
        signature: a `ConcreteFunction` of a loaded SavedModel.
        batch_size: the largest batch that it is given.
    """

    signature: Any
    batch_size: int

    @property
    def structured_input_signature(self) -> Any:
        """What TFMA looks at to know the input."""
        return self.signature.structured_input_signature

    def __call__(self, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers in the order of the rows."""
        (name,) = self.structured_input_signature[1]
        parts = [values[start : start + self.batch_size] for start in range(0, len(values), self.batch_size)]
        if len(parts) < 2:
            return dict(self.signature(**{name: values}))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda part: self.signature(**{name: part}), parts))
        return {key: tf.concat([answer[key] for answer in answers], axis=0) for key in answers[0]}


@dataclass(frozen=True)
class PartedModel:
    """What TFMA needs of a loaded SavedModel.

    Attributes:
        model: loaded; what it holds lives as long as it does.
        signatures: by name.
    """

    model: Any
    signatures: dict[str, PartedSignature]


_loaded: dict[str, Any] = {}  # by path: what was looked at in this process need not be loaded again to be run


def load_to_look(path: str) -> Any:
    """Loads a SavedModel, and keeps it for TFMA where that runs in this process; see `closing_models`."""
    _loaded[path] = tf.saved_model.load(path)
    return _loaded[path]


@contextmanager
def closing_models() -> Iterator[None]:
    """Lets go, at its end, of what TFMA did not take."""
    try:
        yield
    finally:
        _loaded.clear()


def in_parts(shared: tfma.EvalSharedModel, batch_size: int) -> tfma.EvalSharedModel:
    """The same model for TFMA, which is given batches of at most `batch_size`."""
    loader = shared.model_loader
    construct = functools.partial(_construct, shared.model_path, loader.construct_fn, batch_size)
    return shared._replace(model_loader=type(loader)(construct, loader.tags))


def _construct(path: str, load: Callable[[], Any], batch_size: int) -> PartedModel:
    model = _loaded.pop(path, None) or load()
    found = {name: PartedSignature(signature, batch_size) for name, signature in model.signatures.items()}
    return PartedModel(model, found)
