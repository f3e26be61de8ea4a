"""Which requests are answered at all, told from their headers: the right host, no other site's page, a clear length."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.serve.rest import ServingError, invalid

HEAD_BYTES = 16 << 10
AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^\[\]:@/?#\s]+)(?::\d{0,5})?", re.IGNORECASE)
READING = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Hosts:
    """The names under which the server is asked.

    A page of another site can point its own name at this machine (DNS rebinding), and would then be the same site.
    It cannot do so with an address: a server that listens for others takes any.

    Attributes:
        names: allowed besides `localhost` and the loopback addresses, in lower case; `*`: any.
        addresses: any address is allowed, not only those of loopback.
    """

    names: frozenset[str] = frozenset()
    addresses: bool = False

    def allow(self, authority: str) -> bool:
        """Whether a `Host` header, with or without a port, names this server."""
        found = AUTHORITY.fullmatch(authority)
        name = found["host"].lower().strip("[]").removesuffix(".") if found else ""
        if "*" in self.names or name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name == "localhost" or name.endswith(".localhost")
        return self.addresses or address.is_loopback


@dataclass(frozen=True)
class Guard:
    """The application behind the rules."""

    app: ASGIApp
    hosts: Hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses, with the connection closed as what follows cannot be trusted; or hands on."""
        app = self.app
        if scope["type"] == "http":
            try:
                check_head(scope, self.hosts)
            except ServingError as error:
                app = JSONResponse({"error": error.message}, error.status, {"Connection": "close"})
        await app(scope, receive, send)


def check_head(scope: Scope, hosts: Hosts) -> None:
    """Holds the headers of a request against the rules.

    Raises:
        ServingError: 400 two lengths, 403 another host or site, 431 too many headers.
    """
    headers = Headers(scope=scope)
    if len(scope["raw_path"]) + sum(len(name) + len(value) + 4 for name, value in headers.raw) > HEAD_BYTES:
        raise ServingError(431, f"The request's headers are larger than {HEAD_BYTES:,} bytes")
    if "transfer-encoding" in headers and ("content-length" in headers or scope["http_version"] != "1.1"):
        raise invalid("A chunked body has no Content-Length and needs HTTP/1.1: its end would be in doubt")
    if not all(hosts.allow(authority) for authority in headers.getlist("host")):
        raise ServingError(
            403,
            f"Host {headers['host'][:100]!r} is not a name of this server, which answers to localhost. "
            "Allow it with `graft serve --allowed-host NAME`.",
        )
    if scope["method"] not in READING and _is_of_another_site(headers):
        raise ServingError(403, "Pages of other sites may not use this server (Sec-Fetch-Site, Origin)")


def _is_of_another_site(headers: Headers) -> bool:
    """Whether a browser sent the request for another site's page; programs send neither header.

    `Sec-Fetch-Site` is the browser's own word and holds behind a proxy, too; without it, `Origin` must name the host.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.lower().partition("://")[2] != headers.get("host", "").lower()
