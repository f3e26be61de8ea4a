"""Paths as TensorFlow Serving has them."""

import pytest

from pipeline.serve.rest import ServingError, parse_target


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("GET", "/v1/models/m", ("m", None, "", "status")),
        ("GET", "/v1/models/m/versions/12", ("m", 12, "", "status")),
        ("GET", "/v1/models/m/labels/stable", ("m", None, "stable", "status")),
        ("GET", "/v1/models/m/versions/12/metadata", ("m", 12, "", "metadata")),
        ("GET", "/v1/models/m/metadata", ("m", None, "", "metadata")),
        ("POST", "/v1/models/m:predict", ("m", None, "", "predict")),
        ("POST", "/V1/Models/m/versions/3:Predict", ("m", 3, "", "predict")),
        ("POST", "/v1/models/caf%C3%A9%2F/labels/a%20b:classify", ("café/", None, "a b", "classify")),
    ],
)
def test_a_path_names_model_version_and_method(method, path, target):
    assert parse_target(method, path) == target


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", "/v1/models/m", "Malformed request: POST /v1/models/m"),
        ("GET", "/v1/models/m:predict", "Malformed request: GET /v1/models/m:predict"),
        ("POST", "/v1/models/m:explode", "Malformed request"),
        ("PUT", "/v1/models/m:predict", "Malformed request: PUT"),
        ("GET", "/v1/models/m/versions/x", "Malformed request"),
        ("GET", "/v1/models", "Missing model name in request."),
        ("POST", "/v1/models/m/versions/99999999999999999999:predict", "Failed to convert version: 9+ to numeric"),
    ],
)
def test_other_paths_are_refused_in_its_words(method, path, message):
    with pytest.raises(ServingError, match=message) as caught:
        parse_target(method, path)
    assert caught.value.status == 400
