"""A machine whose cache of weights and whose way to where they are published a test decides."""

import pytest

from components.trainer.backbones import downloads
from components.trainer.backbones.downloads import CACHE_VARIABLE
from pipeline.first_run import start
from tests import pictures


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Without weights, packages of them and internet; a folder `photos` of two classes is where the user stands."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(start, "can_reach", lambda url: False)
    monkeypatch.setattr(downloads, "find_in_package", lambda file: None)
    monkeypatch.setattr(start, "find_in_package", lambda file: None)
    here = tmp_path / "here"
    for label in ("cats", "dogs"):
        (here / "photos" / label).mkdir(parents=True)
        for number in range(2):
            content = pictures.encode(pictures.noise(20, 20, number, 0, 255), "png")
            (here / "photos" / label / f"{number}.png").write_bytes(content)
    monkeypatch.chdir(here)
    return tmp_path


@pytest.fixture
def keep(machine):
    """Puts a file of weights into the cache, under the name that Keras publishes it by."""

    def call(alpha, side):
        folder = machine / "cache"
        folder.mkdir(exist_ok=True)
        name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{side}_no_top.h5"
        (folder / name).write_bytes(b"weights")
        return folder / name

    return call
