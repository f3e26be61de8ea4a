"""Object stores on this machine: moto's server for S3, and the few requests of Google's that reading needs."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """Runs moto's server; gives the environment by which clients find it."""
    log = folder / "moto.txt"
    with open(log, "wb") as file:
        command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", "0"]
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield {**KEYS, "AWS_ENDPOINT_URL": _wait_for_address(log, server)}
    finally:
        server.terminate()
        server.wait()


def _wait_for_address(log: Path, server: subprocess.Popen[bytes]) -> str:
    for _ in range(600):
        line = next((line for line in log.read_text().splitlines() if "Running on http" in line), "")
        if line:
            address = line.split("Running on ")[1].split()[0]
            urllib.request.urlopen(f"{address}/moto-api/", timeout=30).close()
            return address
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"moto_server gave no address: {log.read_text()}")


@contextmanager
def http_server(answer: Any) -> Iterator[str]:
    """Runs a server of `answer(path, query, headers) -> (status, headers, body)`; gives its host and port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or each body waits 40 ms until the client has acknowledged the headers

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, headers, body = answer(unquote(parts.path), parse_qs(parts.query), self.headers)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Objects(MutableMapping[str, bytes]):
    """Contents by name in a folder, so that several processes see them."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def _path(self, name: str) -> Path:
        return self._folder / quote(name, safe="")

    def __getitem__(self, name: str) -> bytes:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, content: bytes) -> None:
        self._path(name).write_bytes(content)

    def __delitem__(self, name: str) -> None:
        self._path(name).unlink()

    def __iter__(self) -> Iterator[str]:
        return (unquote(path.name) for path in self._folder.iterdir())

    def __len__(self) -> int:
        return len(list(self._folder.iterdir()))


@contextmanager
def gs_server(bucket: str) -> Iterator[tuple[str, MutableMapping[str, bytes]]]:
    """Runs Google's storage as far as listing and reading need it; gives its host and port, and its objects by name.

    It has a process of its own: newer pyarrow holds Python's lock while it waits for the first answer about a file.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        objects, places = Objects(folder), context.Queue()
        server = context.Process(target=_serve_gs, args=(bucket, objects, places), daemon=True)
        server.start()
        try:
            yield places.get(timeout=60), objects
        finally:
            server.terminate()
            server.join()


def _serve_gs(bucket: str, objects: MutableMapping[str, bytes], places: Queue[str]) -> None:
    def answer(path: str, query: dict[str, list[str]], headers: Any) -> tuple[int, dict[str, str], bytes]:
        base = f"/storage/v1/b/{bucket}"
        if path == base:
            return _json({"kind": "storage#bucket", "name": bucket, "id": bucket})
        if path == f"{base}/o":
            return _json(_page(bucket, objects, query))
        name = path.removeprefix(f"{base}/o/").removeprefix("/download").removeprefix(f"{base}/o/")
        name = name.removeprefix(f"/{bucket}/")
        if name not in objects:
            return 404, {}, b'{"error": {"code": 404, "message": "Not Found"}}'
        if path.startswith(f"{base}/o/") and query.get("alt") != ["media"]:
            return _json(_describe(bucket, name, objects[name]))
        return _part(objects[name], headers.get("Range"))

    with http_server(answer) as place:
        places.put(place)
        threading.Event().wait()


def _json(content: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def _describe(bucket: str, name: str, content: bytes) -> dict[str, Any]:
    moment = "2026-01-02T03:04:05.678Z"
    return {
        "kind": "storage#object",
        "name": name,
        "bucket": bucket,
        "generation": "1",
        "size": str(len(content)),
        "timeCreated": moment,
        "updated": moment,
    }


def _page(bucket: str, objects: MutableMapping[str, bytes], query: dict[str, list[str]]) -> dict[str, Any]:
    """Two objects at a time: whoever does not turn pages sees no more."""
    names = sorted(name for name in list(objects) if name.startswith(query.get("prefix", [""])[0]))
    start = int(query.get("pageToken", ["0"])[0])
    items = [_describe(bucket, name, objects[name]) for name in names[start : start + 2]]
    more = {"nextPageToken": str(start + 2)} if start + 2 < len(names) else {}
    return {"kind": "storage#objects", "items": items, **more}


def _part(content: bytes, wanted: str | None) -> tuple[int, dict[str, str], bytes]:
    start, _, end = (wanted or "bytes=0-").removeprefix("bytes=").partition("-")
    first = int(start) if start else len(content) - int(end)
    last = int(end) if start and end else len(content) - 1
    headers = {"Content-Range": f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}", "x-goog-generation": "1"}
    return (206 if wanted else 200), headers, content[first : last + 1]
