"""The server over HTTP, with the real model: TensorFlow Serving's interface, limits, and what bad input does."""

import base64
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
import tensorflow as tf

from components.contract import features
from components.registry.find import find_model
from pipeline.serve.host import Host
from pipeline.serve.intake import IntakeLimits
from tests import pictures
from tests.conftest import CLASSES, WIDTH
from tests.pipeline.serve.fakes import FixedHost, running

LIMITS = IntakeLimits(request_bytes=300_000, requests=40, pixels=200_000, total_pixels=1_500_000)


@pytest.fixture(scope="module")
def server(pushed):
    host = Host(str(pushed), "", 8)
    host.start()
    with running(host, LIMITS) as (url, _):
        yield url
    host.close()


@pytest.fixture(scope="module")
def number(pushed):
    return int(find_model(str(pushed)).name)


def encode(content):
    return {"b64": base64.b64encode(content).decode()}


def predict(url, contents, **more):
    body = {"instances": [{features.INPUT_BYTES: encode(content)} for content in contents], **more}
    return requests.post(f"{url}/v1/models/shades:predict", json=body, timeout=60)


@pytest.fixture(scope="module")
def expected(pushed, eval_records):
    serve = tf.saved_model.load(str(find_model(str(pushed)))).signatures[features.SERVE_BYTES]
    return serve(tf.constant(eval_records.contents))[features.OUTPUT_PROBABILITIES].numpy()


def test_predictions_in_rows_are_those_of_the_model(server, eval_records, expected):
    answer = predict(server, eval_records.contents)  # more than a batch
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    rows = answer.json()["predictions"]
    assert set(rows[0]) == {"label", "probability", "probabilities", "outlier", "known"}
    np.testing.assert_allclose([row["probabilities"] for row in rows], expected, atol=1e-5)
    assert [row["label"] for row in rows] == [CLASSES[index] for index in expected.argmax(axis=1)]


def test_predictions_in_columns_by_version_and_label(server, number, eval_records, expected):
    body = {"inputs": {features.INPUT_BYTES: [encode(content) for content in eval_records.contents[:3]]}}
    for place in ("", f"/versions/{number}", "/labels/stable"):
        answer = requests.post(f"{server}/v1/models/shades{place}:predict", json=body, timeout=60)
        np.testing.assert_allclose(answer.json()["outputs"]["probabilities"], expected[:3], atol=1e-5)


def test_every_signature_answers(server, eval_records, expected):
    picture = eval_records.contents[0]
    (explained,) = predict(server, [picture], signature_name=features.EXPLAIN).json()["predictions"]
    assert np.asarray(explained["cam"]).shape == (2, 2)
    (vector,) = predict(server, [picture], signature_name=features.EMBED).json()["predictions"]
    assert len(vector) == WIDTH  # a single output has no name
    body = {"signature_name": features.SERVE_EXAMPLES, "instances": [encode(eval_records.serialized[0])]}
    answer = requests.post(f"{server}/v1/models/shades:predict", json=body, timeout=60).json()
    np.testing.assert_allclose(answer["predictions"][0]["probabilities"], expected[0], atol=1e-5)


def test_a_format_that_tensorflow_cannot_decode_is_converted(server):
    picture = pictures.noise(40, 30, 5)
    tiff, png = (predict(server, [pictures.encode(picture, form)]).json() for form in ("tiff", "png"))
    assert tiff["predictions"][0]["probabilities"] == pytest.approx(png["predictions"][0]["probabilities"], abs=1e-6)


def test_status_and_metadata(server, number):
    expected = {
        "model_version_status": [
            {"version": str(number), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    for place in ("", f"/versions/{number}", "/labels/stable"):
        assert requests.get(f"{server}/v1/models/shades{place}", timeout=60).json() == expected
    found = requests.get(f"{server}/v1/models/shades/metadata", timeout=60).json()
    assert found["model_spec"] == {"name": "shades", "signature_name": "", "version": str(number)}
    signature = found["metadata"]["signature_def"]["signature_def"][features.SERVE_BYTES]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"][features.INPUT_BYTES]["dtype"] == "DT_STRING"
    assert signature["inputs"][features.INPUT_BYTES]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty: 0 bytes"),
        (b"some text", "not_an_image: starts with"),
        (pictures.encode(pictures.noise())[:300], "truncated: "),
        (pictures.encode(np.zeros([1000, 500, 3], np.uint8)), "too_large: 500 x 1000 pixels, limit 200,000"),
    ],
)
def test_a_bad_image_is_a_400_that_names_the_row(server, eval_records, content, message):
    answer = predict(server, [eval_records.contents[0], content])
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    start = "Failed to process element: 1 key: image_bytes of 'instances' list. Error: INVALID_ARGUMENT: "
    assert answer.json()["error"].startswith(start + message)


def example_of(content, times=1):
    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[content] * times))
    return tf.train.Example(features=tf.train.Features(feature={features.IMAGE: image})).SerializeToString()


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (example_of(pictures.many_scans(400, 400, 5000)), "too_large: more than 25 scans over 400 x 400 pixels"),
        (example_of(pictures.png_of_size(40_000, 40_000)), "too_large: 40000 x 40000 pixels"),
        (example_of(b"text"), "not_an_image"),
        (example_of(b"x", 2), "Feature: image/encoded is to hold one image, got: 2"),
        (b"", "Feature: image/encoded is to hold one image, got: 0"),
        (b"\xff", "Could not parse example input"),
    ],
)
def test_the_image_within_an_example_is_held_against_the_same_rules(server, eval_records, example, message):
    rows = [encode(eval_records.serialized[0]), encode(example)]
    body = {"signature_name": features.SERVE_EXAMPLES, "instances": rows}
    answer = requests.post(f"{server}/v1/models/shades:predict", json=body, timeout=60)
    start = f"Failed to process element: 1 key: examples of 'instances' list. Error: INVALID_ARGUMENT: {message}"
    assert (answer.status_code, answer.json()["error"][: len(start)]) == (400, start)


def test_the_images_of_a_request_have_a_limit_in_all(server):
    large, small = pictures.encode(pictures.smooth(400, 500), "jpeg"), pictures.encode(pictures.noise(8, 8))
    assert predict(server, [large] * 7).status_code == 200
    for images in ([large] * 8, [small] * 31):
        answer = predict(server, images)
        assert answer.status_code == 400
        assert "more than 1,500,000 pixels in the images of one request" in answer.json()["error"]


def test_what_the_model_itself_refuses_is_a_400(server):
    body = {"signature_name": features.SERVE_EXAMPLES, "instances": [encode(b"no example")]}
    answer = requests.post(f"{server}/v1/models/shades:predict", json=body, timeout=60)
    assert answer.status_code == 400
    assert "parse" in answer.json()["error"].lower()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        (
            "POST",
            "/v1/models/other:predict",
            '{"instances": ["x"]}',
            404,
            "Servable not found for request: Latest(other)",
        ),
        ("GET", "/v1/models/other", None, 404, "Could not find any versions of model other"),
        ("GET", "/v1/models/shades/versions/3", None, 404, "Could not find version 3 of model shades"),
        ("POST", "/v1/models/shades:predict", "{", 400, "JSON Parse error: "),
        (
            "POST",
            "/v1/models/shades:predict",
            '{"signature_name": "x", "inputs": []}',
            400,
            'Serving signature name: "x"',
        ),
        ("POST", "/v1/models/shades:classify", "{}", 400, "Expected classify signature method_name to be"),
        ("POST", "/v1/models/shades", "{}", 400, "Malformed request: POST /v1/models/shades"),
        ("GET", "/v1/models/shades/labels/x", None, 400, "Unrecognized servable version label: x"),
    ],
)
def test_errors_are_tensorflow_servings(server, method, path, body, status, message):
    answer = requests.request(method, server + path, data=body, timeout=60)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(message)


def test_a_request_that_is_too_large_is_refused_and_read_no_further(server):
    declared = requests.post(f"{server}/v1/models/shades:predict", data=b"x" * 400_000, timeout=60)
    chunked = requests.post(f"{server}/v1/models/shades:predict", data=iter([b"x" * 100_000] * 30), timeout=60)
    for answer in (declared, chunked):
        assert answer.status_code == 413
        assert answer.json() == {"error": "The request body is larger than 300,000 bytes"}
    with socket.create_connection((urlsplit(server).hostname, urlsplit(server).port), timeout=60) as raw:
        head = b"POST /v1/models/shades:predict HTTP/1.1\r\nHost: localhost\r\n"
        raw.sendall(head + b"Content-Length: 99999999999\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_garbage_among_many_requests_at_once_takes_no_other_down(server, eval_records, expected):
    def ask(index):
        garbage = index % 7 == 0
        answer = predict(server, [b"garbage" if garbage else eval_records.contents[index % 15]])
        if garbage:
            return answer.status_code == 400
        return np.allclose(answer.json()["predictions"][0]["probabilities"], expected[index % 15], atol=1e-5)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(140)))
    health = requests.get(f"{server}/healthz", timeout=60).json()
    assert (health["under_way"], health["rows_waiting"]) == (0, 0)


def test_the_health_page_says_how_it_goes(server, number, eval_records):
    predict(server, eval_records.contents[:1])
    answer = requests.get(f"{server}/healthz", timeout=60)
    found = answer.json()
    assert (answer.status_code, found["live"], found["ready"], found["version"]) == (200, True, True, number)
    assert (found["classes"], found["crop"]) == (CLASSES, None)
    assert found["answers"]["200"] >= 1
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"]
    assert requests.get(f"{server}/healthz/live", timeout=60).json() == {"live": True}
    assert requests.get(f"{server}/healthz/ready", timeout=60).json() == {"ready": True}


def test_the_page_is_whole_and_asks_no_other_server(server):
    answer = requests.get(server, timeout=60)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for name in ("page/style.css", "page/app.js"):
        assert f'"{name}"' in answer.text
        assert requests.get(f"{server}/{name}", timeout=60).ok
        assert "//" not in requests.get(f"{server}/{name}", timeout=60).text.replace("// ", "")


def test_more_requests_than_allowed_get_503_and_those_under_way_are_answered():
    host = FixedHost()
    host.current.gate.clear()
    body = json.dumps({"instances": [1.0]})
    with running(host, IntakeLimits(requests=3)) as (url, service), ThreadPoolExecutor(3) as pool:
        under_way = [pool.submit(requests.post, f"{url}/v1/models/m:predict", body, timeout=60) for _ in range(3)]
        while service.intake.requests < 3:
            threading.Event().wait(0.01)
        refused = requests.post(f"{url}/v1/models/m:predict", body, timeout=60)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"] == "The server is busy: 3 requests are under way"
        assert requests.get(f"{url}/healthz", timeout=60).json()["under_way"] == 3
        host.current.gate.set()
        assert [answer.result().status_code for answer in under_way] == [200] * 3


def test_a_host_without_a_version_is_live_and_not_ready():
    host = FixedHost()
    host.current = None
    with running(host) as (url, _):
        assert requests.get(f"{url}/healthz/ready", timeout=60).status_code == 503
        assert requests.get(f"{url}/healthz", timeout=60).json()["status"] == "loading"
        assert requests.get(f"{url}/healthz/live", timeout=60).status_code == 200
