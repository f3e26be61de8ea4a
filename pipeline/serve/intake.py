"""How much may come in at once: requests, their bytes, and how long a body may take. All on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request

from pipeline.serve.errors import ServingError

DISCARD = 4  # a body over the limit is read on for so many limits, so that its sender gets to read the answer
BODY_SECONDS = 30.0


@dataclass(frozen=True)
class Limits:
    """What a server takes on.

    Attributes:
        request_bytes: of one body.
        requests: under way at once; each of them may hold a body.
        total_bytes: of all bodies under way.
        pixels: of one image.
    """

    request_bytes: int = 32 << 20
    requests: int = 256
    total_bytes: int = 512 << 20
    pixels: int = 50_000_000


class Intake:
    """Counts what is under way, and refuses what is too much."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests = 0
        self.bytes = 0

    @contextmanager
    def admitted(self) -> Iterator[Body]:
        """While a request is under way.

        Raises:
            ServingError: 503, too many are.
        """
        if self.requests >= self.limits.requests:
            raise ServingError(503, f"The server is busy: {self.requests} requests are under way")
        self.requests += 1
        body = Body(self)
        try:
            yield body
        finally:
            self.requests -= 1
            self.bytes -= body.size


class Body:
    """The bytes of one request."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.size = 0

    async def read(self, request: Request) -> bytes:
        """All of it.

        Raises:
            ServingError: 413 too large, 408 too slow, 503 too much is under way in other requests.
            ClientDisconnect: of Starlette; the sender is gone.
        """
        limit = self._intake.limits.request_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit * DISCARD:
            raise self._too_large()
        try:
            return await asyncio.wait_for(self._read(request, limit), BODY_SECONDS)
        except asyncio.TimeoutError:
            raise ServingError(408, f"The request body did not arrive within {BODY_SECONDS:.0f} s") from None

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
            raise self._too_large()
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

    def _too_large(self) -> ServingError:
        return ServingError(413, f"The request body is larger than {self._intake.limits.request_bytes:,} bytes")
