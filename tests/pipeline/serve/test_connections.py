"""Clients that take their time: deadlines, a bound on connections, and the others, who notice nothing."""

import json
import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from pipeline.serve import connections, intake
from pipeline.serve.connections import Connection
from tests.pipeline.serve.fakes import FixedHost, running

BODY = b'{"instances": [1.0]}'
HEAD = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = HEAD + b"Content-Length: 20\r\n\r\n" + BODY


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(connections, "ROOM_SECONDS", 0.1)
    monkeypatch.setattr(connections, "WRITE_SECONDS", 0.5)
    monkeypatch.setattr(intake, "BODY_SECONDS", 0.4)
    monkeypatch.setattr(intake, "LEAST_CONNECTIONS", 10)
    with running(FixedHost(), intake.IntakeLimits(requests=3)) as (url, service):
        yield url, service


def connect(url, *parts):
    place = urlsplit(url)
    raw = socket.create_connection((place.hostname, place.port), timeout=30)
    for part in parts:
        raw.sendall(part)
    return raw


def drip(raw, piece, reads=True):
    """Sends a piece again and again until the server ends the connection; gives what it says."""
    raw.settimeout(0.1)
    answer = b""
    while True:
        try:
            raw.sendall(piece)
            more = raw.recv(65536) if reads else b"unread"
        except TimeoutError:
            continue
        except OSError:
            return answer
        if not more:
            return answer
        answer += more if reads else b""


def ask(url):
    return requests.post(f"{url}/v1/models/m:predict", BODY, timeout=30).status_code


@pytest.mark.parametrize("start", [b"P", HEAD, b"\r\n", HEAD + b"X: "])
def test_headers_have_a_deadline_however_lively_their_sender_is(server, start):
    answer = drip(connect(server[0], start), b"a")
    assert answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_the_deadline_holds_for_the_next_request_on_a_connection(server):
    raw = connect(server[0], WHOLE)
    assert read_answer(raw).startswith(b"HTTP/1.1 200 ")
    assert drip(raw, b"P").startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))


def test_a_connection_that_never_sends_a_byte_is_ended(server):
    assert b"The headers of the request did not arrive within" in connect(server[0]).recv(65536)


def test_a_body_has_a_deadline_and_keeps_nobody_out(server):
    url, service = server
    slow = [connect(url, HEAD + b"Content-Length: 20\r\n\r\n", b"{") for _ in range(6)]  # more than may be under way
    assert ask(url) == 200
    assert all(raw.recv(65536).startswith(b"HTTP/1.1 408 ") for raw in slow)
    assert (service.intake.requests, service.intake.bytes) == (0, 0)


def test_the_rest_of_a_refused_body_has_a_deadline(server):
    raw = connect(server[0], HEAD + b"Content-Encoding: br\r\nContent-Length: 1000000\r\n\r\n")
    assert drip(raw, b"a").startswith(b"HTTP/1.1 415 ")


def test_a_client_that_reads_no_answers_is_ended(server):
    place = urlsplit(server[0])
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(0.1)
        raw.connect((place.hostname, place.port))
        assert drip(raw, b"GET /page/app.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100, reads=False) == b""
    assert ask(server[0]) == 200


@pytest.mark.parametrize("start", [b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\n"], ids=["silent", "head", "body"])
def test_the_bound_on_connections_ends_those_that_wait_and_none_that_are_served(server, start, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 60)
    monkeypatch.setattr(intake, "BODY_SECONDS", 60)
    url, service = server
    version = service.host.current
    version.gate.clear()
    working = connect(url, WHOLE)
    while service.intake.requests < 1:
        time.sleep(0.01)
    idle = [connect(url, start) for _ in range(15)]
    version.gate.set()
    assert read_answer(working).startswith(b"HTTP/1.1 200 ")
    assert [ask(url) for _ in range(5)] == [200] * 5
    assert ended(idle) >= 5
    working.sendall(WHOLE)  # a client that was answered before goes on
    assert read_answer(working).startswith(b"HTTP/1.1 200 ")
    for raw in idle:
        raw.close()  # or the server waits for their bodies


def read_answer(raw):
    answer = b""
    while not answer.endswith(b"}"):
        answer += raw.recv(65536)
    return answer


def ended(raws):
    """How many the server has ended."""
    return sum(is_ended(raw) for raw in raws)


def is_ended(raw):
    raw.settimeout(0.05)
    try:
        while raw.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_far_too_many_connections_are_refused_at_once(server, monkeypatch):
    monkeypatch.setattr(connections, "ROOM_SECONDS", 1.0)
    raws = [connect(server[0]) for _ in range(25)]
    answers = [raw.recv(100) for raw in raws[20:]]
    assert sum(answer.startswith(b"HTTP/1.1 503 ") for answer in answers) >= 4
    assert ask_until_answered(server[0]) == 200


def ask_until_answered(url):
    """Once the connections that send nothing are gone."""
    while (status := ask_once(url)) in (0, 503):
        time.sleep(0.1)
    return status


def ask_once(url):
    try:
        return ask(url)
    except requests.ConnectionError:
        return 0


def test_the_bound_follows_what_may_be_under_way():
    assert intake.IntakeLimits().connections == Connection.most == 512
    assert intake.IntakeLimits(requests=1000).connections == 2000
