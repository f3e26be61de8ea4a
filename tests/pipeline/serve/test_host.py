"""Which version answers, as the serving directory changes; versions are fakes, the directory is real."""

import gc
import json
import shutil
import time

import pytest

from components.errors import InputError
from components.registry import versions
from components.registry.pointer import POINTER_FILE, make_event, record
from pipeline.serve import host as module
from pipeline.serve.host import Host
from pipeline.serve.rest import ServingError
from tests.pipeline.serve.fakes import FakeVersion


@pytest.fixture
def serving(tmp_path):
    add(tmp_path / "serving", 1)
    return tmp_path / "serving"


def add(serving, number, broken=False):
    folder = serving / str(number)
    folder.mkdir(parents=True)
    if broken:
        (folder / "broken").touch()
    (folder / versions.PASSPORT_FILE).write_text(json.dumps({"name": "shades"}))
    (folder / versions.SAVED_MODEL_FILE).write_bytes(b"")  # last: it makes a version of the folder


@pytest.fixture
def loads(monkeypatch):
    """The numbers that were loaded, in order."""
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    return []


@pytest.fixture
def host(serving, loads):
    def load(folder, _):
        loads.append(int(folder.name))
        if (folder / "broken").exists():
            raise RuntimeError("no model in it")
        return FakeVersion(int(folder.name))

    made = Host(str(serving.parent), "", 8, load)
    made.start()
    yield made
    made.close()


def wait_for(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen in 30 s")


def states(host):
    rows = host.status("shades")["model_version_status"]
    assert all(row["status"] == {"error_code": "OK", "error_message": ""} for row in rows)
    return {int(row["version"]): row["state"] for row in rows}


def test_a_new_version_takes_over_and_the_one_before_stays_at_hand(host, serving, loads):
    assert (host.name, host.get("shades").number, states(host)) == ("shades", 1, {1: "AVAILABLE"})
    add(serving, 2)
    wait_for(lambda: host.get("shades").number == 2)
    assert host.get("shades", 1).number == 1
    assert states(host) == {1: "AVAILABLE", 2: "AVAILABLE"}
    shutil.rmtree(serving / "2")  # what a rollback looks like without a pointer
    wait_for(lambda: host.get("shades").number == 1)
    add(serving, 2)
    wait_for(lambda: host.get("shades").number == 2)
    assert loads == [1, 2]
    assert host.reloads == 3


def test_at_the_start_the_version_before_is_loaded_too_so_that_a_rollback_is_immediate(serving, loads):
    add(serving, 2)
    host = Host(str(serving), "", 8, lambda folder, _: loads.append(folder.name) or FakeVersion(int(folder.name)))
    host.start()
    try:
        wait_for(lambda: states(host) == {1: "AVAILABLE", 2: "AVAILABLE"})
        record(serving, make_event(1, "rollback"), "shades")
        wait_for(lambda: host.get("shades").number == 1)
        record(serving, make_event(2, "promote"), "shades")
        wait_for(lambda: host.get("shades").number == 2)
        assert loads == ["2", "1"]
        (serving / POINTER_FILE).write_text("damaged {")
        wait_for(lambda: host.problem)
        assert "expected a model server configuration" in host.problem
        assert host.get("shades").number == 2
    finally:
        host.close()


def test_an_older_version_is_freed_when_its_last_request_is_done(host, serving):
    under_way = host.get("shades")
    for number in (2, 3):
        add(serving, number)
        wait_for(lambda number=number: host.get("shades").number == number)
    assert states(host) == {1: "UNLOADING", 2: "AVAILABLE", 3: "AVAILABLE"}
    with pytest.raises(ServingError, match=r"Servable not found for request: Specific\(shades, 1\)") as caught:
        host.get("shades", 1)
    assert caught.value.status == 404
    del under_way
    caught = None
    gc.collect()
    wait_for(lambda: states(host)[1] == "END")


def test_a_version_that_cannot_be_loaded_changes_nothing_but_is_said(host, serving, loads):
    add(serving, 2, broken=True)
    wait_for(lambda: host.problem)
    assert host.problem == "no model in it"
    assert host.get("shades").number == 1
    time.sleep(0.2)
    assert loads == [1, 2]  # and not again at every look
    add(serving, 3)
    wait_for(lambda: host.get("shades").number == 3)
    assert host.problem == ""


def test_a_directory_that_loses_its_versions_goes_on_answering(host, serving):
    shutil.rmtree(serving / "1")
    wait_for(lambda: host.problem)
    assert "no version left" in host.problem
    assert host.get("shades").number == 1


def test_a_single_version_is_served_whatever_happens_beside_it(serving, loads):
    host = Host(str(serving / "1"), "other", 8, lambda folder, _: FakeVersion(int(folder.name)))
    host.start()
    try:
        add(serving, 2)
        time.sleep(0.2)
        assert host.get("other").number == 1
    finally:
        host.close()


def test_a_first_version_that_cannot_be_loaded_is_an_error(serving):
    def load(folder, _):
        raise RuntimeError("no model in it")

    host = Host(str(serving), "", 8, load)
    with pytest.raises(RuntimeError, match="no model in it"):
        host.start()
    host.close()


def test_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="found nothing at"):
        Host(str(tmp_path / "gone"), "", 8)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("other",), 404, r"Servable not found for request: Latest\(other\)"),
        (("other", 1), 404, r"Servable not found for request: Specific\(other, 1\)"),
        (("shades", 7), 404, r"Servable not found for request: Specific\(shades, 7\)"),
        (("shades", None, "canary"), 400, "Unrecognized servable version label: canary"),
    ],
)
def test_what_is_not_loaded_is_said_as_tensorflow_serving_says_it(host, arguments, status, message):
    with pytest.raises(ServingError, match=message) as caught:
        host.get(*arguments)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("other",), "Could not find any versions of model other"),
        (("shades", 7), "Could not find version 7 of model shades"),
    ],
)
def test_the_status_of_what_is_not_there(host, arguments, message):
    with pytest.raises(ServingError, match=message):
        host.status(*arguments)


def test_the_label_means_the_served_version(host):
    assert host.get("shades", None, "stable").number == 1
    assert host.status("shades", None, "stable") == host.status("shades", 1)
