from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.kubeflow.conftest import Ended, write_pipeline
from tests.pipeline.kubeflow.kfp_server import BASE, Fault, KfpServer

Graft = Callable[..., Ended]
NIGHTLY = "0 0 3 * * *"
SCHEDULES = f"{BASE}/recurringruns"


@pytest.fixture
def schedule(graft: Graft, server: KfpServer, pipeline_file: Path) -> Callable[..., Ended]:
    def call(*options: str, cron: str = NIGHTLY, path: Path = pipeline_file) -> Ended:
        return graft("schedule", str(path), "--host", server.url, "--cron", cron, "--name", "nightly", *options)

    return call


def only(server: KfpServer) -> dict[str, object]:
    (row,) = server.named("recurringruns", "nightly")
    return row


def test_a_schedule_is_made(schedule: Graft, server: KfpServer) -> None:
    done = schedule("--param", "trainer_epochs=9", "--service-account", "trainer")
    assert done.code == 0, done.err
    assert done.out.startswith("Created: schedule nightly, active\n  cron        0 0 3 * * *\n")
    row = only(server)
    assert row["status"] == "ENABLED"
    assert row["trigger"] == {"cron_schedule": {"cron": NIGHTLY}}
    assert (row["max_concurrency"], row["no_catchup"]) == (1, True)
    assert row["runtime_config"] == {"parameters": {"trainer_epochs": 9}, "pipeline_root": "s3://bucket/root"}
    assert row["service_account"] == "trainer"
    assert f"{server.url}/#/recurringrun/details/{row['recurring_run_id']}" in done.out


def test_the_same_again_changes_nothing(schedule: Graft, server: KfpServer) -> None:
    schedule()
    before = dict(only(server))
    server.requests.clear()
    done = schedule()
    assert done.out.startswith("Unchanged: schedule nightly, active")
    assert only(server) == before
    assert {method for method, _ in server.requests} == {"GET"}


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 3 * * *", "got five: '0 3 * * *'.\nMeant is probably --cron \"0 0 3 * * *\"."),
        ("@daily", "expected six fields, seconds first, got '@daily'.\n--cron: expected second, minute"),
        ("", "expected six fields"),
    ],
)
def test_a_schedule_has_six_fields(schedule: Graft, server: KfpServer, cron: str, words: str) -> None:
    done = schedule(cron=cron)
    assert done.code == 2
    assert words in done.err
    assert server.requests == []


def test_fields_are_the_servers_to_refuse(schedule: Graft, server: KfpServer) -> None:
    done = schedule(cron="0  60 3 * * *")
    assert done.code == 2
    assert "refuses creating the schedule (400): Schedule cron is not a supported format" in done.err
    assert "expected second, minute, hour, day of the month, month, day of the week" in done.err
    assert server.rows["recurringruns"] == {}
    server.schema_errors.clear()


@pytest.mark.parametrize("change", ["cron", "parameter", "pipeline", "account"])
def test_a_change_leaves_one_schedule(schedule: Graft, server: KfpServer, tmp_path: Path, change: str) -> None:
    schedule()
    first = only(server)["recurring_run_id"]
    done = {
        "cron": lambda: schedule(cron="0 30 4 * * MON-FRI"),
        "parameter": lambda: schedule("--param", "trainer_epochs=2"),
        "pipeline": lambda: schedule(path=write_pipeline(tmp_path / "other.yaml", epochs=50)),
        "account": lambda: schedule("--service-account", "other"),
    }[change]()
    assert done.code == 0, done.err
    assert done.out.startswith("Updated: schedule nightly, active")
    row = only(server)
    assert row["recurring_run_id"] != first
    assert row["status"] == "ENABLED"
    assert server.most_active["nightly"] == 1


def test_a_paused_schedule_stays_paused_when_changed(graft: Graft, schedule: Graft, server: KfpServer) -> None:
    schedule()
    graft("schedule", "pause", "nightly", "--host", server.url)
    done = schedule(cron="0 0 4 * * *")
    assert done.out.startswith("Updated: schedule nightly, paused")
    assert only(server)["status"] == "DISABLED"
    assert only(server)["trigger"] == {"cron_schedule": {"cron": "0 0 4 * * *"}}


def failing_from(step: int, times: int, status: int, carried_out: bool) -> Callable[[int, str, str], Fault | None]:
    """Lets the requests fail from one on, so many times."""
    failed: list[int] = []

    def fault(number: int, method: str, path: str) -> Fault | None:
        if number < step or len(failed) == times:
            return None
        failed.append(number)
        return Fault(status, carried_out=carried_out and method != "GET")

    return fault


@pytest.mark.parametrize(("refusal", "carried_out"), [(503, False), (503, True), (403, False)])
def test_a_change_that_fails_at_any_request_leaves_exactly_one(
    graft: Graft, server: KfpServer, tmp_path: Path, refusal: int, carried_out: bool
) -> None:
    """Each request of a change fails in turn (for all of its attempts), then the server is well again."""

    path = write_pipeline(tmp_path / "one.yaml", tasks=("Plan",))

    def change(name: str, cron: str) -> Ended:
        return graft("schedule", str(path), "--host", server.url, "--cron", cron, "--name", name)

    change("count", NIGHTLY)
    server.requests.clear()
    change("count", "0 0 4 * * *")
    steps = [(method, path.partition(":")[2]) for method, path in server.requests]
    assert ("POST", "enable") in steps
    assert ("POST", "disable") in steps
    assert steps[-1][0] == "DELETE"
    for step in range(1, len(steps) + 1):
        name = f"nightly-{step}"
        change(name, NIGHTLY)
        server.requests.clear()
        server.fault = failing_from(step, 3 if refusal == 503 else 1, refusal, carried_out)
        done = change(name, "0 0 5 * * *")
        server.fault = lambda number, method, path: None
        assert done.code in (0, 1, 2), (step, done)
        active = server.active(name)
        assert len(active) == 1, (step, steps[step - 1], done)
        assert server.most_active[name] == 1, (step, steps[step - 1])
        if done.code == 0:  # the change came through, in a second attempt or because only the tidying failed
            assert active[0]["trigger"] == {"cron_schedule": {"cron": "0 0 5 * * *"}}
        assert change(name, "0 0 5 * * *").code == 0
        assert [row["trigger"]["cron_schedule"]["cron"] for row in server.named("recurringruns", name)] == [
            "0 0 5 * * *"
        ], step


def test_a_failed_change_says_what_is_active(schedule: Graft, server: KfpServer) -> None:
    schedule()
    server.fault = lambda number, method, path: Fault(500) if path.endswith(":enable") and len(posts()) < 2 else None

    def posts() -> list[str]:
        return [path for method, path in server.requests if method == "DELETE"]

    refused = schedule(cron="0 0 4 * * *")
    assert refused.code == 1
    assert "failed while resuming the schedule (500" in refused.err
    assert "The schedule is as before, but paused: graft schedule resume nightly makes it active." in refused.err
    assert server.active("nightly") == []


def test_a_running_run_keeps_the_old_schedule_for_a_while(schedule: Graft, server: KfpServer) -> None:
    schedule()
    old = only(server)
    run = server.add(
        "runs",
        {
            "display_name": "nightly run",
            "experiment_id": old["experiment_id"],
            "recurring_run_id": old["recurring_run_id"],
            "state": "RUNNING",
        },
    )
    done = schedule(cron="0 0 4 * * *")
    assert done.code == 0
    assert "a run of the earlier schedule is under way and goes on" in done.out
    assert run["state"] == "RUNNING"
    assert len(server.named("recurringruns", "nightly")) == 2
    assert len(server.active("nightly")) == 1
    run["state"] = "SUCCEEDED"
    assert schedule(cron="0 0 4 * * *").out.startswith("Unchanged")
    assert only(server)["trigger"] == {"cron_schedule": {"cron": "0 0 4 * * *"}}


def test_going_back_while_a_run_is_under_way_does_not_take_the_old_one_for_the_new(
    schedule: Graft, server: KfpServer
) -> None:
    """The old schedule, kept for its run, has the digest of the one that is made again, and the answer is lost."""
    schedule()
    old = only(server)
    links = {"experiment_id": old["experiment_id"], "recurring_run_id": old["recurring_run_id"]}
    run = server.add("runs", {"display_name": "r", "state": "RUNNING", **links})
    schedule(cron="0 0 4 * * *")
    run["state"] = "SUCCEEDED"
    lost: list[int] = []

    def once(number: int, method: str, path: str) -> Fault | None:
        if (method, path) == ("POST", SCHEDULES) and not lost:
            lost.append(number)
            return Fault(503)
        return None

    server.fault = once
    assert schedule().out.startswith("Updated: schedule nightly, active")
    assert only(server)["status"] == "ENABLED"
    assert only(server)["trigger"] == {"cron_schedule": {"cron": NIGHTLY}}
    assert server.most_active["nightly"] == 1


def test_pause_resume_list_delete(graft: Graft, schedule: Graft, server: KfpServer) -> None:
    schedule()
    at = ("--host", server.url)
    assert graft("schedule", "pause", "nightly", *at).out == "Paused: schedule nightly\n"
    assert only(server)["status"] == "DISABLED"
    assert "paused" in graft("schedule", "list", *at).out
    assert graft("schedule", "resume", "nightly", *at).out == "Active: schedule nightly\n"
    assert only(server)["status"] == "ENABLED"
    listed = graft("schedule", "list", *at).out
    assert "nightly" in listed
    assert NIGHTLY in listed
    assert "active" in listed
    assert graft("schedule", "delete", "nightly", *at).out == "Deleted: schedule nightly\n"
    assert server.named("recurringruns", "nightly") == []
    assert graft("schedule", "list", *at).out == "Graft has no schedule here.\n"


@pytest.mark.parametrize("verb", ["pause", "resume", "delete"])
def test_a_schedule_that_is_not_there(graft: Graft, schedule: Graft, server: KfpServer, verb: str) -> None:
    schedule()
    done = graft("schedule", verb, "nightli", "--host", server.url)
    assert done.code == 2
    assert done.err == (
        "Error: There is no schedule 'nightli'. Did you mean 'nightly'?\nSchedules of Graft here: nightly.\n"
    )


def test_deleting_does_not_stop_a_run_unasked(graft: Graft, schedule: Graft, server: KfpServer) -> None:
    schedule()
    row = only(server)
    run = server.add(
        "runs",
        {
            "display_name": "r",
            "experiment_id": row["experiment_id"],
            "recurring_run_id": row["recurring_run_id"],
            "state": "RUNNING",
        },
    )
    done = graft("schedule", "delete", "nightly", "--host", server.url)
    assert done.code == 2
    assert "is under way, and Kubeflow stops it with its schedule" in done.err
    assert "--force" in done.err
    assert run["state"] == "RUNNING"
    assert only(server)["status"] == "ENABLED"
    assert graft("schedule", "delete", "nightly", "--host", server.url, "--force").code == 0
    assert server.named("recurringruns", "nightly") == []


def test_a_run_under_way_is_found_behind_any_number_of_newer_ones(
    graft: Graft, schedule: Graft, server: KfpServer
) -> None:
    """A long run of the schedule, then more runs of others than the API hands out in one page."""
    server.page = 100
    schedule()
    old = only(server)
    links = {"experiment_id": old["experiment_id"], "recurring_run_id": old["recurring_run_id"]}
    run = server.add("runs", {"display_name": "long", "state": "RUNNING", **links})
    for number in range(250):
        server.add("runs", {"display_name": f"r{number}", "state": "SUCCEEDED", **links})
    done = graft("schedule", "delete", "nightly", "--host", server.url)
    assert done.code == 2
    assert f"/#/runs/details/{run['run_id']}" in done.err
    assert schedule(cron="0 0 4 * * *").out.count("is under way and goes on") == 1
    assert run["state"] == "RUNNING"
    run["state"] = "SUCCEEDED"
    assert graft("schedule", "delete", "nightly", "--host", server.url).code == 0


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "CANCELING", "PAUSED", "RUNTIME_STATE_UNSPECIFIED", None])
def test_whatever_has_not_ended_is_under_way(
    graft: Graft, schedule: Graft, server: KfpServer, state: str | None
) -> None:
    schedule()
    row = only(server)
    links = {"experiment_id": row["experiment_id"], "recurring_run_id": row["recurring_run_id"]}
    server.add("runs", {"display_name": "r", **links})["state"] = state
    assert graft("schedule", "delete", "nightly", "--host", server.url).code == 2


def test_a_schedule_of_others_is_left_alone(graft: Graft, schedule: Graft, server: KfpServer) -> None:
    server.add("experiments", {"display_name": "theirs"})
    server.add("recurringruns", {"display_name": "nightly", "mode": "ENABLE", "experiment_id": "experiments-1"})
    done = schedule()
    assert done.code == 2
    assert "already that Graft did not make" in done.err
    assert "--name" in done.err
    assert len(server.named("recurringruns", "nightly")) == 1
    assert graft("schedule", "delete", "nightly", "--host", server.url).code == 2


def test_schedules_of_two_namespaces_do_not_meet(graft: Graft, schedule: Graft, server: KfpServer) -> None:
    server.namespaced = True
    assert schedule("--namespace", "a").code == 0
    for row in server.rows["recurringruns"].values():
        row["namespace"] = "a"
    assert schedule("--namespace", "b").out.startswith("Created")
    assert len(server.named("recurringruns", "nightly")) == 2


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [(401, 2, "does not accept the credentials"), (403, 2, "forbids listing the schedules"), (500, 1, "tried several")],
)
def test_refusals_in_words(
    graft: Graft, schedule: Graft, server: KfpServer, status: int, code: int, words: str
) -> None:
    server.fault = lambda number, method, path: Fault(status)
    for done in (schedule(), graft("schedule", "list", "--host", server.url)):
        assert done.code == code
        assert words in done.err
        assert "Traceback" not in done.err


def test_a_lost_answer_to_the_creation_makes_one_schedule(schedule: Graft, server: KfpServer) -> None:
    lost: list[int] = []

    def once(number: int, method: str, path: str) -> Fault | None:
        if (method, path) == ("POST", SCHEDULES) and not lost:
            lost.append(number)
            return Fault(cut=True, carried_out=True)
        return None

    server.fault = once
    assert schedule().code == 0
    assert only(server)["status"] == "ENABLED"
