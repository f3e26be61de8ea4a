"""Which credentials reach a server, and what a refusal says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import InputError
from pipeline.kubeflow.kfp import connection
from tests.pipeline.kubeflow.conftest import Ended
from tests.pipeline.kubeflow.kfp_server import Fault, KfpServer

Graft = Callable[..., Ended]
HTTPS, HTTP = "https://kubeflow.example.org/pipeline", "http://ml-pipeline.kubeflow:8888"
# Every source, the first one first: what a person gives, then what is merely there.
SOURCES = ("--token-file", "GRAFT_KFP_TOKEN", "GRAFT_KFP_COOKIES", "KF_PIPELINES_SA_TOKEN_PATH", "context.json")


@pytest.fixture
def give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[str, ...]]:
    """Makes a source of credentials be there, each with a secret of its own; gives back options of the command."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def call(source: str) -> tuple[str, ...]:
        path = tmp_path / f"{source.strip('-')}.token"
        path.write_text(f"secret-of-{source}\n", "utf-8")
        if source == "--token-file":
            return (source, str(path))
        if source == "context.json":
            from kfp.client import Client

            context = tmp_path / ".config" / "kfp" / "context.json"
            context.parent.mkdir(parents=True)
            cookie = f"session=secret-of-{source}"
            context.write_text(json.dumps({"namespace": "", "client_authentication_cookie": cookie}), "utf-8")
            monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(context))
        elif source == "pod":
            monkeypatch.setattr(connection, "POD_TOKEN", str(path))
        else:
            monkeypatch.setenv(source, str(path) if source.endswith("PATH") else f"secret-of-{source}")
        return ()

    return call


def sent(server: KfpServer) -> set[str]:
    """The sources whose secrets were in the headers of any request."""
    text = json.dumps(server.headers)
    return {source for source in (*SOURCES, "pod") if f"secret-of-{source}" in text}


@pytest.mark.parametrize("first", range(len(SOURCES)))
def test_the_first_source_is_used_alone_and_named_in_a_401(
    graft: Graft, server: KfpServer, pipeline_file: Path, give: Callable[[str], tuple[str, ...]], first: int
) -> None:
    options = [option for source in (*SOURCES[first:], "pod") for option in give(source)]
    server.fault = lambda number, method, path: Fault(401)
    done = graft("submit", str(pipeline_file), "--host", server.url, *options)
    assert done.code == 2
    assert sent(server) == {SOURCES[first]}
    assert f"taken from: {'~/.config/kfp/' if first == 4 else ''}{SOURCES[first]}" in done.err
    assert "secret-of" not in done.out + done.err


def test_the_clients_own_login_does_not_win_over_what_is_given(
    graft: Graft, server: KfpServer, pipeline_file: Path, give: Callable[[str], tuple[str, ...]], monkeypatch
) -> None:
    """kfp's client would ask Google for a token wherever this variable is set."""
    monkeypatch.setenv("KF_PIPELINES_IAP_OAUTH2_CLIENT_ID", "client")
    for source in ("--token-file", "GRAFT_KFP_COOKIES"):
        server.headers.clear()
        assert graft("submit", str(pipeline_file), "--host", server.url, *give(source)).code == 0
        assert sent(server) == {source}


def test_a_pods_token_is_not_sent_over_http_unless_asked_for(
    graft: Graft, server: KfpServer, pipeline_file: Path, give: Callable[[str], tuple[str, ...]], monkeypatch
) -> None:
    give("pod")
    for name in ("", connection.POD_TOKEN):  # notebooks of Kubeflow name it in the environment
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", name)
        server.fault = lambda number, method, path: Fault(401)
        done = graft("submit", str(pipeline_file), "--host", server.url)
        assert sent(server) == set()
        assert f"goes to https only; --token-file {connection.POD_TOKEN} sends it all the same" in done.err
    server.fault = lambda number, method, path: None
    assert graft("submit", str(pipeline_file), "--host", server.url, "--token-file", connection.POD_TOKEN).code == 0
    assert sent(server) == {"pod"}


@pytest.mark.parametrize("where", ["/var/run/secrets/kubeflow/pipelines/token", "/run/secrets/a/token"])
def test_what_kubernetes_mounts_is_a_pods_token(where: str) -> None:
    assert connection._is_projected(where)
    assert connection._is_projected(f"/var/lib/../..{where}")
    assert not connection._is_projected("/home/me/token")


def test_over_https_a_pods_token_is_the_last_source(give: Callable[[str], tuple[str, ...]]) -> None:
    assert connection.find_credentials(HTTPS, None).source == "nowhere, there are none"
    give("pod")
    found = connection.find_credentials(HTTPS, None)
    assert (found.path, found.source) == (connection.POD_TOKEN, f"the pod's token {connection.POD_TOKEN}")
    assert connection.find_credentials(HTTP, None).path == ""
    give("context.json")
    assert connection.find_credentials(HTTPS, None).source == "~/.config/kfp/context.json"


@pytest.mark.parametrize(
    ("content", "words"), [("", "is empty"), (" \n", "is empty"), ("one\ntwo", "holds 2 words"), (None, "No such file")]
)
def test_a_file_that_holds_no_token_is_refused_whatever_else_is_there(
    give: Callable[[str], tuple[str, ...]], tmp_path: Path, content: str | None, words: str
) -> None:
    give("GRAFT_KFP_TOKEN")
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(InputError, match=words):
        connection.find_credentials(HTTPS, str(path))
    with pytest.raises(InputError, match="no name"):
        connection.find_credentials(HTTPS, "")  # "$UNSET" of a shell


def test_a_token_file_that_vanishes_is_said(
    graft: Graft, server: KfpServer, pipeline_file: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old", "utf-8")
    server.on_request = lambda _: token.unlink(missing_ok=True)
    done = graft("submit", str(pipeline_file), "--host", server.url, "--token-file", str(token))
    assert done.code == 2
    assert f"Expected a bearer token in the file {token}: No such file" in done.err


def test_links_lead_to_the_host_that_was_given(
    graft: Graft, server: KfpServer, pipeline_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of another cluster is no page of this one."""
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://ui.example.org")
    arguments = ("submit", str(pipeline_file), "--name", "first")
    assert "https://ui.example.org/#/runs/" in graft(*arguments, "--host", server.url).out
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
    assert "https://ui.example.org/#/runs/" in graft(*arguments).out
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "https://other.example.org")
    assert f"{server.url}/#/runs/" in graft(*arguments, "--host", server.url).out


def test_an_empty_host_is_not_replaced_by_the_environments(
    graft: Graft, server: KfpServer, pipeline_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
    done = graft("submit", str(pipeline_file), "--host", "")
    assert (done.code, server.requests) == (2, [])
