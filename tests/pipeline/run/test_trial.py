"""When the network of a configuration is tried: before the data, and once."""

import pytest

from components.errors import InputError
from components.exports.table import EXTRAS
from components.trainer import trial as network
from pipeline.config.configuration import Config
from pipeline.run.trial import try_early


@pytest.fixture
def tried(monkeypatch, tmp_path):
    """Calls of the trial, which finds a weights file."""
    calls, weights = [], tmp_path / "w.h5"
    weights.touch()
    monkeypatch.setattr(network, "try_network", lambda *given: calls.append(given) or str(weights))
    return calls


def attempt(tmp_path, trainer, exports=(), **arguments):
    config = Config.model_validate({"trainer": trainer, "exports": list(exports)})
    try_early(config, tmp_path / "features", "w", lambda: None, **arguments)


@pytest.mark.parametrize(
    ("trainer", "files", "count"),
    [
        ({}, False, 1),
        ({"backbone": "a/trunk.keras"}, False, 1),
        ({"weights": "none"}, True, 0),
        ({"weights": "none", "fine_tune": {"layers": 1}}, False, 1),
        ({"weights": "w.h5"}, False, 0),
        ({"weights": "w.h5"}, True, 1),
    ],
)
def test_what_may_fail_is_tried_once(tried, tmp_path, trainer, files, count):
    for _ in range(2):
        attempt(tmp_path, trainer, files=files)
    assert len(tried) == count


def test_another_network_is_tried_again_another_head_is_not(tried, tmp_path):
    for trainer in ({}, {"epochs": 3}, {"pooling": "max"}, {"precision": "mixed_bfloat16"}):
        attempt(tmp_path, trainer)
    assert len(tried) == 3


def test_weights_that_are_gone_are_looked_for_again_unless_they_went_with_a_pod(tried, tmp_path, monkeypatch):
    attempt(tmp_path, {})
    (tmp_path / "w.h5").unlink()
    attempt(tmp_path, {}, stays=False)
    assert len(tried) == 1
    attempt(tmp_path, {})
    assert len(tried) == 2
    monkeypatch.setenv("GRAFT_WEIGHTS", str(tmp_path / "elsewhere"))
    attempt(tmp_path, {}, stays=False)
    assert len(tried) == 3


@pytest.mark.parametrize("weights", ["none", "w.h5"])
def test_a_further_form_is_tried_whatever_the_network(tried, tmp_path, weights):
    attempt(tmp_path, {"weights": weights}, exports=["tflite-int8"])
    assert [exports for _, _, exports in tried] == [["tflite-int8"]]


def test_a_form_whose_packages_are_missing_is_refused_at_once(tried, tmp_path, monkeypatch):
    monkeypatch.setitem(EXTRAS, "onnx", ("onnx", "not_installed_here"))
    with pytest.raises(InputError) as caught:
        attempt(tmp_path, {"weights": "none"}, exports=["onnx"])
    assert str(caught.value) == (
        "exports: onnx needs the packages not_installed_here, which are not installed.\n"
        "Install them, pip install not_installed_here, or leave `onnx` out."
    )
    assert tried == []
