"""The process behind `graft serve`: socket, model, web server, and an orderly end."""

from __future__ import annotations

import ipaddress
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from components.errors import InputError
from components.process import streams
from pipeline.serve.app import Service, create_app
from pipeline.serve.batcher import Batcher
from pipeline.serve.connections import Connection
from pipeline.serve.guard import Guard, Hosts
from pipeline.serve.host import Host
from pipeline.serve.intake import Intake, IntakeLimits
from pipeline.serve.page_api import Extras

KEEP_ALIVE_SECONDS = 30
DRAIN_SECONDS = 60  # what is under way at the end gets so long
BACKLOG = 1024
OPEN_FILES = 65_536
log = logging.getLogger("graft.serve")


@dataclass(frozen=True)
class Address:
    """Where to listen, port 0 is any free one; and which names clients may use besides those of this machine."""

    host: str = "127.0.0.1"
    port: int = 8501
    allowed_hosts: tuple[str, ...] = ()


def serve(
    model: str,
    address: Address,
    name: str,
    limits: IntakeLimits,
    batch_size: int,
    say: Callable[[str], None],
    extras: Extras | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; then takes no more, and answers what is under way.

    Args:
        model: a version's folder, or a serving or working directory, whose pointer is followed.
        address: where to listen.
        name: of the model in URLs; empty: as its passport says.
        limits: of requests.
        batch_size: images that the model sees at once.
        say: takes lines for the user.
        extras: what the page offers beside answers.

    Raises:
        InputError: there is no model, or the address is taken.
    """
    host = Host(model, name, batch_size)
    host.notice = extras.notice if extras else ""
    with _listening(address) as listener, _log_to_stderr():
        url = _url_of(listener)
        log.info("Loading TensorFlow and the model of %s; its address follows when it answers", host.serving)
        host.start()
        version = host.current.number if host.current else 0
        say(f"Serving {host.name}, version {version}, at {url}/ (Ctrl-C ends)")
        say(f"  predict  POST {url}/v1/models/{host.name}:predict")
        say(f"  health   GET  {url}/healthz")
        if extras and extras.corrections:
            say(f"  collect  corrections go to {extras.corrections.manifest}")
        batcher = Batcher(batch_size, max_waiting=max(limits.requests, 8 * batch_size))
        try:
            allow_open_files()
            app = create_app(Service(host, batcher, Intake(limits), extras or Extras()))
            run_until_signal(web_server(Guard(app, hosts_of(address, listener)), limits), listener)
        finally:
            host.close()
            batcher.close()
    say("Ended; every request under way was answered.")


def hosts_of(address: Address, listener: socket.socket) -> Hosts:
    """Gives the names that a `Host` header may have: those given, and any address where other machines may ask."""
    bound = ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])
    names = (name.lower().strip("[]").removesuffix(".") for name in (address.host, *address.allowed_hosts))
    return Hosts(frozenset(names), addresses=not bound.is_loopback)


def allow_open_files() -> None:
    """Lets this process have more sockets than the 1,024 that many systems start one with."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def web_server(app: ASGIApp, limits: IntakeLimits) -> uvicorn.Server:
    """Makes uvicorn around an application, with Graft's rules for connections and without what Graft has no use for."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=type("Connection", (Connection,), {"most": limits.connections}),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    return uvicorn.Server(config)


def run_until_signal(server: uvicorn.Server, listener: socket.socket) -> None:
    """Runs until SIGTERM or SIGINT, which uvicorn raises once more after its orderly end: that end has exit code 0."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    if (hang_up := signal.getsignal(signal.SIGHUP)) is not signal.SIG_IGN:  # a closed terminal is an end like others
        before[signal.SIGHUP] = hang_up
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _listening(address: Address) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"--host {address.host}: no such address: {error.strerror}.") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(place)
        except OSError as error:
            raise InputError(
                f"Cannot listen on {address.host} port {address.port}: {error.strerror}.\n"
                "Another server may be running there; give another --port, or 0 for any free one."
            ) from error
        listener.listen(BACKLOG)
        yield listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    """Logs what this server and uvicorn say, a line each; of clients' faults nothing, or they could fill a disk."""
    handler = logging.StreamHandler(os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, errors=streams.LIKE))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(message)s"))
    loggers = [(logging.getLogger(name), level) for name, level in (("graft.serve", "INFO"), ("uvicorn", "ERROR"))]
    for logger, level in loggers:
        logger.setLevel(level)
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, _ in loggers:
            logger.removeHandler(handler)
        handler.stream.close()
