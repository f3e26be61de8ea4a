"""A connection of uvicorn's that waits for its client a limited time, and gives way where there are too many."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # from the first byte of a request, or from the start of a connection, to the end of the headers
ROOM_SECONDS = 0.25  # in which a new connection may send its request before room is made for it
WRITE_SECONDS = 30.0  # in which a client must read some of an answer that does not fit the socket's buffers


class Connection(H11Protocol):
    """One client. uvicorn itself ends those that send nothing after an answer; `Body` ends slow bodies.

    Attributes:
        most: connections open at once. Where there are more, one that waits for its client is ended: first those that
            never sent a byte, then those that never got an answer, in each case the oldest. Those that the server
            works for are never ended. Twice as many are refused at once.
    """

    most = 512
    _since = 0.0  # when this connection began to wait for its client
    _sent = _answered = False  # a byte; a request that was answered
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether the next move is the client's: a head, the rest of a body, reading an answer."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body or self._write_timer is not None

    @property
    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock for the first request; asks for room where there are too many."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._end_slow_head)
        if len(self.connections) > 2 * self.most:
            self._refuse(503, f"The server is busy: {len(self.connections):,} connections are open")
        elif len(self.connections) > self.most:
            self.loop.call_later(ROOM_SECONDS, self._make_room)

    def _make_room(self) -> None:
        if len(self.connections) > self.most:
            latest = self.loop.time() - ROOM_SECONDS
            others = (c for c in self.connections if isinstance(c, Connection))
            waiting = [c for c in others if c.waits and c._since <= latest]
            if waiting:
                min(waiting, key=lambda c: (c._answered, c._sent, c._since)).drop()

    def drop(self) -> None:
        """Ends the connection at once."""
        self.connections.discard(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Starts the clock at a request's first byte, and stops it at the end of its headers."""
        self._sent = True
        if self._between_requests and self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._end_slow_head)
        super().data_received(data)
        if not self._between_requests:
            self._stop_head_timer()

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        self._since, self._answered = self.loop.time(), True
        super().on_response_complete()

    def _end_slow_head(self) -> None:
        self._head_timer = None
        if self._between_requests and not self.transport.is_closing():
            self._refuse(408, f"The headers of the request did not arrive within {HEAD_SECONDS:.0f} s")

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, in the form of all errors."""
        self._refuse(400, f"{msg} Expected HTTP/1.1 with headers of at most 16 kB.")

    def _refuse(self, status: int, message: str) -> None:
        content = json.dumps({"error": message}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(content))), ("connection", "close")]
        events: list[Any] = [
            h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode()),
            h11.Data(data=content),
            h11.EndOfMessage(),
        ]
        try:
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        except h11.LocalProtocolError:  # in the middle of an answer
            self.transport.abort()
        self.transport.close()

    def pause_writing(self) -> None:
        """Starts the clock of a client that does not read as fast as the server writes."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stops the clock of a client that reads on."""
        super().resume_writing()
        self._stop_write_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops all timers: none may outlive the connection."""
        self._stop_head_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
