"""Loads `graft serve` on this machine: many clients, some garbage, and versions that change meanwhile.

    python benchmarks/serve_load.py WORKDIR IMAGES [--clients 64] [--seconds 60] [--garbage 0.01] [--swap] [--hostile]

Starts the server on a free port of the loopback address, asks it for so many seconds, and stops it. Prints rates,
latencies, and the server's memory over time; exit code 1 where a good request failed or garbage was no 400. With
`--swap`, every fifth part of the time `graft models rollback` and `promote` change what is served, and the time until
the answers change is measured. With `--hostile`, all that `hostile.py` can think of is sent beside; exit code 1 also
where any of that gets another answer than it is to get. Figures are in docs/graft-serve.md.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from hostile import attack, hostile_requests

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif"}
LARGEST_SECONDS, MOST_CLIENTS = 600, 256
GRAFT = [sys.executable, "-m", "pipeline"]


@dataclass
class Tally:
    """What came of the requests."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    swaps: list[str] = field(default_factory=list)
    hostile: Counter[str] = field(default_factory=Counter)


def request_of(port: int, name: str, content: bytes) -> bytes:
    """A whole HTTP request for a prediction."""
    image = {"image_bytes": {"b64": base64.b64encode(content).decode()}}
    body = json.dumps({"instances": [image]}).encode()
    head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    """Sends a request; gives status and body."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    body = await reader.readexactly(int(length[1]) if length else 0)
    return int(head.split(b" ", 2)[1]), body


async def ask(port: int, good: list[bytes], bad: list[bytes], share: float, until: float, tally: Tally) -> None:
    """One client: a request after the other over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    dice = random.Random(id(reader))
    while time.monotonic() < until:
        garbage = dice.random() < share
        started = time.monotonic()
        try:
            status, body = await exchange(reader, writer, dice.choice(bad if garbage else good))
        except (OSError, asyncio.IncompleteReadError) as error:
            tally.failures.append(f"no answer: {error!r}")
            return
        expected = 400 if garbage else 200
        tally.answers["garbage" if garbage else "good"] += 1
        if status != expected:
            tally.failures.append(f"{status} instead of {expected}: {body[:200]!r}")
        elif not garbage:
            tally.seconds.append(time.monotonic() - started)
    writer.close()


async def watch_memory(process: psutil.Process, until: float, tally: Tally) -> None:
    """The server's resident memory, in MB, once a second."""
    while time.monotonic() < until:
        tally.memory.append(process.memory_info().rss / 2**20)
        await asyncio.sleep(1)


async def served(port: int) -> int:
    """Which version answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _, body = await exchange(reader, writer, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    writer.close()
    return int(json.loads(body)["version"])


async def stands_by(port: int, name: str) -> None:
    """Waits until the version that a rollback goes back to is in memory."""
    for _ in range(600):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = f"GET /v1/models/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        _, body = await exchange(reader, writer, request)
        writer.close()
        if body.count(b"AVAILABLE") == 2:
            return
        await asyncio.sleep(0.2)


async def swap(workdir: str, port: int, seconds: float, tally: Tally) -> None:
    """Rolls back and promotes in turn; measures until the answers change."""
    newest = await served(port)
    for turn in range(4):
        await asyncio.sleep(seconds / 5)
        before = await served(port)
        action = ["rollback", workdir] if turn % 2 == 0 else ["promote", workdir, str(newest)]
        done = await asyncio.create_subprocess_exec(*GRAFT, "models", *action, stdout=subprocess.DEVNULL)
        if await done.wait():
            tally.failures.append(f"graft models {' '.join(action)}: exit code {done.returncode}")
            return
        started = time.monotonic()
        while (now := await served(port)) == before and time.monotonic() < started + 60:
            await asyncio.sleep(0.05)
        tally.swaps.append(
            f"{action[0]} to {now}: answers changed {time.monotonic() - started:.2f} s after the command"
        )


async def load(options: argparse.Namespace, port: int, name: str, server: psutil.Process) -> Tally:
    """All clients at once."""
    files = [path for path in sorted(Path(options.images).rglob("*")) if path.suffix.lower() in SUFFIXES]
    picked = random.Random(1).sample(files, min(len(files), 200))
    good = [request_of(port, name, path.read_bytes()) for path in picked]
    whole = picked[0].read_bytes()
    cut = whole[: min(1000, len(whole) // 2)]
    bad = [request_of(port, name, content) for content in (b"", b"garbage", cut, b"\xff\xd8\xff" + bytes(5000))]
    start = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: localhost\r\n"
    bad.append(f'{start}Content-Length: 9\r\n\r\n{{"inputs"'.encode())
    tally = Tally()
    if options.swap:
        await stands_by(port, name)
    requests = hostile_requests(name) if options.hostile else {}
    until = time.monotonic() + options.seconds
    clients = [ask(port, good, bad, options.garbage, until, tally) for _ in range(options.clients)]
    others = [swap(options.workdir, port, options.seconds, tally)] if options.swap else []
    others += [attack(port, name, requests, until, tally.hostile, tally.failures)] if requests else []
    await asyncio.gather(*clients, watch_memory(server, until, tally), *others)
    return tally


def report(tally: Tally, options: argparse.Namespace) -> None:
    """Prints the figures."""
    ordered = sorted(tally.seconds)
    shares = {share: 1000 * ordered[len(ordered) * share // 100] for share in (50, 95, 99)} if ordered else {}
    print(f"{options.clients} clients, {options.seconds} s: {dict(tally.answers)}, {len(tally.failures)} failures")
    print(
        f"  {len(ordered) / options.seconds:.0f} good answers/s; ms: "
        + ", ".join(f"p{s} {t:.0f}" for s, t in shares.items())
    )
    step = max(1, len(tally.memory) // 6)
    if tally.hostile:
        print(f"  hostile: {dict(tally.hostile)}")
    print("  server's memory, MB: " + " ".join(f"{value:.0f}" for value in tally.memory[::step]))
    print("\n".join(f"  {line}" for line in (*tally.swaps, *itertools.islice(tally.failures, 5))))


def main() -> None:
    """Starts the server, loads it, stops it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("workdir")
    parser.add_argument("images")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--garbage", type=float, default=0.01)
    parser.add_argument("--swap", action="store_true")
    parser.add_argument("--hostile", action="store_true")
    options = parser.parse_args()
    options.seconds, options.clients = min(options.seconds, LARGEST_SECONDS), min(options.clients, MOST_CLIENTS)
    command = [*GRAFT, "serve", options.workdir, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            found = re.search(r"Serving (\S+), version \d+, at http://127\.0\.0\.1:(\d+)/", line)
            if not found:
                sys.exit(f"The server did not start: {line}")
            tally = asyncio.run(load(options, int(found[2]), found[1], psutil.Process(server.pid)))
        finally:
            server.terminate()
    report(tally, options)
    sys.exit(bool(tally.failures))


if __name__ == "__main__":
    main()
