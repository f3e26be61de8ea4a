"""Time to load and memory of a process: the few tricks that are worth their strangeness, each with what it buys.

Figures: two cores, a cold run of 3,000 images of 44 s and 1.6 GB. What bought less than 2 % of that is not here.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.abc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType

KERAS = "keras.src"
# What TensorFlow, TFX and Beam load if it is there, each in a `try`, to offer what nothing here uses. Who imports such
# a package later gets it.
OFFERED = frozenset(
    {
        "google.cloud.bigquery",  # Beam
        "google.cloud.pubsub",  # Beam
        "matplotlib",  # Keras
        "pymongo",  # Beam
        "redis",  # TFMA, for its metrics of translations
        "shapely",  # BigQuery
        "sklearn",  # Keras
        "tensorflow_text",  # TFMA, for models with operations on text
    }
)
M_ARENA_MAX = -8  # of malloc.h
ARENAS = 2


class Hidden(importlib.abc.MetaPathFinder):
    """Refuses to find some modules."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuses the hidden modules, leaves all others to the finders that follow."""
        if fullname in self.names:  # what is below a module needs the module first
            raise ModuleNotFoundError(f"{fullname} is not looked for while TensorFlow and TFX load", name=fullname)


@contextmanager
def loading(without: frozenset[str] = OFFERED) -> Iterator[None]:
    """Keeps the garbage collector from walking over modules, while they load and ever after: 1.4 of 6 s.

    TensorFlow and TFX make a million objects that stay. Python walks over all of them again and again while
    their number grows, a third of the time that they take to load, and in each full collection later.

    Args:
        without: modules that are not found meanwhile. Without those that libraries merely offer, TFX loads in 2.5
            instead of 2.9 s, and takes 774 instead of 836 MB.
    """
    hidden = Hidden(without)
    sys.meta_path.insert(0, hidden)
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
        sys.meta_path.remove(hidden)


def load_tensorflow() -> ModuleType:
    """Loads TensorFlow for a process that only runs models: without Keras, which takes as long to load as the rest.

    TensorFlow does without Keras, and loads it when `tf.keras` is touched.
    """
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    with loading(OFFERED | {KERAS}):
        return importlib.import_module("tensorflow")


def limit_arenas() -> None:
    """Lets all threads allocate from two places of glibc, not sixteen, each of which keeps what it once had: 25 MB."""
    with suppress(OSError, AttributeError):  # another C library is left as it is
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def give_back_memory() -> None:
    """Returns to the system what a node has freed, which glibc keeps: 200 MB after the Trainer, and others lack them.

    Networks and their graphs are rings of objects, 100 MB after the Trainer, which only a full collection ends.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
