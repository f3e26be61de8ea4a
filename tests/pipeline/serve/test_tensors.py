"""JSON to tensors and back, by TensorFlow Serving's rules."""

import json

import numpy as np
import pytest

from pipeline.serve.rest import ServingError
from pipeline.serve.tensors import Spec, format_answer, parse_body, parse_request, signature_name, to_tensor

IMAGE = {"image_bytes": Spec("string", (-1,))}
TWO = {"a": Spec("float32", (-1, 2)), "b": Spec("int64", (-1,))}


def parse(document, specs=IMAGE):
    return parse_request(parse_body(json.dumps(document).encode()), specs)


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [{"b64": "aGk="}, {"b64": "aGk"}]},
        {"instances": [{"image_bytes": {"b64": "aGk="}}, {"image_bytes": "hi"}]},
        {"inputs": {"image_bytes": [{"b64": "aGk="}, "hi"]}},
        {"inputs": ["hi", {"b64": "aGk=\n"}]},
    ],
)
def test_rows_and_columns_and_base64_give_the_same_tensor(document):
    request = parse(document)
    assert request.inputs["image_bytes"].tolist() == [b"hi", b"hi"]
    assert request.in_rows == ("instances" in document)


def test_named_inputs_of_several_types():
    rows = parse({"instances": [{"a": [1, 2.5], "b": 7}, {"a": [3, 4], "b": 8}]}, TWO)
    columns = parse({"inputs": {"a": [[1, 2.5], [3, 4]], "b": [7, 8]}}, TWO)
    for request in (rows, columns):
        np.testing.assert_array_equal(request.inputs["a"], np.array([[1, 2.5], [3, 4]], np.float32))
        np.testing.assert_array_equal(request.inputs["b"], [7, 8])
        assert (request.inputs["a"].dtype, request.inputs["b"].dtype) == (np.float32, np.int64)


def test_values_that_json_has_no_word_for():
    assert np.isnan(to_tensor(float("nan"), "float32"))
    assert to_tensor([True, False], "bool").tolist() == [True, False]


def test_url_safe_base64_is_taken():
    assert to_tensor({"b64": "_-8"}, "string")[()] == to_tensor({"b64": "/+8="}, "string")[()] == b"\xff\xef"


@pytest.mark.parametrize(
    ("document", "specs", "message"),
    [
        ({}, IMAGE, "expected either 'instances' or 'inputs', received neither"),
        ({"instances": [], "inputs": []}, IMAGE, "received instances and inputs"),
        ({"instances": "x"}, IMAGE, "instances: expected a list of at least one row, received 'x'"),
        ({"instances": []}, IMAGE, "instances: expected a list of at least one row"),
        ({"instances": [3]}, IMAGE, r"^image_bytes\[0\]: expected string, received 3$"),
        ({"instances": [{"image": "x"}]}, IMAGE, r"\[0\]: expected .* keys image_bytes, received {'image': 'x'}"),
        ({"instances": ["x", {"y": 1}]}, IMAGE, r"instances\[0\]: expected an object"),
        ({"instances": [{"image_bytes": "x"}, "y"]}, IMAGE, r"instances\[1\]: expected an object"),
        ({"instances": ["x", {"b64": "a"}]}, IMAGE, r"image_bytes\[1\]: expected base64"),
        ({"instances": [{"b64": "é"}]}, IMAGE, "expected base64"),
        ({"instances": [{"image_bytes": {"b64": 3}}]}, IMAGE, 'expected text or {"b64": text}, received'),
        ({"instances": [["x"], ["x", "y"]]}, IMAGE, r"image_bytes\[1\]: expected a list of 1, as before it"),
        ({"instances": [["x"]]}, IMAGE, r"Input image_bytes must be of shape \[-1\], got: \[1,1\]"),
        ({"inputs": "x"}, IMAGE, r"must be of shape \[-1\], got: \[\]"),
        ({"inputs": []}, IMAGE, r"must be of shape \[-1\], got: \[0\]"),
        (
            {"inputs": {"other": 1}},
            IMAGE,
            "expected an object with the keys image_bytes, received {'other': 1}",
        ),
        ({"inputs": [["x"], "y"]}, IMAGE, r"image_bytes\[1\]: expected a list of 1, as before it, received 'y'"),
        ({"inputs": [["x", "y"], ["z"]]}, IMAGE, r"image_bytes\[1\]: expected a list of 2, as before it"),
        ({"inputs": ["x", ["y"]]}, IMAGE, r"image_bytes\[1\]: expected string, received \['y'\]"),
        ({"instances": [1]}, TWO, r"instances\[0\]: expected an object with the keys a, b, received 1"),
        ({"inputs": [1]}, TWO, "inputs: expected an object with the keys a, b"),
        ({"inputs": {"a": [[1, 2]], "b": [1, 2]}}, TWO, "must have equal 0th-dimension size"),
        ({"inputs": {"a": [[1, 2]], "b": [1.5]}}, TWO, r"b\[0\]: expected int64, received 1.5"),
        ({"inputs": {"a": [[1, None]], "b": [1]}}, TWO, r"a\[0\]\[1\]: expected float32, received None"),
        *(
            ({"inputs": {"a": [[1, 2]], "b": [number]}}, TWO, "b: expected int64, received a larger number")
            for number in (2**63, 2**70, 10**400, -(2**63) - 1, 2.0**63, 1e30)
        ),
        *(
            ({"inputs": {"a": [[1, 2]], "b": [number]}}, TWO, r"b\[0\]: expected int64")
            for number in (float("inf"), float("-inf"), float("nan"))
        ),
        ({"inputs": {"a": [[1, 10**400]], "b": [1]}}, TWO, "a: expected float32, received a larger number"),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(document, specs, message):
    with pytest.raises(ServingError, match=message) as caught:
        parse(document, specs)
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(body):
    with pytest.raises(ServingError, match=r"JSON Parse error|expected a JSON object"):
        parse_body(body)


def test_errors_stay_short_whatever_was_sent():
    with pytest.raises(ServingError) as caught:
        parse({"instances": [{"image_bytes": {"b64": "x" * 10_000_000, "more": ["y" * 1000] * 1000}}]})
    assert len(caught.value.message) < 400


def test_the_signature_has_a_default_and_must_be_text():
    assert signature_name({}) == signature_name({"signature_name": ""}) == "serving_default"
    assert signature_name({"signature_name": "explain"}) == "explain"
    with pytest.raises(ServingError, match="signature_name: expected a text, received None"):
        signature_name({"signature_name": None})


def test_answers_in_rows_and_columns():
    outputs = {"label": np.array([b"cat", b"dog"], object), "p": np.array([[0.1, 0.2], [0.3, 0.7]], np.float32)}
    rows = [{"label": "cat", "p": [0.1, 0.2]}, {"label": "dog", "p": [0.3, 0.7]}]
    assert json.loads(format_answer(outputs, True)) == {"predictions": rows}
    columns = {"label": ["cat", "dog"], "p": [[0.1, 0.2], [0.3, 0.7]]}
    assert json.loads(format_answer(outputs, False)) == {"outputs": columns}


def test_a_single_output_has_no_name_and_bytes_are_base64():
    assert format_answer({"x": np.array([1, 2])}, True) == b'{"predictions": [1, 2]}'
    assert format_answer({"x": np.array([1, 2])}, False) == b'{"outputs": [1, 2]}'
    assert format_answer({"x_bytes": np.array([b"\xff"], object)}, True) == b'{"predictions": [{"b64": "/w=="}]}'
