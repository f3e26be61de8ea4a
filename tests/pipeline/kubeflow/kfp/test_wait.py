"""`graft submit --wait`: what is shown, and the exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.kubeflow.argo import NOON, Fate, describe_run, states_of
from tests.pipeline.kubeflow.conftest import NODES, Ended
from tests.pipeline.kubeflow.kfp_server import BASE, Fault, KfpServer, check

Graft = Callable[..., Ended]
RAN = {node: Fate("ran", at=20 * index) for index, node in enumerate(NODES)}


def finish(server: KfpServer, fates: dict[str, Fate], run_state: str, seed: int = 0, **more: Any) -> None:
    """Lets every run that is asked for be over, with a fate a node."""

    def on_request(_: KfpServer) -> None:
        for row in server.rows["runs"].values():
            row |= {"state": run_state, "run_details": describe_run(fates, seed), **more}
            check(row["run_details"], "V2beta1RunDetails", "run_details")

    server.on_request = on_request


def test_shows_each_node_once_and_ends_with_the_run(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    finish(server, RAN, "SUCCEEDED")
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == 0
    for node in NODES:
        assert done.out.count(f"✓ {node}") == 1
    assert "driver" not in done.out
    assert "executor" not in done.out
    assert "cached" not in done.out
    assert "9.0 s" in done.out  # seven of its pod, two until the controller saw it
    assert done.out.endswith("Succeeded\n")


@pytest.mark.parametrize("seed", range(2))  # a database has no order
@pytest.mark.parametrize(
    "cached", [(), ("ImageExampleGen",), ("ImageExampleGen", "DataGate"), ("ImageExampleGen", "DataGate", "Trainer")]
)
@pytest.mark.parametrize("failures", [None, 2])
def test_cached_is_said_of_those_whose_executor_was_skipped(
    graft: Graft, server: KfpServer, pipeline_file: Path, cached: tuple[str, ...], failures: int | None, seed: int
) -> None:
    """All that follow Plan begin at once: the hardest case for telling whose executor is whose."""
    fates = {
        node: Fate("cached", at=15, failures=None)
        if node in cached
        else Fate("ran", seconds=5 + 3 * index, at=15 * (node != "Plan"), failures=failures)
        for index, node in enumerate(NODES)
    }
    finish(server, fates, "SUCCEEDED", seed)
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == 0
    assert {line.split()[1] for line in done.out.splitlines() if line.endswith("cached")} == set(cached)
    assert ("Succeeded: unchanged" in done.out) == ("Trainer" in cached)


def test_the_rows_are_those_of_the_server() -> None:
    """A cached task has succeeded, and only its executor was skipped; what was omitted has no state."""
    fates = {"Plan": Fate("ran"), "Trainer": Fate("cached"), "Pusher": Fate("omitted")}
    details = describe_run(fates)
    states = states_of(details)
    assert (states["Trainer"], states["Trainer-driver"], states["Pusher"]) == ("SUCCEEDED", "SUCCEEDED", "")
    executors = [row["state"] for row in details["task_details"] if row.get("display_name") == "executor"]
    assert sorted(executors) == ["SKIPPED", "SUCCEEDED"]
    assert not any({"pod_name", "parent_task_id", "error"} & set(row) for row in details["task_details"])


@pytest.mark.parametrize(
    ("fates", "code", "words"),
    [
        ({"Trainer": Fate("failed")}, 1, "Trainer: failed; its log has the reason"),
        ({"DataGate": Fate("failed")}, 3, "DataGate: the data gate said no, or failed"),
        ({"Pusher": Fate("failed")}, 3, "Pusher: the quality or servability gate said no, or failed"),
        ({"DataGate": Fate("driver failed")}, 1, "DataGate: its driver failed"),
        ({"Trainer": Fate("failed", failures=2)}, 1, "Trainer: failed; its log has the reason"),
        ({"DataGate": Fate("failed"), "Trainer": Fate("failed")}, 1, "Trainer: failed"),
    ],
)
def test_a_failed_run_as_open_source_kubeflow_tells_of_it(
    graft: Graft, server: KfpServer, pipeline_file: Path, fates: dict[str, Fate], code: int, words: str
) -> None:
    finish(server, {"ImageExampleGen": Fate("cached"), **fates, "Evaluator": Fate("omitted")}, "FAILED")
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == code
    assert words in done.out
    assert "/#/runs/details/" in done.out
    assert "unchanged" not in done.out


def test_a_run_that_somebody_stopped_is_no_gates_no(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    """Argo fails the node that ran, and the run; only the run's history knows."""
    history = [{"update_time": NOON.isoformat(), "state": state} for state in ("RUNNING", "CANCELING", "FAILED")]
    finish(server, {"Plan": Fate("ran"), "DataGate": Fate("failed")}, "FAILED", state_history=history)
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == 1
    assert "the run was canceled" in done.out


def test_a_server_that_is_a_step_behind_with_its_nodes_is_asked_again(
    graft: Graft, server: KfpServer, pipeline_file: Path
) -> None:
    looks: list[int] = []

    def on_request(_: KfpServer) -> None:
        for row in server.rows["runs"].values():
            looks.append(1)
            behind = {**RAN, "Pusher": Fate("running", at=80)} if len(looks) < 2 else RAN
            row |= {"state": "SUCCEEDED", "run_details": describe_run(behind)}

    server.on_request = on_request
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert done.code == 0
    assert done.out.count("✓ Pusher") == 1


def test_a_server_that_tells_of_no_nodes_still_ends(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    server.on_request = lambda _: [row.update(state="SUCCEEDED") for row in server.rows["runs"].values()]
    done = graft("submit", str(pipeline_file), "--host", server.url, "--wait")
    assert (done.code, done.out.splitlines()[-1]) == (0, "Succeeded")


def test_survives_a_server_that_restarts(graft: Graft, server: KfpServer, pipeline_file: Path) -> None:
    looks: list[str] = []

    def fault(number: int, method: str, path: str) -> Fault | None:
        if method == "GET" and path.startswith(f"{BASE}/runs/"):
            looks.append(path)
            return Fault(502) if 2 <= len(looks) <= 6 else None  # more than the attempts of one question
        return None

    server.fault = fault
    server.on_request = lambda _: finish(server, RAN, "SUCCEEDED") if len(looks) > 7 else None
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
