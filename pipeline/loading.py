"""Loading large packages in less time."""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def loading() -> Iterator[None]:
    """Keeps the garbage collector from walking over modules, while they load and ever after.

    TensorFlow and TFX make a million objects that stay. Python (3.10) walks over all of them again and again while
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


class Lazy(ModuleType):
    """A package that runs its own code when it is asked for what only that can give, not for one of its modules."""

    def __getattr__(self, name: str) -> Any:
        """Loads the package as it is; names with two underscores belong to the import system."""
        if name.startswith("__"):
            raise AttributeError(name)
        spec = importlib.util.find_spec(self.__name__)
        if spec is None or spec.loader is None:
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec.loader.exec_module(self)
        return getattr(self, name)


def load_lazily(name: str) -> None:
    """Makes a package lazy, if it is not loaded yet: a module of it can then be imported without all others.

    `tfx.components` loads each component that TFX has, with the client of Kubernetes and KerasTuner behind them.
    """
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        return
    parent, _, last = name.rpartition(".")
    module = sys.modules[name] = Lazy(name)
    module.__path__, module.__spec__, module.__package__ = list(spec.submodule_search_locations), spec, name
    if parent:
        setattr(importlib.import_module(parent), last, module)
