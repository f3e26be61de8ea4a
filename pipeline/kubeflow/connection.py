"""The way to a Kubeflow Pipelines server: the official client, with time-outs, retries and errors in words.

Credentials are never options of the command line, and nothing of them is printed. They come from, in this order:

- `GRAFT_KFP_TOKEN`, a bearer token, or `GRAFT_KFP_COOKIES`, the session cookies of a login page (Dex, OAuth2 proxy);
- `--token-file`, or `KF_PIPELINES_SA_TOKEN_PATH`: a file that is read again for each request, so that a token that a
  cluster renews goes on to be good;
- the client's own: `KF_PIPELINES_IAP_OAUTH2_CLIENT_ID` and the like, `~/.config/kfp/context.json`, and in a pod the
  token of its service account.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from components.errors import InputError
from pipeline.kubeflow import answers

Answer = TypeVar("Answer")

TOKEN, COOKIES, TOKEN_FILE = "GRAFT_KFP_TOKEN", "GRAFT_KFP_COOKIES", "KF_PIPELINES_SA_TOKEN_PATH"
POD_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"  # where Kubernetes projects it, by kfp's documents
TIMEOUT = (10, 60)  # seconds to connect, and to answer
PAGE = 100


@dataclass(frozen=True)
class Pace:
    """How often and how fast a request is tried again.

    Attributes:
        attempts: in all.
        pause: seconds before the second one; each further pause is twice as long.
        poll: seconds between two looks at a run.
        patience: seconds without an answer after which waiting for a run ends.
    """

    attempts: int = 5
    pause: float = 1.0
    poll: float = 10.0
    patience: float = 900.0


PACE = Pace()


@dataclass
class Server:
    """A Kubeflow Pipelines server.

    Attributes:
        host: its address, as it was given.
        namespace: of a multi-user Kubeflow; None: there is one user.
        client: `kfp.Client`.
        pace: of retries.
    """

    host: str
    namespace: str | None
    client: Any
    pace: Pace

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
                    raise answers.explain(error, self.host, what) from error
            time.sleep(pause)
            pause *= 2
            if found is not None and (earlier := found()) is not None:
                return earlier
        raise AssertionError("unreachable")

    def link(self, kind: str, identity: str) -> str:
        """The page of a run or a recurring run in the web interface."""
        pages = os.environ.get("KF_PIPELINES_UI_ENDPOINT") or self.host
        return f"{pages.rstrip('/')}/#/{kind}/details/{identity}"


def connect(host: str | None, namespace: str | None, token_file: str | None) -> Server:
    """The client of a server; nothing is asked of the server yet.

    Args:
        host: address with http:// or https://; None: `KF_PIPELINES_ENDPOINT`.
        namespace: of a multi-user Kubeflow.
        token_file: holds a bearer token.

    Raises:
        InputError: no address, a password in it, or a token file that cannot be read.
    """
    address = _check_host(host or os.environ.get("KF_PIPELINES_ENDPOINT"))
    arguments: dict[str, Any] = {"host": address, **_credentials(token_file)}
    certificates = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    if certificates:
        arguments["ssl_ca_cert"] = certificates
    return Server(address, namespace, _make_client(namespace, arguments), PACE)


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


def _credentials(token_file: str | None) -> dict[str, Any]:
    """Arguments of `kfp.Client`; empty where the client's own configuration decides."""
    if os.environ.get(TOKEN):
        return {"existing_token": os.environ[TOKEN].strip()}
    if os.environ.get(COOKIES):
        return {"cookies": os.environ[COOKIES].strip()}
    path = token_file or os.environ.get(TOKEN_FILE) or (POD_TOKEN if Path(POD_TOKEN).is_file() else None)
    if path is None:
        return {}
    try:
        if not Path(path).read_text("utf-8").strip():
            raise InputError(f"The token file {path} is empty.\nExpected a bearer token in it.")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise InputError(f"Expected a bearer token in the file {path}: {reason}.") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials
    return {"credentials": ServiceAccountTokenVolumeCredentials(path)}


def describe_credentials() -> str:
    """Where credentials come from, never what they are."""
    for variable in (TOKEN, COOKIES, TOKEN_FILE):
        if os.environ.get(variable):
            return variable
    return "the client's own configuration, if it has any"


def _make_client(namespace: str | None, arguments: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each new client warns of servers before 2.0.0-beta.2
        from kfp.client import Client

        class PatientClient(Client):
            """The official client, which asks nothing while it is made."""

            def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
                """The constructor's question whether there are several users; `--namespace` answers it."""
                return SimpleNamespace(multi_user=False)

        client = PatientClient(**arguments, **({"namespace": namespace} if namespace else {}))
    _bound(client._run_api.api_client)
    return client


def _bound(api_client: Any) -> None:
    """Gives every request a time-out; the client has none. Retries are ours, and a redirect to a login is an answer."""
    call, pool = api_client.call_api, api_client.rest_client.pool_manager

    def call_bounded(*args: Any, **kwargs: Any) -> Any:
        kwargs["_request_timeout"] = kwargs.get("_request_timeout") or TIMEOUT
        return call(*args, **kwargs)

    api_client.call_api = call_bounded
    pool.request = functools.partial(pool.request, redirect=False, retries=False)
