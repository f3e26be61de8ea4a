"""The way to a Kubeflow Pipelines server: the official client, with time-outs, retries and errors in words.

Credentials are never options of the command line, and nothing of them is printed. The first of these is used, and it
alone:

- `--token-file`: a file that is read again for each request, so that a token that a cluster renews goes on to be good;
- `GRAFT_KFP_TOKEN`, a bearer token;
- `GRAFT_KFP_COOKIES`, the session cookies of a login page (Dex, OAuth2 proxy);
- `KF_PIPELINES_SA_TOKEN_PATH`, such a file, too;
- the client's own: `KF_PIPELINES_IAP_OAUTH2_CLIENT_ID` and the like, `~/.config/kfp/context.json`;
- in a pod the token of its service account.

The last one is there without anybody's doing, so it goes to https only, even if the environment names it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from components.errors import InputError
from pipeline.kubeflow import service
from pipeline.kubeflow.kfp import answers

Answer = TypeVar("Answer")

TOKEN, COOKIES, TOKEN_FILE = "GRAFT_KFP_TOKEN", "GRAFT_KFP_COOKIES", "KF_PIPELINES_SA_TOKEN_PATH"
POD_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"  # where Kubernetes projects it, by kfp's documents
PROJECTED = ("/var/run/secrets/", "/run/secrets/")
IAP = "KF_PIPELINES_IAP_OAUTH2_CLIENT_ID"
CONTEXT = "~/.config/kfp/context.json"
TIMEOUT = (10, 60)  # seconds to connect, and to answer
PAGE = 100


@dataclass
class Server:
    """A Kubeflow Pipelines server.

    Attributes:
        host: its address, as it was given.
        namespace: of a multi-user Kubeflow; None: there is one user.
        client: `kfp.Client`.
        pace: of retries.
        source: where its credentials come from, in words.
    """

    host: str
    namespace: str | None
    client: Any
    pace: service.Pace
    source: str = ""

    def ask(
        self,
        what: str,
        function: Callable[..., Answer],
        *args: Any,
        found: Callable[[], Answer | None] | None = None,
        **kwargs: Any,
    ) -> Answer:
        """Calls a method of the client; transient failures are tried again.

        Args:
            what: the request in words, after "while": "creating the run".
            function: the method.
            *args: of the method.
            found: for a request that must not be carried out twice: looks whether an attempt without an answer was.
            **kwargs: of the method.

        Raises:
            InputError: the server refuses, and the user can mend it.
            ServiceError: the server failed, or gave no answer.
        """
        pause = self.pace.pause
        for attempt in range(1, self.pace.attempts + 1):
            try:
                with contextlib.redirect_stdout(io.StringIO()):  # the client prints links of its own
                    return function(*args, **kwargs)
            except Exception as error:  # told apart below
                if not answers.is_transient(error) or attempt == self.pace.attempts:
                    raise answers.explain(error, self.host, what, self.source) from error
            time.sleep(pause)
            pause *= 2
            if found is not None and (earlier := found()) is not None:
                return earlier
        raise AssertionError("unreachable")

    def link(self, kind: str, identity: str) -> str:
        """Gives the page of a run or a schedule; KF_PIPELINES_UI_ENDPOINT is that of KF_PIPELINES_ENDPOINT's host."""
        elsewhere = os.environ.get("KF_PIPELINES_ENDPOINT", self.host).rstrip("/") != self.host
        pages = self.host if elsewhere else os.environ.get("KF_PIPELINES_UI_ENDPOINT") or self.host
        return f"{pages.rstrip('/')}/#/{kind}/details/{identity}"


def make_server(host: str | None, namespace: str | None, token_file: str | None) -> Server:
    """Makes the client of a server; nothing is asked of the server yet.

    Args:
        host: address with http:// or https://; None: `KF_PIPELINES_ENDPOINT`.
        namespace: of a multi-user Kubeflow.
        token_file: holds a bearer token.

    Raises:
        InputError: no address, a password in it, or a token file that cannot be read.
    """
    address = _check_host(host if host is not None else os.environ.get("KF_PIPELINES_ENDPOINT"))
    credentials = find_credentials(address, token_file)
    arguments: dict[str, Any] = {"host": address}
    certificates = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    if certificates:
        arguments["ssl_ca_cert"] = certificates
    if namespace:
        arguments["namespace"] = namespace
    return Server(address, namespace, _make_client(credentials, arguments), service.PACE, credentials.source)


def _check_host(host: str | None) -> str:
    if not host:
        raise InputError(
            "No Kubeflow server is given.\nAdd --host https://HOST/pipeline, or set KF_PIPELINES_ENDPOINT."
        )
    parts = urlsplit(host)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"--host: expected an address such as https://HOST/pipeline, got '{host}'.")
    if parts.username or parts.password:
        raise InputError(
            "--host: an address with a user or a password in it ends up in logs and in the shell's history.\n"
            f"Put the token into {TOKEN}, or into a file for --token-file."
        )
    return host.rstrip("/")


@dataclass(frozen=True)
class Credentials:
    """What a client is to send; all empty: what it has of its own.

    Attributes:
        source: where they come from, never what they are.
        token: a bearer token.
        cookies: of a session.
        path: of a file with a bearer token.
    """

    source: str
    token: str = ""
    cookies: str = ""
    path: str = ""


def find_credentials(host: str, token_file: str | None) -> Credentials:
    """Finds the first credentials in the order of this module's documentation.

    Raises:
        InputError: a file without a token in it.
    """
    if token_file is not None:
        return _from_file(token_file, f"--token-file {token_file}")
    if token := os.environ.get(TOKEN, "").strip():
        return Credentials(TOKEN, token=token)
    if cookies := os.environ.get(COOKIES, "").strip():
        return Credentials(COOKIES, cookies=cookies)
    named, is_safe = os.environ.get(TOKEN_FILE, ""), urlsplit(host).scheme == "https"
    if named and (is_safe or not _is_projected(named)):
        return _from_file(named, f"{TOKEN_FILE} ({named})")
    if own := _own_source(host):
        return Credentials(own)
    projected = named or POD_TOKEN
    if not Path(projected).is_file():
        return Credentials("nowhere, there are none")
    if is_safe:
        return _from_file(projected, f"the pod's token {projected}")
    return Credentials(f"nowhere: the pod's token goes to https only; --token-file {projected} sends it all the same")


def _is_projected(path: str) -> bool:
    """Tells whether Kubernetes has put a file there, rather than a person."""
    places = (os.path.abspath(path), os.path.realpath(path))
    return any(place == POD_TOKEN or place.startswith(PROJECTED) for place in places)


def _own_source(host: str) -> str:
    """Names the credentials that kfp's client finds by itself; empty: none."""
    if os.environ.get(IAP):
        return IAP
    if re.match(r"\S+.googleusercontent.com/{0,1}$", host):  # as the client asks
        return "Google's application default credentials"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if "client_authentication_" in Path(CONTEXT).expanduser().read_text("utf-8"):
            return CONTEXT
    return ""


def _from_file(path: str, source: str) -> Credentials:
    _read_token(path)
    return Credentials(source, path=path)


def _read_token(path: str) -> str:
    try:
        words = Path(path).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise InputError(f"Expected a bearer token in the file {path or '(no name)'}: {reason}.") from error
    if len(words) != 1:
        found = "is empty" if not words else f"holds {len(words)} words"
        raise InputError(f"The token file {path} {found}.\nExpected a bearer token in it, and nothing else.")
    return words[0]


def _make_client(credentials: Credentials, arguments: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each new client warns of servers before 2.0.0-beta.2
        from kfp.client import Client

        class PatientClient(Client):
            """The official client, which asks nothing while it is made."""

            def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
                """Answers the constructor's question whether there are several users; `--namespace` says it."""
                return SimpleNamespace(multi_user=False)

        if credentials.token or credentials.cookies or credentials.path:  # a token keeps it from looking for its own
            arguments |= {"existing_token": credentials.token or "none", "cookies": credentials.cookies}
        client = PatientClient(**arguments)
    api_client = client._run_api.api_client
    if "existing_token" in arguments:
        api_client.default_headers = {"User-Agent": api_client.user_agent}  # the context file may name one more
    if credentials.cookies:
        api_client.configuration.api_key.clear()
    if credentials.path:
        api_client.configuration.refresh_api_key_hook = lambda configuration: configuration.api_key.update(
            authorization=_read_token(credentials.path)
        )
    _bound(api_client)
    return client


def _bound(api_client: Any) -> None:
    """Gives every request a time-out; the client has none. Retries are ours, and a redirect to a login is an answer."""
    call, pool = api_client.call_api, api_client.rest_client.pool_manager

    def call_bounded(*args: Any, **kwargs: Any) -> Any:
        kwargs["_request_timeout"] = kwargs.get("_request_timeout") or TIMEOUT
        return call(*args, **kwargs)

    api_client.call_api = call_bounded
    pool.request = functools.partial(pool.request, redirect=False, retries=False)
