from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.kubeflow.kfp import connection
from tests.pipeline.kubeflow.argo import Fate, describe_run
from tests.pipeline.kubeflow.conftest import Ended, make_config, write_pipeline
from tests.pipeline.kubeflow.kfp_server import BASE, Fault, KfpServer

Graft = Callable[..., Ended]
SECRET = "s3cr3t-token"


def test_a_run_is_submitted_and_said(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    done = graft("submit", str(pipeline_file), "--host", server.url, "--name", "first", "--param", "trainer_epochs=9")
    assert done.code == 0
    (run,) = server.rows["runs"].values()
    assert done.out.startswith("Submitted: first\n")
    assert f"{server.url}/#/runs/details/{run['run_id']}" in done.out
    assert run["runtime_config"] == {"parameters": {"trainer_epochs": 9}, "pipeline_root": "s3://bucket/root"}
    assert "platform_spec" in run["pipeline_spec"]  # volumes and secrets go along
    (experiment,) = server.rows["experiments"].values()
    assert experiment["display_name"] == "flowers"


def test_the_same_name_is_the_same_run(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    arguments = ("submit", str(pipeline_file), "--host", server.url, "--name", "first")
    graft(*arguments)
    again = graft(*arguments)
    assert again.code == 0
    assert again.out.startswith("Taken, it was submitted before: first")
    assert len(server.rows["runs"]) == 1


def test_a_run_that_is_taken_is_described_as_it_was_submitted(
    graft: Graft, server: KfpServer, pipeline_file: Path, tmp_path: Path
) -> None:
    def submit(path: Path, *options: str) -> str:
        return graft("submit", str(path), "--host", server.url, "--name", "first", *options).out

    first = submit(pipeline_file, "--param", "trainer_epochs=9")
    (run,) = server.rows["runs"].values()
    run["pipeline_spec"] = as_a_server_keeps_it(run["pipeline_spec"])
    again = submit(pipeline_file, "--param", "trainer_epochs=9")
    other = submit(write_pipeline(tmp_path / "other.yaml", epochs=50, tasks=("Plan", "Pusher")))
    assert "flowers, 5 tasks, digest " in first
    for out in (again, other):
        assert out.splitlines()[1:5] == first.splitlines()[1:5]  # pipeline, root, parameters, link
    assert "differs from that, and was not submitted; --name OTHER submits it" in other
    assert "differs" not in first + again
    assert "differs" in submit(pipeline_file)  # the same pipeline with other parameters


def as_a_server_keeps_it(spec: Any) -> Any:
    """Through a protobuf Struct, where every number is a float, and with keys in another order."""
    if isinstance(spec, dict):
        return {key: as_a_server_keeps_it(value) for key, value in reversed(spec.items())}
    if isinstance(spec, list):
        return [as_a_server_keeps_it(value) for value in spec]
    return float(spec) if type(spec) is int else spec


def test_a_run_that_is_taken_from_a_server_that_does_not_say_what_it_runs(
    graft: Graft, server: KfpServer, pipeline_file: Path
) -> None:
    arguments = ("submit", str(pipeline_file), "--host", server.url, "--name", "first")
    graft(*arguments)
    (run,) = server.rows["runs"].values()
    del run["pipeline_spec"], run["runtime_config"]
    done = graft(*arguments)
    assert done.code == 0, done.err
    assert "pipeline    the server does not say" in done.out
    assert "digest" not in done.out


def test_a_run_that_is_taken_shows_its_own_nodes(graft: Graft, server: KfpServer, tmp_path: Path) -> None:
    old, new = (write_pipeline(tmp_path / f"{n}.yaml", tasks=n) for n in (("Trainer", "Old"), ("Trainer", "New")))
    arguments = ("--host", server.url, "--name", "first")
    graft("submit", str(old), *arguments)
    (run,) = server.rows["runs"].values()
    run |= {"state": "SUCCEEDED", "run_details": describe_run({"Trainer": Fate("ran"), "Old": Fate("ran", at=30)})}
    done = graft("submit", str(new), *arguments, "--wait")
    assert done.code == 0, done.err
    assert "✓ Old" in done.out
    assert "New" not in done.out


def test_a_failed_run_does_not_hold_its_name(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    arguments = ("submit", str(pipeline_file), "--host", server.url, "--name", "first")
    graft(*arguments)
    next(iter(server.rows["runs"].values()))["state"] = "FAILED"
    graft(*arguments)
    assert len(server.rows["runs"]) == 2


def test_an_experiment_that_exists_is_used(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    for name in ("other-1", "other-2", "nightly"):  # a page holds two
        server.add("experiments", {"display_name": name})
    graft("submit", str(pipeline_file), "--host", server.url, "--experiment", "nightly")
    assert len(server.named("experiments", "nightly")) == 1


def test_an_experiment_made_by_another_meanwhile_is_used(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    def another_is_first(number: int, method: str, path: str) -> None:
        if method == "POST" and path == f"{BASE}/experiments" and not server.named("experiments", "flowers"):
            server.add("experiments", {"display_name": "flowers"})

    server.fault = another_is_first  # the server itself then answers 409
    done = graft("submit", str(pipeline_file), "--host", server.url)
    assert done.code == 0, done.err
    assert len(server.named("experiments", "flowers")) == 1


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("fault", [Fault(503), Fault(500), Fault(cut=True)])
def test_a_lost_answer_makes_one_run(
    graft: Graft, server: KfpServer, pipeline_file: Path, fault: Fault, carried_out: bool
) -> None:
    lost = Fault(fault.status, fault.cut, carried_out=carried_out)
    posts: list[int] = []

    def once(number: int, method: str, path: str) -> Fault | None:
        if (method, path) == ("POST", f"{BASE}/runs"):
            posts.append(number)
            return lost if len(posts) == 1 else None
        return None

    server.fault = once
    done = graft("submit", str(pipeline_file), "--host", server.url, "--name", "first")
    assert done.code == 0, done.err
    assert len(server.rows["runs"]) == 1
    assert len(posts) == (1 if carried_out else 2)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, 2, ["does not accept the credentials (401)", "GRAFT_KFP_TOKEN", "--token-file FILE"]),
        (403, 2, ["knows who you are and forbids looking for the experiment (403)", "--namespace"]),
        (404, 2, ["has nothing there (404)", "/apis/v2beta1", "/pipeline"]),
        (409, 2, ["has one of that name already (409)", "--name"]),
        (500, 1, ["failed while looking for the experiment (500, tried several times): injected 500"]),
        (503, 1, ["tried several times"]),
    ],
)
def test_each_refusal_in_words(
    graft: Graft, server: KfpServer, pipeline_file: Path, status: int, code: int, words: list[str]
) -> None:
    server.fault = lambda number, method, path: Fault(status, headers={"Set-Cookie": "session=abc"})
    done = graft("submit", str(pipeline_file), "--host", server.url)
    assert done.code == code
    for word in words:
        assert word in done.err
    assert "Traceback" not in done.err
    assert "session=abc" not in done.err
    assert "log.txt" not in done.err
    assert len(server.requests) == (3 if code == 1 else 1)  # only a failure is tried again


def test_a_server_that_says_nothing(
    graft: Graft, server: KfpServer, pipeline_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TIMEOUT", (5, 0.05))
    server.fault = lambda number, method, path: Fault(silent=True)
    done = graft("submit", str(pipeline_file), "--host", server.url)
    assert done.code == 1
    assert "gives no answer while looking for the experiment" in done.err


def test_no_server(graft: Graft, pipeline_file: Path) -> None:
    done = graft("submit", str(pipeline_file), "--host", "http://127.0.0.1:9")
    assert done.code == 1
    assert "gives no answer" in done.err
    assert "refused" in done.err


@pytest.mark.parametrize(
    "fault", [Fault(200, body="<html>Please log in</html>"), Fault(302, headers={"Location": "/dex/auth"})]
)
def test_a_login_page_in_between(graft: Graft, server: KfpServer, pipeline_file: Path, fault: Fault) -> None:
    server.fault = lambda number, method, path: fault
    done = graft("submit", str(pipeline_file), "--host", server.url)
    assert done.code == 2
    assert "GRAFT_KFP_COOKIES" in done.err
    assert "login" in done.err


def test_a_multi_user_kubeflow_wants_a_namespace(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    server.namespaced = True
    done = graft("submit", str(pipeline_file), "--host", server.url)
    assert done.code == 2
    assert "give your profile's with --namespace" in done.err
    server.schema_errors.clear()
    assert graft("submit", str(pipeline_file), "--host", server.url, "--namespace", "team-a").code == 0
    (experiment,) = server.rows["experiments"].values()
    assert experiment["namespace"] == "team-a"


@pytest.mark.parametrize("way", ["token", "file", "cookies"])
def test_credentials_reach_the_server_and_nothing_else(
    graft: Graft, server: KfpServer, pipeline_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    options: tuple[str, ...] = ()
    if way == "token":
        monkeypatch.setenv("GRAFT_KFP_TOKEN", SECRET)
    elif way == "cookies":
        monkeypatch.setenv("GRAFT_KFP_COOKIES", f"authservice_session={SECRET}")
    else:
        (tmp_path / "token").write_text(SECRET + "\n", "utf-8")
        options = ("--token-file", str(tmp_path / "token"))
    done = graft("submit", str(pipeline_file), "--host", server.url, *options)
    assert done.code == 0
    expected = (
        ("Cookie", f"authservice_session={SECRET}") if way == "cookies" else ("Authorization", f"Bearer {SECRET}")
    )
    assert all(headers.get(expected[0]) == expected[1] for headers in server.headers)
    server.fault = lambda number, method, path: Fault(401)
    refused = graft("submit", str(pipeline_file), "--host", server.url, *options)
    assert SECRET not in done.out + done.err + refused.out + refused.err


def test_a_renewed_token_file_is_read_again(
    graft: Graft, server: KfpServer, pipeline_file: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old", "utf-8")
    server.on_request = lambda _: token.write_text("new", "utf-8")
    graft("submit", str(pipeline_file), "--host", server.url, "--token-file", str(token))
    seen = [headers["Authorization"] for headers in server.headers]
    assert seen[0] == "Bearer old"
    assert set(seen[1:]) == {"Bearer new"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "No Kubeflow server is given.\nAdd --host"),
        (("--host", "kubeflow.example.org"), "expected an address such as https://HOST/pipeline"),
        (("--host", "https://me:secret@example.org"), "ends up in logs"),
        (("--host", "http://localhost:1", "--token-file", "/nowhere"), "Expected a bearer token in the file /nowhere"),
        (("--host", "http://localhost:1", "--param", "trainer_epoch=3"), "Did you mean 'trainer_epochs'?"),
        (("--host", "http://localhost:1", "--param", "trainer_epochs=many"), "expected a number, got 'many'"),
        (("--host", "http://localhost:1", "--set", "trainer.epochs=3"), "is compiled already"),
    ],
)
def test_usage_is_checked_before_anything_is_sent(
    graft: Graft, pipeline_file: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = graft("submit", str(pipeline_file), *arguments)
    assert done.code == 2
    assert words in done.err
    assert "secret" not in done.err


def test_a_parameter_without_a_default_must_be_given(graft: Graft, server: KfpServer, tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "p.yaml", required=True)
    done = graft("submit", str(path), "--host", server.url)
    assert done.code == 2
    assert "the parameter 'data_path' has no default; add --param data_path=VALUE." in done.err
    assert graft("submit", str(path), "--host", server.url, "--param", "data_path=/mnt/x").code == 0


def test_what_graft_compiles_is_taken(graft: Graft, server: KfpServer, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(make_config().to_yaml(), "utf-8")
    done = graft("submit", str(tmp_path / "config.yaml"), "--host", server.url, "--data", "/mnt/graft/other")
    assert done.code == 0, done.err
    (run,) = server.rows["runs"].values()  # the server has held it against the PipelineSpec proto
    assert run["runtime_config"]["pipeline_root"] == "gs://bucket/root"
    parameters = run["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    assert parameters["data_path"]["defaultValue"] == "/mnt/graft/other"
    assert "kubernetes" in run["pipeline_spec"]["platform_spec"]["platforms"]


def test_what_does_not_compile_is_not_sent(graft: Graft, server: KfpServer, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(make_config(kubeflow={"image": ""}).to_yaml(), "utf-8")
    done = graft("submit", str(tmp_path / "config.yaml"), "--host", server.url)
    assert done.code == 2
    assert "kubeflow.image: expected a container image" in done.err
    assert server.requests == []


def test_the_stub_refuses_what_the_schema_does_not_know(server: KfpServer) -> None:
    import urllib.error
    import urllib.request

    body = json.dumps({"display_name": "x", "nick_name": "y"}).encode()
    request = urllib.request.Request(f"{server.url}{BASE}/experiments", body, method="POST")
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)
    assert server.schema_errors == ["experiments: V2beta1Experiment has no field nick_name"]
    server.schema_errors.clear()
