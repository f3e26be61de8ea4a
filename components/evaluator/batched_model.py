"""Models in the Evaluator: whether one can be run at all, and its answers for a batch of records.

A large batch goes through a model in parts of a fixed size, two at once: memory is that of the parts, and no processor
waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from components.contract import features
from components.errors import first_line
from components.exports.session import Answers, open_signature

PARTS = 8  # of the model's batches that are one batch of Beam
PARTS_AT_ONCE = 2
# What is asked of a model, where its signature has it: the label in words is not, since its index says the same.
WANTED = (features.OUTPUT_PROBABILITIES, features.OUTPUT_OUTLIER, features.OUTPUT_KNOWN, features.OUTPUT_FEATURES)


@dataclass(frozen=True)
class AskedModel:
    """The signature `serve_examples` of a loaded export.

    Attributes:
        ask: from serialized tf.Examples, object [n], to the outputs of `WANTED` that there are; safe for threads.
        close: frees the model.
        outputs: names of all outputs; empty: there is no such signature.
    """

    ask: Callable[[np.ndarray], Answers]
    close: Callable[[], None]
    outputs: tuple[str, ...]

    def answer(self, records: Sequence[bytes], batch_size: int) -> Answers:
        """Asks for records, at least one, in batches of at most `batch_size`; answers in the order of the records."""
        values = np.array(records, object)
        parts = [values[start : start + batch_size] for start in range(0, len(values), batch_size)]
        if len(parts) == 1:
            return self.ask(values)
        with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
            answers = list(pool.map(self.ask, parts))
        return {name: np.concatenate([part[name] for part in answers]) for name in answers[0]}


def load_model(path: str) -> AskedModel:
    """Loads a SavedModel from its folder."""
    signature = open_signature(path, features.SERVE_EXAMPLES)
    if signature is None:
        return AskedModel(lambda _: {}, lambda: None, ())
    wanted = [name for name in WANTED if name in signature.outputs]
    return AskedModel(lambda records: signature.run(records, wanted), signature.close, signature.outputs)


_opened: dict[str, Future[AskedModel]] = {}  # by path: a process loads a model once, to look at it and to ask it
_opening = threading.Lock()


def open_model(path: str, record: bytes | None = None) -> AskedModel:
    """Loads a SavedModel once a process, and waits where another thread is at it; see `closing_models`.

    Args:
        path: of the SavedModel.
        record: a serialized tf.Example that a model is asked about when it is loaded: the graph is rewritten for the
            first question, and of two that come at once for each.
    """
    with _opening:
        is_first, opened = path not in _opened, _opened.setdefault(path, Future())
    if is_first:
        try:
            model = load_model(path)
            if record is not None:
                model.answer([record], 1)
            opened.set_result(model)
        except BaseException as error:  # noqa: BLE001  whatever it is, no thread may wait for a model for ever
            with _opening:
                del _opened[path]
            opened.set_exception(error)
    return opened.result()


def open_models(paths: Iterable[str], record: bytes) -> None:
    """Loads several models at once, which is work for one processor each."""
    with ThreadPoolExecutor() as pool:
        for opened in [pool.submit(open_model, path, record) for path in paths]:
            opened.result()


@contextmanager
def closing_models() -> Iterator[None]:
    """Frees at its end the models that `open_model` loaded in this process."""
    try:
        yield
    finally:
        with _opening:
            for opened in _opened.values():
                opened.result().close()
            _opened.clear()


def why_not_runnable(path: str, classes: int, record: bytes) -> str:
    """Says why a SavedModel does not answer for one record; an empty text where it does.

    Args:
        path: of the SavedModel.
        classes: how many probabilities are expected.
        record: a serialized tf.Example.
    """
    try:
        model = open_model(path)
        if not model.outputs:
            return f"it has no signature {features.SERVE_EXAMPLES}"
        if features.OUTPUT_PROBABILITIES not in model.outputs:
            return f"its signature {features.SERVE_EXAMPLES} gives no {features.OUTPUT_PROBABILITIES}"
        found = model.answer([record], 1)[features.OUTPUT_PROBABILITIES]
        if found.shape != (1, classes):
            return f"it answers with shape {found.shape} for one image of {classes} classes"
        if not np.isfinite(found).all():
            return "its probabilities are no numbers"
    except Exception as error:  # noqa: BLE001  whatever a foreign model raises, it cannot be compared with
        return f"it does not work: {first_line(error)[:200]}"
    return ""
