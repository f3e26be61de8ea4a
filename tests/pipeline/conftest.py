"""A working directory with a pushed version, and pictures to ask about."""

import pytest

from components.registry.publish import publish_model
from tests import pictures
from tests.conftest import picture_of


@pytest.fixture(scope="session")
def pushed(trained, tmp_path_factory):
    """A working directory with one pushed version of the real model."""
    root = tmp_path_factory.mktemp("workdir")
    passport = {"model_key": "k", "name": "shades", "data_fingerprint": "d" * 64, "parent": None}
    publish_model(trained.path, root / "serving", passport)
    return root


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two pictures, one of them under the wrong suffix, and what is no picture."""
    pictures.write(tmp_path / "a.png", picture_of(0, 1))
    pictures.write(tmp_path / "b.jpg", picture_of(1, 4))
    pictures.write(tmp_path / "text.txt", b"[/x] words")
    pictures.write(tmp_path / "cut.png", pictures.encode(pictures.noise())[:300])
    monkeypatch.chdir(tmp_path)
    return tmp_path
