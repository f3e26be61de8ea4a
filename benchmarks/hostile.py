"""Requests that are meant to make `graft serve` fail, hang, or forget the others; see `serve_load.py`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests import pictures

PAUSE = 0.1  # seconds between two requests of a kind
IDLE, SLOW = 600, 50  # connections that send nothing, and that send a byte a second: more than the server holds
MEGABYTES = 1 << 20
EVIL = "Origin: https://evil.example\r\n"


def request_of(name: str, body: bytes, headers: str = "", host: str = "localhost") -> bytes:
    """A whole request for a prediction."""
    head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def body_of(*contents: bytes) -> bytes:
    """The JSON for some images."""
    rows = [{"image_bytes": {"b64": base64.b64encode(content).decode()}} for content in contents]
    return json.dumps({"instances": rows}).encode()


def hostile_requests(name: str) -> dict[str, tuple[bytes, int]]:
    """Requests by kind, with the status that each must get."""
    png = pictures.encode(pictures.noise(8, 8))
    bomb = gzip.compress(bytes(100 * MEGABYTES))
    images = {
        "scans": pictures.many_scans(8000, 6250, 5000),
        "greedy tiff": pictures.greedy_directory(20_000, MEGABYTES),
        "tiny chunks": pictures.with_chunks(png, 100_000),
        "frames": pictures.many_frames(800),
        "large": pictures.png_of_size(60_000, 60_000),
    }
    bodies = {
        "deep": b'{"instances": ' + b"[" * 40 + b"]" * 40 + b"}",
        "deeper": b'{"instances": ' + b"[" * 100_000,
        "surrogate": rb'{"signature_name": "\ud800", "instances": ["x"]}',
        "lists": b'{"instances": [' + b"[]," * 2_000_000 + b"[]]}",
        "rows": body_of(*[png] * 5000),
    }
    kinds = {kind: (request_of(name, body_of(content)), 400) for kind, content in images.items()}
    kinds |= {kind: (request_of(name, body), 400) for kind, body in bodies.items()}
    return kinds | {
        "gzip bomb": (request_of(name, bomb, "Content-Encoding: gzip\r\n"), 413),
        "packing": (request_of(name, b"x", "Content-Encoding: br\r\n"), 415),
        "two lengths": (request_of(name, b"0\r\n\r\n", "Transfer-Encoding: chunked\r\n"), 400),
        "other site": (request_of(name, body_of(png), EVIL), 403),
        "other host": (request_of(name, body_of(png), host="evil.example"), 403),
        "no http": (b"\x16\x03\x01\r\n\r\n", 400),
        "headers": (request_of(name, b"", f"X: {'a' * 15_500}\r\n" * 3), 431),
    }


async def send_again_and_again(
    port: int, kind: str, request: bytes, status: int, until: float, answers: Counter[str], failures: list[str]
) -> None:
    """One kind of request, each over a connection of its own; any other answer than `status` is a failure."""
    while time.monotonic() < until:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            line = await reader.readline()
            writer.close()
        except OSError:  # refused and closed before all of it was sent
            line = b""
        answers[kind] += 1
        if line and int(line.split()[1]) not in (status, 400 if status == 431 else status):
            failures.append(f"{kind}: {line!r} instead of {status}")
        await asyncio.sleep(PAUSE)


async def hold(port: int, start: bytes, until: float, answers: Counter[str], kind: str) -> None:
    """A connection that sends a request's beginning, then a byte a second; opened again when the server ends it."""
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(start)
            while time.monotonic() < until and not reader.at_eof():
                writer.write(b"a" if start else b"")
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.read(1000), 1)
            writer.close()
        answers[kind] += 1
        await asyncio.sleep(1)


async def attack(
    port: int,
    name: str,
    requests: dict[str, tuple[bytes, int]],
    until: float,
    answers: Counter[str],
    failures: list[str],
) -> None:
    """All kinds at once, until a time of `time.monotonic`; `requests` are those of `hostile_requests`."""
    slow_head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: localhost\r\nX: ".encode()
    slow_body = request_of(name, bytes(MEGABYTES))[:-MEGABYTES]
    held = {"idle": (b"", IDLE), "slow head": (slow_head, SLOW), "slow body": (slow_body, SLOW)}
    await asyncio.gather(
        *(
            send_again_and_again(port, kind, request, status, until, answers, failures)
            for kind, (request, status) in requests.items()
        ),
        *(hold(port, start, until, answers, kind) for kind, (start, count) in held.items() for _ in range(count)),
    )
