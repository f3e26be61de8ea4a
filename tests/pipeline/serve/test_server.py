"""The process: a version takes over under load without a failed request, garbage among it, and an orderly end."""

import base64
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests

from components.errors import InputError
from components.registry import versions
from components.registry.pointer import make_event, record
from pipeline.serve.intake import IntakeLimits
from pipeline.serve.server import Address, serve
from tests.conftest import CLASSES, picture_of

pytestmark = pytest.mark.slow

CLIENTS = 4
PAUSE = 0.04  # of a client after an answer: a load, and not all that the machine can do


@pytest.fixture
def process(pushed, stubborn_model, tmp_path):
    """`graft serve` on a directory with two versions; gives the process, the serving directory and the URL."""
    shutil.copytree(pushed, tmp_path / "work")
    serving = tmp_path / "work" / "serving"
    (first,) = versions.list_versions(serving)
    shutil.copytree(stubborn_model / "Format-Serving", serving / str(first + 1))
    passport = {"name": versions.read_passport(serving / str(first))["name"]}  # no digests: a model of others
    (serving / str(first + 1) / versions.PASSPORT_FILE).write_text(json.dumps(passport), "utf-8")
    record(serving, make_event(first + 1, "push"), "shades", versions.imply_pointer(serving).history)
    command = [sys.executable, "-m", "pipeline", "serve", str(tmp_path / "work"), "--port", "0"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = started.stdout.readline()
        found = re.search(r"Serving shades, version \d+, at (http://127\.0\.0\.1:\d+)/", line)
        assert found, line + started.stderr.read()
        yield started, serving, found[1]
    finally:
        started.kill()
        started.communicate()


class Load:
    """Clients that ask until they are told to stop; one request in ten is garbage."""

    def __init__(self, url):
        self.url = f"{url}/v1/models/shades:predict"
        self.good = [self.body(picture_of(label, 3 + label)) for label in range(3)]
        self.answers = []  # (index of the class shown, label answered or status, when asked, when answered)
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(CLIENTS)]

    @staticmethod
    def body(content):
        return json.dumps({"instances": [{"image_bytes": {"b64": base64.b64encode(content).decode()}}]})

    def ask(self, number):
        with requests.Session() as session:
            for turn in range(100_000):
                if self.stop.is_set():
                    return
                shown = (number + turn) % 3
                garbage = (number + turn) % 10 == 0
                asked = time.monotonic()
                try:
                    answer = session.post(self.url, self.body(b"junk") if garbage else self.good[shown], timeout=120)
                except requests.ConnectionError as error:
                    self.answers.append((shown, repr(error), asked, time.monotonic()))
                    return
                if garbage:
                    self.answers.append((None, answer.status_code, asked, time.monotonic()))
                else:
                    label = answer.json()["predictions"][0]["label"] if answer.ok else answer.text
                    self.answers.append((shown, label, asked, time.monotonic()))
                self.stop.wait(PAUSE)

    def since(self, moment):
        """How many were asked since then and answered."""
        return sum(asked > moment for *_, asked, _ in self.answers)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def answering(url):
    return requests.get(f"{url}/healthz", timeout=120).json()["version"]


def wait_for(condition):
    for _ in range(4000):
        if condition():
            return
        time.sleep(0.03)
    raise AssertionError("it did not happen in two minutes")


def end_under_way(started, url):
    """Ends the server while it works on an answer, which comes all the same."""
    row = json.loads(Load.body(picture_of(0, 1)))["instances"]
    sent = json.dumps({"instances": row * 300})
    results = []
    thread = threading.Thread(
        target=lambda: results.append(requests.post(f"{url}/v1/models/shades:predict", sent, timeout=120))
    )
    thread.start()
    wait_for(lambda: requests.get(f"{url}/healthz", timeout=60).json()["under_way"] == 1 or results)
    started.send_signal(signal.SIGTERM)
    thread.join()
    assert results[0].status_code == 200
    assert len(results[0].json()["predictions"]) == 300
    assert started.wait(120) == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)


def test_versions_change_under_load_without_a_failed_request_and_the_end_comes_after_the_answers(process):
    started, serving, url = process
    first, second = versions.list_versions(serving)
    assert answering(url) == second
    with Load(url) as load:
        status = f"{url}/v1/models/shades/versions/{first}"
        wait_for(lambda: "AVAILABLE" in requests.get(status, timeout=120).text)  # it stands by
        wait_for(lambda: len(load.answers) > 50)
        record(serving, make_event(first, "rollback"), "shades")
        wait_for(lambda: answering(url) == first)
        after_rollback = time.monotonic()
        wait_for(lambda: load.since(after_rollback) > 50)
        before_promotion = time.monotonic()
        record(serving, make_event(second, "promote"), "shades")
        wait_for(lambda: answering(url) == second)
        after_promotion = time.monotonic()
        wait_for(lambda: load.since(after_promotion) > 50)
    assert {label for shown, label, *_ in load.answers if shown is None} == {400}
    good = [row for row in load.answers if row[0] is not None]
    assert {label for _, label, *_ in good} <= set(CLASSES)  # every one of them was answered
    back = {label for shown, label, asked, when in good if asked > after_rollback and when < before_promotion and shown}
    assert back - {CLASSES[0]}  # the first version knows its classes; the second answers the same to everything
    assert {label for _, label, asked, _ in good if asked > after_promotion} == {CLASSES[0]}
    end_under_way(started, url)
    out, err = started.communicate(timeout=120)
    assert started.returncode == 0, err
    assert out.splitlines()[-1] == "Ended; every request under way was answered."
    assert err.count("answers; it was still in memory") == 2
    assert "Traceback" not in err
    assert f"Loading TensorFlow and the model of {serving}; its address follows" in err.splitlines()[0]


def test_an_address_that_is_taken_is_refused(pushed):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=rf"Cannot listen on 127\.0\.0\.1 port {port}: .*\n.*give another --port"):
            serve(str(pushed), Address(port=port), "", IntakeLimits(), 8, print)
    with pytest.raises(InputError, match=r"--host nowhere\.invalid: no such address"):
        serve(str(pushed), Address("nowhere.invalid"), "", IntakeLimits(), 8, print)
