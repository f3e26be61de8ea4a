"""Loading large packages in less time."""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def loading() -> Iterator[None]:
    """Keeps the garbage collector from walking over modules, while they load and ever after.

    TensorFlow and TFX make a million objects that stay. Python walks over all of them again and again while
    their number grows, a third of the time that they take to load, and in each full collection later.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


class Absent(importlib.abc.MetaPathFinder):
    """Packages that another one loads if it finds them, and that this process has no use for."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuses these packages, leaves all others to the finders that follow."""
        if fullname in self._names:  # what is below them needs them first
            raise ModuleNotFoundError(f"{fullname} is not looked for while others load", name=fullname)


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Hides packages that are not loaded yet; they can be loaded afterwards."""
    absent = Absent([name for name in names if name not in sys.modules])
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)


def load_tensorflow() -> ModuleType:
    """TensorFlow for what only runs models: without Keras, which takes as long to load as the rest."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    with loading(), without("keras.src"):  # it does without, and loads it when `tf.keras` is touched
        return importlib.import_module("tensorflow")
