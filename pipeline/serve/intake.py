"""How much may come in at once: requests, their bytes, and how long a body may take. Counts on the event loop only."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request

from pipeline.serve.rest import ServingError, invalid

DISCARD = 4  # a body over the limit is read on for so many limits, so that its sender gets to read the answer
BODY_SECONDS = 30.0
LEAST_PIXELS = 50_000  # what an image costs at least, in pixels: reading it, checking it, resizing it
LEAST_CONNECTIONS = 512


@dataclass(frozen=True)
class IntakeLimits:
    """How much a server takes on.

    Attributes:
        request_bytes: of one body.
        requests: whose body has arrived, under way at once.
        total_bytes: of all bodies, under way and arriving.
        pixels: of one image.
        total_pixels: of the images of one request; a small image counts as `LEAST_PIXELS`.
    """

    request_bytes: int = 32 << 20
    requests: int = 256
    total_bytes: int = 512 << 20
    pixels: int = 50_000_000
    total_pixels: int = 200_000_000

    @property
    def connections(self) -> int:
        """Connections open at once; one that waits for its client gives way to a new one."""
        return max(LEAST_CONNECTIONS, 2 * self.requests)


class Intake:
    """Counts what is under way, and refuses what is too much."""

    def __init__(self, limits: IntakeLimits) -> None:
        self.limits = limits
        self.requests = 0
        self.bytes = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Counts a request whose body has arrived while it is under way: slow senders keep nobody out.

        Raises:
            ServingError: 503, too many are.
        """
        self._refuse_if_busy()
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextmanager
    def body(self) -> Iterator[Body]:
        """Counts the bytes of a request while they are held.

        Raises:
            ServingError: 503, too many requests are under way.
        """
        self._refuse_if_busy()
        body = Body(self)
        try:
            yield body
        finally:
            self.bytes -= body.size

    def _refuse_if_busy(self) -> None:
        if self.requests >= self.limits.requests:
            raise ServingError(503, f"The server is busy: {self.requests} requests are under way")


class Body:
    """The bytes of one request."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.size = 0

    async def read(self, request: Request, pool: Executor) -> bytes:
        """Reads the whole body, and unpacks it.

        Args:
            request: whose body is still to be read.
            pool: where a gzip is unpacked.

        Raises:
            ServingError: 413 too large, 408 too slow, 415 packed otherwise than by gzip, 400 a damaged gzip, 503 too
                much is under way in other requests.
            ClientDisconnect: of Starlette; the sender is gone.
        """
        limit = self._intake.limits.request_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit * DISCARD:
            raise too_large(limit)
        packed = _is_packed(request)
        try:
            content = await asyncio.wait_for(self._read(request, limit), BODY_SECONDS)
        except asyncio.TimeoutError:
            raise ServingError(408, f"The request body did not arrive within {BODY_SECONDS:.0f} s") from None
        if packed:
            content = await asyncio.get_running_loop().run_in_executor(pool, unpack_gzip, content, limit)
            self._take(len(content))
        return content

    async def _read(self, request: Request, limit: int) -> bytes:
        chunks, total = list[bytes](), 0
        async for chunk in request.stream():
            total += len(chunk)
            if total > limit * DISCARD:
                break
            if total > limit:
                self._release()
                chunks.clear()
                continue
            self._take(len(chunk))
            chunks.append(chunk)
        if total > limit:
            raise too_large(limit)
        return b"".join(chunks)

    def _take(self, count: int) -> None:
        intake = self._intake
        if intake.bytes + count > intake.limits.total_bytes:
            raise ServingError(503, f"The server is busy: {intake.bytes:,} bytes of requests are under way")
        intake.bytes += count
        self.size += count

    def _release(self) -> None:
        self._intake.bytes -= self.size
        self.size = 0


def too_large(limit: int) -> ServingError:
    """Makes the error of a body over the limit, as sent or unpacked."""
    return ServingError(413, f"The request body is larger than {limit:,} bytes")


def _is_packed(request: Request) -> bool:
    """Whether the body is a gzip; any other packing is refused."""
    encoding = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise ServingError(415, f"Content-Encoding is to be gzip or left out, received {encoding[:100]!r}")
    return encoding.endswith("gzip")


def unpack_gzip(content: bytes, limit: int) -> bytes:
    """Unpacks a gzip of one member (RFC 1952).

    Raises:
        ServingError: 400 it is none, or something follows; 413 more than `limit` bytes are in it.
    """
    reader = zlib.decompressobj(zlib.MAX_WBITS + 16)  # with gzip's header and checksum
    try:
        plain = reader.decompress(content, limit + 1)
    except zlib.error as error:
        raise invalid(f"Cannot unpack the gzip body: {error}") from error
    if len(plain) > limit:
        raise too_large(limit)
    if not reader.eof or reader.unused_data:
        raise invalid(f"Cannot unpack the gzip body: {'bytes follow its end' if reader.eof else 'it is cut'}")
    return plain
