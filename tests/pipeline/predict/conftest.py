"""Models that are loaded once."""

import functools

import pytest

from pipeline.predict import answers

load_once = functools.lru_cache(maxsize=8)(answers.load_model)


@pytest.fixture
def loaded_once(monkeypatch):
    """A model of a path that no test changes is loaded by the first who asks for it."""
    from pipeline.predict import distributed

    for module in (answers, distributed):
        monkeypatch.setattr(module, "load_model", load_once)
