"""A model, its data, and a serving directory that is not there yet."""

import pytest

from tests.components.pusher.models import make_data, make_model


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data")


@pytest.fixture
def serving(tmp_path):
    return tmp_path / "deep" / "serving"
