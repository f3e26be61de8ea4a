"""`graft submit --wait`: what is shown, and the exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.kubeflow.conftest import NODES, Ended
from tests.pipeline.kubeflow.kfp_server import BASE, Fault, KfpServer

Graft = Callable[..., Ended]


def finish(server: KfpServer, states: dict[str, str], run_state: str, error: str = "") -> None:
    """Lets every run that is asked for be over, with one state a node."""

    def on_request(_: KfpServer) -> None:
        for row in server.rows["runs"].values():
            row["state"] = run_state
            row["run_details"] = {
                "task_details": [
                    {
                        "display_name": name,
                        "state": state,
                        "start_time": "2026-01-01T00:00:00Z",
                        "end_time": "2026-01-01T00:00:07Z",
                        **({"error": {"code": 2, "message": error}} if error and state == "FAILED" else {}),
                    }
                    for name, state in {**states, "root-driver": "SUCCEEDED"}.items()
                ]
            }

    server.on_request = on_request


def test_shows_each_node_once_and_ends_with_the_run(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    finish(server, dict.fromkeys(NODES, "SUCCEEDED"), "SUCCEEDED")
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == 0
    for node in NODES:
        assert done.out.count(f"✓ {node}") == 1
    assert "root-driver" not in done.out
    assert "7.0 s" in done.out
    assert done.out.endswith("Succeeded\n")


def test_a_run_that_trained_nothing_is_unchanged(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    finish(server, {"Plan": "SUCCEEDED", "Trainer": "SKIPPED", "Pusher": "SUCCEEDED"}, "SUCCEEDED")
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == 0
    assert "Succeeded: unchanged" in done.out
    assert "cached" in done.out


@pytest.mark.parametrize(
    ("failed", "error", "code", "words"),
    [
        ("Trainer", "", 1, "Trainer: failed; its log has the reason"),
        ("Trainer", "OOMKilled (exit code 137)", 1, "Trainer: OOMKilled (exit code 137)"),
        ("DataGate", "", 3, "DataGate: the data gate said no, or failed"),
        ("DataGate", "OOMKilled (exit code 137)", 1, "OOMKilled"),
        ("Pusher", "The quality gate said no: accuracy 0.4", 3, "accuracy 0.4"),
        ("Plan", "The data gate said no: 3 % bad", 3, "3 % bad"),
    ],
)
def test_a_failed_run(
    graft: Graft, server: KfpServer, pipeline_file: Path, failed: str, error: str, code: int, words: str
) -> None:
    finish(server, {"ImageExampleGen": "SUCCEEDED", failed: "FAILED"}, "FAILED", error)
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == code
    assert words in done.out
    assert "/#/runs/details/" in done.out


def test_survives_a_server_that_restarts(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    looks: list[str] = []

    def fault(number: int, method: str, path: str) -> Fault | None:
        if method == "GET" and path.startswith(f"{BASE}/runs/"):
            looks.append(path)
            return Fault(502) if 2 <= len(looks) <= 6 else None  # more than the attempts of one question
        return None

    server.fault = fault
    server.on_request = lambda _: (
        finish(server, dict.fromkeys(NODES, "SUCCEEDED"), "SUCCEEDED") if len(looks) > 7 else None
    )
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == 0, done.err
    assert "waiting" in done.out
    assert len(looks) > 7


def test_gives_up_on_a_server_that_is_gone(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    server.fault = lambda number, method, path: (
        Fault(502) if method == "GET" and path.startswith(f"{BASE}/runs/") else None
    )
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == 1
    assert "failed while asking for the run's state (502" in done.err


def test_an_expired_token_ends_it(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    server.fault = lambda number, method, path: Fault(401) if path.startswith(f"{BASE}/runs/") else None
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == 2
    assert "does not accept the credentials" in done.err


def test_ctrl_c_leaves_the_run_going(
    graft: Graft, server: KfpServer, pipeline_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.kubeflow.watch.sleep", interrupt)
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == 130
    assert "Interrupted. The run goes on: " in done.err
    assert [row["state"] for row in server.rows["runs"].values()] == ["PENDING"]
    assert all(method != "DELETE" for method, _ in server.requests)
