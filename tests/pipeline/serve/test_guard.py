"""Hosts, other sites, lengths in contradiction, packed bodies; and nothing that is sent is a failure of the server."""

import gzip
import http.client
import json
import math
import socket
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.serve.guard import Hosts
from pipeline.serve.intake import IntakeLimits
from tests.pipeline.serve.fakes import FakeVersion, FixedHost, running

BODY = b'{"instances": [1.0, 2.5]}'
ANSWER = {"predictions": [{"y": 1.0, "version": 1}, {"y": 2.5, "version": 1}]}
PATH = "/v1/models/m:predict"
LIMIT = 100_000


@pytest.fixture(scope="module")
def server():
    hosts = Hosts(frozenset({"models.example"}))
    with running(FixedHost(), IntakeLimits(request_bytes=LIMIT), hosts=hosts) as (url, _):
        yield url


def post(server, body=BODY, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(server + PATH, data=body, headers=names, timeout=60)


def exchange(server, *parts: bytes) -> bytes:
    """All that the server says to some bytes, until it closes."""
    place = urlsplit(server)
    with socket.create_connection((place.hostname, place.port), timeout=60) as raw:
        for part in parts:
            raw.sendall(part)
        answer = b""
        while more := raw.recv(65536):
            answer += more
        return answer


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:80", "localhost.", "app.localhost:9", "127.0.0.1", "127.1.2.3:8501", "[::1]:1"),
        *("[::1]", "models.example", "Models.Example.:8501"),
    ],
)
def test_names_of_this_machine_and_allowed_names_are_answered(server, host):
    assert post(server, Host=host).json() == ANSWER


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8501", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.1.2", ""),
        *("[fe80::1]", "localhost@evil.example", "localhost:80:80", "evil.example/localhost", "models.example.x"),
    ],
)
@pytest.mark.parametrize("path", [PATH, "/", "/healthz", "/v1/models/m", "/nowhere"])
def test_other_hosts_are_refused_on_every_path(server, host, path):
    method = requests.post if path == PATH else requests.get
    answer = method(server + path, data=BODY if path == PATH else None, headers={"Host": host}, timeout=60)
    assert answer.status_code == 403
    assert "is not a name of this server" in answer.json()["error"]
    assert "--allowed-host" in answer.json()["error"]


def test_a_server_for_others_takes_addresses_and_given_names_only():
    hosts = Hosts(frozenset({"models.example"}), addresses=True)
    allowed = ["10.1.2.3:8501", "[2001:db8::1]:80", "localhost", "models.example"]
    refused = ["evil.example", "10.1.2.3.evil.example", "0x7f000001"]
    assert [hosts.allow(host) for host in allowed + refused] == [True] * 4 + [False] * 3
    assert Hosts(frozenset({"*"})).allow("anything.example")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": ""},
    ],
)
def test_pages_of_other_sites_are_refused(server, headers):
    answer = requests.post(server + PATH, data=BODY, headers={"Host": "localhost", **headers}, timeout=60)
    assert answer.status_code == 403
    assert answer.json()["error"].startswith("Pages of other sites may not use this server")


def test_the_servers_own_page_and_programs_are_answered(server):
    own = server.partition("//")[2]
    assert post(server).json() == ANSWER
    assert post(server, Origin=f"http://{own}").json() == ANSWER
    assert post(server, Origin=f"http://{own}", Sec_Fetch_Site="same-origin").json() == ANSWER
    assert post(server, Origin="https://proxy.example", Sec_Fetch_Site="same-origin").json() == ANSWER
    assert post(server, Sec_Fetch_Site="none").json() == ANSWER
    assert requests.get(server, headers={"Sec-Fetch-Site": "cross-site"}, timeout=60).status_code == 200  # a link to it


def test_a_gzip_body_is_read(server):
    for encoding in ("gzip", "GZIP", "x-gzip"):
        assert post(server, gzip.compress(BODY, mtime=0), Content_Encoding=encoding).json() == ANSWER
    assert post(server, Content_Encoding="identity").json() == ANSWER
    chunks = iter([gzip.compress(BODY, mtime=0)[:9], gzip.compress(BODY)[9:]])
    assert post(server, chunks, Content_Encoding="gzip").json() == ANSWER


@pytest.mark.parametrize(
    ("body", "encoding", "status", "message"),
    [
        (gzip.compress(bytes(LIMIT + 1), mtime=0), "gzip", 413, "The request body is larger than 100,000 bytes"),
        (gzip.compress(bytes(50_000_000), mtime=0), "gzip", 413, "The request body is larger than 100,000 bytes"),
        (gzip.compress(gzip.compress(BODY, mtime=0), mtime=0), "gzip", 400, "JSON Parse error: 'utf-8' codec"),
        (gzip.compress(BODY, mtime=0)[:-5], "gzip", 400, "Cannot unpack the gzip body: it is cut"),
        (gzip.compress(BODY, mtime=0) * 2, "gzip", 400, "Cannot unpack the gzip body: bytes follow its end"),
        (gzip.compress(BODY, mtime=0)[:-8] + bytes(8), "gzip", 400, "Cannot unpack the gzip body: Error -3"),
        (BODY, "gzip", 400, "Cannot unpack the gzip body: Error -3"),
        (b"", "gzip", 400, "Cannot unpack the gzip body: it is cut"),
        (BODY, "deflate", 415, "Content-Encoding is to be gzip or left out, received 'deflate'"),
        (BODY, "br", 415, "Content-Encoding is to be gzip or left out, received 'br'"),
        (BODY, "gzip, gzip", 415, "Content-Encoding is to be gzip or left out, received 'gzip, gzip'"),
        (gzip.compress(BODY, mtime=0), "", 400, "JSON Parse error: 'utf-8' codec"),
    ],
)
def test_other_packings_and_bombs_are_refused(server, body, encoding, status, message):
    answer = post(server, body, Content_Encoding=encoding)
    assert (answer.status_code, answer.json()["error"][: len(message)]) == (status, message)


HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n".encode()
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
IN_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (HEAD + CHUNKED + LENGTH + b"\r\n" + IN_CHUNKS, 400),
        (HEAD + LENGTH + CHUNKED + b"\r\n" + BODY, 400),
        (HEAD.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + IN_CHUNKS, 400),
        (HEAD + CHUNKED * 2 + b"\r\n" + IN_CHUNKS, 400),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + IN_CHUNKS, 400),
        (HEAD + LENGTH + b"Content-Length: 3\r\n\r\n" + BODY, 400),
        (HEAD + b"Content-Length: -1\r\n\r\n" + BODY, 400),
        (HEAD + b"Content-Length: +25\r\n\r\n" + BODY, 400),
        (HEAD + b"Content-Length : 25\r\n\r\n" + BODY, 400),
        (HEAD + CHUNKED + b"\r\nzz\r\n", 400),
        (HEAD + CHUNKED + b"\r\n-5\r\n", 400),
        (HEAD + CHUNKED + b"\r\n5\r\nabcdefgh\r\n", 400),
        (HEAD + b"Host: localhost\r\n\r\n", 400),
        (f"POST {PATH} HTTP/1.1\r\n\r\n".encode(), 400),
        (HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (HEAD + b"X: a\r\n" * 5_000 + b"\r\n", 431),
        (HEAD + b"X: " + b"a" * 40_000, 431),
        (b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3\r\n\r\n", 400),
        (b"GET http://localhost/healthz/live HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /v1/models/m/versions/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (b"9" * 9000), 400),
    ],
)
def test_what_is_no_clear_request_is_refused_and_the_connection_closed(server, request_bytes, status):
    head, _, body = exchange(server, request_bytes).partition(b"\r\n\r\n")
    assert int(head.split()[1]) in (status, 400)  # large headers: as they arrive in one piece or in several
    assert b"connection: close" in head.lower()
    assert json.loads(body)["error"]


@pytest.mark.parametrize(
    "parts",
    [
        (HEAD + b"Connection: close\r\n" + LENGTH + b"\r\n" + BODY,),
        (HEAD.replace(b"1.1", b"1.0") + LENGTH + b"\r\n" + BODY,),
        (f"POST {PATH} HTTP/1.0\r\n".encode() + LENGTH + b"\r\n" + BODY,),
        (HEAD + b"Connection: close\r\n" + CHUNKED + b"\r\n" + IN_CHUNKS,),
        (HEAD + b"Connection: close\r\n" + LENGTH + b"X: a\r\n b\r\n\r\n" + BODY,),  # an old, folded line
        (HEAD + b"Connection: close\r\nExpect: 100-continue\r\n" + LENGTH + b"\r\n", BODY),
        (*(bytes([byte]) for byte in HEAD + b"Connection: close\r\n" + LENGTH + b"\r\n" + BODY),),
    ],
)
def test_every_clear_form_is_answered(server, parts):
    answer = exchange(server, *parts)
    assert b" 200 OK\r\n" in answer
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2]) == ANSWER


def test_requests_sent_ahead_are_answered_in_turn(server):
    one = HEAD + LENGTH + b"\r\n" + BODY
    last = HEAD + b"Connection: close\r\n" + LENGTH + b"\r\n" + BODY
    assert exchange(server, one * 20 + last).count(b"HTTP/1.1 200 OK") == 21


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**400, 10**401)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["\ud800", "\udfff", "\0", math.inf, -math.inf, math.nan, 2.0**63, 1e30]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["x", "b64", "\ud800", ""]), inner, max_size=3)
        | st.tuples(inner, st.integers(1, 2000)).map(lambda pair: nested(*pair))
    ),
    max_leaves=8,
)
keys = st.sampled_from(["instances", "inputs", "signature_name", "x", "\udc00"])


def nested(value, depth):
    return Raw("[" * depth + encode(value) + "]" * depth)


class Raw(str):
    """JSON that is written already."""


def encode(value) -> str:
    """JSON of any depth."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, list):
        return f"[{','.join(map(encode, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{encode(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


@pytest.fixture(scope="module", params=["float32", "int64", "string", "bool"])
def typed(request):
    host = FixedHost(FakeVersion(dtype=request.param))
    with running(host, IntakeLimits(request_bytes=LIMIT)) as (url, _):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        yield connection
        connection.close()


def send(connection, body: bytes, path: str = PATH) -> int:
    connection.request("POST", path, body)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        assert json.loads(content)["error"]
    return answer.status


@settings(max_examples=60, deadline=None)
@given(document=st.dictionaries(keys, values, max_size=3))
def test_no_json_is_a_failure_of_the_server(typed, document):
    assert send(typed, encode(document).encode("utf-8", "surrogatepass")) in (200, 400)


@settings(max_examples=50, deadline=None)
@given(body=st.binary(max_size=60) | st.text(max_size=30).map(lambda text: text.encode("utf-16", "surrogatepass")))
def test_no_bytes_are_a_failure_of_the_server(typed, body):
    assert send(typed, body) == 400
    assert send(typed, b'{"instances": [' + body + b"]}") in (200, 400)


@settings(max_examples=50, deadline=None)
@given(path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30))
def test_no_path_is_a_failure_of_the_server(server, path):
    for start in ("/", "/v1/models/", "/v1/models/m/versions/", "/v1/models/m/labels/"):
        answer = exchange(
            server, f"GET {start}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        assert int(answer.split()[1]) in (200, 307, 400, 404)


@pytest.mark.parametrize("depth", [33, 64, 65, 500, 990, 1000, 5000, 40_000])
@pytest.mark.parametrize(
    "start", ['{"instances": ', '{"instances": [1, ', '{"inputs": {"x": ', '{"signature_name": ', '{"other": [{}, ']
)
def test_nesting_is_refused_in_words(server, start, depth):
    end = "".join({"{": "}", "[": "]"}[letter] for letter in reversed(start) if letter in "{[").removeprefix("}")
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        body = start + opening * depth + "1" + closing * depth
        answer = post(server, (body + "".join(reversed(end)) + "}")[:LIMIT])
        assert (answer.status_code, answer.json()["error"][:17]) == (400, "JSON Parse error:")


@pytest.mark.parametrize(
    "body",
    [
        rb'{"instances": ["\ud800"]}',
        rb'{"instances": ["\udfff\ud800"]}',
        rb'{"signature_name": "\uD8ff", "instances": [1.0]}',
        rb'{"instances": [{"x\udc00": 1.0}]}',
        rb'{"\ud800": 1, "instances": [1.0]}',
        b'{"instances": ["\xed\xa0\x80"]}',
    ],
)
def test_half_a_surrogate_pair_is_refused_in_words(server, body):
    answer = post(server, body)
    assert (answer.status_code, answer.json()["error"][:17]) == (400, "JSON Parse error:")


def test_a_whole_surrogate_pair_is_a_character(server):
    answer = post(server, rb'{"signature_name": "\ud83d\ude00", "instances": [1.0]}')
    assert answer.json()["error"] == 'Serving signature name: "\U0001f600" not found in signature def'
