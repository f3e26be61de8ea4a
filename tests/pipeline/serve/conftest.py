"""Chromium, a working directory with all that the page can show, and what a user does on the page."""

import hashlib
import shutil

import numpy as np
import pytest

from components.contract import features
from components.registry.publish import publish_model
from pipeline.serve.corrections import Corrections
from pipeline.serve.host import Host
from pipeline.serve.intake import IntakeLimits
from pipeline.serve.page_api import Extras
from tests.chromium import open_chromium, wait
from tests.conftest import write_records
from tests.pipeline.serve.fakes import running

CARD = {"intended_use": "<img src=x onerror=alert(1)> tells **shades**."}
METRICS = {"accuracy": 0.75, "intervals": {"accuracy": [0.5, 0.9]}, "confidence": 0.95, "examples": 9}


@pytest.fixture(scope="session")
def full_workdir(trained, tmp_path_factory):
    """A working directory whose one version has accuracy, data and a card, and the data beside it."""
    root = tmp_path_factory.mktemp("full")
    node = root / "artifacts" / "ImageExampleGen"
    (node / "manifest" / "1").mkdir(parents=True)
    (node / "manifest" / "1" / features.MANIFEST_FILE).write_bytes(b"a manifest")
    write_records(node / "examples" / "1" / "Split-eval", 9, 300)
    dataset = {"train": 20, "eval": 9, "manifest_sha256": hashlib.sha256(b"a manifest").hexdigest()}
    passport = {"model_key": "f", "name": "shades", "parent": None, "metrics": METRICS, "dataset": dataset}
    passport["config"] = {"card": CARD}
    publish_model(trained.path, root / "serving", passport)
    return root


@pytest.fixture(scope="session")
def older_model(trained, tmp_path_factory):
    """A model as an older Graft exported it: without `explain_class`."""
    import tensorflow as tf

    model = tmp_path_factory.mktemp("older") / "model"
    loaded = tf.saved_model.load(str(trained.path))
    kept = {name: function for name, function in loaded.signatures.items() if name != features.EXPLAIN_CLASS}
    tf.saved_model.save(loaded, str(model), signatures=kept)
    shutil.copytree(trained.path / "assets", model / "assets", dirs_exist_ok=True)
    return model


@pytest.fixture(scope="session")
def full_host(full_workdir):
    host = Host(str(full_workdir), "", 8)
    host.start()
    yield host
    host.close()


@pytest.fixture
def full_server(full_host, tmp_path):
    """A server of it with examples and corrections; gives its URL and the folder of corrections."""
    extras = Extras(True, Corrections.open(str(tmp_path / "collected")))
    with running(full_host, IntakeLimits(request_bytes=1 << 20), extras=extras) as (url, _):
        yield url, tmp_path / "collected"


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    with open_chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


def element(browser, name):
    return browser.find_element("id", name)


def open_page(browser, url):
    browser.get(url)
    wait(browser, lambda: element(browser, "state").get_attribute("class") == "ready")
    wait(browser, lambda: element(browser, "about-facts").text)


def severe_messages(browser):
    """What stands as an error in the browser's log, refusals of the server left out, which the page puts in words."""
    severe = [row["message"] for row in browser.get_log("browser") if row["level"] == "SEVERE"]
    return [message for message in severe if not ("status of 4" in message or "ERR_CONNECTION_REFUSED" in message)]


def choose(browser, *paths):
    element(browser, "file").send_keys("\n".join(map(str, paths)))
    shown = ("result", "error")
    wait(browser, lambda: any(element(browser, name).is_displayed() for name in shown))
    wait(browser, lambda: element(browser, "answer").get_attribute("aria-busy") == "false")
    wait(browser, lambda: element(browser, "error").is_displayed() or element(browser, "canvas").is_displayed())


def show_evidence(browser):
    """Asks for the activation map, and waits until it is said what it shows."""
    element(browser, "evidence").click()
    wait(browser, lambda: has_map(browser) or element(browser, "legend-text").text.startswith(("No place", "There is")))


def has_map(browser, name=""):
    """Whether a map lies over the picture, that of a class where a name is given."""
    return f"with the evidence for {name}" in element(browser, "canvas").get_attribute("aria-label")


def pixels(browser):
    """What the canvas shows: uint8 [height, width, 4]."""
    script = "const c = document.getElementById('canvas');"
    script += "return [c.height, c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"
    height, width, values = browser.execute_script(script)
    return np.array(values, np.uint8).reshape(height, width, 4)
